#include "kernel/replica/link.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "kernel/replica/machinery.hpp"

namespace lockstep::replica {

// Packets that may wait on a channel. Producers slow down long before; when it is full the
// connection is beyond repair and is dropped.
link::link(machinery& all)
    : all_(all), output_{packet_queue(all.memory.application_requests_max +
                                      all.memory.peer_requests_max / 2),
                         packet_queue(all.memory.peer_requests_max)},
      input_{wire::packet_stream(wire::socket_kind::data),
             wire::packet_stream(wire::socket_kind::meta)} {}

void link::start(bool resolves_conflicts) {
    stop();
    ++serial;
    up = true;
    resolve_conflicts = resolves_conflicts;
    rules = {};
    input_[0].restart(wire::socket_kind::data);
    input_[1].restart(wire::socket_kind::meta);
    for (auto& each : input_) {
        each.set_rules(rules);
        each.set_digest_bytes(0);
    }
    last_received = {all_.now(), all_.now()};
    last_sent = last_received;
    send_blocked_since = {never, never};
}

void link::stop() {
    up = false;
    stalled_ = {};
    want_send_ = {};
    send_blocked_since = {never, never};
    for (auto& queue : output_) {
        queue.clear();
    }
}

outgoing_packet* link::begin(channel which) {
    if (!up) {
        return nullptr;
    }
    outgoing_packet* packet = output(which).take();
    if (packet == nullptr) {
        all_.states.drop_link(state::connection::network_failure,
                              "too many packets are waiting to be sent");
    }
    return packet;
}

void link::push(channel which, outgoing_packet& packet) {
    packet_queue& queue = output(which);
    const bool was_empty = queue.empty();
    queue.push(packet);
    if (was_empty) {
        send_blocked_since[static_cast<std::size_t>(which)] = all_.now();
    }
    want_send_[static_cast<std::size_t>(which)] = true;
    all_.world.want_send(which);
}

void link::finish_data(outgoing_packet& packet, std::size_t head, const wire::digest& digest,
                       const std::byte* data, std::uint32_t size, const buffer_ref& hold,
                       void (*gone)(void*, bool), void* who) {
    if (digest.size > 0) {
        std::memcpy(packet.head.data() + head, digest.bytes.data(), digest.size);
    }
    packet.head_size = static_cast<std::uint32_t>(head) + digest.size;
    packet.data = data;
    packet.data_size = size;
    packet.hold = hold;
    packet.gone = gone;
    packet.who = who;
    push(channel::data, packet);
}

void link::send_empty(channel which, volume_number volume, wire::command code) {
    if (outgoing_packet* packet = begin(which)) {
        packet->head_size = static_cast<std::uint32_t>(
            wire::encode_empty_packet(packet->head, rules, volume, code));
        push(which, *packet);
    }
}

buffer_ref link::copy_of(const_byte_span bytes) {
    buffer_ref copy =
        all_.memory.peer.allocate(static_cast<std::uint32_t>(bytes.empty() ? 1 : bytes.size()));
    if (!copy) {
        all_.states.drop_link(state::connection::network_failure, "no memory for a packet");
        return {};
    }
    if (!bytes.empty()) {
        std::memcpy(copy.data(), bytes.data(), bytes.size());
    }
    return copy;
}

void link::send_encoded(channel which, const_byte_span bytes) {
    const std::size_t head = std::min(bytes.size(), outgoing_packet::head_bytes_max);
    const const_byte_span rest = bytes.subspan(head);
    buffer_ref hold;
    if (up && !rest.empty() && !(hold = copy_of(rest))) {
        return;
    }
    if (outgoing_packet* packet = begin(which)) {
        std::memcpy(packet->head.data(), bytes.data(), head);
        packet->head_size = static_cast<std::uint32_t>(head);
        packet->data = rest.empty() ? nullptr : hold.data();
        packet->data_size = static_cast<std::uint32_t>(rest.size());
        packet->hold = std::move(hold);
        push(which, *packet);
    }
}

void link::send_bytes(channel which, volume_number volume, wire::command code,
                      const_byte_span payload) {
    buffer_ref copy = copy_of(payload);
    if (!copy) {
        return;
    }
    if (outgoing_packet* packet = begin(which)) {
        byte_writer writer(packet->head);
        wire::encode_header(writer, wire::make_header(rules, volume, code,
                                                      static_cast<std::uint32_t>(payload.size())));
        packet->head_size = static_cast<std::uint32_t>(writer.written());
        packet->data = copy.data();
        packet->data_size = static_cast<std::uint32_t>(payload.size());
        packet->hold = std::move(copy);
        push(which, *packet);
    }
}

std::size_t link::gather(channel which, std::span<output_segment> segments) const {
    return output(which).gather(segments);
}

void link::sent(channel which, std::size_t bytes) {
    const auto index = static_cast<std::size_t>(which);
    if (!up || bytes == 0) {
        return;
    }
    last_sent[index] = all_.now();
    output(which).sent(bytes);
    send_blocked_since[index] = output(which).empty() ? never : all_.now();
    if (which == channel::data) {
        all_.keepalive.data_sent();
        if (output(which).empty()) {
            all_.epochs.queue_ran_dry();
        }
        all_.exchange.queue_moved();
    }
}

void link::consume(channel which, const_byte_span& bytes) {
    const auto index = static_cast<std::size_t>(which);
    wire::packet_stream& stream = input_[index];
    const std::uint64_t connection = serial;
    while (up && connection == serial) {
        if (held(which)) {
            stalled_[index] = true;
            return;
        }
        const auto step = stream.take(bytes);
        if (!step) {
            all_.receiver.malformed(which, step.error());
            return;
        }
        switch (*step) {
        case wire::packet_stream::step::more:
            return;
        case wire::packet_stream::step::packet:
            all_.receiver.packet(which, stream.head(), stream.payload());
            break;
        case wire::packet_stream::step::data:
        case wire::packet_stream::step::blocked:
            if (!all_.receiver.place_data(stream)) {
                stalled_[index] = true;
                return;
            }
            break;
        case wire::packet_stream::step::filled:
            all_.receiver.data_packet(stream);
            break;
        }
    }
}

bool link::held(channel which) const {
    return which == channel::data && (data_holds_ > 0 || paused_serial_ == serial) &&
           input_[static_cast<std::size_t>(which)].between_packets();
}

std::size_t link::receive(channel which, const_byte_span bytes) {
    if (!up) {
        return bytes.size();
    }
    const auto index = static_cast<std::size_t>(which);
    if (which == channel::meta && all_.handshake.before_parameters()) {
        // How its headers look is not agreed yet; the peer may be a step ahead.
        stalled_[index] = true;
        return 0;
    }
    if (held(which)) {
        stalled_[index] = true;
        return 0;
    }
    const std::size_t offered = bytes.size();
    last_received[index] = all_.now();
    stalled_[index] = false;
    const std::uint64_t connection = serial;
    consume(which, bytes);
    // What a dropped connection brought is of no interest any more.
    return up && connection == serial ? offered - bytes.size() : offered;
}

byte_span link::receive_target(channel which) {
    return up ? input_[static_cast<std::size_t>(which)].target() : byte_span{};
}

void link::received_in_place(channel which, std::size_t count) {
    const auto index = static_cast<std::size_t>(which);
    if (!up) {
        return;
    }
    last_received[index] = all_.now();
    input_[index].put_in_place(count);
    const_byte_span nothing;
    consume(which, nothing);
}

void link::end_pause() {
    if (std::exchange(paused_serial_, 0) != 0) {
        resume_receiving();
    }
}

void link::resume_receiving() {
    for (const channel which : {channel::data, channel::meta}) {
        bool& stalled = stalled_[static_cast<std::size_t>(which)];
        if (!stalled || !up) {
            continue;
        }
        const std::uint32_t size = input(which).data_bytes();
        const bool possible = which == channel::meta
                                  ? !all_.handshake.before_parameters()
                                  : !held(which) && all_.peers.can_take() &&
                                        (size == 0 || all_.memory.peer.available(size));
        if (possible) {
            stalled = false;
            all_.world.want_receive(which);
        }
    }
}

} // namespace lockstep::replica
