// The two byte streams to the peer as the other mechanisms see them: packets out, packets in.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "kernel/replica/packet_queue.hpp"
#include "kernel/replica/ports.hpp"
#include "kernel/wire/payloads.hpp"
#include "kernel/wire/stream.hpp"

namespace lockstep::replica {

class machinery;

class link {
public:
    explicit link(machinery& all);

    // What the two nodes have agreed on. Below 86 (unagreed) until the features have crossed.
    wire::protocol rules;
    // Of the last peer that said what it takes.
    std::uint32_t last_data_bytes = max_io_bytes;
    bool resolve_conflicts = false;
    bool up = false; // both connections stand
    // Counts the connections that were made; answers to an older one go nowhere.
    std::uint64_t serial = 0;

    // Both connections stand: start from nothing.
    void start(bool resolves_conflicts);
    // Both connections are closed, or about to be: forgets everything queued.
    void stop();

    // --- sending ---
    template <class X>
    void send(channel which, volume_number volume, wire::command code, const X& value) {
        std::array<std::byte, packet_bytes_max> bytes;
        const std::size_t size = wire::encode_packet(bytes, rules, volume, code, value);
        send_encoded(which, const_byte_span(bytes).first(size));
    }
    // With data, and its digest in front of it if there is one.
    template <class X>
    void send_data(volume_number volume, wire::command code, const X& value,
                   const wire::digest& digest, const std::byte* data, std::uint32_t size,
                   const buffer_ref& hold, void (*gone)(void*, bool), void* who) {
        outgoing_packet* packet = begin(channel::data);
        if (packet == nullptr) {
            return;
        }
        const std::size_t head =
            wire::encode_packet(packet->head, rules, volume, code, value, size + digest.size);
        finish_data(*packet, head, digest, data, size, hold, gone, who);
    }
    void send_empty(channel which, volume_number volume, wire::command code);
    // A packet whose payload is all in `payload` (bitmaps), copied.
    void send_bytes(channel which, volume_number volume, wire::command code,
                    const_byte_span payload);
    bool can_queue(channel which, std::size_t packets = 1) const {
        return output(which).room(packets);
    }
    bool idle(channel which) const { return output(which).empty(); }
    std::size_t queued_bytes(channel which) const { return output(which).bytes(); }

    // --- the host's side ---
    std::size_t gather(channel which, std::span<output_segment> segments) const;
    void sent(channel which, std::size_t bytes);
    std::size_t receive(channel which, const_byte_span bytes);
    byte_span receive_target(channel which);
    void received_in_place(channel which, std::size_t count);
    // A buffer or a slot is free again: go on with a stalled stream.
    void resume_receiving();
    // The next packets of the data connection wait until it is released as often as it was held.
    void hold_data() { ++data_holds_; }
    void release_data() { --data_holds_; }
    // The same until end_pause(), or until the connection ends.
    void pause_data() { paused_serial_ = serial; }
    void end_pause();

    wire::packet_stream& input(channel which) { return input_[static_cast<std::size_t>(which)]; }
    // Times of the last progress, for the keepalive.
    std::array<instant, 2> last_received{};
    std::array<instant, 2> last_sent{};
    std::array<instant, 2> send_blocked_since{never, never};

private:
    // The longest packet that is sent as one value: options of a resync, an authentication.
    static constexpr std::size_t packet_bytes_max = 256;

    void send_encoded(channel which, const_byte_span bytes);
    buffer_ref copy_of(const_byte_span bytes);
    packet_queue& output(channel which) { return output_[static_cast<std::size_t>(which)]; }
    const packet_queue& output(channel which) const {
        return output_[static_cast<std::size_t>(which)];
    }
    outgoing_packet* begin(channel which);
    void push(channel which, outgoing_packet& packet);
    void finish_data(outgoing_packet& packet, std::size_t head, const wire::digest& digest,
                     const std::byte* data, std::uint32_t size, const buffer_ref& hold,
                     void (*gone)(void*, bool), void* who);
    void consume(channel which, const_byte_span& bytes);
    bool held(channel which) const;

    machinery& all_;
    std::array<packet_queue, 2> output_;
    std::array<wire::packet_stream, 2> input_;
    std::array<bool, 2> stalled_{};
    unsigned data_holds_ = 0;
    std::uint64_t paused_serial_ = 0; // the connection that is paused
    std::array<bool, 2> want_send_{};
};

} // namespace lockstep::replica
