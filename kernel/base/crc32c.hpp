// CRC-32C (Castagnoli), reflected polynomial 0x82F63B78.
#pragma once

#include <cstdint>

#include "kernel/base/bytes.hpp"

namespace lockstep {

// Continues a raw CRC register over bytes: no inversion before or after. The activity log's
// checksum starts at 0 and is stored as it is (metadata-v08, section 6); the usual CRC-32C starts
// at all ones and is inverted at the end.
std::uint32_t crc32c_update(std::uint32_t crc, const_byte_span bytes);

// The usual CRC-32C.
std::uint32_t crc32c(const_byte_span bytes);

} // namespace lockstep
