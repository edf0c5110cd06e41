// A volume that is taken out of a connected resource, as `drbdadm adjust` does: the other one goes
// on as if nothing were, a Primary goes on with its own copy, and the volume is resynced by its
// bits when it comes back.
#include <array>

#include "pair_story.hpp"

namespace {

using namespace lockstep;
using simulation::create_metadata_in_sync;
using simulation::millisecond;
using simulation::pair_story;
using simulation::second;
using state::connection;
using state::disk;

constexpr unsigned a = 0;
constexpr unsigned b = 1;
constexpr std::array sides{a, b};
constexpr auto stonith = options::fencing::resource_and_stonith;

simulation::node_settings two_volumes(options::fencing policy = options::fencing::dont_care) {
    auto settings = simulation::small_pair();
    settings.volumes = 2;
    settings.disk.fencing = policy;
    return settings;
}

// Two volumes in sync, A is Primary, and writes go on to both.
struct shrinking_pair : pair_story {
    explicit shrinking_pair(const simulation::node_settings& settings = two_volumes(),
                            std::uint64_t seed = 1)
        : pair_story(settings, seed) {
        for (auto& each : nodes) {
            for (simulation::volume_number number = 0; number < 2; ++number) {
                create_metadata_in_sync(each->metadata_at(number), 0x1234567812345678U + number);
            }
        }
        expect(attach(a) && attach(b), "both attach");
        connect_both();
        expect(wait_in_sync(), "in sync from the start");
        expect(primary(a), "A is promoted");
        run_for(second);
        on_event = [this] {
            for (const unsigned side : sides) {
                if (watched && nodes[side]->alive() &&
                    nodes[side]->state(0).connection != connection::connected) {
                    fail_with("volume 0 is not left alone");
                }
            }
        };
    }

    simulation::volume_number volumes_of(unsigned side) const {
        return static_cast<simulation::volume_number>(nodes[side]->status().volumes.size());
    }
    bool detach(unsigned side, bool force = false) {
        return run([&](replica::on_outcome done) {
                   nodes[side]->machine().detach(1, force, std::move(done));
               })
            .ok;
    }
    replica::outcome remove(unsigned side) {
        return run([&](replica::on_outcome done) {
            nodes[side]->machine().remove_volume(1, std::move(done));
        });
    }
    void detach_and_remove(unsigned side, bool force = false) {
        expect(detach(side, force), "detached");
        if (force) { // the device is still busy with what it has
            expect_within([&] { return nodes[side]->machine().may_remove_volume(1).ok; }, "let go");
        }
        const auto ended = remove(side);
        expect(ended.ok, ended.text.c_str());
        expect(volumes_of(side) == 1, "it is gone");
    }
    void add(unsigned side) {
        expect(nodes[side]->add_volume(1), "added again");
        attach_on(side);
    }
    void attach_on(unsigned side, simulation::volume_number number = 1) {
        expect(
            run([&](replica::on_outcome done) { nodes[side]->attach(number, std::move(done)); }).ok,
            "attached");
    }
    void writes_go_on(unsigned side, unsigned count = 20) {
        some_writes_succeed(side, count, 0, 4096, 0);
        some_writes_succeed(side, count, 0, 4096, 1);
    }
    // Not more than was written meanwhile.
    void comes_back(unsigned side) {
        const auto received = nodes[side]->status().volumes[0].received_kib;
        add(side);
        converge();
        expect(nodes[side]->status().volumes[1].received_kib < 3072, "by its bits");
        expect(nodes[side]->status().volumes[0].received_kib == received, "and nothing else");
        data_areas_are_equal(1);
    }
    bool frozen() const { return nodes[a]->status().suspended_fencing; }
    unsigned called(const char* handler) { return nodes[a]->helpers_called[handler]; }

