// wait-connect and wait-sync against engines that are played: when they end, and with which exit
// code.
#include <cstddef>
#include <string>
#include <thread>

#include "unit/drbdsetup/played_run.hpp"

#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::drbdsetup;
namespace samples = control::samples;

namespace {

void wait_connect_ends_when_connected(void**) {
    const scratch_runtime runtime;
    control::snapshot state = resource();
    samples::set_connection(state, state::connection::wf_connection);
    fake_engine engine(runtime, state);
    std::thread later([&] {
        // It has seen that they are not connected, and hears of the change.
        std::size_t watchers = 0;
        while (watchers == 0) {
            engine.in_loop([&](control::server& clients, control::snapshot&) {
                watchers = clients.watchers();
            });
        }
        engine.change(
            [](auto& now) { samples::set_connection(now, state::connection::connected); });
    });
    const end got = run(runtime, {"wait-connect", minor_word});
    later.join();
    assert_int_equal(got.code, 0);
}

void wait_connect_gives_up_after_its_time_with_exit_5(void**) {
    const scratch_runtime runtime;
    control::snapshot state = resource();
    samples::set_connection(state, state::connection::wf_connection);
    const fake_engine engine(runtime, state);
    assert_int_equal(run(runtime, {"wait-connect", minor_word, "-t", "1"}).code, 5);
}

void a_peer_that_is_outdated_is_waited_for_a_shorter_time(void**) {
    const scratch_runtime runtime;
    control::snapshot state = resource();
    samples::set_connection(state, state::connection::wf_connection);
    state.volumes[0].state.peer_disk = state::disk::outdated;
    const fake_engine engine(runtime, state);
    const end got = run(runtime, {"wait-connect", minor_word, "-t", "250", "-d", "200", "-o", "1"});
    assert_int_equal(got.code, 5);
    assert_true(got.errors.empty());
}

void a_node_that_was_alone_before_waits_a_shorter_time(void**) {
    const scratch_runtime runtime;
    control::snapshot state = resource();
    samples::set_connection(state, state::connection::wf_connection);
    state.volumes[0].was_degraded = true;
    const fake_engine engine(runtime, state);
    const end got = run(runtime, {"wait-connect", minor_word, "-t", "250", "-d", "1", "-o", "1"});
    assert_int_equal(got.code, 5);
    assert_true(got.errors.empty());
}

void longer_special_timeouts_are_cut_with_a_word(void**) {
    const scratch_runtime runtime;
    control::snapshot state = resource();
    samples::set_connection(state, state::connection::wf_connection);
    const fake_engine engine(runtime, state);
    const end got = run(runtime, {"wait-connect", minor_word, "-t", "1", "-d", "2", "-o", "3"});
    assert_int_equal(got.code, 5);
    assert_true(contains(got.errors, "degr-wfc-timeout implicitly set to wfc-timeout (1s)"));
    assert_true(
        contains(got.errors, "outdated-wfc-timeout implicitly set to degr-wfc-timeout (1s)"));
}

void without_a_connection_nobody_waits_unless_told_to(void**) {
    const scratch_runtime runtime;
    control::snapshot state = resource();
    samples::set_connection(state, state::connection::standalone);
    const fake_engine engine(runtime, state);
    assert_int_equal(run(runtime, {"wait-connect", minor_word}).code, 0);
    const end got = run(runtime, {"wait-connect", minor_word, "-t", "1", "--wait-after-sb"});
    assert_int_equal(got.code, 5);
    assert_true(contains(got.errors, "drbd900123 (r0[0]) is StandAlone, but I'm configured to"));
}

void wait_sync_waits_for_the_end_of_the_sync(void**) {
    const scratch_runtime runtime;
    control::snapshot state = resource();
    samples::set_connection(state, state::connection::sync_target);
    fake_engine engine(runtime, state);
    assert_int_equal(run(runtime, {"wait-sync", minor_word, "-t", "1"}).code, 5);
    engine.change([](auto& now) { samples::set_connection(now, state::connection::connected); });
    assert_int_equal(run(runtime, {"wait-sync", minor_word, "-t", "60"}).code, 0);
}

void a_timeout_out_of_range_is_refused(void**) {
    const scratch_runtime runtime;
    const fake_engine engine(runtime, resource());
    const end got = run(runtime, {"wait-connect", minor_word, "-t", "300001"});
    assert_int_equal(got.code, 20);
    assert_true(contains(got.errors, "wfc_timeout => 300001 out of range [0..300000]"));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(wait_connect_ends_when_connected),
        cmocka_unit_test(wait_connect_gives_up_after_its_time_with_exit_5),
        cmocka_unit_test(a_peer_that_is_outdated_is_waited_for_a_shorter_time),
        cmocka_unit_test(a_node_that_was_alone_before_waits_a_shorter_time),
        cmocka_unit_test(longer_special_timeouts_are_cut_with_a_word),
        cmocka_unit_test(without_a_connection_nobody_waits_unless_told_to),
        cmocka_unit_test(wait_sync_waits_for_the_end_of_the_sync),
        cmocka_unit_test(a_timeout_out_of_range_is_refused),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
