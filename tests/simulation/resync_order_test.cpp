// resync-after: who waits for whom, within a resource and between resources.
#include "option_story.hpp"

namespace {

using namespace lockstep;
using simulation::millisecond;
using simulation::second;
using simulation::small_pair;
using simulation::story;
using state::connection;

simulation::node_settings slow_volumes(simulation::volume_number count) {
    auto settings = small_pair();
    settings.volumes = count;
    settings.disk.c_max_rate_kib = 2048;
    return settings;
}

void depend(story& it, simulation::volume_number volume, std::int32_t minor) {
    for (unsigned side = 0; side < 2; ++side) {
        auto wanted = it.status(side, volume).disk_options;
        wanted.resync_after = minor;
        it.check(it.nodes[side]->machine().change_disk_options(volume, wanted).ok, "disk-options");
    }
}

bool paused_after(const story& it, unsigned side, simulation::volume_number volume) {
    return it.status(side, volume).state.sync_paused_after;
}

void begin_first_sync(story& it) {
    it.attach_both();
    it.connect_both();
    it.wait(
        [&] {
            return it.connection(0) == connection::connected &&
                   it.connection(1) == connection::connected;
        },
        "connected");
    it.check(it.primary(0, true), "primary --force");
    it.wait([&] { return it.connection(1) >= connection::sync_source; }, "the first one syncs");
    it.run_for(second);
}

void without_resync_after_all_volumes_sync_at_once(void**) {
    story it(slow_volumes(3));
    begin_first_sync(it);
    for (simulation::volume_number number = 0; number < 3; ++number) {
        it.check(it.status(1, number).state.connection == connection::sync_target, "it syncs");
    }
}

void a_chain_of_volumes_syncs_one_after_the_other(void**) {
    story it(slow_volumes(3));
    it.attach_both();
    depend(it, 1, 0);
    depend(it, 2, 1);
    begin_first_sync(it);
    it.check(it.status(0, 1).state.connection == connection::paused_sync_s, "the second waits");
    it.check(it.status(1, 1).state.connection == connection::paused_sync_t, "on both nodes");
    it.check(it.status(1, 2).state.connection == connection::paused_sync_t, "the third waits");
    it.check(paused_after(it, 0, 1) && paused_after(it, 0, 2), "with the flag of resync-after");
    it.check(it.status(1, 1).waiting_for == "the resync of minor 0 goes first (resync-after)",
             "and says for what");
    const auto refused = it.run(
        [&](replica::on_outcome done) { it.nodes[0]->machine().resume_sync(1, std::move(done)); });
    assert_int_equal(refused.code, 156);
    it.wait([&] { return it.status(1, 0).state.disk == state::disk::up_to_date; },
            "the first is done");
    it.wait([&] { return it.status(1, 1).state.connection == connection::sync_target; },
            "then the second syncs");
    it.check(it.status(1, 2).state.connection == connection::paused_sync_t,
             "and the third still waits");
    it.converge();
    it.check(!paused_after(it, 0, 1) && !paused_after(it, 0, 2), "no flag is left");
}

void another_resource_that_syncs_goes_first(void**) {
    story it(slow_volumes(1));
    it.attach_both();
    depend(it, 0, 17);
    it.nodes[1]->busy_elsewhere.insert(17);
    begin_first_sync(it);
    it.check(it.connection(0) == connection::paused_sync_s, "it waits");
    it.check(it.connection(1) == connection::paused_sync_t, "on the node that it concerns");
    it.check(paused_after(it, 1, 0) && !paused_after(it, 0, 0), "whose flag is set");
    it.run_for(60 * second);
    it.check(it.connection(1) == connection::paused_sync_t, "as long as that one syncs");
    it.nodes[1]->busy_elsewhere.clear();
    it.run_for(second);
    it.check(it.connection(1) == connection::sync_target, "then it goes on");
    it.nodes[1]->busy_elsewhere.insert(17);
    it.run_for(second);
    it.check(it.connection(1) == connection::paused_sync_t, "and waits again");
    depend(it, 0, -1);
    it.run_for(100 * millisecond);
    it.check(it.connection(1) == connection::sync_target, "not if it need not");
    it.converge();
}

void what_syncs_is_shown_to_the_other_resources(void**) {
    story it(slow_volumes(2));
    begin_first_sync(it);
    for (unsigned side = 0; side < 2; ++side) {
        it.check(it.nodes[side]->shown_busy == std::set<std::uint32_t>({0, 1}), "both are shown");
    }
    it.converge();
    for (unsigned side = 0; side < 2; ++side) {
        it.check(it.nodes[side]->shown_busy.empty(), "none is shown any more");
    }
}

void a_cycle_is_refused(void**) {
    story it(slow_volumes(2));
    it.attach_both();
    const auto code = [&](simulation::volume_number volume, std::int32_t minor) {
        auto wanted = it.status(0, volume).disk_options;
        wanted.resync_after = minor;
        return it.nodes[0]->machine().change_disk_options(volume, wanted).code;
    };
    assert_int_equal(code(0, 0), 133);
    assert_int_equal(code(0, 1), 0);
    assert_int_equal(code(1, 0), 133);
    assert_int_equal(code(1, 17), 0);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(without_resync_after_all_volumes_sync_at_once),
        cmocka_unit_test(a_chain_of_volumes_syncs_one_after_the_other),
        cmocka_unit_test(another_resource_that_syncs_goes_first),
        cmocka_unit_test(what_syncs_is_shown_to_the_other_resources),
        cmocka_unit_test(a_cycle_is_refused),
    };
    return cmocka_run_group_tests_name("resync_order", tests, nullptr, nullptr);
}
