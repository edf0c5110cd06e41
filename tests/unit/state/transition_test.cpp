// What is refused and why, and what the peer has to be asked.
#include <utility>

#include "unit/state/transitions.hpp"

#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::state;

namespace {

void a_second_primary_is_refused_unless_allowed(void**) {
    const volume_state now = pair_of(role::secondary, role::primary);
    assert_int_equal(asked(now, promote), verdict::two_primaries);
    transition_context context = usual();
    context.allow_two_primaries = true;
    assert_int_equal(asked(now, promote, context), verdict::success);
    context = usual();
    context.other_volume_peer_primary = true;
    assert_int_equal(asked(pair_of(role::secondary, role::secondary), promote, context),
                     verdict::other_volume_peer_primary);
}

void promotion_needs_good_data(void**) {
    for (const disk own : {disk::diskless, disk::inconsistent, disk::outdated, disk::consistent}) {
        assert_int_equal(asked(alone(role::secondary, own), promote), verdict::no_up_to_date_disk);
    }
    assert_int_equal(asked(alone(role::secondary), promote), verdict::success);
    volume_state diskless = pair_of(role::secondary, role::secondary);
    diskless.disk = disk::diskless;
    assert_int_equal(asked(diskless, promote), verdict::success);
    diskless.peer_disk = disk::inconsistent;
    assert_int_equal(asked(diskless, promote), verdict::no_up_to_date_disk);
}

void promotion_without_peer_needs_a_fenced_peer(void**) {
    transition_context context = usual();
    context.fencing = options::fencing::resource_only;
    assert_int_equal(asked(alone(role::secondary), promote, context), verdict::primary_needs_peer);
    assert_int_equal(asked(alone(role::secondary), promote.with_peer(disk::outdated), context),
                     verdict::success);
    // The same for leaving a connection as Primary.
    const volume_state primary = pair_of(role::primary, role::secondary);
    assert_int_equal(asked(primary, disconnect, context), verdict::primary_needs_peer);
    assert_int_equal(asked(primary, disconnect.with_peer(disk::outdated), context),
                     verdict::success);
}

void a_device_in_use_stays_primary(void**) {
    transition_context context = usual();
    context.device_in_use = true;
    const volume_state now = pair_of(role::primary, role::secondary);
    assert_int_equal(asked(now, demote, context), verdict::device_in_use);
    assert_int_equal(asked(now, demote), verdict::success);
}

void a_connected_disk_is_not_outdated(void**) {
    const state_change outdate = state_change().with(disk::outdated);
    // Connected, the wish is undone by what Connected implies.
    assert_int_equal(asked(pair_of(role::secondary, role::secondary), outdate),
                     verdict::nothing_to_do);
    assert_int_equal(asked(alone(role::secondary), outdate), verdict::success);
    assert_int_equal(asked(alone(role::secondary, disk::inconsistent), outdate),
                     verdict::lower_than_outdated);
    volume_state target = pair_of(role::secondary, role::primary, connection::wf_bitmap_t);
    target.disk = disk::inconsistent;
    assert_int_equal(asked(target, outdate), verdict::lower_than_outdated);
}

void a_primary_is_not_outdated(void**) {
    assert_int_equal(asked(alone(role::primary), state_change().with(disk::outdated)),
                     verdict::no_up_to_date_disk);
}

void resync_and_verify_need_both_disks_and_a_connection(void**) {
    const state_change invalidate = state_change().with(connection::starting_sync_t);
    const state_change verify = state_change().with(connection::verify_s);
    transition_context context = usual();
    assert_int_equal(asked(alone(role::secondary), invalidate), verdict::need_connection);
    volume_state now = pair_of(role::secondary, role::secondary);
    assert_int_equal(asked(now, verify, context), verdict::no_verify_algorithm);
    context.verify_algorithm_set = true;
    context.protocol_version = 87;
    assert_int_equal(asked(now, verify, context), verdict::not_supported);
    context.protocol_version = 88;
    assert_int_equal(asked(now, verify, context), verdict::success);
    now.disk = disk::inconsistent;
    assert_int_equal(asked(now, verify, context), verdict::no_up_to_date_disk);
    std::swap(now.disk, now.peer_disk);
    assert_int_equal(asked(now, verify, context), verdict::no_up_to_date_disk);
    now.peer_disk = disk::up_to_date;
    assert_int_equal(asked(now, invalidate), verdict::success);
    const volume_state source = pair_of(role::secondary, role::secondary, connection::sync_source);
    volume_state running = source;
    running.peer_disk = disk::inconsistent;
    assert_int_equal(asked(running, invalidate), verdict::resync_running);
    assert_int_equal(asked(running, verify, context), verdict::resync_running);
}

void a_state_without_any_good_disk_does_not_stand_in_a_sync(void**) {
    volume_state at = pair_of(role::secondary, role::secondary, connection::wf_bitmap_t);
    at.disk = at.peer_disk = disk::inconsistent;
    assert_int_equal(check_state(at, usual()), verdict::no_up_to_date_disk);
    at.peer_disk = disk::up_to_date;
    assert_int_equal(check_state(at, usual()), verdict::success);
    at.disk = disk::failed;
    assert_int_equal(check_state(at, usual()), verdict::no_local_disk);
    std::swap(at.disk, at.peer_disk);
    assert_int_equal(check_state(at, usual()), verdict::no_remote_disk);
    at = pair_of(role::primary, role::secondary);
    at.disk = disk::outdated;
    at.peer_disk = disk::diskless;
    assert_int_equal(check_state(at, usual()), verdict::no_up_to_date_disk);
}

void promotion_waits_while_the_peer_is_forced_and_syncs(void**) {
    volume_state target = pair_of(role::secondary, role::primary, connection::wf_bitmap_t);
    target.disk = disk::inconsistent;
    transition_context context = usual();
    context.allow_two_primaries = true;
    assert_int_equal(asked(target, promote, context), verdict::in_transient_state);
    target.connection = connection::sync_target;
    assert_int_equal(asked(target, promote, context), verdict::success);
}

void role_and_disk_wait_for_the_handshake(void**) {
    transition_context context = usual();
    context.handshake_state_sent = true;
    volume_state now = alone(role::secondary);
    now.connection = connection::wf_report_params;
    assert_int_equal(asked(now, promote, context), verdict::in_transient_state);
    assert_int_equal(asked(now,
                           state_change()
                               .with(connection::connected)
                               .with_peer(role::secondary)
                               .with_peer(disk::up_to_date),
                           context),
                     verdict::success);
}

void disconnecting_twice_is_said_so(void**) {
    volume_state now = alone(role::secondary);
    now.connection = connection::standalone;
    assert_int_equal(asked(now, disconnect), verdict::already_standalone);
    assert_int_equal(asked(alone(role::secondary), disconnect.with_peer(disk::outdated)),
                     verdict::outdate_without_connection);
}

void a_bad_state_may_change_if_that_makes_nothing_worse(void**) {
    // A Primary that lost both disks may still begin to reconnect.
    volume_state now = alone(role::primary, disk::diskless);
    now.connection = connection::network_failure;
    assert_int_equal(check_state(now, usual()), verdict::no_up_to_date_disk);
    assert_int_equal(asked(now, state_change().with(connection::unconnected)), verdict::success);
}

void facts_are_not_judged_but_have_to_be_possible(void**) {
    const volume_state now = alone(role::primary);
    assert_true(
        change(now, state_change().with(disk::failed), change_kind::hard, usual()).accepted());
    volume_state diskless = now;
    diskless.disk = disk::diskless;
    assert_int_equal(
        change(diskless, state_change().with(disk::failed), change_kind::hard, usual()).code,
        verdict::is_diskless);
    assert_int_equal(check_connection(connection::standalone, connection::connected),
                     verdict::need_connection);
}

void the_peer_is_asked_before_what_it_may_refuse(void**) {
    const volume_state now = pair_of(role::secondary, role::secondary);
    const auto asks = [&now](const state_change& wish) {
        return needs_cluster_wide(now, sanitize(now, apply(now, wish), usual()).state);
    };
    assert_true(asks(promote));
    assert_true(asks(state_change().with(connection::starting_sync_s)));
    assert_true(asks(state_change().with(connection::starting_sync_t)));
    assert_true(asks(state_change().with(disk::failed)));
    assert_true(asks(state_change().with(connection::verify_s)));
    assert_true(asks(disconnect));
    assert_false(asks(state_change().with_paused_user(true)));
    assert_false(asks(lose_link));
    const volume_state primary = pair_of(role::primary, role::secondary);
    assert_false(needs_cluster_wide(primary, apply(primary, demote)));
    // What has begun already is not asked again.
    volume_state failed = primary;
    failed.disk = disk::failed;
    assert_false(needs_cluster_wide(failed, apply(failed, state_change().with_paused_user(true))));
    assert_false(
        needs_cluster_wide(primary, apply(primary, state_change().with_paused_user(true))));
    const volume_state unconnected = alone(role::secondary);
    assert_false(needs_cluster_wide(unconnected, apply(unconnected, promote)));
    assert_true(disconnect_needs_peer(connection::connected, connection::disconnecting));
    assert_false(disconnect_needs_peer(connection::wf_connection, connection::disconnecting));
}

void a_peers_request_is_turned_round(void**) {
    const auto turned = to_peer_view(promote.with(disk::up_to_date));
    assert_true(turned.has_value());
    assert_true(*turned == state_change().with_peer(role::primary).with_peer(disk::up_to_date));
    const auto leaving = to_peer_view(disconnect.with_peer(disk::outdated));
    assert_true(leaving.has_value());
    assert_true(*leaving == state_change().with(connection::tear_down).with(disk::outdated));
    const auto verify = to_peer_view(state_change().with(connection::verify_s));
    assert_true(*verify == state_change().with(connection::verify_t));
    const auto invalidate = to_peer_view(state_change().with(connection::starting_sync_t));
    assert_true(*invalidate == state_change().with(connection::starting_sync_s));
}

void a_peers_request_for_anything_else_is_not_understood(void**) {
    assert_false(to_peer_view(state_change().with(connection::sync_source)).has_value());
    assert_false(to_peer_view(state_change().with_suspended_user(true)).has_value());
    assert_false(to_peer_view(state_change().with_paused_user(true)).has_value());
    assert_false(to_peer_view({0x1, 0x1}).has_value());         // half of the role
    assert_false(to_peer_view({0x3, 0x3}).has_value());         // no such role
    assert_false(to_peer_view({0x1e00, 9U << 9U}).has_value()); // no such disk state
    assert_false(to_peer_view({0x3, 0x5}).has_value());         // a value outside the mask
    assert_false(to_peer_view({0xff000000U, 0}).has_value());   // unknown bits
    assert_true(to_peer_view({0, 0}).has_value());
}

void a_peers_disconnect_does_not_improve_a_bad_disk_to_outdated(void**) {
    volume_state now = pair_of(role::secondary, role::primary);
    now.disk = disk::inconsistent;
    const state_change leave = state_change().with(connection::tear_down).with(disk::outdated);
    const change_result after = change(now, leave, change_kind::asked_for_connection, usual());
    assert_int_equal(after.code, verdict::success);
    assert_int_equal(after.state.disk, disk::inconsistent);
    assert_int_equal(after.state.connection, connection::tear_down);
    assert_int_equal(asked(now, leave), verdict::lower_than_outdated);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_second_primary_is_refused_unless_allowed),
        cmocka_unit_test(promotion_needs_good_data),
        cmocka_unit_test(promotion_without_peer_needs_a_fenced_peer),
        cmocka_unit_test(a_device_in_use_stays_primary),
        cmocka_unit_test(a_connected_disk_is_not_outdated),
        cmocka_unit_test(a_primary_is_not_outdated),
        cmocka_unit_test(resync_and_verify_need_both_disks_and_a_connection),
        cmocka_unit_test(a_state_without_any_good_disk_does_not_stand_in_a_sync),
        cmocka_unit_test(promotion_waits_while_the_peer_is_forced_and_syncs),
        cmocka_unit_test(role_and_disk_wait_for_the_handshake),
        cmocka_unit_test(disconnecting_twice_is_said_so),
        cmocka_unit_test(a_bad_state_may_change_if_that_makes_nothing_worse),
        cmocka_unit_test(facts_are_not_judged_but_have_to_be_possible),
        cmocka_unit_test(the_peer_is_asked_before_what_it_may_refuse),
        cmocka_unit_test(a_peers_request_is_turned_round),
        cmocka_unit_test(a_peers_request_for_anything_else_is_not_understood),
        cmocka_unit_test(a_peers_disconnect_does_not_improve_a_bad_disk_to_outdated),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
