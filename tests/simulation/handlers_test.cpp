// When each handler is called, for what, and what its exit code does.
#include <algorithm>

#include "story.hpp"

namespace {

using namespace lockstep;
using simulation::second;
using simulation::story;
using state::connection;
using state::disk;
using state::role;

struct handled_pair : story {
    explicit handled_pair(const simulation::node_settings& settings = small_pair())
        : story(settings) {}

    // B misses something, and is about to get it.
    void make_b_stale() {
        disconnect(a);
        write(a, 0, 0, 64);
        wait_quiet();
    }
    bool volume_call(unsigned side, const std::string& handler) {
        const auto& calls = nodes[side]->helper_calls;
        const auto found = std::ranges::find(calls, handler, &replica::helper_call::name);
        return found != calls.end() && found->for_volume && found->volume == 0;
    }
    connection connection_of(unsigned side) const { return volume(side).state.connection; }
};

void a_resync_calls_before_and_after_on_its_nodes(void**) {
    handled_pair it;
    it.make_b_stale();
    bool early = false;
    it.nodes[it.b]->on_changed = [&] {
        early |= it.connection_of(it.b) == connection::sync_target &&
                 it.called(it.b, "before-resync-target") == 0;
        early |=
            it.disk_of(it.b) == disk::inconsistent && it.called(it.b, "after-resync-target") != 0;
    };
    it.connect_both();
    it.converge();
    it.nodes[it.b]->on_changed = {};
    it.expect(!early, "before is before, and after is after");
    assert_int_equal(it.called(it.b, "before-resync-target"), 1);
    assert_int_equal(it.called(it.b, "after-resync-target"), 1);
    assert_int_equal(it.called(it.a, "before-resync-source"), 1);
    it.expect(it.volume_call(it.b, "before-resync-target") &&
                  it.volume_call(it.b, "after-resync-target") &&
                  it.volume_call(it.a, "before-resync-source"),
              "for the volume");
    for (const char* none : {"before-resync-source"}) {
        assert_int_equal(it.called(it.b, none), 0);
    }
    assert_int_equal(it.called(it.a, "before-resync-target"), 0);
    assert_int_equal(it.called(it.a, "after-resync-target"), 0);
    assert_int_equal(it.called(it.a, "unfence-peer"), 0); // fencing dont-care
}

void before_resync_target_can_refuse(void**) {
    handled_pair it;
    it.handler_exits(it.b, "before-resync-target", 1);
    it.make_b_stale();
    it.connect_both();
    it.wait([&] { return it.nodes[it.b]->status().connection == connection::standalone; },
            "the connection is dropped");
    assert_int_equal(it.disk_of(it.b), disk::outdated); // not Inconsistent: it has not begun
    it.run_for(20 * second);
    assert_int_equal(it.called(it.b, "before-resync-target"), 1);
    it.handler_exits(it.b, "before-resync-target", 0);
    it.connect_both();
    it.converge();
}

void before_resync_source_can_refuse_except_with_3(void**) {
    handled_pair it;
    it.handler_exits(it.a, "before-resync-source", 1);
    it.make_b_stale();
    it.connect_both();
    it.wait([&] { return it.nodes[it.a]->status().connection == connection::standalone; },
            "the connection is dropped");
    it.handler_exits(it.a, "before-resync-source", 3);
    it.connect_both();
    it.converge();
}

void the_code_of_after_resync_target_is_ignored(void**) {
    handled_pair it;
    it.handler_exits(it.b, "after-resync-target", 1);
    it.make_b_stale();
    it.connect_both();
    it.converge();
}

void a_before_resync_handler_that_hangs_counts_as_a_refusal(void**) {
    handled_pair it;
    it.handler_hangs(it.b, "before-resync-target");
    it.make_b_stale();
    it.connect_both();
    it.wait_called(it.b, "before-resync-target");
    it.write(it.a, 0, 0, 8);
    it.wait_quiet(); // nobody waits for it
    assert_string_equal(it.volume(it.b).waiting_for.c_str(),
                        "waiting for the before-resync handler");
    it.wait([&] { return it.nodes[it.b]->status().connection == connection::standalone; },
            "ended by the time limit", 400 * second);
}

void the_source_unfences_when_all_volumes_are_in_sync(void**) {
    for (const auto policy :
         {options::fencing::resource_only, options::fencing::resource_and_stonith}) {
        auto settings = story::small_pair();
        settings.disk.fencing = policy;
        settings.volumes = 2;
        handled_pair it(settings);
        it.handler_exits(it.a, "fence-peer", 4);
        it.handler_exits(it.a, "unfence-peer", 1); // ignored
        it.net.faults.cut = true;
        it.wait_called(it.a, "fence-peer");
        it.wait([&] { return it.peer_disk_of(it.a) == disk::outdated; }, "fenced");
        it.write(it.a, 0, 0, 64);
        it.write(it.a, 1, 0, 2048);
        it.wait_quiet();
        bool early = false;
        it.nodes[it.a]->on_changed = [&] {
            early |= it.called(it.a, "unfence-peer") != 0 && !it.is_in_sync() &&
                     (it.volume(it.a, 0).state.peer_disk != disk::up_to_date ||
                      it.volume(it.a, 1).state.peer_disk != disk::up_to_date);
        };
        it.net.faults.cut = false;
        it.converge();
        it.nodes[it.a]->on_changed = {};
        it.expect(!early, "not before the last volume");
        assert_int_equal(it.called(it.a, "unfence-peer"), 1);
        assert_int_equal(it.called(it.b, "unfence-peer"), 0);
        it.expect(!it.last_call(it.a).for_volume, "for the resource");
    }
}

void a_primary_without_good_data_says_so(void**) {
    handled_pair it;
    it.disconnect(it.a);
    assert_int_equal(it.called(it.a, "pri-on-incon-degr"), 0);
    it.break_reads(it.a);
    it.read(it.a, 0, 0, 8);
    it.wait_quiet();
    it.wait_called(it.a, "pri-on-incon-degr");
    it.run_for(10 * second);
    assert_int_equal(it.called(it.a, "pri-on-incon-degr"), 1);
    it.expect(it.volume_call(it.a, "pri-on-incon-degr"), "for the volume");
}

void verify_that_finds_something_says_so(void**) {
    for (const bool differs : {true, false}) {
        auto settings = story::small_pair();
        settings.net.verify_alg = "crc32c";
        handled_pair it(settings);
        if (differs) {
            simulation::sector other{};
            other[0] = std::byte{1};
            it.nodes[it.b]->data_disk(0).write_now(80 * 512, other);
        }
        it.run([&](replica::on_outcome done) {
            it.nodes[it.a]->machine().verify(0, 0, ~std::uint64_t{0}, std::move(done));
        });
        it.wait([&] { return it.connection_of(it.a) == connection::connected; }, "verified");
        it.run_for(second);
        assert_int_equal(it.called(it.a, "out-of-sync"), differs ? 1 : 0);
        it.expect(!differs || it.volume_call(it.a, "out-of-sync"), "for the volume");
        assert_int_equal(it.volume(it.a).out_of_sync_kib, differs ? 4 : 0);
    }
}

// --- a Primary that would have to be sync target ---

// A is frozen and alone; B was promoted and demoted again: its data is newer.
struct superseded_pair : handled_pair {
    explicit superseded_pair(options::fencing policy, options::rr_conflict conflict)
        : handled_pair(settings_with(policy, conflict)) {
        if (policy == options::fencing::dont_care) {
            // A freezes by hand, so that it makes no generation of its own.
            run([this](replica::on_outcome done) {
                nodes[a]->machine().suspend_io(std::move(done));
            });
        }
        handler_hangs(a, "fence-peer");
        handler_exits(b, "fence-peer", 4);
        net.faults.cut = true;
        wait([this] { return connection_of(a) < connection::connected; }, "A notices");
        wait([this] { return connection_of(b) < connection::connected; }, "B notices");
        expect(primary(b), "B is promoted");
        write(b, 0, 0, 8);
        wait_quiet();
        expect(secondary(b), "and demoted");
        net.faults.cut = false;
        wait([this] { return nodes[a]->status().connection == connection::standalone; },
             "refused: a Primary is never a sync target");
        assert_int_equal(nodes[a]->status().role, role::primary);
        assert_int_equal(disk_of(a), disk::up_to_date);
    }

