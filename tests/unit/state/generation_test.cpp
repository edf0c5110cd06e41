// The rotations of the generation identifiers, and when a new generation is made.
#include "kernel/state/generation.hpp"

#include <array>
#include <string>

#include "unit/cmocka.hpp"

using namespace lockstep::state;

namespace {

constexpr std::uint64_t a = 0xa000'0000'0000'0010;
constexpr std::uint64_t b = 0xb000'0000'0000'0020;
constexpr std::uint64_t c = 0xc000'0000'0000'0030;
constexpr std::uint64_t d = 0xd000'0000'0000'0040;
constexpr std::uint64_t random_number = 0x7777'0000'0000'0001;

volume_state connected_pair(role own, role peer) {
    volume_state at;
    at.role = own;
    at.peer_role = peer;
    at.connection = connection::connected;
    at.disk = disk::up_to_date;
    at.peer_disk = disk::up_to_date;
    return at;
}

volume_state with_peer_disk(volume_state at, disk peer) {
    at.peer_disk = peer;
    return at;
}

void a_new_generation_is_based_on_the_old_one(void**) {
    const generation next = new_current({a | 1, 0, {c, d}}, random_number, role::primary);
    assert_true((next == generation{random_number, a | 1, {c, d}}));
    const generation secondary = new_current({a, 0, {c, d}}, random_number, role::secondary);
    assert_int_equal(secondary.current, random_number & ~1ULL);
}

void a_base_that_is_overwritten_goes_into_the_history(void**) {
    const generation next = new_current({a, b, {c, d}}, random_number, role::primary);
    assert_true((next == generation{random_number, a, {b, c}}));
}

void an_admins_new_generation_keeps_its_base_unless_it_skips_the_initial_sync(void**) {
    const generation fresh;
    const generation skipped = new_current_by_admin(fresh, random_number, role::secondary, true);
    assert_true((skipped == generation{random_number - 1, 0, {0, 0}}));
    const generation alone =
        new_current_by_admin({a, b, {c, 0}}, random_number, role::secondary, false);
    assert_true((alone == generation{random_number - 1, a, {b, c}}));
}

void the_initial_sync_is_skipped_only_by_a_fresh_connected_disk(void**) {
    const volume_state now = connected_pair(role::secondary, role::secondary);
    const generation fresh;
    assert_true(may_skip_initial_sync(now, fresh, 90, true));
    assert_false(may_skip_initial_sync(now, fresh, 89, true));
    assert_false(may_skip_initial_sync(now, fresh, 101, false));
    assert_false(may_skip_initial_sync(now, {a, 0, {0, 0}}, 101, true));
    volume_state handshaking = now;
    handshaking.connection = connection::wf_report_params;
    assert_false(may_skip_initial_sync(handshaking, fresh, 101, true));
    assert_true(
        (accept_skipped_sync({4, 0, {c, 0}}, a | 1, role::secondary) == generation{a, 0, {c, 0}}));
}

void the_identifier_of_a_sync_is_derived_from_the_base(void**) {
    const sync_start start = start_sync_source({a, b, {c, d}}, random_number);
    assert_int_equal(start.sync_uuid, b + 0x0001'0000'0000'0000);
    assert_true((start.own == generation{a, start.sync_uuid, {b, c}}));
}

void without_a_base_the_identifier_of_a_sync_is_random(void**) {
    assert_int_equal(start_sync_source({a, 0, {c, d}}, random_number).sync_uuid, random_number);
    const sync_start first = start_sync_source({a, uuid_just_created, {0, 0}}, random_number);
    assert_true((first.own == generation{a, random_number, {uuid_just_created, 0}}));
}

void after_a_sync_both_nodes_have_the_same_identifiers(void**) {
    const std::array<generation, 3> sources = {generation{a | 1, b, {c, d}},
                                               generation{a | 1, 0, {c, d}},
                                               generation{a | 1, uuid_just_created, {0, 0}}};
    for (const generation& source : sources) {
        const sync_start start = start_sync_source(source, random_number);
        const generation during = adopt_sync_uuid({b, 0, {c, d}}, start.sync_uuid, role::secondary);
        assert_int_equal(identity(during.current), identity(start.sync_uuid));
        assert_int_equal(during.bitmap, 0);
        const generation end_source = finish_sync_source(start.own);
        const generation end_target = finish_sync_target(during, source, role::secondary);
        assert_int_equal(identity(end_source.current), identity(end_target.current));
        assert_int_equal(end_source.bitmap, 0);
        assert_int_equal(end_target.bitmap, 0);
        assert_int_equal(identity(end_source.history[0]), identity(end_target.history[0]));
        assert_int_equal(end_source.history[1], end_target.history[1]);
        assert_int_equal(end_target.current & 1U, 0);
    }
}

void the_lowest_bit_follows_the_role(void**) {
    assert_int_equal(with_role({a, b, {c, d}}, role::primary).current, a | 1);
    assert_int_equal(with_role({a | 1, b, {c, d}}, role::secondary).current, a);
}

void losing_the_peers_data_is_recognised(void**) {
    using d_ = disk;
    for (const disk had : {d_::inconsistent, d_::consistent, d_::up_to_date}) {
        for (const disk has : {d_::diskless, d_::failed, d_::unknown, d_::outdated}) {
            assert_true(lost_peer_data(had, has));
        }
        assert_false(lost_peer_data(had, d_::up_to_date));
        assert_false(lost_peer_data(had, d_::inconsistent));
    }
    assert_false(lost_peer_data(d_::outdated, d_::unknown));
    assert_false(lost_peer_data(d_::diskless, d_::failed));
    assert_true(lost_peer_data(d_::unknown, d_::diskless));
    assert_true(lost_peer_data(d_::unknown, d_::outdated));
    assert_false(lost_peer_data(d_::unknown, d_::up_to_date));
}

void a_primary_that_loses_the_peers_data_makes_a_new_generation(void**) {
    const volume_state before = connected_pair(role::primary, role::secondary);
    volume_state after = with_peer_disk(before, disk::unknown);
    const generation own = {a, 0, {c, d}};
    assert_int_equal(generation_after(before, after, own), new_generation::now);
    // One is enough until the next sync.
    assert_int_equal(generation_after(before, after, {a, b, {c, d}}), new_generation::no);
    after.suspended_fencing = true;
    assert_int_equal(generation_after(before, after, own), new_generation::now); // it has no disk
    after.connection = connection::timeout;
    assert_int_equal(generation_after(before, after, own), new_generation::when_resumed);
    after.disk = disk::inconsistent;
    assert_int_equal(generation_after(before, after, own), new_generation::no);
}

void two_secondaries_that_part_stay_of_one_generation(void**) {
    const volume_state before = connected_pair(role::secondary, role::secondary);
    assert_int_equal(
        generation_after(before, with_peer_disk(before, disk::unknown), {a, 0, {c, d}}),
        new_generation::no);
}

void a_secondary_makes_the_generation_of_its_diskless_primary(void**) {
    const generation own = {a, 0, {c, d}};
    const volume_state before = connected_pair(role::secondary, role::primary);
    assert_int_equal(generation_after(before, with_peer_disk(before, disk::failed), own),
                     new_generation::now);
    volume_state diskless =
        with_peer_disk(connected_pair(role::secondary, role::secondary), disk::diskless);
    volume_state promoted = diskless;
    promoted.peer_role = role::primary;
    assert_int_equal(generation_after(diskless, promoted, own), new_generation::now);
    assert_int_equal(generation_after(promoted, promoted, own), new_generation::no);
}

// Until it has agreed to our data: it may have refused them, and go on with others.
void a_diskless_primary_that_connects_makes_no_generation_yet(void**) {
    const generation own = {a, 0, {c, d}};
    const volume_state after =
        with_peer_disk(connected_pair(role::secondary, role::primary), disk::diskless);
    volume_state before = after;
    before.connection = connection::wf_report_params;
    before.peer_role = role::unknown;
    before.peer_disk = disk::unknown;
    assert_true(diskless_primary_connects(before, after));
    assert_int_equal(generation_after(before, after, own), new_generation::no);
    assert_true(peer_begins_to_write(after, own));
    assert_false(peer_begins_to_write(after, {a, b, {c, d}}));
    assert_false(diskless_primary_connects(after, after));
    volume_state two_primaries = after;
    two_primaries.role = role::primary;
    assert_int_equal(generation_after(before, two_primaries, own), new_generation::now);
}

// Both were without a disk: whichever is attached first is the only copy that follows the Primary.
void a_disk_attached_under_a_primary_without_peer_makes_a_generation(void**) {
    const generation own = {a, 0, {c, d}};
    volume_state before = connected_pair(role::primary, role::unknown);
    before.connection = connection::wf_connection;
    before.peer_disk = disk::unknown;
    volume_state after = before;
    before.disk = disk::attaching;
    assert_int_equal(generation_after(before, after, own), new_generation::now);
    after.suspended_no_data = true;
    assert_int_equal(generation_after(before, after, own), new_generation::when_resumed);
    after.suspended_no_data = false;
    after.role = role::secondary;
    assert_int_equal(generation_after(before, after, own), new_generation::no);
    after = connected_pair(role::secondary, role::primary);
    before.connection = connection::connected;
    before.disk = disk::negotiating;
    before.peer_role = role::primary;
    assert_int_equal(generation_after(before, with_peer_disk(after, disk::diskless), own),
                     new_generation::now);
    assert_int_equal(generation_after(before, after, own), new_generation::no);
}

void promotion_makes_a_generation_if_the_peer_does_not_follow(void**) {
    const generation own = {a, 0, {c, d}};
    volume_state after = connected_pair(role::primary, role::secondary);
    assert_false(promotion_makes_generation(after, own, false));
    assert_true(promotion_makes_generation(after, own, true));
    assert_true(promotion_makes_generation(with_peer_disk(after, disk::diskless), own, false));
    after.connection = connection::wf_connection;
    assert_true(promotion_makes_generation(after, own, false));
    assert_false(promotion_makes_generation(after, {a, b, {c, d}}, false));
    assert_true(promotion_makes_generation(after, {a, b, {c, d}}, true));
}

void identifiers_are_written_as_drbd_logs_them(void**) {
    const generation_text shown = text({0xCA956E6342E1225F, 4, {0, 0x1b8930a6}});
    assert_string_equal(std::string(shown.view()).c_str(),
                        "CA956E6342E1225F:0000000000000004:0000000000000000:000000001B8930A6");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_new_generation_is_based_on_the_old_one),
        cmocka_unit_test(a_base_that_is_overwritten_goes_into_the_history),
        cmocka_unit_test(an_admins_new_generation_keeps_its_base_unless_it_skips_the_initial_sync),
        cmocka_unit_test(the_initial_sync_is_skipped_only_by_a_fresh_connected_disk),
        cmocka_unit_test(the_identifier_of_a_sync_is_derived_from_the_base),
        cmocka_unit_test(without_a_base_the_identifier_of_a_sync_is_random),
        cmocka_unit_test(after_a_sync_both_nodes_have_the_same_identifiers),
        cmocka_unit_test(the_lowest_bit_follows_the_role),
        cmocka_unit_test(losing_the_peers_data_is_recognised),
        cmocka_unit_test(a_primary_that_loses_the_peers_data_makes_a_new_generation),
        cmocka_unit_test(two_secondaries_that_part_stay_of_one_generation),
        cmocka_unit_test(a_secondary_makes_the_generation_of_its_diskless_primary),
        cmocka_unit_test(a_diskless_primary_that_connects_makes_no_generation_yet),
        cmocka_unit_test(a_disk_attached_under_a_primary_without_peer_makes_a_generation),
        cmocka_unit_test(promotion_makes_a_generation_if_the_peer_does_not_follow),
        cmocka_unit_test(identifiers_are_written_as_drbd_logs_them),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
