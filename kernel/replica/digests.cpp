#include "kernel/replica/digests.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <memory>
#include <string>

#include "kernel/base/crc32c.hpp"

namespace lockstep::replica {
namespace {

// DRBD's configuration names algorithms as the Linux crypto layer does.
const EVP_MD* algorithm_called(std::string_view name) {
    std::string plain(name);
    if (plain.starts_with("hmac(") && plain.ends_with(")")) {
        plain = plain.substr(5, plain.size() - 6);
    }
    return EVP_get_digestbyname(plain.c_str());
}

} // namespace

result<std::uint32_t> digest_size(std::string_view algorithm) {
    if (algorithm.empty()) {
        return 0U;
    }
    if (algorithm == "crc32c") {
        return 4U;
    }
    const EVP_MD* found = algorithm_called(algorithm);
    if (found == nullptr ||
        static_cast<std::size_t>(EVP_MD_get_size(found)) > wire::digest_bytes_max) {
        return fail("digest algorithm '" + std::string(algorithm) + "' is not known", {},
                    "use crc32c, md5, sha1, sha256 or sha512");
    }
    return static_cast<std::uint32_t>(EVP_MD_get_size(found));
}

wire::digest digest_of(std::string_view algorithm, const_byte_span data) {
    wire::digest digest;
    if (algorithm.empty()) {
        return digest;
    }
    if (algorithm == "crc32c") {
        digest.size = 4;
        store_little(digest.bytes.data(), crc32c(data));
        return digest;
    }
    unsigned size = 0;
    const int ok =
        EVP_Digest(data.data(), data.size(), reinterpret_cast<unsigned char*>(digest.bytes.data()),
                   &size, algorithm_called(algorithm), nullptr);
    LOCKSTEP_CHECK(ok == 1);
    digest.size = static_cast<std::uint8_t>(size);
    return digest;
}

wire::digest hmac_of(std::string_view algorithm, std::string_view secret, const_byte_span message) {
    wire::digest digest;
    unsigned size = 0;
    const unsigned char* made =
        HMAC(algorithm_called(algorithm), secret.data(), static_cast<int>(secret.size()),
             reinterpret_cast<const unsigned char*>(message.data()), message.size(),
             reinterpret_cast<unsigned char*>(digest.bytes.data()), &size);
    LOCKSTEP_CHECK(made != nullptr);
    digest.size = static_cast<std::uint8_t>(size);
    return digest;
}

} // namespace lockstep::replica
