// What programs of this node ask lockstepd for, and what it answers: JSON texts.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/arbiter/record.hpp"
#include "kernel/base/error.hpp"

namespace lockstep::daemon {

// The name of the service for libqb.
constexpr const char* service_name = "lockstepd";
constexpr std::uint32_t votes_max = 1000; // of a node
// Of a text; a status of a thousand resources takes a half of it.
constexpr std::size_t text_bytes_max = 1 << 20;

enum class verb : std::uint8_t {
    status,
    init,        // a cluster of this node
    add_node,    // to those that keep the record
    remove_node, // from them
    create,      // a resource's record; `node`: the one whose disk is in sync
    remove,      // it
    promote,     // this node is to be primary
    demote,      // or not any more
    fence_peer,  // the engine has lost its peer, and waits
};

// Why the engine asks: DRBD_FENCE_REASON of its handler.
enum class fence_reason : std::uint8_t {
    peer_lost, // or is to be promoted without it; the in-kernel DRBD gives no reason
    peer_disk, // the peer is there, and lacks what was written
    own_disk,  // this node does
};

struct request {
    verb what = verb::status;
    std::string resource;
    std::optional<arbiter::node_id> node;
    std::uint32_t votes = 1;                       // 1 to votes_max
    fence_reason reason = fence_reason::peer_lost; // fence_peer

    friend bool operator==(const request&, const request&) = default;
};

std::string_view name_of(verb what);
fence_reason reason_of(std::string_view in_environment);
std::string text_of(const request& what);
// An error names the field.
result<request> parse_request(std::string_view text);

struct answer {
    int code = 0;     // of the program that asked
    std::string text; // a status (JSON), or what went wrong and what to do

    friend bool operator==(const answer&, const answer&) = default;
};

std::string text_of(const answer& what);
result<answer> parse_answer(std::string_view text);

} // namespace lockstep::daemon
