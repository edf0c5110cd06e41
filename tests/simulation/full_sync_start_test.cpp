// A new disk joins a pair: the whole bitmap is marked and stored first, on either side as fast as
// its disk is. Whoever is ready first does not wait in vain for the other.
#include "world.hpp"

// Last: it makes a macro of the name fail.
#include "unit/cmocka.hpp"

namespace {

using namespace lockstep;
using simulation::world;

constexpr simulation::instant slow_disk = 400'000'000;

simulation::node_settings small_pair() {
    simulation::node_settings settings;
    settings.device_sectors = 16384; // 8 MiB
    settings.disk.c_max_rate_kib = 1 << 20;
    return settings;
}

// In sync and written to; then side 1 gets new metadata.
struct replaced_disk : world {
    explicit replaced_disk(std::uint64_t seed) : world(seed, small_pair()) {
        for (auto& each : nodes) {
            simulation::create_metadata(each->metadata_at(0));
            each->start();
        }
        assert_true(attach(0) && attach(1));
        connect_both();
        assert_true(run_until([this] {
            return nodes[0]->status().volumes[0].state.connection == state::connection::connected;
        }));
        assert_true(primary(0, true));
        assert_true(wait_in_sync());
        write(0, 0, 0, 64);
        assert_true(run_until([this] { return quiet(); }));
        nodes[1]->crash(true);
        assert_true(run_until(
            [this] { return nodes[0]->status().connection == state::connection::wf_connection; }));
        simulation::create_metadata(nodes[1]->metadata_at(0));
        nodes[1]->start();
        assert_true(attach(1));
    }
    void join_with_a_slow_disk_on(unsigned side) {
        nodes[side]->data_disk(0).faults.latency_max = slow_disk;
        connect_both();
        const bool joined = wait_in_sync();
        if (!joined || !failure().empty()) {
            print_message("%s\nA: %s\nB: %s\n", failure().c_str(), describe(0).c_str(),
                          describe(1).c_str());
        }
        assert_true(joined);
        check_converged();
        assert_true(failure().empty());
    }
};

void a_slow_target_finds_the_bitmap_that_came_meanwhile(void**) {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        replaced_disk(seed).join_with_a_slow_disk_on(1);
    }
}

void a_slow_source_is_waited_for(void**) {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        replaced_disk(seed).join_with_a_slow_disk_on(0);
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_target_finds_the_bitmap_that_came_meanwhile),
        cmocka_unit_test(a_slow_source_is_waited_for),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
