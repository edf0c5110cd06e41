// fence-peer: when it is asked about a lost link, what its answers do, and what makes an answer
// void.
#include "fenced_pair.hpp"

namespace {

using namespace lockstep;
using simulation::fenced_pair;
using simulation::fencing_settings;
using simulation::second;
using simulation::stonith;
using state::disk;
using state::role;

void a_lost_link_freezes_until_3_4_5_or_7(void**) {
    for (const int code : {3, 4, 5, 7}) {
        fenced_pair it;
        it.handler_hangs(it.a, "fence-peer");
        it.lose_link();
        it.wait_called(it.a, "fence-peer");
        it.expect(it.asked_for("fence-peer", "peer-lost"), "the reason is given");
        it.write_frozen();
        it.nodes[it.a]->end_helper(it.last_call(it.a).id, code);
        it.wait_quiet();
        it.expect(!it.frozen(), "the answer ends the freeze");
        assert_int_equal(it.peer_disk_of(it.a), code == 3 ? disk::inconsistent : disk::outdated);
        assert_int_equal(it.writes_failed, 0);
        it.net.faults.cut = false;
        it.converge();
    }
}

void a_broken_handler_leaves_frozen_what_is_frozen(void**) {
    for (const int code : {0, 1, 2, 6, 8, 20, 124, 255}) {
        fenced_pair it;
        it.handler_exits(it.a, "fence-peer", code);
        it.lose_link();
        it.write_frozen();
        assert_int_equal(it.peer_disk_of(it.a), disk::unknown);
        assert_int_equal(it.disk_of(it.a), disk::up_to_date);
        if (code % 2 == 0) {
            it.resume_io();
        } else {
            it.net.faults.cut = false; // the connection is the answer
        }
        it.wait_quiet();
        it.expect(!it.frozen(), "thawed");
        assert_int_equal(it.called(it.a, "fence-peer"), 1);
        it.net.faults.cut = false;
        it.converge();
    }
}

// It can't become Outdated while Primary: it is demoted, and what was frozen is not kept.
void exit_6_keeps_a_primary_frozen_until_it_is_demoted(void**) {
    for (const bool disk_lost : {false, true}) {
        fenced_pair it;
        it.handler_exits(it.a, "fence-peer", 6);
        if (disk_lost) {
            it.break_writes(it.b);
        } else {
            it.lose_link();
        }
        for (std::uint64_t block = 0; block < 40; ++block) {
            it.write(it.a, 0, 8 * block, 16); // they overlap
        }
        it.run_for(20 * second);
        it.expect(it.frozen() && !it.quiet(), "held");
        assert_int_equal(it.writes_failed, 0);
        it.nodes[it.a]->device_in_use = true;
        it.expect(!it.secondary(it.a), "refused while in use");
        assert_int_equal(it.writes_failed, 0);
        it.nodes[it.a]->device_in_use = false;
        it.expect(it.secondary(it.a), "demoted");
        it.expect(it.quiet() && it.writes_failed >= 39, "what was frozen ends with errors");
        assert_int_equal(it.nodes[it.a]->status().role, role::secondary);
        it.break_writes(it.b, false);
        it.net.faults.cut = false;
        it.expect(it.attach(it.b), "attached again");
        it.converge();
    }
}

void resource_only_asks_without_freezing(void**) {
    fenced_pair it(options::fencing::resource_only);
    it.handler_hangs(it.a, "fence-peer");
    it.lose_link();
    it.wait_called(it.a, "fence-peer");
    it.write(it.a, 0, 0, 8);
    it.wait_quiet();
    assert_int_equal(it.peer_disk_of(it.a), disk::unknown);
    it.nodes[it.a]->end_helper(it.last_call(it.a).id, 4);
    it.wait([&] { return it.peer_disk_of(it.a) == disk::outdated; }, "the peer counts as Outdated");
    it.net.faults.cut = false;
    it.converge();
}

void dont_care_asks_nobody_and_goes_on_with_a_new_generation(void**) {
    fenced_pair it(options::fencing::dont_care);
    const auto before = it.volume(it.a).current_uuid;
    it.lose_link();
    assert_int_not_equal(it.volume(it.a).current_uuid, before);
    it.write(it.a, 0, 0, 8);
    it.wait_quiet();
    assert_int_equal(it.called(it.a, "fence-peer"), 0);
    it.net.faults.cut = false;
    it.converge();
}

void the_handler_may_wait_as_long_as_the_link_is_down(void**) {
    fenced_pair it;
    it.handler_hangs(it.a, "fence-peer");
    it.lose_link();
    it.run_for(7200 * second);
    it.expect(it.frozen(), "still asking");
    assert_int_equal(it.called(it.a, "fence-peer"), 1);
    it.nodes[it.a]->end_helper(it.last_call(it.a).id, 7);
    it.wait([&] { return !it.frozen(); }, "answered");
    it.net.faults.cut = false;
    it.converge();
}

void an_answer_for_an_earlier_connection_is_dropped_and_the_new_loss_asked_about(void**) {
    fenced_pair it;
    it.handler_hangs(it.a, "fence-peer");
    it.lose_link();
    it.wait_called(it.a, "fence-peer");
    const auto first = it.last_call(it.a).id;
    it.net.faults.cut = false;
    it.converge();
    it.lose_link();
    it.wait_called(it.a, "fence-peer", 2);
    const auto second_call = it.last_call(it.a).id;
    it.write(it.a, 0, 0, 8);
    it.nodes[it.a]->end_helper(first, 4);
    it.run_for(5 * second);
    it.expect(it.frozen() && !it.quiet(), "the old answer does not count");
    assert_int_equal(it.peer_disk_of(it.a), disk::unknown);
    it.nodes[it.a]->end_helper(second_call, 4);
    it.wait_quiet();
    assert_int_equal(it.peer_disk_of(it.a), disk::outdated);
}

void a_handler_whose_question_is_void_gets_the_time_limit_of_all(void**) {
    fenced_pair it;
    bool told = false;
    it.handler_hangs(it.a, "fence-peer");
    it.nodes[it.a]->on_log = [&](unsigned, std::string_view text) {
        told |= text.find("exit code 124") != std::string_view::npos;
    };
    it.lose_link();
    it.net.faults.cut = false;
    it.converge();
    it.run_for(200 * second);
    it.expect(!told, "not yet");
    it.run_for(200 * second);
    it.expect(told, "ended, and logged");
    it.expect(!it.frozen(), "it concerns nobody");
}

void a_waiting_handler_blocks_no_command(void**) {
    fenced_pair it;
    it.handler_hangs(it.a, "fence-peer");
    it.lose_link();
    it.wait_called(it.a, "fence-peer");
    it.write_frozen();
    auto& machine = it.nodes[it.a]->machine();
    using replica::on_outcome;
    const auto ends = [&](const std::function<void(on_outcome)>& command) {
        const auto begun = it.events.now();
        auto result = it.run(command);
        it.expect(it.events.now() - begun <= 11 * second, "a command returns within its bound");
        return result;
    };
    const auto demotion = ends([&](on_outcome done) { machine.secondary(std::move(done)); });
    it.expect(!demotion.ok && !demotion.remedy.empty(), "demotion says what is pending");
    ends([&](on_outcome done) { machine.outdate(0, std::move(done)); });
    ends([&](on_outcome done) { machine.suspend_io(std::move(done)); });
    ends([&](on_outcome done) { machine.disconnect(false, std::move(done)); });
    it.expect(machine.status().volumes[0].waiting_for == "waiting for the fence-peer handler",
              "status says why");
    ends([&](on_outcome done) { machine.resume_io(std::move(done)); });
    it.wait_quiet();
    it.expect(ends([&](on_outcome done) { machine.secondary(std::move(done)); }).ok, "demoted");
    it.expect(ends([&](on_outcome done) { machine.detach(0, false, std::move(done)); }).ok,
              "detached");
}

void protocol_a_is_refused_with_stonith(void**) {
    auto settings = fencing_settings(stonith);
    fenced_pair it(settings);
    options::net_options asynchronous = settings.net;
    asynchronous.protocol = options::protocol::a;
    const auto refused = it.nodes[it.a]->machine().change_net_options(asynchronous);
    assert_int_equal(refused.code, 154);
    fenced_pair other(options::fencing::dont_care);
    assert_true(other.nodes[0]->machine().change_net_options(asynchronous).ok);
    other.run_for(second);
    assert_int_equal(other.nodes[0]->machine().change_disk_options(0, settings.disk).code, 154);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_lost_link_freezes_until_3_4_5_or_7),
        cmocka_unit_test(a_broken_handler_leaves_frozen_what_is_frozen),
        cmocka_unit_test(exit_6_keeps_a_primary_frozen_until_it_is_demoted),
        cmocka_unit_test(resource_only_asks_without_freezing),
        cmocka_unit_test(dont_care_asks_nobody_and_goes_on_with_a_new_generation),
        cmocka_unit_test(the_handler_may_wait_as_long_as_the_link_is_down),
        cmocka_unit_test(
            an_answer_for_an_earlier_connection_is_dropped_and_the_new_loss_asked_about),
        cmocka_unit_test(a_handler_whose_question_is_void_gets_the_time_limit_of_all),
        cmocka_unit_test(a_waiting_handler_blocks_no_command),
        cmocka_unit_test(protocol_a_is_refused_with_stonith),
    };
    return cmocka_run_group_tests_name("fencing", tests, nullptr, nullptr);
}
