#include "kernel/replica/online_verify.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "kernel/replica/digests.hpp"
#include "kernel/replica/machinery.hpp"

namespace lockstep::replica {

using state::connection;
using wire::command;

namespace {

constexpr std::uint64_t block_sectors = 8;
constexpr std::uint64_t unknown = ~std::uint64_t{0};

std::uint64_t blocks_of(const volume& target) {
    return (target.size_sectors + block_sectors - 1) / block_sectors;
}

} // namespace

void online_verify::start(volume& target, std::uint64_t start_sector, std::uint64_t stop_sector,
                          on_outcome done) {
    if (start_sector != verify_from_where_it_stopped) {
        target.verify_start_sector = start_sector / block_sectors * block_sectors;
    }
    target.verify_stop_sector = stop_sector;
    all_.commands.change_volume(target, state::state_change{}.with(connection::verify_s),
                                std::move(done));
}

void online_verify::at_change(volume& target, const state::volume_state& before,
                              const state::volume_state& after) {
    if (!is_verify(before.connection) && is_verify(after.connection)) {
        begun(target);
    } else if (is_verify(before.connection) && !is_verify(after.connection)) {
        target.resync_timer.cancel();
        interrupted(target);
    }
}

// The next verify begins at the first block that was not compared; at the start if all were.
void online_verify::interrupted(volume& target) {
    std::uint64_t reached = target.run.position * block_sectors;
    for (peer_request* each = target.peer_requests.front(); each != nullptr;
         each = target.peer_requests.after(*each)) {
        if (each->what == peer_request::kind::verify_read) {
            reached = std::min(reached, each->sector);
        }
    }
    if (reached > 0) {
        all_.log(log_level::info, target, fmt::format("Online Verify reached sector {}", reached));
    }
    target.verify_start_sector = reached;
}

void online_verify::begun(volume& target) {
    target.run = {};
    const std::uint64_t blocks = blocks_of(target);
    target.run.start_sector = unknown; // VerifyT: known with the first request
    target.run.left_bits = blocks;
    if (target.state.connection == connection::verify_s) {
        const std::uint64_t first = std::min(target.verify_start_sector / block_sectors, blocks);
        target.run.position = first;
        target.run.start_sector = first * block_sectors;
        target.run.stop_sector = all_.link.rules.has_verify_stop_sector()
                                     ? std::min(target.verify_stop_sector, target.size_sectors)
                                     : target.size_sectors;
        target.run.left_bits = blocks - first;
        target.pace.configure(target.options, all_.net.max_buffers);
        target.pace.start(all_.now());
        target.resync_timer.arm(all_.now());
        all_.log(log_level::info, target,
                 fmt::format("Starting Online Verify from sector {}", target.run.start_sector));
    }
    target.run.total_bits = target.run.left_bits;
    target.marks.start(all_.now(), target.run.total_bits);
}

void online_verify::tick(volume& target) {
    if (target.state.connection != connection::verify_s || target.disk == nullptr ||
        !all_.link.up) {
        return;
    }
    const instant now = all_.now();
    target.marks.advance(now, target.run.left_bits);
    std::uint32_t allowed = target.pace.blocks_now(now, target.run.in_flight_sectors);
    while (allowed > 0 && ask_next(target)) {
        target.pace.requested(now, 1);
        --allowed;
    }
    target.resync_timer.arm(target.pace.next_at(now));
    check_finished(target);
}

bool online_verify::ask_next(volume& target) {
    const std::uint64_t sector = target.run.position * block_sectors;
    if (sector >= target.run.stop_sector || sector >= target.size_sectors) {
        return false;
    }
    const auto size = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(block_sectors, target.size_sectors - sector) * 512);
    if (!all_.peers.can_ask() || target.in_flight.overlaps(sector, size / 512)) {
        return false; // a write is on its way there: the block's turn comes with the next tick
    }
    peer_request* read = all_.peers.take(target, peer_request::kind::verify_read);
    LOCKSTEP_CHECK(read != nullptr);
    read->op = disk_request::operation::read;
    read->sector = sector;
    read->size = size;
    read->block_id = wire::block_id_resync;
    if (all_.peers.write_on_its_way(target, *read)) {
        all_.peers.release(*read);
        return false; // it has come, and waits for its turn: ours comes behind it
    }
    // What our disk has of a write that begins again is no difference that stays.
    read->failed = all_.peers.differs_by_postponed(*read);
    // The application's writes wait until the answer has been compared; the peer's go on, as the
    // answer may wait for them, and spoil the comparison.
    peer_writes::hold_asked(target, *read);
    ++target.run.position;
    ++target.run.in_flight;
    target.run.in_flight_sectors += read->sectors();
    all_.link.send(channel::data, target.number, command::ov_request,
                   wire::block_request{sector, wire::block_id_resync, size, 0});
    return all_.link.up;
}

