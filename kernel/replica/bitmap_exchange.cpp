#include "kernel/replica/bitmap_exchange.hpp"

#include <array>

#include "kernel/replica/machinery.hpp"
#include "kernel/wire/run_length.hpp"

namespace lockstep::replica {

using state::connection;
using wire::command;

namespace {

// Bitmap packets on their way at a time: the rest of the bitmap waits in the bitmap.
constexpr std::size_t queued_bytes_max = std::size_t{64} * 4096;

} // namespace

void bitmap_exchange::start_sending(volume& target) {
    if (target.disk == nullptr || !all_.link.up) {
        return;
    }
    target.bitmap_out.emplace(target.disk->bits.bits(), all_.link.rules);
    if (!target.bitmap_in) {
        target.bitmap_in.emplace(target.disk->bits.bits(), all_.link.rules);
    }
    send_more(target);
}

void bitmap_exchange::queue_moved() {
    for (auto& [number, target] : all_.volumes) {
        if (target->bitmap_out) {
            send_more(*target);
        }
    }
}

void bitmap_exchange::send_more(volume& target) {
    while (target.bitmap_out && !target.bitmap_out->done()) {
        if (all_.link.queued_bytes(channel::data) > queued_bytes_max || !send_one(target)) {
            return;
        }
    }
    if (target.bitmap_out && target.bitmap_out->done()) {
        target.bitmap_out.reset();
        sent_all(target);
    }
}

bool bitmap_exchange::send_one(volume& target) {
    if (!all_.link.up || !all_.memory.peer.available(wire::bitmap_packet_bytes_max)) {
        return false;
    }
    wire::bitmap_transfer& transfer = *target.bitmap_out;
    const bitmap& bits = target.disk->bits;
    std::array<std::byte, wire::bitmap_packet_bytes_max> payload;
    if (all_.net.use_rle && all_.link.rules.has_compressed_bitmap() && !transfer.covered()) {
        const auto part =
            wire::encode_runs(byte_span(payload).first(all_.link.rules.bitmap_bytes()),
                              transfer.next_bit(), transfer.bit_count(), bits);
        if (part.payload_bytes > 0) {
            all_.link.send_bytes(channel::data, target.number, command::compressed_bitmap,
                                 const_byte_span(payload).first(part.payload_bytes));
            transfer.passed_runs(part.next_bit);
            return true;
        }
    }
    const std::size_t size = transfer.plain_bytes();
    if (size == 0) {
        all_.link.send_empty(channel::data, target.number, command::bitmap);
    } else {
        bits.copy_words(transfer.next_word(), byte_span(payload).first(size));
        all_.link.send_bytes(channel::data, target.number, command::bitmap,
                             const_byte_span(payload).first(size));
    }
    transfer.passed_plain();
    return true;
}

void bitmap_exchange::packet_received(volume& target, command code, const_byte_span payload) {
    const bool expected = target.state.connection == connection::wf_bitmap_s ||
                          target.state.connection == connection::wf_bitmap_t;
    if (!expected || target.disk == nullptr) {
        // Late packets of a sync that our disk did not survive.
        all_.log(log_level::info, target, "a bitmap packet that is not waited for; ignored");
        return;
    }
    if (!target.bitmap_in) {
        target.bitmap_in.emplace(target.disk->bits.bits(), all_.link.rules);
    }
    wire::bitmap_transfer& transfer = *target.bitmap_in;
    if (code == command::bitmap) {
        if (const auto checked = transfer.check_plain(payload.size()); !checked) {
            all_.receiver.malformed(channel::data, checked.error());
            return;
        }
        if (!payload.empty() && !target.disk->bits.merge_words(transfer.next_word(), payload)) {
            all_.receiver.malformed(channel::data, {"BITMAP: more than the device has", {}, {}, 0});
            return;
        }
        transfer.passed_plain();
    } else if (!take_runs(target, payload)) {
        return;
    }
    if (transfer.done()) {
        target.bitmap_in.reset();
        received_all(target);
    }
}

bool bitmap_exchange::take_runs(volume& target, const_byte_span payload) {
    wire::bitmap_transfer& transfer = *target.bitmap_in;
    auto decoder = transfer.decode_runs(payload);
    if (!decoder) {
        all_.receiver.malformed(channel::data, decoder.error());
        return false;
    }
    while (true) {
        const auto run = decoder->next();
        if (!run) {
            all_.receiver.malformed(channel::data, run.error());
            return false;
        }
        if (!*run) {
            break;
        }
        if ((*run)->set) {
            target.disk->bits.set_run((*run)->first, (*run)->count);
        }
    }
    transfer.passed_runs(decoder->next_bit());
    return true;
}

void bitmap_exchange::received_all(volume& target) {
    if (target.state.connection == connection::wf_bitmap_t) {
        start_sending(target);
        target.bitmap_in.reset();
        return;
    }
    all_.resync.start_source(target);
}

void bitmap_exchange::sent_all(volume& target) {
    if (target.state.connection == connection::wf_bitmap_t) {
        all_.states.change(target, state::state_change{}.with(connection::wf_sync_uuid),
                           state::change_kind::hard);
    }
}

void bitmap_exchange::stop(volume& target) {
    target.bitmap_out.reset();
    target.bitmap_in.reset();
}

} // namespace lockstep::replica
