// What completes a state, what is refused and why, and what the peer has to be asked.
#include "kernel/state/transition.hpp"

#include <array>
#include <utility>
#include <vector>

#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::state;

namespace {

volume_state pair_of(role own, role peer, connection at = connection::connected) {
    volume_state state;
    state.role = own;
    state.peer_role = peer;
    state.connection = at;
    state.disk = disk::up_to_date;
    state.peer_disk = disk::up_to_date;
    return state;
}

volume_state alone(role own, disk own_disk = disk::up_to_date) {
    volume_state state;
    state.role = own;
    state.connection = connection::wf_connection;
    state.disk = own_disk;
    return state;
}

transition_context usual() {
    transition_context context;
    context.net_configured = true;
    return context;
}

verdict asked(const volume_state& now, const state_change& wish,
              const transition_context& context = usual()) {
    return change(now, wish, change_kind::soft, context).code;
}

volume_state forced(const volume_state& now, const state_change& wish,
                    const transition_context& context = usual()) {
    return change(now, wish, change_kind::hard, context).state;
}

const state_change promote = state_change().with(role::primary);
const state_change demote = state_change().with(role::secondary);
const state_change disconnect = state_change().with(connection::disconnecting);
const state_change lose_link = state_change().with(connection::network_failure);

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

// Every state, sane or not: 17496 of them.
template <class Visit>
void for_all_states(const Visit& visit) {
    for (std::uint32_t word = 0; word < 3U * 3U * 24U * 9U * 9U; ++word) {
        volume_state at;
        at.role = static_cast<role>(word % 3);
        at.peer_role = static_cast<role>(word / 3 % 3);
        at.connection = static_cast<connection>(word / 9 % 24);
        at.disk = static_cast<disk>(word / 216 % 9);
        at.peer_disk = static_cast<disk>(word / 1944 % 9);
        visit(at);
    }
}

// Every wish for one field.
std::vector<state_change> all_wishes() {
    std::vector<state_change> wishes = {
        state_change().with_paused_user(true),       state_change().with_paused_user(false),
        state_change().with_paused_peer(true),       state_change().with_paused_after(true),
        state_change().with_suspended_user(true),    state_change().with_suspended_no_data(true),
        state_change().with_suspended_fencing(true),
    };
    for (std::uint32_t at = 0; at < 24; ++at) {
        wishes.push_back(state_change().with(static_cast<connection>(at)));
        if (at < 9) {
            wishes.push_back(state_change().with(static_cast<disk>(at)));
            wishes.push_back(state_change().with_peer(static_cast<disk>(at)));
        }
        if (at < 3) {
            wishes.push_back(state_change().with(static_cast<role>(at)));
            wishes.push_back(state_change().with_peer(static_cast<role>(at)));
        }
    }
    return wishes;
}

std::vector<transition_context> some_contexts() {
    std::vector<transition_context> contexts(4, usual());
    contexts[1].fencing = options::fencing::resource_and_stonith;
    contexts[1].suspend_without_data = true;
    contexts[2].device_in_use = true;
    contexts[2].verify_algorithm_set = true;
    contexts[3].allow_two_primaries = true;
    contexts[3].negotiating = {disk::up_to_date, disk::outdated};
    return contexts;
}

// Whatever is wanted of whatever state: what comes out needs no further completion, keeps within
// the disks' ranges, and forgets a peer that is not there.
void every_completed_state_is_complete(void**) {
    const std::vector<state_change> wishes = all_wishes();
    const std::vector<transition_context> contexts = some_contexts();
    for_all_states([&](const volume_state& before) {
        for (const state_change& wish : wishes) {
            for (const transition_context& context : contexts) {
                const volume_state once = sanitize(before, apply(before, wish), context).state;
                const bool paused = once.connection == connection::paused_sync_s ||
                                    once.connection == connection::paused_sync_t;
                const bool pausing =
                    once.sync_paused_after || once.sync_paused_peer || once.sync_paused_user;
                assert_true(!paused || pausing);
                if (once.connection < connection::connected) {
                    assert_int_equal(once.peer_role, role::unknown);
                    assert_in_range(once.peer_disk, disk::inconsistent, disk::unknown);
                    assert_int_not_equal(once.disk, disk::negotiating);
                }
                const volume_state twice = sanitize(before, once, context).state;
                assert_true(sanitize(before, twice, context).state == twice);
            }
        }
    });
}

void every_accepted_request_leads_to_an_allowed_state_or_nothing_worse(void**) {
    const std::vector<state_change> wishes = all_wishes();
    const std::vector<transition_context> contexts = some_contexts();
    std::uint64_t accepted = 0;
    for_all_states([&](const volume_state& before) {
        for (const state_change& wish : wishes) {
            for (const transition_context& context : contexts) {
                const change_result after = change(before, wish, change_kind::soft, context);
                if (after.code == verdict::nothing_to_do) {
                    assert_true(after.state == before);
                } else if (after.accepted()) {
                    const verdict stands = check_state(after.state, context);
                    assert_true(stands == verdict::success ||
                                stands == check_state(before, context));
                    ++accepted;
                }
            }
        }
    });
    assert_true(accepted > 100000);
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
        cmocka_unit_test(a_second_primary_is_refused_unless_allowed),
        cmocka_unit_test(promotion_needs_good_data),
        cmocka_unit_test(promotion_without_peer_needs_a_fenced_peer),
        cmocka_unit_test(a_device_in_use_stays_primary),
        cmocka_unit_test(a_connected_disk_is_not_outdated),
        cmocka_unit_test(a_primary_is_not_outdated),
        cmocka_unit_test(resync_and_verify_need_both_disks_and_a_connection),
        cmocka_unit_test(a_device_without_anything_waits_for_no_other_sync),
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
        cmocka_unit_test(every_completed_state_is_complete),
        cmocka_unit_test(every_accepted_request_leads_to_an_allowed_state_or_nothing_worse),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
