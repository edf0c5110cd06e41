// What a STATE packet of the peer means.
#include "kernel/state/peer_state.hpp"

#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::state;

namespace {

volume_state state_of(role own, role peer, connection at, disk own_disk, disk peer_disk) {
    volume_state state;
    state.role = own;
    state.peer_role = peer;
    state.connection = at;
    state.disk = own_disk;
    state.peer_disk = peer_disk;
    return state;
}

// Two Secondaries in the handshake; the peer's first STATE still says WFConnection.
peer_state_facts meeting() {
    peer_state_facts facts;
    facts.own = state_of(role::secondary, role::unknown, connection::wf_report_params,
                         disk::up_to_date, disk::unknown);
    facts.reported = state_of(role::secondary, role::unknown, connection::wf_connection,
                              disk::up_to_date, disk::unknown);
    facts.peer_uuids_known = true;
    return facts;
}

peer_state_facts connected() {
    peer_state_facts facts = meeting();
    facts.own = state_of(role::secondary, role::secondary, connection::connected, disk::up_to_date,
                         disk::up_to_date);
    facts.reported = facts.own;
    return facts;
}

transition_context usual() {
    transition_context context;
    context.net_configured = true;
    return context;
}

void two_disks_that_meet_decide_the_handshake(void**) {
    peer_state_facts facts = meeting();
    assert_int_equal(look_at_peer_state(facts).meaning, peer_state_meaning::handshake);
    facts.peer_uuids_known = false;
    assert_int_equal(look_at_peer_state(facts).meaning, peer_state_meaning::take);
    facts = meeting();
    facts.own.disk = disk::diskless;
    const peer_state_view view = look_at_peer_state(facts);
    assert_int_equal(view.meaning, peer_state_meaning::take);
    assert_int_equal(view.connection, connection::connected);
    facts = meeting();
    facts.reported.disk = disk::diskless;
    assert_int_equal(look_at_peer_state(facts).meaning, peer_state_meaning::take);
}

void connected_nodes_decide_again_on_attach_invalidate_and_force(void**) {
    peer_state_facts facts = connected();
    assert_int_equal(look_at_peer_state(facts).meaning, peer_state_meaning::take);
    facts.reported.disk = disk::negotiating;
    assert_int_equal(look_at_peer_state(facts).meaning, peer_state_meaning::handshake);
    facts = connected();
    facts.own.disk = disk::negotiating;
    assert_int_equal(look_at_peer_state(facts).meaning, peer_state_meaning::handshake);
    facts = connected();
    facts.reported.connection = connection::wf_bitmap_t;
    assert_int_equal(look_at_peer_state(facts).meaning, peer_state_meaning::handshake);
    facts = connected();
    facts.consider_resync = true;
    assert_int_equal(look_at_peer_state(facts).meaning, peer_state_meaning::handshake);
}

void a_state_for_a_closing_connection_or_without_sense_is_dropped(void**) {
    peer_state_facts facts = connected();
    facts.own.connection = connection::tear_down;
    assert_int_equal(look_at_peer_state(facts).meaning, peer_state_meaning::closing);
    facts = connected();
    facts.reported.disk = static_cast<disk>(15);
    assert_int_equal(look_at_peer_state(facts).meaning, peer_state_meaning::closing);
}

void a_negotiating_peer_shows_what_stands_behind_it(void**) {
    peer_state_facts facts = connected();
    facts.reported.disk = disk::negotiating;
    assert_int_equal(look_at_peer_state(facts).peer_disk, disk::consistent);
    facts.peer_inconsistent = true;
    assert_int_equal(look_at_peer_state(facts).peer_disk, disk::inconsistent);
}

void the_target_tells_the_source_that_the_resync_has_ended(void**) {
    peer_state_facts facts = connected();
    facts.own.connection = connection::sync_source;
    facts.own.peer_disk = disk::inconsistent;
    peer_state_view view = look_at_peer_state(facts);
    assert_int_equal(view.meaning, peer_state_meaning::resync_ended);
    assert_true(view.all_synced);
    facts.bits_left = 3;
    assert_false(look_at_peer_state(facts).all_synced);
    facts.bits_failed = 3;
    assert_true(look_at_peer_state(facts).all_synced);
    // An empty resync that was paused can end from Consistent.
    facts.own.connection = connection::paused_sync_s;
    facts.own.peer_disk = disk::consistent;
    assert_int_equal(look_at_peer_state(facts).meaning, peer_state_meaning::resync_ended);
    facts.own.peer_disk = disk::inconsistent;
    // Still preparing: its good disk is about to become Inconsistent.
    facts.own.connection = connection::wf_bitmap_s;
    facts.reported.connection = connection::wf_bitmap_t;
    view = look_at_peer_state(facts);
    assert_int_equal(view.meaning, peer_state_meaning::take);
    assert_int_equal(view.peer_disk, disk::inconsistent);
}

void an_older_peer_still_in_a_sync_that_has_ended_here_does_not_flap(void**) {
    peer_state_facts facts = connected();
    facts.reported.connection = connection::sync_target;
    facts.reported.disk = disk::inconsistent;
    assert_int_equal(look_at_peer_state(facts).peer_disk, disk::up_to_date);
    facts.reported.connection = connection::connected;
    assert_int_equal(look_at_peer_state(facts).peer_disk, disk::inconsistent);
}

void the_end_of_a_verify_is_told(void**) {
    peer_state_facts facts = connected();
    facts.own.connection = connection::verify_t;
    assert_int_equal(look_at_peer_state(facts).meaning, peer_state_meaning::verify_ended);
}

void a_peer_that_pulls_ahead_leaves_us_behind(void**) {
    peer_state_facts facts = connected();
    facts.reported.connection = connection::ahead;
    facts.reported.role = role::primary;
    const peer_state_view view = look_at_peer_state(facts);
    assert_int_equal(view.connection, connection::behind);
    const adoption taken = adopt_peer_state(facts, view, view.connection, disk::diskless);
    const change_result after = change(facts.own, taken.wanted, taken.kind, usual());
    assert_int_equal(after.state.connection, connection::behind);
    assert_int_equal(after.state.disk, disk::outdated);
    assert_int_equal(after.state.peer_role, role::primary);
}

void a_new_connection_may_be_refused_a_later_state_may_not(void**) {
    peer_state_facts facts = meeting();
    facts.own.role = role::primary;
    facts.reported.role = role::primary;
    const peer_state_view view = look_at_peer_state(facts);
    adoption taken = adopt_peer_state(facts, view, connection::connected, disk::diskless);
    assert_int_equal(taken.kind, change_kind::soft);
    assert_int_equal(change(facts.own, taken.wanted, taken.kind, usual()).code,
                     verdict::two_primaries);
    facts = connected();
    taken =
        adopt_peer_state(facts, look_at_peer_state(facts), connection::connected, disk::diskless);
    assert_int_equal(taken.kind, change_kind::hard);
}

void a_negotiated_disk_takes_its_state_unless_it_becomes_target(void**) {
    peer_state_facts facts = connected();
    facts.own.disk = disk::negotiating;
    const peer_state_view view = look_at_peer_state(facts);
    const auto disk_in = [&](connection next) {
        const adoption taken = adopt_peer_state(facts, view, next, disk::up_to_date);
        return change(facts.own, taken.wanted, taken.kind, usual()).state.disk;
    };
    assert_int_equal(disk_in(connection::connected), disk::up_to_date);
    assert_int_equal(disk_in(connection::wf_bitmap_s), disk::up_to_date);
    assert_int_equal(disk_in(connection::wf_bitmap_t), disk::inconsistent);
}

void the_peers_pauses_are_ours(void**) {
    peer_state_facts facts = connected();
    facts.own.connection = connection::sync_target;
    facts.own.disk = disk::inconsistent;
    facts.reported.connection = connection::paused_sync_s;
    facts.reported.sync_paused_user = true;
    const peer_state_view view = look_at_peer_state(facts);
    const adoption taken = adopt_peer_state(facts, view, view.connection, disk::diskless);
    assert_int_equal(change(facts.own, taken.wanted, taken.kind, usual()).state.connection,
                     connection::paused_sync_t);
}

void a_refusal_ends_the_attach_or_the_connection(void**) {
    peer_state_facts facts = meeting();
    assert_int_equal(on_refusal(facts, false), refusal_consequence::disconnect);
    assert_int_equal(on_refusal(facts, true), refusal_consequence::drop);
    facts = connected();
    facts.reported.disk = disk::negotiating;
    assert_int_equal(on_refusal(facts, false), refusal_consequence::peer_attach_aborted);
    facts.own.disk = disk::negotiating;
    assert_int_equal(on_refusal(facts, false), refusal_consequence::fail_own_disk);
}

void frozen_writes_do_not_go_to_a_restarted_peer(void**) {
    peer_state_facts facts = meeting();
    facts.own.role = role::primary;
    facts.own.suspended_fencing = true;
    facts.reported.disk = disk::consistent;
    const peer_state_view view = look_at_peer_state(facts);
    assert_true(cannot_thaw(facts.own, view, connection::connected, true));
    assert_false(cannot_thaw(facts.own, view, connection::connected, false));
    assert_false(cannot_thaw(facts.own, view, connection::wf_bitmap_s, true));
    assert_true(restarted_while_frozen(facts.own, view));
    facts.reported.disk = disk::outdated;
    assert_true(cannot_thaw(facts.own, look_at_peer_state(facts), connection::connected, true));
    facts.reported.disk = disk::up_to_date;
    assert_false(cannot_thaw(facts.own, look_at_peer_state(facts), connection::connected, true));
    facts.peer_restarted = true; // whatever its disk
    assert_true(cannot_thaw(facts.own, look_at_peer_state(facts), connection::connected, true));
}

void a_forced_peer_is_recognised_and_answered(void**) {
    const volume_state before = state_of(role::secondary, role::secondary, connection::connected,
                                         disk::inconsistent, disk::inconsistent);
    volume_state after = before;
    after.peer_role = role::primary;
    assert_true(forced_by_peer(before, after));
    assert_false(forced_by_peer(after, after));
    volume_state syncing = after;
    syncing.connection = connection::wf_bitmap_t;
    volume_state reported = mirrored(after);
    assert_true(peer_must_hear(after, syncing, reported));
    reported.connection = connection::wf_bitmap_s;
    assert_false(peer_must_hear(after, syncing, reported));
    // An attaching peer has sent all that is needed.
    reported.connection = connection::connected;
    reported.disk = disk::negotiating;
    assert_false(peer_must_hear(after, syncing, reported));
}

// The peer was told Diskless in the handshake; only what it says afterwards counts.
void a_disk_attached_during_the_handshake_is_negotiated_after_it(void**) {
    peer_state_facts facts = meeting();
    facts.own.disk = disk::negotiating;
    const peer_state_view view = look_at_peer_state(facts);
    assert_int_equal(view.meaning, peer_state_meaning::take);
    const auto goes_on = [&facts, &view] {
        transition_context context = usual();
        context.negotiates_when_connected = true;
        context.negotiating = {disk::up_to_date, disk::unknown};
        const auto adopted = adopt_peer_state(facts, view, connection::connected, disk::up_to_date);
        return change(facts.own, adopted.wanted, adopted.kind, context).state.disk;
    };
    assert_int_equal(goes_on(), disk::negotiating);
    facts.reported.disk = disk::diskless; // there is nothing to compare with
    assert_int_equal(goes_on(), disk::up_to_date);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(two_disks_that_meet_decide_the_handshake),
        cmocka_unit_test(connected_nodes_decide_again_on_attach_invalidate_and_force),
        cmocka_unit_test(a_state_for_a_closing_connection_or_without_sense_is_dropped),
        cmocka_unit_test(a_negotiating_peer_shows_what_stands_behind_it),
        cmocka_unit_test(the_target_tells_the_source_that_the_resync_has_ended),
        cmocka_unit_test(an_older_peer_still_in_a_sync_that_has_ended_here_does_not_flap),
        cmocka_unit_test(the_end_of_a_verify_is_told),
        cmocka_unit_test(a_peer_that_pulls_ahead_leaves_us_behind),
        cmocka_unit_test(a_new_connection_may_be_refused_a_later_state_may_not),
        cmocka_unit_test(a_negotiated_disk_takes_its_state_unless_it_becomes_target),
        cmocka_unit_test(the_peers_pauses_are_ours),
        cmocka_unit_test(a_refusal_ends_the_attach_or_the_connection),
        cmocka_unit_test(frozen_writes_do_not_go_to_a_restarted_peer),
        cmocka_unit_test(a_forced_peer_is_recognised_and_answered),
        cmocka_unit_test(a_disk_attached_during_the_handshake_is_negotiated_after_it),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