    static simulation::node_settings settings_with(options::fencing policy,
                                                   options::rr_conflict conflict) {
        auto settings = small_pair();
        settings.disk.fencing = policy;
        settings.net.rr_conflict = conflict;
        return settings;
    }
};

void a_frozen_primary_is_never_a_sync_target(void**) {
    for (const auto conflict : {options::rr_conflict::disconnect, options::rr_conflict::violently,
                                options::rr_conflict::call_pri_lost}) {
        superseded_pair it(options::fencing::resource_and_stonith, conflict);
        assert_int_equal(it.called(it.a, "pri-lost"),
                         conflict == options::rr_conflict::call_pri_lost ? 1 : 0);
        // No answer thaws it: what it wrote now would be lost.
        const auto asked = it.called(it.a, "fence-peer");
        it.nodes[it.a]->end_helper(it.last_call(it.a).id, 4);
        it.run_for(10 * second);
        it.expect(it.frozen(), "still frozen");
        assert_int_equal(it.called(it.a, "fence-peer"), asked);
        it.expect(it.volume(it.a).waiting_for.find("does not count") != std::string::npos,
                  "status says why");
        it.write(it.a, 0, 8, 8);
        it.read(it.a, 0, 0, 8);
        it.flush(it.a, 0);
        it.run_for(10 * second);
        assert_int_equal(it.nodes[it.a]->requests_open(), 3);
        it.expect(it.secondary(it.a), "demoted");
        it.expect(it.quiet() && it.writes_failed == 1 && it.reads_failed == 1,
                  "what was frozen ends with errors");
        it.expect(!it.frozen(), "and with that thawed");
        it.connect_both();
        it.converge();
    }
}

void rr_conflict_violently_freezes_a_primary_without_fencing_too(void**) {
    for (const auto conflict : {options::rr_conflict::disconnect, options::rr_conflict::violently,
                                options::rr_conflict::call_pri_lost}) {
        superseded_pair it(options::fencing::dont_care, conflict);
        assert_int_equal(it.frozen(), conflict == options::rr_conflict::violently);
        assert_int_equal(it.called(it.a, "pri-lost"),
                         conflict == options::rr_conflict::call_pri_lost ? 1 : 0);
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_resync_calls_before_and_after_on_its_nodes),
        cmocka_unit_test(before_resync_target_can_refuse),
        cmocka_unit_test(before_resync_source_can_refuse_except_with_3),
        cmocka_unit_test(the_code_of_after_resync_target_is_ignored),
        cmocka_unit_test(a_before_resync_handler_that_hangs_counts_as_a_refusal),
        cmocka_unit_test(the_source_unfences_when_all_volumes_are_in_sync),
        cmocka_unit_test(a_primary_without_good_data_says_so),
        cmocka_unit_test(verify_that_finds_something_says_so),
        cmocka_unit_test(a_frozen_primary_is_never_a_sync_target),
        cmocka_unit_test(rr_conflict_violently_freezes_a_primary_without_fencing_too),
    };
    return cmocka_run_group_tests_name("handlers", tests, nullptr, nullptr);
}
