// The guard against destroying data: what is on the device before metadata is written to it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "agent/drbdmeta/metadata.hpp"

namespace lockstep::drbdmeta {

// The start of the device that is searched; no smaller device is accepted.
inline constexpr std::uint64_t data_looked_at_bytes = std::uint64_t{68} * 1024;

struct existing_data {
    std::string type;                  // "ext3 filesystem", "swap space signature", "some data"
    bool known = false;                // of a type that says how it uses the device
    std::optional<std::uint64_t> size; // bytes in use from the start; empty: cannot be told
    bool takes_whole_device = false;   // swap: always truncated by internal metadata
};

// Looks at the first 68 KiB (`head`) and, by libblkid, at the whole device. Nothing: the start is
// all zero and no signature is known.
std::optional<existing_data> recognise(const std::string& device, const_byte_span head);

// Tells the user what is there and what would become of it, refuses (exit 40) what would be
// destroyed, asks where it is only a guess (exit 1 for no).
result<> check_for_existing_data(metadata& target);

} // namespace lockstep::drbdmeta
