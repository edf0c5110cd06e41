// Digests of data (integrity, checksum based resync, verify) and the HMAC of the authentication.
#pragma once

#include <string_view>

#include "kernel/base/error.hpp"
#include "kernel/wire/payload.hpp"

namespace lockstep::replica {

// The size of the algorithm's digest: "crc32c", or any that libcrypto knows ("md5", "sha1",
// "sha256" ...) up to 64 bytes. An unknown name is an error; the empty name has size 0.
result<std::uint32_t> digest_size(std::string_view algorithm);

// The algorithm must be known. DRBD's crc32c digest is the usual CRC-32C, 4 little-endian bytes.
wire::digest digest_of(std::string_view algorithm, const_byte_span data);

wire::digest hmac_of(std::string_view algorithm, std::string_view secret, const_byte_span message);

} // namespace lockstep::replica
