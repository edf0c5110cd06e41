// Generation identifiers and flags as text:
//   CURRENT:BITMAP:YOUNGER:OLDER:consistent:up-to-date:primary:connected:full-sync:peer:crashed
#pragma once

#include <string>
#include <string_view>

#include "kernel/base/error.hpp"
#include "kernel/format/superblock.hpp"

namespace lockstep::drbdmeta {

// One line without its end.
std::string generation_line(const format::superblock& value);

// The drawing of show-gi around that line.
std::string generation_drawing(const format::superblock& value);

// Applies "VALUE:VALUE:..." in the order above; empty fields and missing ones at the end keep what
// is there. Errors: exit 10 with the field that is wrong.
result<format::superblock> with_generation(format::superblock value, std::string_view text);

} // namespace lockstep::drbdmeta
