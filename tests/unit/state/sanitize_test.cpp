// What completes a state: what follows from a change for the rest of it.
#include <array>

#include "unit/state/transitions.hpp"

#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::state;

namespace {

void a_lost_connection_leaves_the_peer_unknown(void**) {
    volume_state now = pair_of(role::primary, role::secondary);
    now.sync_paused_peer = true;
    const volume_state after = forced(now, lose_link);
    assert_int_equal(after.peer_role, role::unknown);
    assert_int_equal(after.peer_disk, disk::unknown);
    assert_false(after.sync_paused_peer);
    assert_int_equal(after.disk, disk::up_to_date);
}

void nobody_says_what_a_disk_is_while_it_is_attached(void**) {
    const volume_state now = alone(role::secondary, disk::attaching);
    for (const disk wish : {disk::inconsistent, disk::outdated, disk::up_to_date}) {
        assert_int_equal(asked(now, state_change().with(wish)), wish == disk::outdated
                                                                    ? verdict::lower_than_outdated
                                                                    : verdict::in_transient_state);
        assert_int_equal(forced(now, state_change().with(wish)).disk, wish); // by the attach
    }
}

// The bitmaps were not even exchanged.
void a_target_whose_source_fails_is_not_current(void**) {
    volume_state source = pair_of(role::primary, role::secondary, connection::wf_bitmap_s);
    source.peer_disk = disk::consistent;
    transition_context context = usual();
    context.peer_behind = true;
    volume_state after = forced(source, state_change().with(disk::failed), context);
    assert_int_equal(after.connection, connection::connected);
    assert_int_equal(after.peer_disk, disk::outdated);
    // Whatever the peer says.
    after = forced(after, state_change().with_peer(disk::up_to_date), context);
    assert_int_equal(after.peer_disk, disk::outdated);
    volume_state target = pair_of(role::secondary, role::primary, connection::wf_bitmap_t);
    target.disk = disk::outdated;
    context = usual();
    context.own_behind = true;
    after = forced(target, state_change().with_peer(disk::failed), context);
    assert_int_equal(after.connection, connection::connected);
    assert_int_equal(after.disk, disk::outdated);
    assert_int_equal(forced(after, state_change().with_peer(disk::diskless), context).disk,
                     disk::outdated);
}

void a_diskless_primary_vouches_for_our_data_when_it_has_agreed(void**) {
    volume_state now = alone(role::secondary, disk::outdated);
    now.connection = connection::wf_report_params;
    const auto meets = state_change()
                           .with(connection::connected)
                           .with_peer(role::primary)
                           .with_peer(disk::diskless);
    volume_state after = forced(now, meets);
    assert_int_equal(after.disk, disk::outdated);
    transition_context context = usual();
    context.primary_may_refuse = true;
    assert_int_equal(forced(after, state_change(), context).disk, disk::outdated);
    assert_int_equal(forced(after, state_change()).disk, disk::up_to_date);
}

void what_is_known_to_be_worse_is_remembered_of_a_lost_peer(void**) {
    volume_state now = pair_of(role::primary, role::secondary);
    now.peer_disk = disk::inconsistent;
    assert_int_equal(forced(now, lose_link).peer_disk, disk::inconsistent);
    now.peer_disk = disk::diskless;
    assert_int_equal(forced(now, lose_link).peer_disk, disk::unknown);
}

void outdated_and_consistent_vanish_on_connect(void**) {
    volume_state now = alone(role::secondary, disk::outdated);
    now.connection = connection::wf_report_params;
    const volume_state after = forced(now, state_change()
                                               .with(connection::connected)
                                               .with_peer(role::secondary)
                                               .with_peer(disk::consistent));
    assert_int_equal(after.disk, disk::up_to_date);
    assert_int_equal(after.peer_disk, disk::up_to_date);
}

// A node without a disk cannot know that an Outdated one has become current.
void an_outdated_disk_beside_a_diskless_peer_stays_outdated(void**) {
    volume_state now = alone(role::secondary, disk::outdated);
    now.connection = connection::wf_report_params;
    const state_change meet = state_change()
                                  .with(connection::connected)
                                  .with_peer(role::secondary)
                                  .with_peer(disk::diskless);
    const change_result met = change(now, meet, change_kind::soft, usual());
    assert_int_equal(met.code, verdict::success);
    assert_int_equal(met.state.disk, disk::outdated);
    assert_int_equal(asked(met.state, promote), verdict::no_up_to_date_disk);
    // Nor is the diskless peer promoted on top of it.
    assert_int_equal(asked(met.state, state_change().with_peer(role::primary)),
                     verdict::no_up_to_date_disk);
    // As the diskless node sees it.
    const volume_state other = mirrored(met.state);
    assert_int_equal(sanitize(other, other, usual()).state.peer_disk, disk::outdated);
    assert_int_equal(asked(other, promote), verdict::no_up_to_date_disk);
    // A diskless Primary compares the generation with the one in use, and says so.
    const volume_state beside_primary = forced(now, meet.with_peer(role::primary));
    assert_int_equal(beside_primary.disk, disk::outdated);
    assert_int_equal(forced(beside_primary, state_change()).disk, disk::up_to_date);
}

void each_sync_state_bends_the_disks_to_its_range(void**) {
    const volume_state now = pair_of(role::secondary, role::secondary);
    const auto in = [&now](connection at) { return forced(now, state_change().with(at)); };
    assert_int_equal(in(connection::wf_bitmap_t).disk, disk::outdated);
    assert_int_equal(in(connection::wf_bitmap_s).peer_disk, disk::consistent);
    assert_int_equal(in(connection::sync_target).disk, disk::inconsistent);
    assert_int_equal(in(connection::sync_source).peer_disk, disk::inconsistent);
    assert_int_equal(in(connection::ahead).peer_disk, disk::consistent);
    assert_int_equal(in(connection::behind).disk, disk::outdated);
    volume_state poor = now;
    poor.disk = disk::inconsistent;
    const change_result raised =
        change(poor, state_change().with(connection::sync_source), change_kind::hard, usual());
    assert_int_equal(raised.state.disk, disk::up_to_date);
    assert_int_equal(raised.note, sanitize_note::disk_raised);
}

void a_failing_disk_aborts_sync_and_verify(void**) {
    volume_state now = pair_of(role::secondary, role::secondary, connection::sync_target);
    now.disk = disk::inconsistent;
    change_result after =
        change(now, state_change().with(disk::failed), change_kind::hard, usual());
    assert_int_equal(after.state.connection, connection::connected);
    assert_int_equal(after.note, sanitize_note::resync_aborted);
    now = pair_of(role::secondary, role::secondary, connection::verify_t);
    after = change(now, state_change().with_peer(disk::failed), change_kind::hard, usual());
    assert_int_equal(after.note, sanitize_note::verify_aborted);
}

void any_of_three_pauses_holds_a_sync(void**) {
    volume_state now = pair_of(role::secondary, role::secondary, connection::sync_source);
    now.peer_disk = disk::inconsistent;
    const std::array<state_change, 3> pauses = {state_change().with_paused_user(true),
                                                state_change().with_paused_peer(true),
                                                state_change().with_paused_after(true)};
    for (const state_change& pause : pauses) {
        const volume_state paused = forced(now, pause);
        assert_int_equal(paused.connection, connection::paused_sync_s);
        const state_change resume = {pause.mask, 0};
        assert_int_equal(forced(paused, resume).connection, connection::sync_source);
    }
}

void a_connection_lost_while_negotiating_gives_what_was_stored_or_nothing(void**) {
    volume_state now = pair_of(role::secondary, role::secondary);
    now.disk = disk::negotiating;
    transition_context context = usual();
    context.negotiating = {disk::outdated, disk::unknown};
    assert_int_equal(forced(now, lose_link, context).disk, disk::outdated);
    context.negotiating.reset();
    const change_result after = change(now, lose_link, change_kind::hard, context);
    assert_int_equal(after.state.disk, disk::diskless);
    assert_int_equal(after.note, sanitize_note::connection_lost_while_negotiating);
}

void stonith_suspends_io_when_a_primary_loses_its_peer(void**) {
    const volume_state now = pair_of(role::primary, role::secondary);
    transition_context context = usual();
    context.fencing = options::fencing::resource_only;
    assert_false(forced(now, lose_link, context).suspended());
    context.fencing = options::fencing::resource_and_stonith;
    const volume_state frozen = forced(now, lose_link, context);
    assert_true(frozen.suspended_fencing);
    // Thawed by hand it stays thawed while nothing else is lost.
    const volume_state thawed =
        forced(frozen, state_change().with_suspended_fencing(false), context);
    assert_false(
        forced(thawed, state_change().with(connection::unconnected), context).suspended_fencing);
    // An outdated peer needs no fencing.
    assert_false(forced(now, lose_link.with_peer(disk::outdated), context).suspended());
    assert_false(forced(pair_of(role::secondary, role::primary), lose_link, context).suspended());
}

// Not a rule of the in-kernel DRBD: only where the context asks for it.
void stonith_suspends_io_when_one_of_two_disks_is_lost(void**) {
    const volume_state now = pair_of(role::primary, role::secondary);
    transition_context context = usual();
    context.fencing = options::fencing::resource_and_stonith;
    for (const disk worse : {disk::diskless, disk::failed, disk::inconsistent}) {
        for (const state_change& lost :
             {state_change().with(worse), state_change().with_peer(worse)}) {
            context.fence_disks = false;
            assert_false(forced(now, lost, context).suspended());
            context.fence_disks = true;
            const volume_state frozen = forced(now, lost, context);
            assert_true(frozen.suspended_fencing);
            // Thawed by hand it stays thawed, also when the same disk gets worse.
            const volume_state thawed =
                forced(frozen, state_change().with_suspended_fencing(false), context);
            assert_false(thawed.suspended());
            assert_false(
                forced(thawed, state_change().with_paused_user(true), context).suspended());
            assert_false(
                forced(pair_of(role::secondary, role::primary), lost, context).suspended());
        }
    }
    // With both lost there is nothing to go on with.
    volume_state half = now;
    half.disk = disk::diskless;
    assert_false(forced(half, state_change().with_peer(disk::diskless), context).suspended());
}

void on_no_data_accessible_suspends_a_primary_without_data(void**) {
    volume_state now = pair_of(role::primary, role::secondary);
    now.peer_disk = disk::diskless;
    transition_context context = usual();
    const state_change fail_disk = state_change().with(disk::failed);
    assert_false(forced(now, fail_disk, context).suspended_no_data);
    context.suspend_without_data = true;
    const volume_state frozen = forced(now, fail_disk, context);
    assert_true(frozen.suspended_no_data);
    // Resumed by hand, further events do not suspend again.
    const volume_state resumed =
        forced(frozen, state_change().with_suspended_no_data(false), context);
    assert_false(forced(resumed, state_change().with(disk::diskless), context).suspended());
}

void a_device_without_anything_waits_for_no_other_sync(void**) {
    volume_state now = alone(role::secondary);
    now.connection = connection::standalone;
    now.sync_paused_after = true;
    assert_true(forced(now, state_change().with(disk::failed)).sync_paused_after);
    now.disk = disk::failed;
    assert_false(forced(now, state_change().with(disk::diskless)).sync_paused_after);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_lost_connection_leaves_the_peer_unknown),
        cmocka_unit_test(nobody_says_what_a_disk_is_while_it_is_attached),
        cmocka_unit_test(a_target_whose_source_fails_is_not_current),
        cmocka_unit_test(a_diskless_primary_vouches_for_our_data_when_it_has_agreed),
        cmocka_unit_test(what_is_known_to_be_worse_is_remembered_of_a_lost_peer),
        cmocka_unit_test(outdated_and_consistent_vanish_on_connect),
        cmocka_unit_test(an_outdated_disk_beside_a_diskless_peer_stays_outdated),
        cmocka_unit_test(each_sync_state_bends_the_disks_to_its_range),
        cmocka_unit_test(a_failing_disk_aborts_sync_and_verify),
        cmocka_unit_test(any_of_three_pauses_holds_a_sync),
        cmocka_unit_test(a_connection_lost_while_negotiating_gives_what_was_stored_or_nothing),
        cmocka_unit_test(stonith_suspends_io_when_a_primary_loses_its_peer),
        cmocka_unit_test(stonith_suspends_io_when_one_of_two_disks_is_lost),
        cmocka_unit_test(on_no_data_accessible_suspends_a_primary_without_data),
        cmocka_unit_test(a_device_without_anything_waits_for_no_other_sync),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
