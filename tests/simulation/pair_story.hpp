// What stories about a pair have in common: a pair of small disks, steps that must succeed, and
// what is printed when one does not.
#pragma once

#include <cstdlib>

#include "world.hpp"

// Last: it makes a macro of the name fail.
#include "unit/cmocka.hpp"

namespace lockstep::simulation {

inline node_settings small_pair(std::uint64_t device_sectors = 16384) {
    node_settings settings;
    settings.device_sectors = device_sectors;
    settings.disk.c_max_rate_kib = 1 << 20;
    return settings;
}

// Where a story goes wrong it says what was not so, and how both nodes are.
class pair_story : public world {
public:
    explicit pair_story(const node_settings& settings = small_pair(), std::uint64_t seed = 1)
        : world(seed, settings) {
        verbose = std::getenv("SIMULATION_VERBOSE") != nullptr;
        for (auto& each : nodes) {
            for (volume_number number = 0; number < settings.volumes; ++number) {
                create_metadata(each->metadata_at(number));
            }
            each->start();
        }
    }

    void expect(bool condition, const char* what) const {
        if (failure().empty() && condition) {
            return;
        }
        print_message("%s%s\nA: %s\nB: %s\n", failure().empty() ? "not so: " : failure().c_str(),
                      failure().empty() ? what : "", describe(0).c_str(), describe(1).c_str());
        fail_msg("see above");
    }
    void expect_within(const std::function<bool()>& condition, const char* what,
                       instant limit = 120 * second) {
        expect(run_until(condition, limit), what);
    }

    const state::volume_state& state_of(unsigned side, volume_number number = 0) {
        seen_[side] = nodes[side]->status().volumes[number].state;
        return seen_[side];
    }
    bool both(state::connection wanted) {
        return state_of(0).connection == wanted && state_of(1).connection == wanted;
    }
    std::uint64_t out_of_sync_kib(unsigned side, volume_number number = 0) {
        return nodes[side]->status().volumes[number].out_of_sync_kib;
    }
    std::uint64_t size_of(unsigned side, volume_number number = 0) {
        return nodes[side]->status().volumes[number].size_sectors;
    }

    void up() {
        expect(attach(0) && attach(1), "both attach");
        connect_both();
        expect_within([this] { return both(state::connection::connected); }, "connected");
    }
    // A is Primary.
    void up_and_synced() {
        up();
        expect(primary(0, true), "primary --force");
        expect(wait_in_sync(), "the first sync ends");
    }
    // The machine comes back and is asked to join.
    void restart(unsigned side) {
        nodes[side]->start();
        expect(attach(side), "attached again");
        connect_both();
    }
    void all_requests_end() {
        expect_within([this] { return quiet(); }, "all requests end");
    }
    void some_writes(unsigned side, unsigned count, std::uint64_t first = 0,
                     std::uint64_t sectors = 4096, volume_number volume = 0) {
        for (unsigned index = 0; index < count; ++index) {
            const std::uint64_t size = 8 * random.between(1, 16);
            write(side, volume, first + 8 * random.below((sectors - size) / 8), size);
            if (random.percent(20)) {
                flush(side, volume);
            }
            run_for(random.below(2'000'000));
        }
    }
    void some_writes_succeed(unsigned side, unsigned count, std::uint64_t first = 0,
                             std::uint64_t sectors = 4096, volume_number volume = 0) {
        const auto failed = writes_failed;
        some_writes(side, count, first, sectors, volume);
        all_requests_end();
        expect(writes_failed == failed, "all writes succeed");
    }
    void converge() {
        expect(wait_in_sync(), "in sync again");
        check_converged();
        expect(true, "");
    }
    // Every sector of both disks, not only those that were written.
    void data_areas_are_equal(volume_number volume = 0) {
        for (std::uint64_t at = 0; at < size_of(0, volume); ++at) {
            std::array<sector, 2> content;
            for (unsigned side = 0; side < 2; ++side) {
                nodes[side]->data_disk(volume).read_now(at * 512, content[side]);
            }
            if (content[0] != content[1]) {
                fail_with("sector " + std::to_string(at) + " differs");
                break;
            }
        }
        expect(true, "");
    }

private:
    std::array<state::volume_state, 2> seen_;
};

} // namespace lockstep::simulation
