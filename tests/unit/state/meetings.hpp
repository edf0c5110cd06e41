// Meetings of two nodes for the tests of the handshake: one pair of records for each rule, and the
// same meeting as the peer sees it.
#pragma once

#include "kernel/state/handshake.hpp"

#include <vector>

namespace lockstep::test {

// Unrelated generations; bit 0 is clear in all of them.
inline constexpr std::uint64_t a = 0xa000'0000'0000'0010;
inline constexpr std::uint64_t b = 0xb000'0000'0000'0020;
inline constexpr std::uint64_t c = 0xc000'0000'0000'0030;
inline constexpr std::uint64_t d = 0xd000'0000'0000'0040;
inline constexpr std::uint64_t e = 0xe000'0000'0000'0050;
inline constexpr std::uint64_t f = 0xf000'0000'0000'0060;
inline constexpr std::uint64_t fresh = state::uuid_just_created;

constexpr std::uint64_t sync_of(std::uint64_t uuid) {
    return uuid + state::uuid_sync_offset;
}

struct rule_class {
    state::generation self;
    state::generation peer;
    int result; // with version 101, all features, nobody crashed, both Secondary
    int rule;
};

// One pair of records for each rule, and its mirror image. The last one is damaged metadata: each
// is the other's ancestor.
const std::vector<rule_class>& rule_classes();

// A record with an UpToDate disk, Secondary.
state::replica_record good(const state::generation& uuids);
state::handshake_input input_of(const rule_class& one);
state::handshake_input mirrored(const state::handshake_input& input);

} // namespace lockstep::test
