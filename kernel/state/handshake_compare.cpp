// The rules over the generation identifiers, in the order in which they apply. C, B, H1 and H2 are
// this node's current, bitmap and history identifiers, pC, pB, pH1 and pH2 the peer's; the lowest
// bit is masked throughout.
//
//  rule  applies if                                     result
//   10   C = 4 and pC = 4                               same
//   20   C is 4 or 0, pC is not 4                       target, full
//   30   C is not 4, pC is 4 or 0                       source, full
//   34   C = pC, B set, pB = 0, B = pH1, H1 = pH2       source, bitmap
//   36   C = pC, B set, pB = 0 otherwise                source, bitmap
//   35   C = pC, B = 0, pB set, H1 = pB, H2 = pH1       target, bitmap; pB is history
//   37   C = pC, B = 0, pB set otherwise                target, bitmap
//   40   C = pC, nobody crashed as Primary              same
//   41   C = pC, and a Primary is here                  the Primary is source; two: split brain
//   40   C = pC, somebody crashed as Primary            that one is source; both: resolve-conflicts
//                                                       node is target (not if one is Outdated)
//   50   C = pB                                         target, bitmap
//   51   C = pH1, the peer's last sync never reached us target, bitmap; the peer's start is undone
//   60   C = pH1 or C = pH2                             target, full
//   70   B = pC                                         source, bitmap
//   71   H1 = pC, our last sync never reached the peer  source, bitmap; our start is undone
//   80   H1 = pC or H2 = pC                             source, full
//   90   B = pB, not 0                                  split brain
//  100   a history identifier of each in common         split brain, ambiguous
//    -   otherwise                                      unrelated
//
// "In common" includes empty slots: two fresh devices with different data are a split brain, as
// the in-kernel DRBD sees them.
#include "kernel/state/handshake.hpp"

#include <array>
#include <optional>

namespace lockstep::state {

namespace {

// The first version that knows the corrections, and the first in which SYNC_UUID is derived from
// the bitmap identifier in a way that both sides can check afterwards.
constexpr std::uint32_t version_of_corrections = 91;
constexpr std::uint32_t version_of_derived_sync_uuid = 96;

struct identifiers {
    std::uint64_t current = 0;
    std::uint64_t bitmap = 0;
    std::uint64_t history1 = 0;
    std::uint64_t history2 = 0;
};

identifiers masked(const generation& from) {
    return {identity(from.current), identity(from.bitmap), identity(from.history[0]),
            identity(from.history[1])};
}

struct view {
    identifiers own;
    identifiers peer;
    const handshake_input& input;