    bool watched = true;
};

void a_secondary_removes_a_volume(void**) {
    shrinking_pair it;
    it.writes_go_on(a);
    it.detach_and_remove(b);
    it.expect_within([&] { return it.state_of(a, 1).connection == connection::wf_report_params; },
                     "A's waits for it");
    it.expect(it.state_of(a, 1).peer_disk == disk::unknown &&
                  it.state_of(a, 1).disk == disk::up_to_date,
              "and is good");
    it.writes_go_on(a);
    it.run_for(second);
    it.expect(it.out_of_sync_kib(a, 1) > 0, "what B lacks is marked");
    it.comes_back(b);
    // And once more, the roles exchanged.
    it.expect(it.secondary(a) && it.primary(b), "B takes over");
    it.detach_and_remove(a);
    it.writes_go_on(b);
    it.comes_back(a);
}

void both_remove_a_volume(void**) {
    for (const bool at_once : {false, true}) {
        for (const unsigned first : sides) {
            shrinking_pair it;
            it.writes_go_on(a);
            it.expect(it.secondary(a), "nobody uses it");
            if (at_once) {
                it.expect(it.detach(first) && it.detach(1 - first), "both detach");
                unsigned ended = 0;
                for (const unsigned side : {first, 1 - first}) {
                    it.nodes[side]->machine().remove_volume(
                        1, [&](const replica::outcome& end) { ended += end.ok ? 1 : 0; });
                }
                it.expect_within([&] { return ended == 2; }, "both are removed");
            } else {
                it.detach_and_remove(first);
                it.detach_and_remove(1 - first);
            }
            it.expect(it.primary(first), "the other one is used");
            it.some_writes_succeed(first, 20);
            it.add(1 - first);
            it.add(first);
            it.writes_go_on(first);
            it.converge();
        }
    }
}

// What is under way when the disk is dropped, and what was sent to a volume that is not there any
// more: all of it ends, and the connection stands.
void nothing_under_way_is_left_behind(void**) {
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
        shrinking_pair it(two_volumes(), seed);
        it.net.faults.delay_max = 20 * millisecond;
        const bool force = seed % 3 == 0;
        it.watched = !force; // what a disk that is forced out can't make durable ends the link
        for (unsigned round = 0; round < 3; ++round) {
            it.some_writes(a, 30, 0, 4096, 1);
            it.some_writes(a, 5, 0, 4096, 0);
            it.detach_and_remove(b, force);
            it.some_writes(a, 10, 0, 4096, 1);
            it.all_requests_end();
            it.expect(it.writes_failed == 0 && it.flushes_failed == 0, "all succeed");
            it.add(b);
            it.some_writes(a, 10, 0, 4096, 1);
        }
        it.all_requests_end();
        it.converge();
    }
}

// A Primary keeps what it presents, and a disk is not taken away by the way.
void what_is_in_use_is_not_removed(void**) {
    shrinking_pair it;
    it.expect(it.remove(a).code == 160 && it.remove(b).code == 160, "with a disk: refused");
    it.expect(it.detach(a), "A goes on by way of B");
    it.expect(it.remove(a).code == 160, "a Primary's: refused");
    it.expect(it.volumes_of(a) == 2 && it.volumes_of(b) == 2, "nothing is gone");
    it.writes_go_on(a);
    it.attach_on(a);
    it.converge();
}

// The link is lost and made again while the peer lacks it.
void the_link_is_lost_meanwhile(void**) {
    shrinking_pair it;
    it.detach_and_remove(b);
    it.writes_go_on(a);
    it.watched = false;
    it.net.break_connection();
    it.some_writes(a, 20, 0, 4096, 1);
    it.expect_within(
        [&] {
            return it.state_of(a, 0).connection == connection::connected &&
                   it.state_of(b, 0).connection == connection::connected;
        },
        "connected again");
    it.writes_go_on(a);
    it.add(b);
    it.converge();
}

// It stays where it is, is detached and attached alone, and used.
void the_other_node_goes_on_with_it(void**) {
    shrinking_pair it;
    it.expect(it.secondary(a), "demoted");
    it.detach_and_remove(b);
    it.expect(it.detach(a), "detached on A");
    it.attach_on(a);
    it.expect_within([&] { return it.state_of(a, 1).disk == disk::up_to_date; }, "UpToDate alone");
    it.expect(it.primary(a), "promoted");
    it.writes_go_on(a);
    it.comes_back(b);
}

// A peer that is there is no danger to the data: nobody is fenced for a volume that it gives up.
// The disk itself has been asked about when it was detached; a link that is lost later is asked
// about as ever.
void nobody_is_fenced_for_it(void**) {
    for (const auto policy : {options::fencing::resource_only, stonith}) {
        shrinking_pair it(two_volumes(policy));
        it.nodes[a]->helper_answers["fence-disk"] = {4, 10 * millisecond, false};
        it.nodes[a]->helper_answers["fence-peer"].hangs = true;
        it.expect(it.detach(b), "detached");
        it.expect_within([&] { return !it.frozen(); }, "the handler has answered");
        it.run_for(second);
        it.expect(it.remove(b).ok, "removed");
        it.run_for(second);
        it.expect(!it.frozen() && it.called("fence-peer") == 0, "not frozen");
        it.writes_go_on(a);
        it.expect(it.secondary(a) && it.primary(a), "nor for a promotion");
        it.expect(it.called("fence-peer") == 0, "not asked");
        it.watched = false;
        it.net.faults.cut = true;
        it.expect_within([&] { return it.called("fence-peer") == 1; }, "the lost link is");
        it.expect(it.frozen() == (policy == stonith), "frozen if the policy says so");
        it.net.faults.cut = false;
        it.expect_within([&] { return !it.frozen(); }, "B is back");
        it.writes_go_on(a);
        it.add(b);
        it.converge();
    }
}

