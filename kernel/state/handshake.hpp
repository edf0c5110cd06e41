// Who synchronises whom after two nodes have met: one pure function over what both sides say of
// themselves. Both nodes run it with the roles of `self` and `peer` exchanged and must come to
// complementary answers; nothing is negotiated afterwards.
//
// Two steps. `compare` looks at the generation identifiers only and names the rule that applied, by
// the numbers that DRBD logs ("uuid_compare()=1 by rule 70"). `decide` adds disk states, the split
// brain policies, the roles, and says what to do.
//
// No rule drops a non-empty bitmap. Where both copies count as the same generation although bits
// are set, the in-kernel DRBD connects without a resync; towards such a peer we do the same, and
// report the bits. Two Lockstep nodes resync them.
//
// Source of the rules: Linux 6.1, drivers/block/drbd/drbd_receiver.c (drbd_uuid_compare,
// drbd_sync_handshake, drbd_asb_recover_*).
#pragma once

#include "kernel/options/options.hpp"
#include "kernel/state/generation.hpp"
#include "kernel/state/types.hpp"

#include <cstdint>
#include <string_view>

namespace lockstep::state {

// Feature bit of CONNECTION_FEATURES that a peer which knows rule 41 announces.
inline constexpr std::uint32_t feature_wsame = 4;

// What one node says of itself: UUIDS and STATE packets, or the superblock and the bitmap.
struct replica_record {
    generation uuids;
    std::uint64_t bits = 0;       // set bits, as sent in UUIDS
    bool discard_my_data = false; // UUIDS flag 1
    bool crashed_primary = false; // UUIDS flag 2
    // The disk's own state; while it is Negotiating what it would be without a peer
    // (for the peer: real_peer_disk).
    state::disk disk = disk::inconsistent;
    state::role role = role::secondary;

    bool operator==(const replica_record&) const = default;
};

// A peer that is attaching shows Negotiating; UUIDS flag 4 tells what stands behind it.
disk real_peer_disk(disk shown, bool inconsistent_flag);

struct handshake_input {
    replica_record self;
    replica_record peer;
    // What the state says of our own disk now: differs from self.disk only while Negotiating.
    state::disk disk_in_state = disk::inconsistent;
    std::uint32_t protocol_version = 101; // agreed, 86..101
    std::uint32_t features = 0xf;         // agreed
    bool resolve_conflicts = false;       // we accepted the meta connection; true on one side only
    bool peer_is_lockstep = false;        // both say so, or neither
    options::after_split_brain after_sb_0pri = options::after_split_brain::disconnect;
    options::after_split_brain after_sb_1pri = options::after_split_brain::disconnect;
    options::after_split_brain after_sb_2pri = options::after_split_brain::disconnect;
    bool always_asbp = false;
    options::rr_conflict rr_conflict = options::rr_conflict::disconnect;
    bool dry_run = false; // of either side
    // Set for the second call, after handshake_decision::demote_first could not be done.
    bool demotion_refused = false;
};

// Corrections of the identifiers where the end or the start of the last resync was recorded by one
// side only.
enum class correction : std::uint8_t {
    none,
    own_bitmap_retired,  // rule 34: we were source, and missed that it had finished
    peer_bitmap_retired, // rule 35: the peer was source, and missed that it had finished
    peer_start_undone,   // rule 51: the peer started a sync that never reached us
    own_start_undone,    // rule 71: we started a sync that never reached the peer
};

// DRBD's numbers for `comparison::result`. Positive: this node is the source.
inline constexpr int compare_same = 0;
inline constexpr int compare_bitmap = 1;
inline constexpr int compare_full = 2;
inline constexpr int compare_split_brain = 100;       // policies may solve it, by bitmap
inline constexpr int compare_split_brain_full = -100; // ambiguous: solved only by --discard-my-data
inline constexpr int compare_unrelated = -1000;
inline constexpr int compare_needs_protocol_91 = -1091;
inline constexpr int compare_needs_feature = -(0x10000 | 101 | (4 << 8)); // version 101, feature 4

struct comparison {
    int result = compare_unrelated;
    int rule = 0; // 10..100
    state::correction correction = correction::none;

    bool operator==(const comparison&) const = default;
};

comparison compare(const handshake_input& input);

// Our own disk, as the peer knows it: of a Negotiating one it sees only whether it is usable.
disk disk_as_seen(const handshake_input& input);

// The corrected identifiers, of this node and of what it knows of the peer. Only the correction of
// this node's own record by rule 71 changes what is stored.
generation corrected_self(const generation& self, correction what);
generation corrected_peer(const generation& peer, correction what);

// One sentence in plain words why the rule applies; empty for an unknown number.
std::string_view rule_text(int rule);

enum class sync_role : std::uint8_t { none, source, target };

enum class refusal : std::uint8_t {
    none,
    unrelated_data,
    needs_newer_protocol, // the rule is unknown to the agreed version
    needs_feature,        // rule 41 towards a peer without feature 4
    split_brain,
    source_inconsistent, // this node should be source, but its data is not usable
    target_is_primary,   // this node should be target, but is Primary with usable data
    dry_run,             // it was asked only what would happen
};

// The handlers of the split brain, in the order in which they are called: initial-split-brain
// whenever one was found, split-brain if it stays unsolved.
struct handshake_handlers {
    bool initial_split_brain = false;
    bool pri_lost_after_sb = false; // the victim could not be demoted
    bool split_brain = false;
    bool pri_lost = false; // rr-conflict call-pri-lost

    bool operator==(const handshake_handlers&) const = default;
};

struct handshake_decision {
    comparison compared;
    sync_role sync = sync_role::none;
    bool full = false; // all bits are set and stored before the connection state changes
    state::refusal refusal = refusal::none;
    handshake_handlers handlers;
    bool by_disk_states = false;    // the better disk is source, whatever the identifiers say
    bool split_brain_found = false; // also if solved
    bool solved_by_policy = false;
    bool solved_by_hand = false; // --discard-my-data
    unsigned primaries = 0;      // at a split brain: how many nodes are Primary
    // after-sb call-pri-lost-after-sb: demote first, then carry this decision out. If the demotion
    // is refused, decide again with demotion_refused set.
    bool demote_first = false;
    // Bits that stay set in a connection without resync: this node's, and the peer's.
    std::uint64_t kept_bits = 0;
    std::uint64_t kept_bits_peer = 0;
    bool both_lockstep = false; // a resync that the in-kernel DRBD would not have made

    bool refused() const { return refusal != refusal::none; }
    // The connection state to go to; StandAlone (by way of Disconnecting) if refused.
    state::connection next_connection() const;
    // One sentence for the log and for the user.
    std::string_view text() const;
    // What the user can do about a refusal; empty otherwise.
    std::string_view remedy() const;

    bool operator==(const handshake_decision&) const = default;
};

handshake_decision decide(const handshake_input& input);

} // namespace lockstep::state
