// The activity log as comments of a very verbose dump.
#pragma once

#include <string>

#include "kernel/base/bytes.hpp"
#include "kernel/format/superblock.hpp"

namespace lockstep::drbdmeta {

// area: the whole activity log area of the metadata.
std::string al_listing(const format::superblock& block, const_byte_span area);

} // namespace lockstep::drbdmeta