void online_verify::requested(volume& target, const wire::block_request& request) {
    if (request.size_bytes == 0 ||
        request.sector + request.size_bytes / 512 > target.size_sectors) {
        all_.states.drop_link(connection::protocol_error, "OV_REQUEST: past the end of the device");
        return;
    }
    if (target.run.start_sector == unknown) {
        target.run.start_sector = request.sector;
        const std::uint64_t blocks = blocks_of(target);
        target.run.left_bits = blocks - std::min(blocks, request.sector / block_sectors);
        target.run.total_bits = target.run.left_bits;
        target.marks.start(all_.now(), target.run.total_bits);
        all_.log(log_level::info, target,
                 fmt::format("Online Verify start sector: {}", request.sector));
    }
    peer_request* read = all_.peers.take(target, peer_request::kind::verify_reply);
    if (read == nullptr) {
        all_.states.drop_link(connection::network_failure, "too many requests of the peer");
        return;
    }
    read->op = disk_request::operation::read;
    read->sector = request.sector;
    read->size = request.size_bytes;
    read->block_id = request.block_id;
    ++target.counters.unacked;
    all_.resync.retry(*read);
}

void online_verify::answer(peer_request& request, int error) {
    volume& target = *request.target;
    if (all_.peers.current(request)) {
        --target.counters.unacked;
        // Frozen, a write may wait for ever to begin again, and with it the peer's application
        // would. (The in-kernel DRBD takes no such answer, and would never end its verify.)
        const bool no_use =
            all_.handshake.peer_is_lockstep() && all_.peers.differs_by_postponed(request);
        if (error != 0) {
            all_.peers.send_ack(request, command::neg_rs_dreply);
        } else if (no_use) {
            all_.peers.send_ack(request, command::rs_cancel);
        } else {
            wire::digest_request out;
            out.block = {request.sector, request.block_id, request.size, 0};
            out.of_block = digest_of(all_.net.verify_alg, {request.buffer.data(), request.size});
            all_.link.send(channel::data, target.number, command::ov_reply, out);
        }
    }
    all_.peers.release(request);
}

void online_verify::read_done(peer_request& request, int error) {
    if (request.what == peer_request::kind::verify_reply) {
        answer(request, error);
        return;
    }
    volume& target = *request.target;
    const bool current =
        all_.peers.current(request) && target.state.connection == connection::verify_s;
    const std::uint64_t sector = request.sector;
    const std::uint32_t size = request.size;
    const bool written_meanwhile = request.failed;
    const bool same = written_meanwhile ||
                      (error == 0 && digest_of(all_.net.verify_alg,
                                               {request.buffer.data(), size}) == request.digest);
    all_.peers.release(request);
    if (!current) {
        return;
    }
    conclude(target, sector, size, same);
}

void online_verify::conclude(volume& target, std::uint64_t sector, std::uint32_t size, bool same) {
    wire::block_ack result;
    result.sector = sector;
    result.block_id = same ? wire::block_id_in_sync : wire::block_id_out_of_sync;
    result.size_bytes = size;
    result.sequence = ++target.sequence;
    all_.link.send(channel::meta, target.number, command::ov_result, result);
    compared(target, sector, size, same);
    tick(target);
}