// B has nothing left of the resource. That it is there is enough as long as the link tells so.
void the_last_volume_is_removed(void**) {
    auto settings = simulation::small_pair();
    settings.disk.fencing = stonith;
    pair_story it(settings);
    it.up_and_synced();
    const auto& at_a = [&] { return it.nodes[a]->status(); };
    it.nodes[a]->helper_answers["fence-peer"].hangs = true;
    it.nodes[a]->helper_answers["fence-disk"] = {4, 10 * millisecond, false};
    it.expect(it.run([&](replica::on_outcome done) {
                    it.nodes[b]->machine().detach(0, false, std::move(done));
                }).ok,
              "detached");
    it.run_for(second);
    it.expect(it.run([&](replica::on_outcome done) {
                    it.nodes[b]->machine().remove_volume(0, std::move(done));
                }).ok,
              "removed");
    it.some_writes_succeed(a, 20);
    it.expect(!at_a().suspended_fencing && at_a().connection == connection::wf_report_params,
              "connected, and not frozen");
    it.net.faults.cut = true;
    it.expect_within([&] { return it.nodes[a]->helpers_called["fence-peer"] == 1; }, "asked");
    it.expect(at_a().suspended_fencing, "frozen");
    it.nodes[a]->end_helper(it.nodes[a]->helper_calls.back().id, 4);
    it.expect_within([&] { return !at_a().suspended_fencing; }, "answered");
    it.net.faults.cut = false;
    it.expect_within([&] { return it.net.connected(); }, "connected again");
    it.expect(it.nodes[b]->add_volume(0) && it.attach(b), "added again");
    it.some_writes_succeed(a, 20);
    it.converge();
}

// The question about the disk stays open, whatever becomes of the volume.
void an_open_question_is_not_answered_by_it(void**) {
    for (const bool back : {false, true}) {
        shrinking_pair it(two_volumes(stonith));
        it.nodes[a]->helper_answers["fence-disk"].hangs = true;
        it.expect(it.detach(b), "detached");
        it.expect_within([&] { return it.frozen(); }, "frozen");
        it.expect(it.remove(b).ok, "removed");
        it.run_for(second);
        it.expect(it.frozen(), "still frozen");
        if (back) {
            it.expect(it.nodes[b]->add_volume(1), "added again");
            it.run_for(second);
            it.expect(it.state_of(a, 1).connection == connection::connected && it.frozen(),
                      "connected, and frozen for the disk");
            it.attach_on(b);
        } else {
            it.nodes[a]->end_helper(it.nodes[a]->helper_calls.back().id, 4);
        }
        it.expect_within([&] { return !it.frozen(); }, "answered");
        it.writes_go_on(a);
        if (!back) {
            it.add(b);
        }
        it.converge();
    }
}

// Nor is what the handler has refused.
void a_refusal_is_not_lifted_by_it(void**) {
    shrinking_pair it(two_volumes(stonith));
    it.nodes[a]->helper_answers["fence-disk"] = {6, 10 * millisecond, false};
    it.expect(it.detach(b), "detached");
    it.run_for(second);
    it.expect(it.frozen(), "refused");
    it.expect(it.remove(b).ok, "removed");
    it.run_for(second);
    it.expect(it.frozen(), "still frozen");
    it.expect(it.nodes[b]->add_volume(1), "added again");
    it.expect_within([&] { return it.state_of(a, 1).connection == connection::connected; }, "met");
    it.run_for(second);
    it.expect(it.frozen(), "still frozen");
    it.expect(it.secondary(a), "demoted");
    it.expect(!it.frozen(), "that ends it");
    it.attach_on(b);
    it.converge();
}

// --- a frozen Primary, and the peer comes back without one of its volumes ---

