// The handshake's rules and policies one by one.
#include "unit/cmocka.hpp"
#include "unit/state/meetings.hpp"

#include <string>
#include <utility>

using namespace lockstep;
using namespace lockstep::state;
using namespace lockstep::test;
using options::after_split_brain;
using options::rr_conflict;

namespace {

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

void a_crashed_primary_that_was_outdated_is_no_source_for_lockstep(void**) {
    for (const bool resolves : {false, true}) {
        handshake_input input = with_rule(40);
        input.resolve_conflicts = resolves;
        input.self.crashed_primary = true;
        input.self.disk = disk::outdated;
        input.peer.disk = disk::consistent;
        for (const bool both_crashed : {false, true}) {
            input.peer.crashed_primary = both_crashed;
            input.peer_is_lockstep = false;
            assert_int_equal(compare(input).result, both_crashed && resolves ? -1 : 1);
            input.peer_is_lockstep = true;
            assert_int_equal(compare(input).result, -1);
            assert_int_equal(compare(mirrored(input)).result, 1);
        }
        input.peer.disk = disk::outdated;
        assert_int_equal(compare(input).result, resolves ? -1 : 1);
    }
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
    assert_true((before == generation{b, a, {c, c}}));
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

void a_primary_with_good_data_never_becomes_target(void**) {
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
    assert_int_equal(decision.refusal, refusal::target_is_primary);
    assert_false(decision.handlers.pri_lost);
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

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(each_rule_applies_to_its_class),
        cmocka_unit_test(the_lowest_bit_does_not_count),
        cmocka_unit_test(corrections_need_protocol_91),
        cmocka_unit_test(before_96_a_lost_sync_start_is_known_by_its_history),
        cmocka_unit_test(crashed_primaries_of_one_generation_are_told_apart),
        cmocka_unit_test(a_crashed_primary_that_was_outdated_is_no_source_for_lockstep),
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
        cmocka_unit_test(a_primary_with_good_data_never_becomes_target),
        cmocka_unit_test(a_dry_run_says_what_would_happen_and_refuses),
        cmocka_unit_test(bits_of_equal_generations_are_kept_towards_a_foreign_peer),
        cmocka_unit_test(bits_of_equal_generations_are_synced_between_two_of_ours),
        cmocka_unit_test(a_divergence_after_a_missed_end_of_sync_is_a_split_brain),
        cmocka_unit_test(such_a_divergence_two_generations_ago_needs_a_full_sync),
        cmocka_unit_test(a_negotiating_disk_counts_alike_on_both_sides),
        cmocka_unit_test(a_negotiating_disk_is_judged_by_its_flag),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