// The block that waits for this answer; null if none does.
peer_request* online_verify::find_asked(volume& target, std::uint64_t sector) const {
    peer_request* asked = peer_writes::find_asked(target, sector, peer_request::kind::verify_read);
    const bool waits = asked != nullptr && asked->digest.size == 0 && all_.peers.current(*asked);
    return waits ? asked : nullptr;
}

void online_verify::reply_received(volume& target, const wire::digest_request& reply) {
    peer_request* asked = find_asked(target, reply.block.sector);
    if (asked == nullptr) {
        all_.states.drop_link(connection::protocol_error,
                              "OV_REPLY for a block that was not asked for");
        return;
    }
    asked->digest = reply.of_block;
    all_.resync.retry(*asked);
}

bool online_verify::refused(volume& target, const wire::block_ack& ack, bool cancelled) {
    peer_request* asked = find_asked(target, ack.sector);
    if (asked == nullptr) {
        return false;
    }
    const std::uint32_t size = asked->size;
    all_.peers.release(*asked);
    // The disk that refuses may be the reason why the verify has ended.
    if (target.state.connection != connection::verify_s) {
        return true;
    }
    if (cancelled) {
        conclude(target, ack.sector, size, true); // a write is going to make it so
    } else {
        // Not known to be equal counts as out of sync.
        compared(target, ack.sector, size, false);
        tick(target);
    }
    return true;
}

void online_verify::compared(volume& target, std::uint64_t sector, std::uint32_t size, bool same) {
    if (!same) {
        ++target.run.out_of_sync_bits;
        if (target.disk != nullptr) {
            target.disk->bits.set(sector, size / 512);
        }
        all_.log(log_level::error, target,
                 fmt::format("Out of sync: start={}, size={} (sectors)", sector, size / 512));
    }
    if (target.run.left_bits > 0) {
        --target.run.left_bits;
    }
    if (target.run.in_flight > 0) {
        --target.run.in_flight;
        target.run.in_flight_sectors -=
            std::min<std::uint64_t>(target.run.in_flight_sectors, size / 512);
        target.pace.arrived(size / 512);
    }
}

void online_verify::result_received(volume& target, const wire::block_ack& ack) {
    if (target.state.connection != connection::verify_t) {
        return;
    }
    compared(target, ack.sector, ack.size_bytes, ack.block_id == wire::block_id_in_sync);
    target.marks.advance(all_.now(), target.run.left_bits);
    if (target.run.left_bits == 0) {
        finish(target);
    }
}

void online_verify::check_finished(volume& target) {
    const std::uint64_t sector = target.run.position * block_sectors;
    const bool asked_all = sector >= target.run.stop_sector || sector >= target.size_sectors;
    if (target.state.connection == connection::verify_s && asked_all && target.run.in_flight == 0) {
        finish(target);
    }
}

void online_verify::finish(volume& target) {
    if (target.run.finishing) {
        return;
    }
    target.run.finishing = true;
    target.resync_timer.cancel();
    const volume_number number = target.number;
    all_.keepalive.ping([this, number](bool answered) {
        volume* found = all_.find(number);
        if (answered && found != nullptr && found->run.finishing) {
            end(*found);
        }
    });
}

void online_verify::end(volume& target) {
    if (!is_verify(target.state.connection)) {
        return;
    }
    const std::uint64_t found = target.run.out_of_sync_bits;
    all_.log(log_level::info, target,
             fmt::format("Online verify done: {} block(s) of 4 KiB out of sync", found));
    target.run = {};
    all_.states.change(target, state::state_change{}.with(connection::connected),
                       state::change_kind::hard);
    if (found > 0) {
        all_.helpers.call_for_volume("out-of-sync", target, {});
    }
}

void online_verify::link_lost(volume& target) {
    for (peer_request* each = target.peer_requests.front(); each != nullptr;) {
        peer_request* following = target.peer_requests.after(*each);
        // Those whose read is under way end by themselves.
        if (each->what == peer_request::kind::verify_read && each->digest.size == 0) {
            all_.peers.release(*each);
        }
        each = following;
    }
}

} // namespace lockstep::replica
