#include "kernel/wire/protocol.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace lockstep::wire {

namespace {

// A longer payload does not fit the signed view that old peers have of h80's 16-bit length.
constexpr std::uint32_t h80_payload_bytes_max = 1U << 15;

std::uint32_t highest(const connection_features& offer) {
    return offer.version_max == 0 ? offer.version_min : offer.version_max;
}

} // namespace

header_kind protocol::header_for(std::uint32_t payload_bytes) const {
    if (version >= 100) {
        return header_kind::h100;
    }
    return version >= 95 && payload_bytes > h80_payload_bytes_max ? header_kind::h95
                                                                  : header_kind::h80;
}

std::uint32_t protocol::data_bytes() const {
    if (version >= 100) {
        return data_bytes_max;
    }
    return version >= 95 ? 128U << 10 : 32U << 10;
}

std::uint32_t protocol::trim_bytes() const {
    return has_write_same() ? trim_bytes_max : 4U << 20;
}

std::size_t protocol::bitmap_bytes() const {
    return (bitmap_packet_bytes_max - header_bytes()) / 8 * 8;
}

result<protocol> agree(const connection_features& own, const connection_features& peer) {
    const auto version = std::min(highest(own), highest(peer));
    if (version < std::max(own.version_min, peer.version_min)) {
        return fail(fmt::format("the peer speaks protocol versions {} to {}, this node {} to {}",
                                peer.version_min, highest(peer), own.version_min, highest(own)),
                    "CONNECTION_FEATURES", "run versions of the software that overlap");
    }
    return protocol{version, own.features & peer.features};
}

} // namespace lockstep::wire
