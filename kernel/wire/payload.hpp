// What all payload structures have in common. Each is a plain value with
//
//   std::size_t encoded_bytes(const X&, const protocol&);
//   void encode(byte_writer&, const X&, const protocol&);
//   result<X> decode<X>(command, const_byte_span, const protocol&);
//
// encoded_bytes() is exactly what encode() writes. decode() takes the packet's command because
// several packets share a structure, and errors name the packet. It wants the fixed part only for
// packets that carry data, else the whole payload, and refuses any other size.
//
// Words that senders leave uninitialised are kept as they were read (fields named `pad`), so that a
// packet encodes back to the same bytes; nothing looks at them.
#pragma once

#include <array>

#include "kernel/base/bytes.hpp"
#include "kernel/wire/header.hpp"

namespace lockstep::wire {

template <class X>
result<X> decode(command code, const_byte_span payload, const protocol& rules);

// Enough for the header and the payload of every packet except bitmaps and data: the longest is
// SYNC_PARAM89 behind h100.
inline constexpr std::size_t small_packet_bytes_max = 164;

// Digest of data or response of an authentication: as many bytes as the algorithm gives.
struct digest {
    std::array<std::byte, digest_bytes_max> bytes{};
    std::uint8_t size = 0;

    bool operator==(const digest& other) const;
    const_byte_span view() const { return const_byte_span(bytes).first(size); }
};

// At most digest_bytes_max bytes.
digest make_digest(const_byte_span bytes);

// The name of a digest algorithm in its 64 bytes, NUL included; empty means none. Unused bytes
// are zero.
struct algorithm_name {
    std::array<char, algorithm_bytes_max> text{};

    bool operator==(const algorithm_name&) const = default;
    std::string_view view() const { return text.data(); }
};

// At most 63 characters without NUL, which the configuration has made sure of.
algorithm_name make_algorithm_name(std::string_view name);

// Writes header and payload of one packet, and returns their size. For packets that carry data
// this is the part before the data (and before its digest), with a length that counts
// `following_bytes` more. Nothing is allocated.
template <class X>
std::size_t encode_packet(byte_span to, const protocol& rules, std::uint16_t volume, command code,
                          const X& value, std::uint32_t following_bytes = 0) {
    byte_writer writer(to);
    const auto length = static_cast<std::uint32_t>(encoded_bytes(value, rules)) + following_bytes;
    encode_header(writer, make_header(rules, volume, code, length));
    encode(writer, value, rules);
    return writer.written();
}

// The same for packets without a payload: PING, PING_ACK, UNPLUG_REMOTE, INITIAL_*, and the empty
// BITMAP that ends a transfer.
std::size_t encode_empty_packet(byte_span to, const protocol& rules, std::uint16_t volume,
                                command code);

} // namespace lockstep::wire
