// The handshake's rules one by one, and a walk over all classes of its inputs.
#include "kernel/state/handshake.hpp"
#include "unit/cmocka.hpp"

#include <array>
#include <cstdlib>
#include <set>
#include <string>
#include <utility>
#include <vector>

using namespace lockstep;
using namespace lockstep::state;
using options::after_split_brain;
using options::rr_conflict;

namespace {

// Unrelated generations; bit 0 is clear in all of them.
constexpr std::uint64_t a = 0xa000'0000'0000'0010;
constexpr std::uint64_t b = 0xb000'0000'0000'0020;
constexpr std::uint64_t c = 0xc000'0000'0000'0030;
constexpr std::uint64_t d = 0xd000'0000'0000'0040;
constexpr std::uint64_t e = 0xe000'0000'0000'0050;
constexpr std::uint64_t f = 0xf000'0000'0000'0060;
constexpr std::uint64_t fresh = uuid_just_created;

std::uint64_t sync_of(std::uint64_t uuid) {
    return uuid + uuid_sync_offset;
}

struct rule_class {
    generation self;
    generation peer;
    int result; // with version 101, all features, nobody crashed, both Secondary
    int rule;
};

// One pair of records for each rule, and its mirror image.
const std::vector<rule_class>& rule_classes() {
    static const std::vector<rule_class> classes = {
        {{fresh, 0, {0, 0}}, {fresh, 0, {0, 0}}, 0, 10},
        {{fresh, 0, {0, 0}}, {a, 0, {0, 0}}, -2, 20},
        {{a, 0, {0, 0}}, {fresh, 0, {0, 0}}, 2, 30},
        {{a, b, {c, d}}, {a, 0, {b, c}}, 1, 34},
        {{a, 0, {b, c}}, {a, b, {c, d}}, -1, 35},
        {{a, b, {c, d}}, {a, 0, {e, f}}, 1, 36},
        {{a, 0, {e, f}}, {a, b, {c, d}}, -1, 37},
        {{a, 0, {b, c}}, {a, 0, {b, c}}, 0, 40},
        {{a, b, {c, d}}, {a, b, {c, d}}, 0, 40},
        {{a, 0, {c, d}}, {b, a, {e, f}}, -1, 50},
        {{a, 0, {c, d}}, {b, sync_of(a), {a, c}}, -1, 51},
        {{a, 0, {c, d}}, {b, e, {a, f}}, -2, 60},
        {{a, 0, {c, d}}, {b, e, {f, a}}, -2, 60},
        {{b, a, {e, f}}, {a, 0, {c, d}}, 1, 70},
        {{b, sync_of(a), {a, c}}, {a, 0, {c, d}}, 1, 71},
        {{b, e, {a, f}}, {a, 0, {c, d}}, 2, 80},
        {{b, e, {f, a}}, {a, 0, {c, d}}, 2, 80},
        {{a, c, {d, e}}, {b, c, {f, 0}}, 100, 90},
        {{a, c, {d, 0}}, {b, e, {d, f}}, -100, 100},
        {{a, 0, {0, 0}}, {b, 0, {0, 0}}, -100, 100},
        {{a, 0, {c, d}}, {b, 0, {e, f}}, -1000, 100},
        // Each is the other's ancestor: damaged metadata.
        {{a, b, {0, 0}}, {b, a, {0, 0}}, -1, 50},
    };
    return classes;
}

replica_record good(const generation& uuids) {
    replica_record record;
    record.uuids = uuids;
    record.disk = disk::up_to_date;
    return record;
}

handshake_input input_of(const rule_class& one) {
    handshake_input input;
    input.self = good(one.self);
    input.peer = good(one.peer);
    input.disk_in_state = disk::up_to_date;
    return input;
}

handshake_input with_rule(int rule) {
    for (const rule_class& one : rule_classes()) {
        if (one.rule == rule) {
            return input_of(one);
        }
    }
    fail_msg("no class for rule %d", rule);
    return {};
}

handshake_input split_brain() {
    handshake_input input = with_rule(90);
    input.self.bits = 5;
    input.peer.bits = 7;
    return input;
}

after_split_brain mirrored(after_split_brain policy) {
    switch (policy) {
    case after_split_brain::discard_local:
        return after_split_brain::discard_remote;
    case after_split_brain::discard_remote:
        return after_split_brain::discard_local;
    default:
        return policy;
    }
}

// The same meeting as the peer sees it.
handshake_input mirrored(const handshake_input& input) {
    handshake_input other = input;
    other.self = input.peer;
    other.peer = input.self;
    other.disk_in_state = input.peer.disk;
    other.resolve_conflicts = !input.resolve_conflicts;
    other.after_sb_0pri = mirrored(input.after_sb_0pri);
    other.after_sb_1pri = mirrored(input.after_sb_1pri);
    other.after_sb_2pri = mirrored(input.after_sb_2pri);
    other.demotion_refused = false;
    return other;
}

void each_rule_applies_to_its_class(void**) {
    for (const rule_class& one : rule_classes()) {
        const comparison found = compare(input_of(one));
        assert_int_equal(found.rule, one.rule);
        assert_int_equal(found.result, one.result);
        assert_false(rule_text(found.rule).empty());
    }
    assert_true(rule_text(11).empty());
}

void the_lowest_bit_does_not_count(void**) {
    for (const rule_class& one : rule_classes()) {
        rule_class marked = one;
        marked.self.current |= 1U;
        marked.peer.bitmap |= marked.peer.bitmap == 0 ? 0 : 1U;
        marked.self.history[1] |= marked.self.history[1] == 0 ? 0 : 1U;
        assert_int_equal(compare(input_of(marked)).rule, one.rule);
        assert_int_equal(compare(input_of(marked)).result, one.result);
    }
}

void corrections_need_protocol_91(void**) {
    for (const int rule : {34, 35, 36, 37}) {
        handshake_input input = with_rule(rule);
        input.protocol_version = 90;
        assert_int_equal(compare(input).result, compare_needs_protocol_91);
        assert_int_equal(decide(input).refusal, refusal::needs_newer_protocol);
        input.protocol_version = 91;
        assert_int_equal(compare(input).rule, rule);
    }
}

void before_96_a_lost_sync_start_is_known_by_its_history(void**) {
    handshake_input input;
    input.self = good({a, 0, {c, d}});
    input.peer = good({b, e, {a, c}});
    input.protocol_version = 95;
    assert_int_equal(compare(input).rule, 51);
    assert_int_equal(compare(mirrored(input)).rule, 71);
    input.protocol_version = 90;
    assert_int_equal(compare(input).result, compare_needs_protocol_91);
    // From 96 on the same records say nothing of a lost start.
    input.protocol_version = 96;
    assert_int_equal(compare(input).rule, 60);
}

void crashed_primaries_of_one_generation_are_told_apart(void**) {
    handshake_input input = with_rule(40);
    input.self.crashed_primary = true;
    assert_int_equal(compare(input).result, 1);
    assert_int_equal(compare(mirrored(input)).result, -1);
    input.peer.crashed_primary = true;
    assert_int_equal(compare(input).result, 1);
    input.resolve_conflicts = true;
    assert_int_equal(compare(input).result, -1);
    input.self.crashed_primary = false;
    assert_int_equal(compare(input).result, -1);
}

void a_primary_of_the_crashed_generation_is_source(void**) {
    handshake_input input = with_rule(40);
    input.self.crashed_primary = true;
    input.peer.role = role::primary;
    assert_int_equal(compare(input).rule, 41);
    assert_int_equal(compare(input).result, -1);
    assert_int_equal(compare(mirrored(input)).result, 1);
    input.self.role = role::primary;
    assert_int_equal(compare(input).result, -100);
    input.features = 0xf & ~feature_wsame;
    assert_int_equal(compare(input).result, compare_needs_feature);
    assert_int_equal(decide(input).refusal, refusal::needs_feature);
}

void corrections_make_both_records_agree(void**) {
    const handshake_input missed_end = with_rule(34);
    const comparison found = compare(missed_end);
    assert_int_equal(found.correction, correction::own_bitmap_retired);
    // Nothing is dropped before the next sync starts, and that ends with equal records.
    const generation kept = corrected_self(missed_end.self.uuids, found.correction);
    assert_true(kept == missed_end.self.uuids);
    const sync_start again = start_sync_source(kept, 0);
    const generation target_then = corrected_peer(kept, correction::peer_bitmap_retired);
    assert_true(
        finish_sync_source(again.own) ==
        finish_sync_target(adopt_sync_uuid(missed_end.peer.uuids, again.sync_uuid, role::secondary),
                           target_then, role::secondary));

    const handshake_input peer_missed = with_rule(35);
    assert_true(corrected_peer(peer_missed.peer.uuids, compare(peer_missed).correction) ==
                peer_missed.self.uuids);

    // Undone, the start of the lost sync can be made again, with the same identifier.
    const handshake_input lost_start = with_rule(71);
    const comparison undone = compare(lost_start);
    assert_int_equal(undone.correction, correction::own_start_undone);
    const generation before = corrected_self(lost_start.self.uuids, undone.correction);
    assert_int_equal(before.bitmap, a);
    assert_int_equal(start_sync_source(before, 0).sync_uuid, lost_start.self.uuids.bitmap);

    const handshake_input peer_lost_start = with_rule(51);
    assert_int_equal(compare(peer_lost_start).correction, correction::peer_start_undone);
    assert_int_equal(
        corrected_peer(peer_lost_start.peer.uuids, correction::peer_start_undone).bitmap, a);
}

void an_inconsistent_disk_is_target_whatever_the_generations_say(void**) {
    handshake_input input = with_rule(70);
    input.self.disk = disk::inconsistent;
    input.disk_in_state = disk::inconsistent;
    handshake_decision decision = decide(input);
    assert_true(decision.by_disk_states);
    assert_int_equal(decision.next_connection(), connection::wf_bitmap_t);
    assert_false(decision.full);

    input = with_rule(80);
    input.self.disk = disk::inconsistent;
    decision = decide(input);
    assert_int_equal(decision.sync, sync_role::target);
    assert_true(decision.full);
}

void two_inconsistent_disks_cannot_sync(void**) {
    handshake_input input = with_rule(70);
    input.self.disk = disk::inconsistent;
    input.peer.disk = disk::inconsistent;
    assert_int_equal(decide(input).refusal, refusal::source_inconsistent);
    assert_int_equal(decide(mirrored(input)).sync, sync_role::target);
}

void split_brain_without_policy_is_refused_with_both_handlers(void**) {
    const handshake_decision decision = decide(split_brain());
    assert_int_equal(decision.refusal, refusal::split_brain);
    assert_true(decision.handlers.initial_split_brain);
    assert_true(decision.handlers.split_brain);
    assert_int_equal(decision.next_connection(), connection::standalone);
    assert_false(decision.remedy().empty());
}

void discard_my_data_on_one_side_decides_by_bitmap(void**) {
    handshake_input input = split_brain();
    input.self.discard_my_data = true;
    const handshake_decision decision = decide(input);
    assert_true(decision.solved_by_hand);
    assert_int_equal(decision.sync, sync_role::target);
    assert_false(decision.full);
    assert_true(decision.handlers.initial_split_brain);
    assert_false(decision.handlers.split_brain);
    assert_int_equal(decide(mirrored(input)).sync, sync_role::source);
    input.peer.discard_my_data = true;
    assert_int_equal(decide(input).refusal, refusal::split_brain);
}

void discard_my_data_without_split_brain_changes_nothing(void**) {
    handshake_input input = with_rule(70);
    input.self.discard_my_data = true;
    assert_int_equal(decide(input).sync, sync_role::source);
}

void an_ambiguous_split_brain_is_solved_by_a_full_sync_only(void**) {
    handshake_input input = with_rule(100);
    input.after_sb_0pri = after_split_brain::discard_remote;
    assert_int_equal(decide(input).refusal, refusal::split_brain);
    input.always_asbp = true;
    handshake_decision decision = decide(input);
    assert_true(decision.solved_by_policy);
    assert_int_equal(decision.sync, sync_role::source);
    assert_true(decision.full);
    input.always_asbp = false;
    input.peer.discard_my_data = true;
    decision = decide(input);
    assert_true(decision.solved_by_hand);
    assert_true(decision.full);
}

sync_role solved(const handshake_input& input) {
    const handshake_decision decision = decide(input);
    return decision.solved_by_policy ? decision.sync : sync_role::none;
}

void after_sb_0pri_policies(void**) {
    handshake_input input = split_brain(); // 5 bits here, 7 there
    const auto with = [&input](after_split_brain policy) {
        input.after_sb_0pri = policy;
        return solved(input);
    };
    assert_int_equal(with(after_split_brain::disconnect), sync_role::none);
    assert_int_equal(with(after_split_brain::discard_local), sync_role::target);
    assert_int_equal(with(after_split_brain::discard_remote), sync_role::source);
    assert_int_equal(with(after_split_brain::discard_least_changes), sync_role::target);
    assert_int_equal(with(after_split_brain::discard_zero_changes), sync_role::none);
    // The low bit of the base: who was Primary when the two parted.
    input.self.uuids.bitmap |= 1U;
    assert_int_equal(with(after_split_brain::discard_younger_primary), sync_role::source);
    assert_int_equal(with(after_split_brain::discard_older_primary), sync_role::target);
    // Both were: then the number of changes decides.
    input.peer.uuids.bitmap |= 1U;
    assert_int_equal(with(after_split_brain::discard_younger_primary), sync_role::target);
    assert_int_equal(with(after_split_brain::discard_older_primary), sync_role::target);
    input.peer.bits = 0;
    assert_int_equal(with(after_split_brain::discard_zero_changes), sync_role::source);
    input.self.bits = 0;
    assert_int_equal(with(after_split_brain::discard_zero_changes), sync_role::source);
    assert_int_equal(with(after_split_brain::discard_least_changes), sync_role::source);
    input.resolve_conflicts = true;
    assert_int_equal(with(after_split_brain::discard_zero_changes), sync_role::target);
    assert_int_equal(with(after_split_brain::discard_least_changes), sync_role::target);
}

void policies_for_primaries_mean_nothing_without_one(void**) {
    for (const after_split_brain policy :
         {after_split_brain::consensus, after_split_brain::discard_secondary,
          after_split_brain::call_pri_lost, after_split_brain::violently_as_0p}) {
        handshake_input input = split_brain();
        input.after_sb_0pri = policy;
        assert_int_equal(decide(input).refusal, refusal::split_brain);
    }
}

void after_sb_1pri_policies(void**) {
    handshake_input input = split_brain();
    input.self.role = role::primary;
    input.rr_conflict = rr_conflict::violently;
    const auto with = [&input](after_split_brain policy, after_split_brain base) {
        input.after_sb_1pri = policy;
        input.after_sb_0pri = base;
        return solved(input);
    };
    using asb = after_split_brain;
    assert_int_equal(with(asb::disconnect, asb::discard_remote), sync_role::none);
    assert_int_equal(with(asb::discard_secondary, asb::disconnect), sync_role::source);
    assert_int_equal(with(asb::consensus, asb::discard_remote), sync_role::source);
    assert_int_equal(with(asb::consensus, asb::discard_local), sync_role::none);
    assert_int_equal(with(asb::violently_as_0p, asb::discard_local), sync_role::target);
    assert_int_equal(with(asb::call_pri_lost, asb::discard_remote), sync_role::source);
    // Not defined for one Primary.
    assert_int_equal(with(asb::discard_least_changes, asb::discard_remote), sync_role::none);
    // As the Secondary sees it.
    std::swap(input.self.role, input.peer.role);
    assert_int_equal(with(asb::discard_secondary, asb::disconnect), sync_role::target);
    assert_int_equal(with(asb::consensus, asb::discard_local), sync_role::target);
    assert_int_equal(with(asb::consensus, asb::discard_remote), sync_role::none);
}

void after_sb_2pri_policies(void**) {
    handshake_input input = split_brain();
    input.self.role = role::primary;
    input.peer.role = role::primary;
    input.rr_conflict = rr_conflict::violently;
    const auto with = [&input](after_split_brain policy) {
        input.after_sb_2pri = policy;
        input.after_sb_0pri = after_split_brain::discard_local;
        return solved(input);
    };
    assert_int_equal(with(after_split_brain::disconnect), sync_role::none);
    assert_int_equal(with(after_split_brain::violently_as_0p), sync_role::target);
    assert_int_equal(with(after_split_brain::discard_secondary), sync_role::none);
    assert_int_equal(with(after_split_brain::call_pri_lost), sync_role::target);
    assert_int_equal(decide(input).primaries, 2);
}

void the_primary_victim_of_a_split_brain_is_demoted_first(void**) {
    handshake_input input = split_brain();
    input.self.role = role::primary;
    input.after_sb_0pri = after_split_brain::discard_local;
    input.after_sb_1pri = after_split_brain::call_pri_lost;
    handshake_decision decision = decide(input);
    assert_true(decision.demote_first);
    assert_false(decision.refused());
    assert_int_equal(decision.sync, sync_role::target);
    assert_false(decision.handlers.pri_lost_after_sb);

    input.demotion_refused = true;
    decision = decide(input);
    assert_int_equal(decision.refusal, refusal::split_brain);
    assert_true(decision.handlers.pri_lost_after_sb);
    assert_true(decision.handlers.split_brain);
}

void a_primary_with_good_data_becomes_target_only_violently(void**) {
    handshake_input input = with_rule(50);
    input.self.role = role::primary;
    handshake_decision decision = decide(input);
    assert_int_equal(decision.refusal, refusal::target_is_primary);
    assert_false(decision.handlers.pri_lost);
    input.rr_conflict = rr_conflict::call_pri_lost;
    decision = decide(input);
    assert_int_equal(decision.refusal, refusal::target_is_primary);
    assert_true(decision.handlers.pri_lost);
    input.rr_conflict = rr_conflict::violently;
    decision = decide(input);
    assert_int_equal(decision.next_connection(), connection::wf_bitmap_t);
    assert_true(decision.violates_primary);
    // A diskless Primary that attaches an older disk loses nothing.
    input.rr_conflict = rr_conflict::disconnect;
    input.disk_in_state = disk::negotiating;
    assert_int_equal(decide(input).next_connection(), connection::wf_bitmap_t);
}

void a_dry_run_says_what_would_happen_and_refuses(void**) {
    handshake_input input = with_rule(80);
    input.dry_run = true;
    const handshake_decision decision = decide(input);
    assert_int_equal(decision.refusal, refusal::dry_run);
    assert_int_equal(decision.sync, sync_role::source);
    assert_true(decision.full);
    assert_string_equal(std::string(decision.text()).c_str(),
                        "Dry run: this node would become SyncSource, doing a full resync.");
}

void bits_of_equal_generations_are_kept_towards_a_foreign_peer(void**) {
    for (const int rule : {10, 40}) {
        handshake_input input = with_rule(rule);
        input.self.bits = 5;
        input.peer.bits = 3;
        const handshake_decision decision = decide(input);
        assert_int_equal(decision.next_connection(), connection::connected);
        assert_int_equal(decision.kept_bits, 5);
        assert_int_equal(decision.kept_bits_peer, 3);
        assert_false(decision.both_lockstep);
    }
}

void bits_of_equal_generations_are_synced_between_two_of_ours(void**) {
    handshake_input input = with_rule(40);
    input.peer_is_lockstep = true;
    assert_int_equal(decide(input).sync, sync_role::none);
    input.self.bits = 5;
    handshake_decision decision = decide(input);
    assert_true(decision.both_lockstep);
    assert_int_equal(decision.sync, sync_role::source);
    assert_false(decision.full);
    // A better disk counts more than the number of bits, and a Primary more than both.
    input.peer.disk = disk::consistent;
    input.self.disk = disk::outdated;
    assert_int_equal(decide(input).sync, sync_role::target);
    input.self.role = role::primary;
    assert_int_equal(decide(input).sync, sync_role::source);
    // Two Primaries cannot sync: the bits stay.
    input.peer.role = role::primary;
    decision = decide(input);
    assert_int_equal(decision.sync, sync_role::none);
    assert_int_equal(decision.kept_bits, 5);
}

// The source of a resync missed its end, kept its base, and wrote alone without a new generation;
// the target, in sync, was promoted and went on too.
void a_divergence_after_a_missed_end_of_sync_is_a_split_brain(void**) {
    handshake_input input;
    input.self = good({a, sync_of(b), {b, c}});
    input.self.bits = 3;
    input.peer = good({d, a, {sync_of(b), b}});
    input.disk_in_state = disk::up_to_date;
    assert_int_equal(compare(input).rule, 50);
    handshake_decision decision = decide(input);
    assert_int_equal(decision.refusal, refusal::split_brain);
    assert_int_equal(decide(mirrored(input)).refusal, refusal::split_brain);
    // It is solved by bitmap: both bitmaps count from the end of that sync, or before.
    input.self.discard_my_data = true;
    decision = decide(input);
    assert_int_equal(decision.sync, sync_role::target);
    assert_false(decision.full);
    // With nothing marked there is nothing to lose.
    input.self.discard_my_data = false;
    input.self.bits = 0;
    assert_int_equal(decide(input).sync, sync_role::target);
    assert_false(decide(input).split_brain_found);
}

void such_a_divergence_two_generations_ago_needs_a_full_sync(void**) {
    handshake_input input;
    input.self = good({a, sync_of(b), {b, c}});
    input.self.bits = 3;
    input.peer = good({d, e, {a, b}});
    input.disk_in_state = disk::up_to_date;
    assert_int_equal(compare(input).rule, 60);
    assert_int_equal(decide(input).refusal, refusal::split_brain);
    input.self.discard_my_data = true;
    assert_true(decide(input).full);
}

void a_negotiating_disk_counts_alike_on_both_sides(void**) {
    handshake_input here = with_rule(40);
    here.peer_is_lockstep = true;
    here.self.bits = here.peer.bits = 1;
    here.resolve_conflicts = true;
    here.disk_in_state = disk::negotiating; // really UpToDate, but the peer sees Consistent
    here.peer.disk = disk::consistent;
    handshake_input there = mirrored(here);
    there.peer.disk = disk::consistent;
    there.disk_in_state = there.self.disk;
    assert_int_equal(decide(here).sync, sync_role::target);
    assert_int_equal(decide(there).sync, sync_role::source);
}

void a_negotiating_disk_is_judged_by_its_flag(void**) {
    assert_int_equal(real_peer_disk(disk::negotiating, true), disk::inconsistent);
    assert_int_equal(real_peer_disk(disk::negotiating, false), disk::consistent);
    assert_int_equal(real_peer_disk(disk::up_to_date, true), disk::up_to_date);
}

// All assignments of a few identifiers to the eight slots.
template <class Visit>
void for_all_records(const Visit& visit) {
    const std::array<std::uint64_t, 6> values = {0, fresh, a, sync_of(a), b, sync_of(b)};
    std::array<std::size_t, 8> at = {};
    while (true) {
        const auto value = [&](std::size_t slot) { return values[at[slot]]; };
        visit(generation{value(0), value(1), {value(2), value(3)}},
              generation{value(4), value(5), {value(6), value(7)}});
        std::size_t slot = 0;
        while (slot < at.size() && ++at[slot] == values.size()) {
            at[slot++] = 0;
        }
        if (slot == at.size()) {
            return;
        }
    }
}

// Every pair of records, sane or damaged: both nodes come to complementary answers, or both refuse.
void every_pair_of_records_is_answered_alike_on_both_sides(void**) {
    for (const std::uint32_t version : {90U, 95U, 101U}) {
        for_all_records([version](const generation& self, const generation& peer) {
            handshake_input input;
            input.self = good(self);
            input.peer = good(peer);
            input.disk_in_state = disk::up_to_date;
            input.protocol_version = version;
            const handshake_decision here = decide(input);
            const handshake_decision there = decide(mirrored(input));
            if (here.refused() != there.refused() || here.full != there.full ||
                (here.sync == sync_role::source) != (there.sync == sync_role::target) ||
                (here.sync == sync_role::none) != (there.sync == sync_role::none)) {
                print_error("version %u: self %.67s, peer %.67s: rules %d and %d\n", version,
                            text(self).characters.data(), text(peer).characters.data(),
                            here.compared.rule, there.compared.rule);
                fail();
            }
        });
    }
}

struct walk_counts {
    std::uint64_t meetings = 0;
    std::set<int> rules;
    std::set<state::refusal> refusals;
    std::uint64_t violent = 0;
    std::uint64_t demotions = 0;
    std::uint64_t lockstep_syncs = 0;
};

void expect(bool holds, const char* what, const handshake_input& input,
            const handshake_decision& decision) {
    if (holds) {
        return;
    }
    print_error("%s\n self %.67s bits %d disk %d role %d\n peer %.67s bits %d disk %d role %d\n"
                " result %d by rule %d, sync %d full %d refusal %d\n",
                what, text(input.self.uuids).characters.data(), static_cast<int>(input.self.bits),
                static_cast<int>(input.self.disk), static_cast<int>(input.self.role),
                text(input.peer.uuids).characters.data(), static_cast<int>(input.peer.bits),
                static_cast<int>(input.peer.disk), static_cast<int>(input.peer.role),
                decision.compared.result, decision.compared.rule, static_cast<int>(decision.sync),
                decision.full, static_cast<int>(decision.refusal));
    fail();
}

void check_bits_survive(const handshake_input& input, const handshake_decision& decision) {
    if (decision.refused() || decision.sync != sync_role::none) {
        return; // the exchange of bitmaps unites them
    }
    expect(decision.kept_bits == input.self.bits && decision.kept_bits_peer == input.peer.bits,
           "bits are neither synced nor kept", input, decision);
    const bool could_sync = input.peer_is_lockstep && input.self.disk > disk::inconsistent &&
                            input.peer.disk > disk::inconsistent &&
                            !(input.self.role == role::primary && input.peer.role == role::primary);
    expect(!could_sync || (input.self.bits == 0 && input.peer.bits == 0),
           "two of ours leave bits unsynced", input, decision);
}

void check_direction(const handshake_input& input, const handshake_decision& decision) {
    if (decision.refused()) {
        return;
    }
    if (decision.sync == sync_role::source) {
        expect(input.self.disk > disk::inconsistent, "the source has no usable data", input,
               decision);
    }
    const bool primary =
        input.self.role == role::primary && input.disk_in_state >= disk::consistent;
    if (decision.sync == sync_role::target && primary) {
        expect(decision.demote_first ||
                   (decision.violates_primary && input.rr_conflict == rr_conflict::violently),
               "a Primary becomes target", input, decision);
    }
    expect(decision.sync != sync_role::none || !decision.full, "full sync of nothing", input,
           decision);
    const bool ambiguous = decision.compared.result == compare_split_brain_full;
    expect(!ambiguous || decision.sync == sync_role::none || decision.full,
           "an ambiguous split brain is synced by bitmap", input, decision);
}

// Both see the same of what does not depend on one side's configuration alone.
void check_complement(const handshake_input& input, const handshake_decision& here,
                      const handshake_decision& there) {
    expect(here.by_disk_states == there.by_disk_states, "disk states", input, here);
    expect(here.split_brain_found == there.split_brain_found, "split brain", input, here);
    expect(here.both_lockstep == there.both_lockstep, "lockstep", input, here);
    if (input.demotion_refused) {
        return;
    }
    expect((here.sync == sync_role::source) == (there.sync == sync_role::target) &&
               (here.sync == sync_role::target) == (there.sync == sync_role::source),
           "not complementary", input, here);
    expect(here.full == there.full, "full on one side only", input, here);
    const bool one_sided = here.refusal == refusal::source_inconsistent ||
                           here.refusal == refusal::target_is_primary ||
                           there.refusal == refusal::source_inconsistent ||
                           there.refusal == refusal::target_is_primary;
    expect(one_sided || here.refusal == there.refusal, "refused on one side only", input, here);
}

void check_words(const handshake_input& input, const handshake_decision& decision) {
    expect(!decision.text().empty(), "no sentence", input, decision);
    const bool wants_help = decision.refused() && decision.refusal != refusal::dry_run;
    expect(decision.remedy().empty() != wants_help, "remedy", input, decision);
    expect(decision.handlers.split_brain == (decision.refusal == refusal::split_brain),
           "split-brain handler", input, decision);
    expect(decision.handlers.initial_split_brain == decision.split_brain_found,
           "initial-split-brain handler", input, decision);
    expect(decision.next_connection() != connection::standalone || decision.refused(),
           "StandAlone without a reason", input, decision);
}

void check_meeting(const handshake_input& input, walk_counts& counts) {
    const handshake_decision here = decide(input);
    const handshake_decision there = decide(mirrored(input));
    check_bits_survive(input, here);
    check_direction(input, here);
    check_complement(input, here, there);
    check_words(input, here);
    ++counts.meetings;
    counts.rules.insert(here.compared.rule);
    counts.refusals.insert(here.refusal);
    counts.violent += here.violates_primary ? 1 : 0;
    counts.demotions += here.demote_first ? 1 : 0;
    counts.lockstep_syncs += here.both_lockstep ? 1 : 0;
}

// Calls visit(step) for each step of a mixed-radix counter: step(n) takes the next digit, 0..n-1.
class all_choices {
public:
    template <class Visit>
    void run(const Visit& visit) {
        do {
            position_ = 0;
            visit(*this);
        } while (advance());
    }

