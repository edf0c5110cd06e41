// The three packet headers. All numbers are big-endian; length counts what follows the header.
//
//   h80    0 magic 83740267   4 command u16   6 length u16
//   h95    0 magic 835a       2 command u16   4 length u32
//   h100   0 magic 8620ec20   4 volume u16    6 command u16   8 length u32   12 zero u32
//
// Source: Linux 6.1 drivers/block/drbd/drbd_protocol.h (p_header80, p_header95, p_header100).
#pragma once

#include "kernel/base/bytes.hpp"
#include "kernel/wire/packet.hpp"

namespace lockstep::wire {

struct header {
    header_kind kind = header_kind::h80;
    std::uint16_t volume = 0; // 0 for packets that concern the whole connection
    command code = command::ping;
    std::uint32_t length = 0;

    bool operator==(const header&) const = default;
    std::size_t bytes() const { return header_bytes(kind); }
};

// `bytes` must hold at least rules.header_bytes(); more is ignored. Refuses a magic that the
// version does not use and a pad word that is not zero. Whether the command exists and the length
// suits it is not looked at: see check_packet().
result<header> decode_header(const_byte_span bytes, const protocol& rules);

// Writes value.bytes() bytes.
void encode_header(byte_writer& to, const header& value);

// The header with which this version sends such a packet. A volume other than 0 needs
// has_volumes().
header make_header(const protocol& rules, std::uint16_t volume, command code, std::uint32_t length);

} // namespace lockstep::wire
