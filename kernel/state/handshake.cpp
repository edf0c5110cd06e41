// From the comparison of the generations to the decision: disk states, policies, roles.
#include "kernel/state/handshake.hpp"

#include <array>
#include <cstdlib>

namespace lockstep::state {

namespace {

using options::after_split_brain;
using options::rr_conflict;

// The result of a policy: +1 this node's data survives, -1 the peer's, none: not solved.
enum class survivor : std::uint8_t { nobody, self, peer };

survivor opposite_of_resolver(const handshake_input& input) {
    return input.resolve_conflicts ? survivor::peer : survivor::self;
}

survivor by_older_primary(const handshake_input& input, bool younger_loses) {
    // Set: this node was Primary when the two parted.
    const bool own = (input.self.uuids.bitmap & uuid_primary_bit) != 0;
    const bool peer = (input.peer.uuids.bitmap & uuid_primary_bit) != 0;
    if (own == peer) {
        return survivor::nobody;
    }
    return own == younger_loses ? survivor::self : survivor::peer;
}

survivor by_zero_changes(const handshake_input& input) {
    const bool own_zero = input.self.bits == 0;
    const bool peer_zero = input.peer.bits == 0;
    if (own_zero && peer_zero) {
        return opposite_of_resolver(input);
    }
    if (own_zero || peer_zero) {
        return peer_zero ? survivor::self : survivor::peer;
    }
    return survivor::nobody;
}

survivor by_least_changes(const handshake_input& input) {
    if (input.self.bits == input.peer.bits) {
        return opposite_of_resolver(input);
    }
    return input.self.bits > input.peer.bits ? survivor::self : survivor::peer;
}

survivor first_of(survivor a, survivor b) {
    return a != survivor::nobody ? a : b;
}

// after-sb-0pri, which the other two refer to.
survivor by_0pri(const handshake_input& input) {
    switch (input.after_sb_0pri) {
    case after_split_brain::discard_younger_primary:
    case after_split_brain::discard_older_primary: {
        const bool younger = input.after_sb_0pri == after_split_brain::discard_younger_primary;
        return first_of(by_older_primary(input, younger),
                        first_of(by_zero_changes(input), by_least_changes(input)));
    }
    case after_split_brain::discard_zero_changes:
        return by_zero_changes(input);
    case after_split_brain::discard_least_changes:
        return by_least_changes(input);
    case after_split_brain::discard_local:
        return survivor::peer;
    case after_split_brain::discard_remote:
        return survivor::self;
    default: // disconnect, and what is no policy without Primaries
        return survivor::nobody;
    }
}

struct policy_result {
    survivor who = survivor::nobody;
    bool demote_first = false;
    bool demotion_failed = false;
};

// The victim is Primary and has to give that up first.
policy_result demoting(const handshake_input& input, survivor who) {
    if (who != survivor::peer || input.self.role != role::primary) {
        return {who, false, false};
    }
    if (input.demotion_refused) {
        return {survivor::nobody, false, true};
    }
    return {who, true, false};
}

policy_result by_1pri(const handshake_input& input) {
    const bool primary = input.self.role == role::primary;
    const survivor primary_survives = primary ? survivor::self : survivor::peer;
    switch (input.after_sb_1pri) {
    case after_split_brain::consensus: {
        const survivor who = by_0pri(input);
        return {who == primary_survives ? who : survivor::nobody, false, false};
    }
    case after_split_brain::violently_as_0p:
        return {by_0pri(input), false, false};
    case after_split_brain::discard_secondary:
        return {primary_survives, false, false};
    case after_split_brain::call_pri_lost:
        return demoting(input, by_0pri(input));
    default:
        return {};
    }
}

policy_result by_2pri(const handshake_input& input) {
    switch (input.after_sb_2pri) {
    case after_split_brain::violently_as_0p:
        return {by_0pri(input), false, false};
    case after_split_brain::call_pri_lost:
        return demoting(input, by_0pri(input));
    default:
        return {};
    }
}

policy_result by_policy(const handshake_input& input, unsigned primaries) {
    switch (primaries) {
    case 0:
        return {by_0pri(input), false, false};
    case 1:
        return by_1pri(input);
    default:
        return by_2pri(input);
    }
}

handshake_input mirrored(const handshake_input& input) {
    handshake_input other = input;
    other.self = input.peer;
    other.peer = input.self;
    other.peer.disk = disk_as_seen(input);
    other.disk_in_state = other.self.disk;
    other.resolve_conflicts = !input.resolve_conflicts;
    return other;
}

// Identifiers that cross (each current generation is an ancestor of the other) make both nodes
// target. They cannot come about in operation, but damaged metadata can say it.
comparison compare_both_ways(const handshake_input& input) {
    comparison found = compare(input);
    const bool directed = std::abs(found.result) <= compare_full;
    if (directed && compare(mirrored(input)).result != -found.result) {
        found.result = compare_split_brain_full;
        found.correction = correction::none;
    }
    return found;
}

// A source that missed the end of a resync keeps its base, and makes no new generation when it goes
// on alone. If the peer, which had finished, went on too, the identifiers call the first one merely
// older. Its set bits betray it: a node in sync with the generation that the other went on from
// has no base and nothing marked. Bits that are only left over from the resync (it crashed before
// they were stored as cleared) look the same; between a rare false alarm and silently discarded
// writes we choose the alarm. The in-kernel DRBD does not look.
bool hides_changes(const replica_record& older) {
    return older.uuids.bitmap != 0 && older.bits != 0;
}

// Zero, or the split brain that the identifiers alone do not show. Without a common base of both
// bitmaps (the full results) it is an ambiguous one.
int hidden_split_brain(const handshake_input& input, const comparison& found) {
    const bool directed = std::abs(found.result) <= compare_full;
    const bool went_on = directed && found.rule >= 50 && found.rule <= 80;
    const replica_record& older = found.result < 0 ? input.self : input.peer;
    if (!went_on || !hides_changes(older)) {
        return 0;
    }
    return std::abs(found.result) == compare_full ? compare_split_brain_full : compare_split_brain;
}

bool disks_decide(const handshake_input& input) {
    const bool own_bad = input.self.disk == disk::inconsistent;
    const bool peer_bad = input.peer.disk == disk::inconsistent;
    return (own_bad && input.peer.disk > disk::inconsistent) ||
           (peer_bad && input.self.disk > disk::inconsistent);
}

// Equal generations between two Lockstep nodes, and bits set: who is the source? Both nodes answer
// alike. The first difference counts: Primary, better disk, more bits (it knows of more blocks that
// the other may lack), and at last who accepted the meta connection.
survivor source_of_kept_bits(const handshake_input& input) {
    const replica_record& self = input.self;
    const replica_record& peer = input.peer;
    const disk own_disk = disk_as_seen(input); // no more may count here
    if (self.role != peer.role && (self.role == role::primary || peer.role == role::primary)) {
        return self.role == role::primary ? survivor::self : survivor::peer;
    }
    if (own_disk != peer.disk) {
        return own_disk > peer.disk ? survivor::self : survivor::peer;
    }
    return by_least_changes(input);
}

bool kept_bits_are_synced(const handshake_input& input) {
    const bool two_primaries = input.self.role == role::primary && input.peer.role == role::primary;
    return input.peer_is_lockstep && (input.self.bits != 0 || input.peer.bits != 0) &&
           input.self.disk > disk::inconsistent && input.peer.disk > disk::inconsistent &&
           !two_primaries;
}

void sync_towards(handshake_decision& decision, survivor data) {
    decision.sync = data == survivor::self ? sync_role::source : sync_role::target;
}

// Puts a directed result (-2..2) into the decision.
void take_direction(handshake_decision& decision, int result) {
    decision.full = std::abs(result) == compare_full;
    if (result != compare_same) {
        sync_towards(decision, result > 0 ? survivor::self : survivor::peer);
    }
}

refusal refusal_of(int result) {
    switch (result) {
    case compare_unrelated:
        return refusal::unrelated_data;
    case compare_needs_protocol_91:
        return refusal::needs_newer_protocol;
    case compare_needs_feature:
        return refusal::needs_feature;
    default:
        return refusal::none;
    }
}

unsigned count_primaries(const handshake_input& input) {
    return (input.self.role == role::primary ? 1U : 0U) +
           (input.peer.role == role::primary ? 1U : 0U);
}

void solve_by_hand(handshake_decision& decision, const handshake_input& input) {
    if (input.self.discard_my_data == input.peer.discard_my_data) {
        decision.refusal = refusal::split_brain;
        decision.handlers.split_brain = true;
        return;
    }
    decision.solved_by_hand = true;
    sync_towards(decision, input.peer.discard_my_data ? survivor::self : survivor::peer);
}

// `ambiguous`: no common generation is known since when the bitmaps would count, so only a full
// sync makes both sides equal. The in-kernel DRBD does one where a policy decides, but trusts the
// bitmaps where --discard-my-data does; all bits set on our side make it full there too.
void solve_split_brain(handshake_decision& decision, const handshake_input& input, bool ambiguous) {
    decision.split_brain_found = true;
    decision.handlers.initial_split_brain = true;
    decision.primaries = count_primaries(input);
    decision.full = ambiguous;
    if (!ambiguous || input.always_asbp) {
        const policy_result solved = by_policy(input, decision.primaries);
        decision.demote_first = solved.demote_first;
        decision.handlers.pri_lost_after_sb = solved.demotion_failed;
        if (solved.who != survivor::nobody) {
            decision.solved_by_policy = true;
            sync_towards(decision, solved.who);
            return;
        }
    }
    solve_by_hand(decision, input);
}

// A source needs usable data. A Primary never becomes target, whatever rr-conflict says: the data
// would change under those who use it. The in-kernel DRBD lets it happen for "violently".
void check_direction(handshake_decision& decision, const handshake_input& input) {
    if (decision.sync == sync_role::source && input.self.disk <= disk::inconsistent) {
        decision.refusal = refusal::source_inconsistent;
        return;
    }
    const bool primary = input.self.role == role::primary && !decision.demote_first &&
                         input.disk_in_state >= disk::consistent;
    if (decision.sync != sync_role::target || !primary) {
        return;
    }
    decision.handlers.pri_lost = input.rr_conflict == rr_conflict::call_pri_lost;
    decision.refusal = refusal::target_is_primary;
}

void choose_direction(handshake_decision& decision, const handshake_input& input) {
    const int hidden = hidden_split_brain(input, decision.compared);
    const int result = hidden != 0 ? hidden : decision.compared.result;
    if (disks_decide(input)) {
        decision.by_disk_states = true;
        decision.full = std::abs(result) == compare_full || result == compare_split_brain_full;
        sync_towards(decision,
                     input.self.disk > disk::inconsistent ? survivor::self : survivor::peer);
    } else if (std::abs(result) == compare_split_brain) {
        solve_split_brain(decision, input, result == compare_split_brain_full);
    } else if (result == compare_same && kept_bits_are_synced(input)) {
        decision.both_lockstep = true;
        sync_towards(decision, source_of_kept_bits(input));
    } else {
        take_direction(decision, result);
    }
}

} // namespace

disk real_peer_disk(disk shown, bool inconsistent_flag) {
    if (shown != disk::negotiating) {
        return shown;
    }
    return inconsistent_flag ? disk::inconsistent : disk::consistent;
}

disk disk_as_seen(const handshake_input& input) {
    return input.disk_in_state == disk::negotiating
               ? real_peer_disk(disk::negotiating, input.self.disk == disk::inconsistent)
               : input.self.disk;
}

handshake_decision decide(const handshake_input& input) {
    handshake_decision decision;
    decision.compared = compare_both_ways(input);
    decision.refusal = refusal_of(decision.compared.result);
    if (decision.refused()) {
        return decision;
    }
    choose_direction(decision, input);
    if (!decision.refused()) {
        check_direction(decision, input);
    }
    if (!decision.refused() && input.dry_run) {
        decision.refusal = refusal::dry_run;
    }
    if (decision.sync == sync_role::none) {
        decision.full = false;
        decision.kept_bits = input.self.bits;
        decision.kept_bits_peer = input.peer.bits;
    }
    return decision;
}

connection handshake_decision::next_connection() const {
    if (refused()) {
        return connection::standalone;
    }
    switch (sync) {
    case sync_role::source:
        return connection::wf_bitmap_s;
    case sync_role::target:
        return connection::wf_bitmap_t;
    case sync_role::none:
        break;
    }
    return connection::connected;
}

} // namespace lockstep::state
