// Checks that the decoders share. Private to this room.
#pragma once

#include <string_view>

#include "kernel/wire/payload.hpp"

namespace lockstep::wire {

// "WRITE_ACK: sector 18014398509481984 is past any device"
result<> check_sector(command code, std::uint64_t sector);

// `least` is 0 or 512. "DATA_REQUEST: size 100, expected whole sectors, 512 to 1048576"
result<> check_size(command code, std::uint32_t size_bytes, std::uint32_t least,
                    std::uint32_t most);

// One string in its field: a NUL within it and only NULs after that. `field` names it in the error.
result<algorithm_name> take_name(command code, std::string_view field, const_byte_span bytes);

// The same for a field that is as long as its string: the NUL is its last byte.
result<algorithm_name> take_last_name(command code, std::string_view field, const_byte_span bytes);

} // namespace lockstep::wire
