// A volume that is added to a connected resource, on one node after the other, as `drbdadm adjust`
// does: the others go on as if nothing were, and it connects when both nodes have it.
#include <array>
#include <functional>

#include "pair_story.hpp"

namespace {

using namespace lockstep;
using simulation::create_metadata_in_sync;
using simulation::pair_story;
using simulation::second;
using state::connection;
using state::disk;

constexpr unsigned a = 0;
constexpr unsigned b = 1;

enum class step { add_a, add_b, attach_a, attach_b };
using order = std::array<step, 4>;

// Volume 0 is in sync, and A is Primary where `in_use`.
struct growing_pair : pair_story {
    static simulation::node_settings one_of_two() {
        auto settings = simulation::small_pair();
        settings.volumes = 2;
        settings.volumes_later = 1;
        return settings;
    }

    explicit growing_pair(bool in_use, bool b_has_both = false)
        : pair_story(one_of_two()), used(in_use) {
        for (auto& each : nodes) {
            create_metadata_in_sync(each->metadata_at(0), 0x1234567812345678U);
        }
        if (b_has_both) {
            create_metadata_in_sync(nodes[b]->metadata_at(1), 0x8765432187654320U);
            expect(nodes[b]->add_volume(1) && attach_at(b, 1), "the other one is attached on B");
        }
        expect(attach_at(a, 0) && attach_at(b, 0), "both attach");
        connect_both();
        expect_within([this] { return both(connection::connected); }, "connected");
        run_for(second);
        if (used) {
            expect(primary(a), "A is promoted");
        }
        run_for(second);
        for (unsigned side = 0; side < 2; ++side) {
            first[side] = state_of(side);
        }
        // From here on volume 0 stays as it is.
        on_event = [this] {
            for (unsigned side = 0; side < 2 && failure().empty(); ++side) {
                if (watched && nodes[side]->state(0) != first[side]) {
                    fail_with("volume 0 is not left alone");
                }
            }
        };
    }

    bool attach_at(unsigned side, simulation::volume_number number) {
        return run([&](replica::on_outcome done) { nodes[side]->attach(number, std::move(done)); })
            .ok;
    }
    void take(step next) {
        switch (next) {
        case step::add_a:
        case step::add_b:
            expect(nodes[next == step::add_a ? a : b]->add_volume(1), "added");
            return;
        case step::attach_a:
        case step::attach_b:
            expect(attach_at(next == step::attach_a ? a : b, 1), "attached");
            return;
        }
    }
    void take_all(const order& steps, simulation::instant between) {
        for (const step next : steps) {
            take(next);
            if (used) {
                write(a, 0, 0, 8);
            }
            run_for(between);
        }
    }
    void connects() {
        expect_within(
            [this] {
                return state_of(a, 1).connection == connection::connected &&
                       state_of(b, 1).connection == connection::connected &&
                       state_of(a, 1).disk == disk::inconsistent &&
                       state_of(a, 1).peer_disk == disk::inconsistent &&
                       state_of(b, 1).disk == disk::inconsistent &&
                       state_of(b, 1).peer_disk == disk::inconsistent;
            },
            "the volume is connected");
        expect(size_of(a, 1) == size_of(b, 1) && size_of(a, 1) != 0, "both know its size");
    }
    void skip_first_sync(unsigned side) {
        expect(run([&](replica::on_outcome done) {
                   nodes[side]->machine().new_current_uuid(1, true, std::move(done));
               }).ok,
               "new-current-uuid --clear-bitmap");
    }
    // It is like any other now: written, in a connection that is lost and comes back.
    void lives() {
        const auto failed = writes_failed;
        some_writes(a, 20, 0, 4096, 1);
        all_requests_end();
        watched = false;
        net.break_connection();
        some_writes(a, 20, 0, 4096, 1);
        all_requests_end();
        expect(writes_failed == failed, "all writes succeed");
        converge();
    }

    bool used;
    bool watched = true;
    std::array<state::volume_state, 2> first;
};

constexpr std::array<order, 6> orders = {{
    {step::add_a, step::add_b, step::attach_a, step::attach_b},
    {step::add_a, step::add_b, step::attach_b, step::attach_a},
    {step::add_b, step::add_a, step::attach_a, step::attach_b},
    {step::add_b, step::add_a, step::attach_b, step::attach_a},
    {step::add_a, step::attach_a, step::add_b, step::attach_b},
    {step::add_b, step::attach_b, step::add_a, step::attach_a},
}};

void each_order(const std::function<void(const order&, simulation::instant)>& story) {
    for (const order& steps : orders) {
        for (const auto between : {simulation::instant{0}, 20'000UL, 200'000UL, second}) {
            story(steps, between);
        }
    }
}

void a_primary_gets_another_volume(void**) {
    each_order([](const order& steps, simulation::instant between) {
        for (const unsigned side : {a, b}) {
            growing_pair it(true);
            it.take_all(steps, between);
            it.connects();
            it.skip_first_sync(side);
            it.expect(it.wait_in_sync(), "in sync");
            it.lives();
        }
    });
}

void two_secondaries_get_another_volume_and_sync_it(void**) {
    each_order([](const order& steps, simulation::instant between) {
        growing_pair it(false);
        it.take_all(steps, between);
        it.connects();
        it.watched = false;
        it.expect(it.primary(a, true), "primary --force");
        it.expect(it.wait_in_sync(), "the first sync ends");
        it.data_areas_are_equal(1);
        it.lives();
    });
}

// Connected anew, the volume is still missing on one node.
void a_volume_that_the_peer_lacks_when_they_connect_holds_up_nothing(void**) {
    for (const bool used : {false, true}) {
        growing_pair it(used, true);
        it.watched = false;
        it.expect(it.run([&](replica::on_outcome done) {
                        it.nodes[b]->machine().detach(0, false, std::move(done));
                    }).ok,
                  "detached on B");
        it.expect(it.attach_at(b, 0), "and attached again");
        it.take(step::add_a);
        it.expect_within([&] { return it.state_of(a, 1).peer_disk == disk::up_to_date; },
                         "A knows B's disk");
        it.expect(it.size_of(a, 1) == it.size_of(b, 1) && it.size_of(a, 1) != 0, "and its size");
        if (!used) {
            it.expect(it.primary(a), "A is promoted");
        }
        it.some_writes_succeed(a, 20, 0, 4096, 1);
        it.expect(it.attach_at(a, 1), "A gets a disk");
        it.expect(it.wait_in_sync(), "in sync");
        it.data_areas_are_equal(1);
        it.lives();
    }
}

// A node without a disk uses the peer's. Also in a connection that was made in between.
void a_node_knows_the_size_before_it_has_a_disk(void**) {
    for (const bool again : {false, true}) {
        growing_pair it(again);
        it.take(step::add_a);
        it.take(step::attach_a);
        it.run_for(second);
        if (again) {
            it.watched = false;
            it.net.break_connection();
            it.expect_within([&] { return it.both(connection::connected); }, "connected again");
            it.run_for(second);
        }
        it.take(step::add_b);
        it.expect_within([&] { return it.state_of(b, 1).connection == connection::connected; },
                         "connected");
        it.run_for(second);
        it.expect(it.size_of(b, 1) == it.size_of(a, 1) && it.size_of(a, 1) != 0, "B knows it");
        it.take(step::attach_b);
        it.connects();
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_primary_gets_another_volume),
        cmocka_unit_test(two_secondaries_get_another_volume_and_sync_it),
        cmocka_unit_test(a_volume_that_the_peer_lacks_when_they_connect_holds_up_nothing),
        cmocka_unit_test(a_node_knows_the_size_before_it_has_a_disk),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