    bool same_current() const { return own.current == peer.current; }
    bool knows_corrections() const { return input.protocol_version >= version_of_corrections; }
};

using outcome = std::optional<comparison>;

outcome corrected(const view& at, comparison found) {
    if (!at.knows_corrections()) {
        return comparison{compare_needs_protocol_91, found.rule, correction::none};
    }
    return found;
}

bool fresh(std::uint64_t current) {
    return current == uuid_just_created || current == 0;
}

outcome both_fresh(const view& at) {
    if (at.own.current == uuid_just_created && at.peer.current == uuid_just_created) {
        return comparison{compare_same, 10};
    }
    return std::nullopt;
}

outcome own_fresh(const view& at) {
    if (fresh(at.own.current) && at.peer.current != uuid_just_created) {
        return comparison{-compare_full, 20};
    }
    return std::nullopt;
}

outcome peer_fresh(const view& at) {
    if (at.own.current != uuid_just_created && fresh(at.peer.current)) {
        return comparison{compare_full, 30};
    }
    return std::nullopt;
}

// The same data on both sides, and one side still has a base for its bitmap: the end or the start
// of a resync was recorded by one of them only.
outcome same_but_own_base(const view& at) {
    if (!at.same_current() || at.own.bitmap == 0 || at.peer.bitmap != 0) {
        return std::nullopt;
    }
    const bool end_missed =
        at.own.bitmap == at.peer.history1 && at.own.history1 == at.peer.history2;
    return corrected(at, end_missed ? comparison{compare_bitmap, 34, correction::own_bitmap_retired}
                                    : comparison{compare_bitmap, 36});
}

outcome same_but_peer_base(const view& at) {
    if (!at.same_current() || at.own.bitmap != 0 || at.peer.bitmap == 0) {
        return std::nullopt;
    }
    const bool end_missed =
        at.own.history1 == at.peer.bitmap && at.own.history2 == at.peer.history1;
    return corrected(at, end_missed
                             ? comparison{-compare_bitmap, 35, correction::peer_bitmap_retired}
                             : comparison{-compare_bitmap, 37});
}

// The same data, and somebody crashed while Primary, but somebody is Primary now.
outcome same_with_primary(const view& at) {
    const bool here = at.input.self.role == role::primary;
    const bool there = at.input.peer.role == role::primary;
    if ((at.input.features & feature_wsame) == 0) {
        return comparison{compare_needs_feature, 41};
    }
    if (here && there) {
        return comparison{compare_split_brain_full, 41};
    }
    return comparison{here ? compare_bitmap : -compare_bitmap, 41};
}

// Between two Lockstep nodes: a Primary that crashed and was Outdated afterwards had met a node
// that went on, and is not the source. The in-kernel DRBD does not look at the disks here.
outcome same_but_outdated(const view& at) {
    const disk own_disk = disk_as_seen(at.input);
    const bool own_outdated = own_disk == disk::outdated;
    const bool peer_outdated = at.input.peer.disk == disk::outdated;
    const bool one_is_good = own_disk > disk::outdated || at.input.peer.disk > disk::outdated;
    if (!at.input.peer_is_lockstep || own_outdated == peer_outdated || !one_is_good) {
        return std::nullopt;
    }
    return comparison{own_outdated ? -compare_bitmap : compare_bitmap, 40};
}

outcome same_generation(const view& at) {
    if (!at.same_current()) {
        return std::nullopt;
    }
    const replica_record& self = at.input.self;
    const replica_record& peer = at.input.peer;
    if (!self.crashed_primary && !peer.crashed_primary) {
        return comparison{compare_same, 40};
    }
    if (self.role == role::primary || peer.role == role::primary) {
        return same_with_primary(at);
    }
    if (const outcome found = same_but_outdated(at)) {
        return found;
    }
    if (self.crashed_primary != peer.crashed_primary) {
        return comparison{self.crashed_primary ? compare_bitmap : -compare_bitmap, 40};
    }
    return comparison{at.input.resolve_conflicts ? -compare_bitmap : compare_bitmap, 40};
}

outcome peer_went_on(const view& at) {
    if (at.own.current == at.peer.bitmap) {
        return comparison{-compare_bitmap, 50};
    }
    return std::nullopt;
}

// Whether the source `from` began a sync whose SYNC_UUID the target never took.
bool sync_never_arrived(const identifiers& from, const identifiers& to, std::uint32_t version) {
    if (to.current != from.history1) {
        return false;
    }
    return version < version_of_derived_sync_uuid
               ? to.history1 == from.history2
               : identity(from.history1 + uuid_sync_offset) == from.bitmap;
}

outcome peer_sync_lost(const view& at) {
    if (sync_never_arrived(at.peer, at.own, at.input.protocol_version)) {
        return corrected(at, {-compare_bitmap, 51, correction::peer_start_undone});
    }
    return std::nullopt;
}

outcome own_older(const view& at) {
    if (at.own.current == at.peer.history1 || at.own.current == at.peer.history2) {
        return comparison{-compare_full, 60};
    }
    return std::nullopt;
}

outcome own_went_on(const view& at) {
    if (at.own.bitmap == at.peer.current) {
        return comparison{compare_bitmap, 70};
    }
    return std::nullopt;
}

outcome own_sync_lost(const view& at) {
    if (sync_never_arrived(at.own, at.peer, at.input.protocol_version)) {
        return corrected(at, {compare_bitmap, 71, correction::own_start_undone});
    }
    return std::nullopt;
}

outcome peer_older(const view& at) {
    if (at.own.history1 == at.peer.current || at.own.history2 == at.peer.current) {
        return comparison{compare_full, 80};
    }
    return std::nullopt;
}

outcome both_went_on(const view& at) {
    if (at.own.bitmap == at.peer.bitmap && at.own.bitmap != 0) {
        return comparison{compare_split_brain, 90};
    }
    return std::nullopt;
}

outcome common_history(const view& at) {
    const bool common = at.own.history1 == at.peer.history1 ||
                        at.own.history1 == at.peer.history2 ||
                        at.own.history2 == at.peer.history1 || at.own.history2 == at.peer.history2;
    if (common) {
        return comparison{compare_split_brain_full, 100};
    }
    return std::nullopt;
}

using rule = outcome (*)(const view&);

constexpr std::array<rule, 14> rules = {
    both_fresh,      own_fresh,    peer_fresh,     same_but_own_base, same_but_peer_base,
    same_generation, peer_went_on, peer_sync_lost, own_older,         own_went_on,
    own_sync_lost,   peer_older,   both_went_on,   common_history,
};

struct rule_line {
    int rule;
    std::string_view text;
};

constexpr std::array<rule_line, 17> rule_lines = {{
    {10, "Both disks were just created."},
    {20, "This disk was just created, the peer's has data."},
    {30, "The peer's disk was just created, this one has data."},
    {34, "Same data: a resync to the peer had finished, and only the peer had recorded it."},
    {35, "Same data: a resync from the peer had finished, and only this node had recorded it."},
    {36, "Same generation, but this node still records blocks that the peer lacks."},
    {37, "Same generation, but the peer still records blocks that this node lacks."},
    {40, "Both disks hold the same generation."},
    {41, "Both disks hold the same generation, a Primary had crashed, and a node is Primary."},
    {50, "The peer went on from this node's generation."},
    {51, "The peer had begun a resync to this node that never arrived."},
    {60, "This node's generation is in the peer's history."},
    {70, "This node went on from the peer's generation."},
    {71, "This node had begun a resync to the peer that never arrived."},
    {80, "The peer's generation is in this node's history."},
    {90, "Both nodes went on from the same generation, apart from each other."},
    {100, "Both nodes went on apart from each other, from no generation that both still know."},
}};

} // namespace

comparison compare(const handshake_input& input) {
    const view at = {masked(input.self.uuids), masked(input.peer.uuids), input};
    for (const rule applies : rules) {
        if (const outcome found = applies(at)) {
            return *found;
        }
    }
    return {compare_unrelated, 100, correction::none};
}

// Rule 34 changes nothing here although it recognises a finished sync: the base is retired by the
// start of the sync that follows, as start_sync_source() does it anyway. Were it dropped before,
// and the connection lost before that start, both records would be equal and the marked blocks
// would look like none of anybody's business. (The in-kernel DRBD drops it at once.)
generation corrected_self(const generation& self, correction what) {
    generation next = self;
    if (what == correction::own_start_undone) {
        next.bitmap = self.history[0];
        next.history[0] = self.history[1];
    }
    return next;
}

generation corrected_peer(const generation& peer, correction what) {
    generation next = peer;
    if (what == correction::peer_bitmap_retired) {
        next.history = {peer.bitmap, peer.history[0]};
        next.bitmap = 0;
    } else if (what == correction::peer_start_undone) {
        next.bitmap = peer.history[0];
        next.history[0] = peer.history[1];
    }
    return next;
}

std::string_view rule_text(int rule) {
    for (const rule_line& line : rule_lines) {
        if (line.rule == rule) {
            return line.text;
        }
    }
    return {};
}

} // namespace lockstep::state
