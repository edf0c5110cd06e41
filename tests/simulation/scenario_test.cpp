// Stories with a known course: what an administrator does to a pair, one step after the other.
#include <cstdio>
#include <cstdlib>

#include "world.hpp"

// Last: it makes a macro of the name fail.
#include "unit/cmocka.hpp"

namespace {

using namespace lockstep;
using simulation::world;

simulation::node_settings small_pair() {
    simulation::node_settings settings;
    settings.device_sectors = 16384; // 8 MiB
    settings.disk.c_max_rate_kib = 1 << 20;
    return settings;
}

void expect_good(const world& in) {
    if (!in.failure().empty()) {
        print_message("%s\nA: %s\nB: %s\n", in.failure().c_str(), in.describe(0).c_str(),
                      in.describe(1).c_str());
        fail_msg("see above");
    }
}

void expect(const world& in, bool condition, const char* what) {
    expect_good(in);
    if (!condition) {
        print_message("not so: %s\nA: %s\nB: %s\n", what, in.describe(0).c_str(),
                      in.describe(1).c_str());
        fail_msg("see above");
    }
}

struct pair : world {
    explicit pair(const simulation::node_settings& settings = small_pair(), std::uint64_t seed = 1)
        : world(seed, settings) {
        verbose = std::getenv("SIMULATION_VERBOSE") != nullptr;
        for (auto& each : nodes) {
            for (simulation::volume_number number = 0; number < settings.volumes; ++number) {
                simulation::create_metadata(each->metadata_at(number));
            }
            each->start();
        }
    }

    void up() {
        expect(*this, attach(0) && attach(1), "both attach");
        connect_both();
    }
    void up_and_synced() {
        up();
        expect(*this, run_until([this] {
            return nodes[0]->status().volumes[0].state.connection == state::connection::connected;
        }),
               "connected");
        expect(*this, primary(0, true), "primary --force");
        expect(*this, wait_in_sync(), "the first sync ends");
    }
    void some_writes(unsigned side, unsigned count) {
        for (unsigned index = 0; index < count; ++index) {
            const std::uint64_t size = 8 * random.between(1, 16);
            write(side, 0, 8 * random.below(512), size);
            if (random.percent(20)) {
                flush(side, 0);
            }
            if (random.percent(20)) {
                read(side, 0, 8 * random.below(512), size);
            }
            run_for(random.below(2'000'000));
        }
        expect(*this, run_until([this] { return quiet(); }), "all requests end");
        assert_int_equal(writes_failed, 0);
        assert_int_equal(reads_failed, 0);
    }
    void converge() {
        expect(*this, wait_in_sync(), "in sync again");
        check_converged();
        expect_good(*this);
    }
};

void new_pair_connects_and_is_inconsistent(void**) {
    pair it;
    it.up();
    expect(it, it.run_until([&] {
        return it.nodes[0]->status().volumes[0].state.connection == state::connection::connected &&
               it.nodes[1]->status().volumes[0].state.connection == state::connection::connected;
    }),
           "connected");
    assert_false(it.is_in_sync());
    assert_false(it.primary(0));
    expect_good(it);
}

void forced_primary_syncs_the_peer(void**) {
    pair it;
    it.up_and_synced();
    it.some_writes(0, 50);
    it.converge();
}

void roles_swap(void**) {
    pair it;
    it.up_and_synced();
    it.some_writes(0, 30);
    assert_false(it.primary(1));
    expect(it, it.secondary(0), "demoted");
    expect(it, it.primary(1), "promoted");
    it.some_writes(1, 30);
    it.converge();
}

void writes_while_disconnected_are_resynced(void**) {
    pair it;
    it.up_and_synced();
    it.disconnect(0);
    it.some_writes(0, 30);
    it.connect_both();
    it.converge();
    it.some_writes(0, 30);
    it.converge();
}

void lost_connection_comes_back_and_resyncs(void**) {
    pair it;
    it.up_and_synced();
    for (int round = 0; round < 5; ++round) {
        it.net.break_connection();
        it.some_writes(0, 20);
        it.converge();
    }
}

void crashed_secondary_gets_what_it_missed(void**) {
    pair it;
    it.up_and_synced();
    it.some_writes(0, 20);
    it.nodes[1]->crash(true);
    it.some_writes(0, 20);
    it.nodes[1]->start();
    expect(it, it.attach(1), "attached");
    it.connect_both();
    it.converge();
}

void survivor_of_a_crashed_primary_has_every_acknowledged_write(void**) {
    pair it;
    it.up_and_synced();
    it.some_writes(0, 20);
    for (int index = 0; index < 10; ++index) {
        it.write(0, 0, 8 * it.random.below(512), 8);
    }
    it.run_for(1'000'000);
    it.nodes[0]->crash(true);
    expect(it, it.run_until([&] {
        return it.nodes[1]->status().connection == state::connection::wf_connection;
    }),
           "the loss is noticed");
    expect(it, it.primary(1), "the survivor is promoted");
    it.some_writes(1, 20);
    it.nodes[0]->start();
    expect(it, it.attach(0), "attached");
    it.connect_both();
    it.converge();
}

void silent_peer_is_found_out_by_pings(void**) {
    pair it;
    it.up_and_synced();
    it.net.faults.cut = true;
    it.some_writes(0, 10);
    it.net.faults.cut = false;
    it.converge();
}

void both_nodes_lose_power_and_flushed_writes_survive(void**) {
    pair it;
    it.up_and_synced();
    it.some_writes(0, 30);
    it.flush(0, 0);
    expect(it, it.run_until([&] { return it.quiet(); }), "flushed");
    it.some_writes(0, 10);
    it.nodes[0]->crash(false);
    it.nodes[1]->crash(false);
    it.models[0].forget_unflushed();
    for (const auto& [at, history] : it.models[0].touched()) {
        simulation::sector content;
        it.nodes[0]->data_disk(0).read_now(at * 512, content);
        const auto wrong = it.models[0].check(at, content.data(), it.models[0].now());
        if (!wrong.empty()) {
            it.fail_with("after the power loss: " + wrong);
        }
    }
    expect_good(it);
    it.nodes[0]->start();
    it.nodes[1]->start();
    it.up();
    it.converge();
    expect(it, it.primary(0), "promoted again");
    it.some_writes(0, 10);
    it.converge();
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(new_pair_connects_and_is_inconsistent),
        cmocka_unit_test(forced_primary_syncs_the_peer),
        cmocka_unit_test(roles_swap),
        cmocka_unit_test(writes_while_disconnected_are_resynced),
        cmocka_unit_test(lost_connection_comes_back_and_resyncs),
        cmocka_unit_test(crashed_secondary_gets_what_it_missed),
        cmocka_unit_test(survivor_of_a_crashed_primary_has_every_acknowledged_write),
        cmocka_unit_test(silent_peer_is_found_out_by_pings),
        cmocka_unit_test(both_nodes_lose_power_and_flushed_writes_survive),
    };
    return cmocka_run_group_tests_name("simulation", tests, nullptr, nullptr);
}
