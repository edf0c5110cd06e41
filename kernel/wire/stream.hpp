// Splits what arrives on one connection into packets, whatever the pieces it comes in. Does no
// input and allocates nothing: bytes are handed in, packets are handed out, and data goes straight
// into memory that the caller names when it has seen the packet's fixed part.
//
//     for (;;) {
//         auto step = stream.take(bytes);              // bytes shrinks by what was taken
//         if (!step) { drop the connection }
//         switch (*step) {
//         case more:    return;                        // all bytes are taken
//         case packet:  use head(), payload();         // small: the whole payload
//                       break;
//         case data:    use head(), payload();         // payload(): fixed part and digest
//                       stream.place_data(memory);     // data_bytes() of it; or skip_data()
//                       break;                         // or return, and come back with the rest
//         case blocked: return;                        // still waits for place_data()
//         case filled:  use head(), payload();         // the same packet; its data is complete
//         }
//     }
//
// states and what take() makes of them:
//
//     header   until the header is complete and possible      -> payload
//     payload  until the payload, or the part before the data -> packet -> header, data -> wait
//     wait     nothing is taken (blocked)                      place_data() -> fill
//     fill     until the memory is full                        -> filled -> header
//     failed   the same error again
#pragma once

#include <array>

#include "kernel/wire/io_payloads.hpp"

namespace lockstep::wire {

class packet_stream {
public:
    enum class step : std::uint8_t { more, packet, data, blocked, filled };

    explicit packet_stream(socket_kind socket) : socket_(socket) {}

    // A new connection.
    void restart(socket_kind socket);
    // For packets whose header is not complete yet. May be called at any time: what a peer sends on
    // the meta connection while versions are still being agreed must not matter.
    void set_rules(const protocol& rules);
    // Length of the digest before the data of DATA, DATA_REPLY and RS_DATA_REPLY: the peer's
    // integrity-alg of the last PROTOCOL or PROTOCOL_UPDATE, 0 for none. As set_rules().
    void set_digest_bytes(std::size_t bytes);
    const protocol& rules() const { return rules_; }

    // Takes from the front of `bytes` up to the end of one step. Errors name packet and field, and
    // are final for this connection.
    result<step> take(const_byte_span& bytes);
    // After an error: there is no such command on this connection (check_command()). On the meta
    // connection DRBD answers that by StandAlone, everything else by connecting again.
    bool refused_command() const { return refused_command_; }

    // The packet of the last step. head() stays until the next header is complete, payload() until
    // the next take() that starts one.
    const header& head() const { return head_; }
    // Of data: fixed part and digest. decode<data_header>() wants data_fixed_part().
    const_byte_span payload() const { return const_byte_span(buffer_).first(buffered_); }
    const_byte_span data_fixed_part() const;
    const_byte_span data_digest() const;
    // Bytes of data that follow, after step data. May be 0 (a flush): then place_data({}).
    std::uint32_t data_bytes() const { return data_bytes_; }

    // `memory` is data_bytes() long and stays valid until filled, or until restart().
    void place_data(byte_span memory);
    // The data is read and thrown away; filled comes as usual.
    void skip_data();

    // Where the next bytes of the connection belong, if a reader wants to put them there itself:
    // what is missing of the data. Empty in every other state.
    byte_span target() const;
    // That many bytes were put at the front of target(). The next take() says filled when it is
    // full, even if it is given no bytes.
    void put_in_place(std::size_t bytes);

    // True between packets: here a connection may end without anything being cut off.
    bool between_packets() const { return state_ == state::header && buffered_header_ == 0; }

private:
    enum class state : std::uint8_t { header, payload, wait, fill, failed };

    result<step> take_header(const_byte_span& bytes);
    result<step> take_payload(const_byte_span& bytes);
    result<step> take_data(const_byte_span& bytes);
    result<> begin_packet();
    tl::unexpected<error> stop(error reason);

    protocol rules_;
    socket_kind socket_;
    state state_ = state::header;
    bool skipping_ = false;
    bool refused_command_ = false;
    std::size_t digest_bytes_ = 0;
    header head_;
    std::size_t buffered_header_ = 0;
    std::size_t buffered_ = 0; // of the payload
    std::size_t wanted_ = 0;   // of the payload, before data
    std::uint32_t data_bytes_ = 0;
    std::uint32_t data_taken_ = 0;
    byte_span memory_;
    error reason_;
    std::array<std::byte, header_bytes_max> header_buffer_{};
    std::array<std::byte, bitmap_packet_bytes_max> buffer_{};
};

} // namespace lockstep::wire
