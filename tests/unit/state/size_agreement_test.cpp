// The agreement of two nodes on the size of the device.
#include "kernel/state/size_agreement.hpp"

#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::state;

namespace {

// Sizes in sectors.

size_facts disks(std::uint64_t own, std::uint64_t peer, std::uint64_t agreed,
                 std::uint64_t user = 0) {
    return {own, peer, agreed, user, false};
}

void the_device_is_as_large_as_both_disks_allow(void**) {
    assert_int_equal(agreed_size(disks(1000, 800, 500)), 800);
    assert_int_equal(agreed_size(disks(800, 1000, 500, 600)), 600);
    assert_int_equal(agreed_size(disks(800, 1000, 500, 900)), 800);
}

void without_the_peer_the_device_does_not_grow(void**) {
    assert_int_equal(agreed_size(disks(1000, 0, 500)), 500);
    assert_int_equal(agreed_size(disks(400, 0, 500)), 400);
    assert_int_equal(agreed_size(disks(0, 400, 500)), 400);
    assert_int_equal(agreed_size(disks(1000, 0, 0)), 1000);
    assert_int_equal(agreed_size(disks(0, 0, 0)), 0);
    size_facts forced = disks(1000, 0, 500);
    forced.assume_peer_has_space = true;
    assert_int_equal(agreed_size(forced), 1000);
}

void attach_refuses_a_disk_that_is_too_small(void**) {
    assert_int_equal(check_attach_size(disks(1000, 0, 500), 500, true), size_error::none);
    assert_int_equal(check_attach_size(disks(1000, 0, 0, 2000), 0, false),
                     size_error::disk_too_small);
    assert_int_equal(check_attach_size(disks(1000, 0, 500), 1200, true),
                     size_error::disk_too_small);
    assert_int_equal(check_attach_size(disks(400, 0, 500), 0, true), size_error::implicit_shrink);
    assert_int_equal(check_attach_size(disks(400, 0, 500), 0, false), size_error::none);
    assert_int_equal(check_attach_size(disks(1000, 0, 500, 300), 0, true), size_error::none);
}

void resize_is_checked_before_anything_changes(void**) {
    volume_state now;
    now.role = role::primary;
    now.peer_role = role::secondary;
    now.connection = connection::connected;
    const size_facts bigger = disks(1000, 1000, 500);
    assert_int_equal(check_resize(now, bigger, {}, 101), size_error::none);
    assert_int_equal(check_resize(now, disks(400, 400, 500), {}, 101), size_error::implicit_shrink);
    assert_int_equal(check_resize(now, disks(400, 400, 500, 450), {}, 101),
                     size_error::metadata_does_not_fit);
    assert_int_equal(check_resize(now, disks(400, 400, 500, 300), {}, 101), size_error::none);
    assert_int_equal(check_resize(now, bigger, {true}, 92), size_error::needs_protocol_93);
    now.role = role::secondary;
    assert_int_equal(check_resize(now, bigger, {}, 101), size_error::no_primary);
    now.connection = connection::sync_source;
    assert_int_equal(check_resize(now, bigger, {}, 101), size_error::resize_during_resync);
}

void every_size_error_is_said_with_a_way_out(void**) {
    for (const int code : {111, 130, 131, 153, 169, 170}) {
        assert_false(text(static_cast<size_error>(code)).empty());
        assert_false(remedy(static_cast<size_error>(code)).empty());
    }
    for (const sizes_refusal value :
         {sizes_refusal::peer_disk_too_small, sizes_refusal::device_would_shrink}) {
        assert_false(text(value).empty());
        assert_false(remedy(value).empty());
    }
}

sizes_situation connecting(std::uint64_t own, std::uint64_t device) {
    sizes_situation at;
    at.now.connection = connection::wf_report_params;
    at.now.disk = disk::up_to_date;
    at.own = disks(own, 0, device);
    at.device = device;
    return at;
}

void connecting_never_cuts_off_usable_data(void**) {
    sizes_situation at = connecting(1000, 900);
    assert_int_equal(on_sizes(at, {800, 0, 800}).refusal, sizes_refusal::peer_disk_too_small);
    at.now.disk = disk::inconsistent;
    assert_int_equal(on_sizes(at, {800, 0, 800}).device, 800);
    at.now.disk = disk::up_to_date;
    const sizes_decision fine = on_sizes(at, {950, 0, 900});
    assert_int_equal(fine.refusal, sizes_refusal::none);
    assert_int_equal(fine.device, 950);
    assert_false(fine.reply);
}

void connecting_takes_the_smaller_option_size(void**) {
    sizes_situation at = connecting(1000, 0);
    at.own.user = 700;
    assert_int_equal(on_sizes(at, {900, 600, 0}).user, 600);
    assert_int_equal(on_sizes(at, {900, 0, 0}).device, 700);
    at.now.connection = connection::connected;
    at.now.peer_disk = disk::up_to_date;
    assert_int_equal(on_sizes(at, {900, 0, 900}).user, 0);
}

void a_connected_pair_grows_and_resyncs_the_new_part(void**) {
    sizes_situation at = connecting(1000, 500);
    at.now.connection = connection::connected;
    at.now.peer_disk = disk::up_to_date;
    const sizes_decision grown = on_sizes(at, {800, 0, 0});
    assert_int_equal(grown.device, 800);
    assert_true(grown.reply);
    assert_true(grown.resync_new_part);
    sizes_report clean = {800, 0, 0, false, true};
    assert_false(on_sizes(at, clean).resync_new_part);
    at.now.peer_disk = disk::diskless;
    assert_true(on_sizes(at, {800, 0, 0}).resync_later);
    at.now.peer_disk = disk::up_to_date;
    at.own.last_agreed = at.device = 800;
    assert_false(on_sizes(at, {800, 0, 800}).resync_new_part);
    at.resize_pending = true;
    assert_true(on_sizes(at, {800, 0, 800}).resync_new_part);
    // The first agreement ever is no growth.
    at.resize_pending = false;
    at.own.last_agreed = at.device = 0;
    assert_false(on_sizes(at, {800, 0, 800}).resync_new_part);
}

void a_lasting_difference_is_answered_once(void**) {
    sizes_situation at = connecting(1000, 500);
    at.now.connection = connection::connected;
    at.now.peer_disk = disk::up_to_date;
    at.own.user = 500;
    const sizes_report report = {1000, 500, 600};
    assert_true(on_sizes(at, report).reply);
    at.last_sent = 500;
    at.last_received = 600;
    assert_false(on_sizes(at, report).reply);
    assert_true(on_sizes(at, {1000, 500, 0}).reply);
    assert_true(on_sizes(at, {1000, 500, 700}).reply);
}

void a_forced_size_without_a_peers_disk_is_believed_while_connecting(void**) {
    sizes_situation at = connecting(1000, 500);
    assert_int_equal(on_sizes(at, {0, 0, 500, false}).device, 500);
    assert_int_equal(on_sizes(at, {0, 0, 500, true}).device, 1000);
    at.now.connection = connection::connected;
    at.now.peer_disk = disk::up_to_date;
    assert_int_equal(on_sizes(at, {0, 0, 500, true}).device, 500);
}

void a_diskless_node_takes_the_peers_current_size(void**) {
    sizes_situation at;
    at.now.connection = connection::wf_report_params;
    assert_int_equal(on_sizes(at, {1000, 0, 500}).device, 500);
    assert_int_equal(on_sizes(at, {1000, 700, 0}).device, 700);
    assert_int_equal(on_sizes(at, {1000, 0, 0}).device, 1000);
    at.device = 600;
    assert_int_equal(on_sizes(at, {0, 0, 500}).device, 600); // the peer has no disk either
    at.now.connection = connection::connected;
    assert_int_equal(on_sizes(at, {1000, 0, 0}).device, 600); // a question, not its size
    assert_true(on_sizes(at, {1000, 0, 0}).reply);
    at.now.role = role::primary;
    assert_int_equal(on_sizes(at, {1000, 0, 500}).refusal, sizes_refusal::device_would_shrink);
    assert_int_equal(on_sizes(at, {1000, 0, 700}).device, 700);
}

void the_primary_is_source_of_a_grown_part(void**) {
    volume_state now;
    now.role = role::primary;
    now.peer_role = role::secondary;
    assert_true(is_source_after_grow(now, false));
    assert_false(is_source_after_grow(mirrored(now), true));
    now.peer_role = role::primary;
    assert_true(is_source_after_grow(now, true));
    assert_false(is_source_after_grow(now, false));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(the_device_is_as_large_as_both_disks_allow),
        cmocka_unit_test(without_the_peer_the_device_does_not_grow),
        cmocka_unit_test(attach_refuses_a_disk_that_is_too_small),
        cmocka_unit_test(resize_is_checked_before_anything_changes),
        cmocka_unit_test(every_size_error_is_said_with_a_way_out),
        cmocka_unit_test(connecting_never_cuts_off_usable_data),
        cmocka_unit_test(connecting_takes_the_smaller_option_size),
        cmocka_unit_test(a_connected_pair_grows_and_resyncs_the_new_part),
        cmocka_unit_test(a_lasting_difference_is_answered_once),
        cmocka_unit_test(a_forced_size_without_a_peers_disk_is_believed_while_connecting),
        cmocka_unit_test(a_diskless_node_takes_the_peers_current_size),
        cmocka_unit_test(the_primary_is_source_of_a_grown_part),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