    std::size_t operator()(std::size_t radix) {
        if (position_ == digits_.size()) {
            digits_.push_back({0, radix});
        }
        return digits_[position_++].value;
    }

    template <class Container>
    const auto& of(const Container& values) {
        return values[(*this)(std::size(values))];
    }

    bool flag() { return (*this)(2) == 1; }

private:
    struct digit {
        std::size_t value;
        std::size_t radix;
    };

    bool advance() {
        while (!digits_.empty() && ++digits_.back().value == digits_.back().radix) {
            digits_.pop_back();
        }
        return !digits_.empty();
    }

    std::vector<digit> digits_;
    std::size_t position_ = 0;
};

constexpr std::array<std::pair<int, int>, 5> bit_classes = {
    {{0, 0}, {0, 9}, {9, 0}, {9, 9}, {9, 5}}};
constexpr std::array<role, 2> roles = {role::primary, role::secondary};
constexpr std::array<rr_conflict, 3> conflicts = {rr_conflict::disconnect, rr_conflict::violently,
                                                  rr_conflict::call_pri_lost};

void choose_common(handshake_input& input, all_choices& pick) {
    const auto bits = pick.of(bit_classes);
    input.self.bits = static_cast<std::uint64_t>(bits.first);
    input.peer.bits = static_cast<std::uint64_t>(bits.second);
    input.self.role = pick.of(roles);
    input.peer.role = pick.of(roles);
    input.resolve_conflicts = pick.flag();
    input.rr_conflict = pick.of(conflicts);
}

// Rules x bits x disks x roles x crashes x versions x features x who is ours x rr-conflict.
void every_class_of_meetings_keeps_the_invariants(void**) {
    constexpr std::array<disk, 4> disks = {disk::inconsistent, disk::outdated, disk::consistent,
                                           disk::up_to_date};
    constexpr std::array<std::uint32_t, 3> versions = {90, 95, 101};
    constexpr std::array<std::uint32_t, 2> features = {0, 0xf};
    walk_counts counts;
    all_choices().run([&](all_choices& pick) {
        handshake_input input = input_of(pick.of(rule_classes()));
        choose_common(input, pick);
        input.self.disk = pick.of(disks);
        input.peer.disk = pick.of(disks);
        input.disk_in_state = input.self.disk;
        input.self.crashed_primary = pick.flag();
        input.peer.crashed_primary = pick.flag();
        input.protocol_version = pick.of(versions);
        input.features = pick.of(features);
        input.peer_is_lockstep = pick.flag();
        check_meeting(input, counts);
    });
    const std::set<int> all_rules = {10, 20, 30, 34, 35, 36, 37, 40, 41,
                                     50, 51, 60, 70, 71, 80, 90, 100};
    assert_true(counts.rules == all_rules);
    assert_true(counts.violent > 0 && counts.lockstep_syncs > 0);
    assert_int_equal(counts.refusals.size(), 7); // all but dry_run
    print_message("# %llu meetings\n", static_cast<unsigned long long>(counts.meetings));
}

// Split brains x bits x disks x roles x low bits x all policies x discard-my-data.
void every_split_brain_is_solved_alike_or_refused(void**) {
    constexpr std::array<disk, 2> disks = {disk::inconsistent, disk::up_to_date};
    constexpr std::array<after_split_brain, 8> base = {
        after_split_brain::disconnect,
        after_split_brain::discard_younger_primary,
        after_split_brain::discard_older_primary,
        after_split_brain::discard_zero_changes,
        after_split_brain::discard_least_changes,
        after_split_brain::discard_local,
        after_split_brain::discard_remote,
        after_split_brain::consensus, // not defined without a Primary
    };
    constexpr std::array<after_split_brain, 6> with_primaries = {
        after_split_brain::disconnect,        after_split_brain::consensus,
        after_split_brain::discard_secondary, after_split_brain::call_pri_lost,
        after_split_brain::violently_as_0p,   after_split_brain::discard_zero_changes,
    };
    constexpr std::array<std::size_t, 4> split = {17, 18, 19, 21}; // of rule_classes()
    walk_counts counts;
    all_choices().run([&](all_choices& pick) {
        handshake_input input = input_of(rule_classes()[pick.of(split)]);
        choose_common(input, pick);
        input.self.disk = pick.of(disks);
        input.peer.disk = pick.of(disks);
        input.disk_in_state = input.self.disk;
        input.self.uuids.bitmap |= pick.flag() ? 1U : 0U;
        input.peer.uuids.bitmap |= pick.flag() ? 1U : 0U;
        input.after_sb_0pri = pick.of(base);
        input.after_sb_1pri = input.after_sb_2pri = pick.of(with_primaries);
        input.always_asbp = pick.flag();
        const auto discards = pick(4);
        input.self.discard_my_data = (discards & 1U) != 0;
        input.peer.discard_my_data = (discards & 2U) != 0;
        check_meeting(input, counts);
        input.demotion_refused = true;
        check_meeting(input, counts);
        input.demotion_refused = false;
        input.dry_run = true;
        check_meeting(input, counts);
    });
    assert_true(counts.demotions > 0);
    print_message("# %llu meetings\n", static_cast<unsigned long long>(counts.meetings));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(each_rule_applies_to_its_class),
        cmocka_unit_test(the_lowest_bit_does_not_count),
        cmocka_unit_test(corrections_need_protocol_91),
        cmocka_unit_test(before_96_a_lost_sync_start_is_known_by_its_history),
        cmocka_unit_test(crashed_primaries_of_one_generation_are_told_apart),
        cmocka_unit_test(a_primary_of_the_crashed_generation_is_source),
        cmocka_unit_test(corrections_make_both_records_agree),
        cmocka_unit_test(an_inconsistent_disk_is_target_whatever_the_generations_say),
        cmocka_unit_test(two_inconsistent_disks_cannot_sync),
        cmocka_unit_test(split_brain_without_policy_is_refused_with_both_handlers),
        cmocka_unit_test(discard_my_data_on_one_side_decides_by_bitmap),
        cmocka_unit_test(discard_my_data_without_split_brain_changes_nothing),
        cmocka_unit_test(an_ambiguous_split_brain_is_solved_by_a_full_sync_only),
        cmocka_unit_test(after_sb_0pri_policies),
        cmocka_unit_test(policies_for_primaries_mean_nothing_without_one),
        cmocka_unit_test(after_sb_1pri_policies),
        cmocka_unit_test(after_sb_2pri_policies),
        cmocka_unit_test(the_primary_victim_of_a_split_brain_is_demoted_first),
        cmocka_unit_test(a_primary_with_good_data_becomes_target_only_violently),
        cmocka_unit_test(a_dry_run_says_what_would_happen_and_refuses),
        cmocka_unit_test(bits_of_equal_generations_are_kept_towards_a_foreign_peer),
        cmocka_unit_test(bits_of_equal_generations_are_synced_between_two_of_ours),
        cmocka_unit_test(a_divergence_after_a_missed_end_of_sync_is_a_split_brain),
        cmocka_unit_test(such_a_divergence_two_generations_ago_needs_a_full_sync),
        cmocka_unit_test(a_negotiating_disk_counts_alike_on_both_sides),
        cmocka_unit_test(a_negotiating_disk_is_judged_by_its_flag),
        cmocka_unit_test(every_pair_of_records_is_answered_alike_on_both_sides),
        cmocka_unit_test(every_class_of_meetings_keeps_the_invariants),
        cmocka_unit_test(every_split_brain_is_solved_alike_or_refused),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
