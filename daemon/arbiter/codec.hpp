// The bytes of messages and of the state on disk: big-endian, with a checksum over all of it. What
// does not decode exactly is an error that names the part.
//
// Head: "LSTP", u8 what it is ('M' or 'S'), u8 format, u16 zero, u32 bytes of the body, then the
// body and its crc32c with that of the head.
#pragma once

#include <vector>

#include "daemon/arbiter/message.hpp"
#include "kernel/base/bytes.hpp"
#include "kernel/base/error.hpp"

namespace lockstep::arbiter {

constexpr std::uint8_t codec_format = 1;
// Names of resources, as drbd.conf allows them, and lists: more is not believed.
constexpr std::size_t name_bytes_max = 127;
constexpr std::size_t entries_max = 10'000;

std::vector<std::byte> encode(const message& what);
result<message> decode_message(const_byte_span bytes);

std::vector<std::byte> encode(const ledger_state& state);
result<ledger_state> decode_state(const_byte_span bytes);

} // namespace lockstep::arbiter
