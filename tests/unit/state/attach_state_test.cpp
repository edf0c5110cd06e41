// Disk states from stored flags, flags from states, and the generation presented to users.
#include "kernel/state/attach_state.hpp"

#include <array>

#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::state;
using options::fencing;

namespace {

// Flag words of images that the in-kernel DRBD and drbdmeta wrote.
constexpr std::uint32_t fresh = 0x80;
constexpr std::uint32_t clean_primary = 0x11;
constexpr std::uint32_t killed_primary = 0x13;

volume_state attaching() {
    volume_state now;
    now.disk = disk::attaching;
    return now;
}

attached attach(std::uint32_t flags, fencing policy = fencing::dont_care) {
    return state_on_attach(unpack_flags(flags), attaching(), policy);
}

void flags_have_their_bits(void**) {
    for (std::uint32_t bits = 0; bits < 0x200; ++bits) {
        assert_int_equal(pack(unpack_flags(bits)), bits);
    }
    assert_true(unpack_flags(0x80).al_clean);
    assert_true(unpack_flags(0x40).crashed_primary);
    assert_true(unpack_flags(0x08).full_sync);
    assert_true(unpack_flags(0x100).al_disabled);
}

void a_fresh_disk_is_inconsistent(void**) {
    const attached result = attach(fresh);
    assert_int_equal(result.disk, disk::inconsistent);
    assert_int_equal(result.peer_disk, disk::unknown);
    assert_false(result.crashed_primary || result.set_all_bits || result.was_degraded);
}

void a_consistent_disk_is_up_to_date_where_nobody_can_be_ahead(void**) {
    assert_int_equal(attach(clean_primary).disk, disk::up_to_date);
    assert_int_equal(attach(clean_primary, fencing::resource_only).disk, disk::consistent);
    const attached fenced = attach(clean_primary | 0x20, fencing::resource_and_stonith);
    assert_int_equal(fenced.disk, disk::up_to_date);
    assert_int_equal(fenced.peer_disk, disk::outdated);
    assert_int_equal(attach(0x01).disk, disk::outdated);
}

void a_disk_that_was_primary_is_a_crashed_primary(void**) {
    assert_false(attach(clean_primary).crashed_primary);
    const attached killed = attach(killed_primary);
    assert_true(killed.crashed_primary);
    assert_true(killed.was_degraded);
    assert_false(attach(killed_primary | 0x04).was_degraded);
    assert_true(attach(0x51).crashed_primary);
    // Attached again by a Primary whose I/O waits for exactly this disk: it did not crash.
    volume_state waiting = attaching();
    waiting.role = role::primary;
    waiting.suspended_no_data = true;
    const attached back =
        state_on_attach(unpack_flags(killed_primary), waiting, fencing::dont_care);
    assert_false(back.crashed_primary || back.was_degraded);
}

void a_bitmap_that_cannot_be_believed_is_set_all(void**) {
    assert_true(attach(clean_primary | 0x08).set_all_bits);
    assert_false(attach(clean_primary | 0x100).set_all_bits);
    assert_true(attach(killed_primary | 0x100).set_all_bits);
}

void a_disk_attached_while_connected_negotiates(void**) {
    volume_state now = attaching();
    assert_false(state_on_attach({}, now, fencing::dont_care).negotiate);
    now.connection = connection::connected;
    assert_true(state_on_attach({}, now, fencing::dont_care).negotiate);
}

void flags_follow_the_state(void**) {
    volume_state now;
    now.role = role::primary;
    now.connection = connection::connected;
    now.disk = disk::up_to_date;
    now.peer_disk = disk::up_to_date;
    assert_int_equal(pack(flags_to_store(now, unpack_flags(0x80), false)), 0x17);
    assert_int_equal(pack(flags_to_store(now, unpack_flags(0x88), true)), 0x5f);
    now.connection = connection::wf_connection;
    now.peer_disk = disk::outdated;
    assert_int_equal(pack(flags_to_store(now, {}, false)), 0x33);
    now.role = role::secondary;
    now.disk = disk::outdated;
    now.peer_disk = disk::unknown;
    assert_int_equal(pack(flags_to_store(now, {}, false)), 0x01);
    now.disk = disk::inconsistent;
    assert_int_equal(pack(flags_to_store(now, {}, false)), 0x00);
}

void the_disk_of_a_diskless_primary_carries_its_mark(void**) {
    volume_state now;
    now.peer_role = role::primary;
    now.connection = connection::connected;
    now.disk = disk::up_to_date;
    now.peer_disk = disk::diskless;
    assert_true(flags_to_store(now, {}, false).primary);
    now.peer_disk = disk::up_to_date;
    assert_false(flags_to_store(now, {}, false).primary);
}

void a_detach_keeps_the_flags(void**) {
    volume_state now;
    now.role = role::primary;
    for (const disk gone : {disk::diskless, disk::failed, disk::attaching, disk::negotiating}) {
        now.disk = gone;
        assert_int_equal(pack(flags_to_store(now, unpack_flags(0x1a5), true)), 0x1a5);
    }
}

void what_is_stored_comes_back_on_attach(void**) {
    for (const disk own : {disk::inconsistent, disk::outdated, disk::consistent}) {
        for (const disk peer : {disk::unknown, disk::outdated}) {
            volume_state now;
            now.disk = own;
            now.peer_disk = peer;
            const metadata_flags stored = flags_to_store(now, {}, false);
            const attached back = state_on_attach(stored, attaching(), fencing::resource_only);
            const bool proven = own == disk::consistent && peer == disk::outdated;
            assert_int_equal(back.disk, proven ? disk::up_to_date : own);
            assert_int_equal(back.peer_disk, peer);
        }
    }
}

void a_crash_is_settled_when_both_are_up_to_date(void**) {
    volume_state before;
    before.disk = disk::up_to_date;
    before.peer_disk = disk::inconsistent;
    volume_state after = before;
    assert_false(settles_crash(before, after));
    after.peer_disk = disk::up_to_date;
    assert_true(settles_crash(before, after));
    assert_false(settles_crash(after, after));
}

void another_generation_is_not_put_under_a_primary(void**) {
    volume_state now = attaching();
    now.role = role::primary;
    assert_false(may_attach_generation(now, 0x11, 0x20));
    assert_true(may_attach_generation(now, 0x11, 0x10));
    assert_true(may_attach_generation(now, 0, 0x20));
    now.peer_disk = disk::up_to_date; // a resync will bring it up to date
    assert_true(may_attach_generation(now, 0x11, 0x20));
    now.peer_disk = disk::unknown;
    now.role = role::secondary;
    assert_true(may_attach_generation(now, 0x11, 0x20));
    now.peer_role = role::primary;
    assert_false(may_attach_generation(now, 0x11, 0x20));
}

void a_disk_of_another_generation_than_the_peers_is_not_current_alone(void**) {
    constexpr std::uint64_t presented = 0x1111'1110;
    constexpr std::uint64_t other = 0x2222'2220;
    assert_int_equal(worth_alone(disk::up_to_date, presented, other), disk::outdated);
    assert_int_equal(worth_alone(disk::inconsistent, presented, other), disk::inconsistent);
    assert_int_equal(worth_alone(disk::up_to_date, presented, presented | 1U), disk::up_to_date);
    assert_int_equal(worth_alone(disk::consistent, 0, other), disk::consistent);
}

void a_diskless_primary_takes_only_a_peer_with_its_generation(void**) {
    volume_state now;
    now.role = role::primary;
    now.connection = connection::wf_report_params;
    assert_false(may_connect_generation(now, 0x11, 0x20));
    assert_true(may_connect_generation(now, 0x11, 0x10));
    assert_true(may_connect_generation(now, 0, 0x20)); // it has presented none
    now.disk = disk::up_to_date;
    assert_true(may_connect_generation(now, 0x11, 0x20));
    now.disk = disk::diskless;
    now.role = role::secondary;
    assert_true(may_connect_generation(now, 0x11, 0x20));
    now.role = role::primary;
    now.connection = connection::connected;
    now.peer_disk = disk::up_to_date;
    assert_true(may_connect_generation(now, 0x11, 0x20));
}

void the_presented_generation_follows_the_data_in_use(void**) {
    volume_state now;
    now.connection = connection::connected;
    assert_int_equal(presented_after_uuids(now, 0x11, 0x20), 0x20);
    assert_int_equal(presented_after_uuids(now, 0, 0x20), 0x20);
    assert_int_equal(presented_after_uuids(now, 0, uuid_just_created), 0);
    assert_int_equal(presented_after_uuids(now, 0x11, uuid_just_created), uuid_just_created);
    now.connection = connection::wf_report_params;
    assert_int_equal(presented_after_uuids(now, 0x11, 0x20), 0x11);
    now.role = role::primary; // it depends on the peer's data as soon as it hears of them
    assert_int_equal(presented_after_uuids(now, 0x11, 0x20), 0x20);
    now.disk = disk::up_to_date;
    assert_int_equal(presented_after_uuids(now, 0x11, 0x20), 0x11);
    volume_state better = now;
    now.disk = disk::inconsistent;
    assert_int_equal(presented_after_change(now, better, 0x11, 0x30), 0x30);
    assert_int_equal(presented_after_change(better, better, 0x11, 0x30), 0x11);
    now = {};
    now.connection = connection::connected;
    volume_state promoted = now;
    promoted.role = role::primary;
    assert_int_equal(presented_after_promotion(now, promoted, 0x11, 0x20), 0x20);
    assert_int_equal(presented_after_promotion(promoted, promoted, 0x11, 0x20), 0x11);
    promoted.disk = disk::up_to_date;
    assert_int_equal(presented_after_promotion(now, promoted, 0x11, 0x20), 0x11);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(flags_have_their_bits),
        cmocka_unit_test(a_fresh_disk_is_inconsistent),
        cmocka_unit_test(a_consistent_disk_is_up_to_date_where_nobody_can_be_ahead),
        cmocka_unit_test(a_disk_that_was_primary_is_a_crashed_primary),
        cmocka_unit_test(a_bitmap_that_cannot_be_believed_is_set_all),
        cmocka_unit_test(a_disk_attached_while_connected_negotiates),
        cmocka_unit_test(flags_follow_the_state),
        cmocka_unit_test(the_disk_of_a_diskless_primary_carries_its_mark),
        cmocka_unit_test(a_detach_keeps_the_flags),
        cmocka_unit_test(what_is_stored_comes_back_on_attach),
        cmocka_unit_test(a_crash_is_settled_when_both_are_up_to_date),
        cmocka_unit_test(another_generation_is_not_put_under_a_primary),
        cmocka_unit_test(a_disk_of_another_generation_than_the_peers_is_not_current_alone),
        cmocka_unit_test(a_diskless_primary_takes_only_a_peer_with_its_generation),
        cmocka_unit_test(the_presented_generation_follows_the_data_in_use),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