struct frozen_pair : shrinking_pair {
    explicit frozen_pair(const simulation::node_settings& settings, std::uint64_t seed = 1)
        : shrinking_pair(settings, seed) {
        watched = false;
        nodes[a]->helper_answers["fence-peer"].hangs = true;
    }
    static simulation::node_settings without_data(options::on_no_data what) {
        auto settings = two_volumes();
        settings.resource.on_no_data_accessible = what;
        return settings;
    }
    // And B, perhaps, what it has not flushed.
    void lose_link(bool crashes = false) {
        net.faults.cut = true;
        if (crashes) {
            nodes[b]->crash(false);
        }
        some_writes(a, 20, 0, 4096, 1);
        some_writes(a, 20, 0, 4096, 0);
        expect_within([this] { return state_of(a, 0).connection < connection::wf_report_params; },
                      "lost");
    }
    // B has gone down meanwhile, and comes back without volume 1.
    void b_comes_without(bool crashes) {
        if (crashes) {
            nodes[b]->settings().volumes_later = 1;
            nodes[b]->start();
            attach_on(b, 0);
            connect_both();
        } else {
            expect_within(
                [this] { return state_of(b, 0).connection < connection::wf_report_params; },
                "B notices");
            detach_and_remove(b);
        }
        net.faults.cut = false;
        expect_within([this] { return state_of(a, 0).connection >= connection::connected; },
                      "connected again");
    }
};

void a_frozen_primary_goes_on_without_that_volume(void**) {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        for (const bool crashes : {false, true}) {
            frozen_pair it(two_volumes(stonith), seed);
            it.some_writes(a, 20, 0, 4096, 1);
            it.lose_link(crashes);
            it.expect(it.frozen() && !it.quiet(), "frozen");
            it.b_comes_without(crashes);
            it.expect_within([&] { return !it.frozen(); }, "not frozen any more");
            it.all_requests_end();
            it.expect(it.writes_failed == 0 && it.flushes_failed == 0, "nothing is lost");
            it.writes_go_on(a);
            it.add(b);
            it.converge();
        }
    }
}

// A has lost its disk of volume 0, which B serves; volume 1 it has itself.
void one_without_data_gets_it_from_the_peer(void**) {
    frozen_pair it(frozen_pair::without_data(options::on_no_data::suspend_io));
    it.expect(it.run([&](replica::on_outcome done) {
                    it.nodes[a]->machine().detach(0, false, std::move(done));
                }).ok,
              "detached");
    it.lose_link();
    it.expect(it.nodes[a]->status().suspended_no_data, "frozen");
    it.b_comes_without(false);
    it.all_requests_end();
    it.writes_go_on(a);
    it.expect(it.writes_failed == 0, "nothing is lost");
    it.attach_on(a, 0);
    it.add(b);
    it.converge();
}

// Nobody has the data of volume 1 now: that freezes I/O until somebody has, or ends with errors, as
// the policy says.
void a_volume_without_any_data_follows_the_policy(void**) {
    for (const auto policy : {options::on_no_data::suspend_io, options::on_no_data::io_error}) {
        const bool waits = policy == options::on_no_data::suspend_io;
        frozen_pair it(frozen_pair::without_data(policy));
        it.expect(it.detach(a), "detached on A");
        it.lose_link();
        it.b_comes_without(false);
        it.run_for(10 * second);
        it.expect(it.nodes[a]->status().suspended_no_data == waits, "as the policy says");
        it.expect(it.quiet() != waits, "and so the requests");
        if (!waits) {
            it.expect(it.writes_failed > 0, "volume 1's have failed");
            it.some_writes_succeed(a, 20);
        }
        it.add(b);
        it.all_requests_end();
        it.expect(waits == (it.writes_failed == 0), "what was frozen is written");
        it.attach_on(a);
        it.converge();
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_secondary_removes_a_volume),
        cmocka_unit_test(both_remove_a_volume),
        cmocka_unit_test(nothing_under_way_is_left_behind),
        cmocka_unit_test(what_is_in_use_is_not_removed),
        cmocka_unit_test(the_link_is_lost_meanwhile),
        cmocka_unit_test(the_other_node_goes_on_with_it),
        cmocka_unit_test(nobody_is_fenced_for_it),
        cmocka_unit_test(the_last_volume_is_removed),
        cmocka_unit_test(an_open_question_is_not_answered_by_it),
        cmocka_unit_test(a_refusal_is_not_lifted_by_it),
        cmocka_unit_test(a_frozen_primary_goes_on_without_that_volume),
        cmocka_unit_test(one_without_data_gets_it_from_the_peer),
        cmocka_unit_test(a_volume_without_any_data_follows_the_policy),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
