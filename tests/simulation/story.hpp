// A pair in virtual time for stories: made, connected, in sync, node A Primary.
#pragma once

#include <cstdlib>
#include <string>
#include <vector>

#include "world.hpp"

// Last: it makes a macro of the name fail.
#include "unit/cmocka.hpp"

namespace lockstep::simulation {

struct story : world {
    static constexpr unsigned a = 0;
    static constexpr unsigned b = 1;

    static node_settings small_pair() {
        node_settings settings;
        settings.device_sectors = 16384; // 8 MiB
        settings.disk.c_max_rate_kib = 1 << 20;
        return settings;
    }

    explicit story(const node_settings& settings) : world(1, settings) {
        verbose = std::getenv("SIMULATION_VERBOSE") != nullptr;
        for (auto& each : nodes) {
            for (volume_number number = 0; number < settings.volumes; ++number) {
                create_metadata_in_sync(each->metadata_at(number), 0x1234567812345678U);
            }
            each->start();
        }
        expect(attach(a) && attach(b), "both attach");
        connect_both();
        expect(wait_in_sync(), "in sync from the start");
        expect(primary(a), "A is promoted");
    }

    void expect(bool condition, const char* what) {
        if (!failure().empty() || !condition) {
            print_message("not so: %s\n%s\nA: %s\nB: %s\n", what, failure().c_str(),
                          describe(a).c_str(), describe(b).c_str());
            fail_msg("see above");
        }
    }
    void wait(const std::function<bool()>& condition, const char* what,
              instant limit = 120 * second) {
        expect(run_until(condition, limit), what);
    }
    void wait_quiet() {
        wait([this] { return quiet(); }, "all requests end");
    }

    replica::volume_status volume(unsigned side, volume_number number = 0) const {
        return nodes[side]->status().volumes[number];
    }
    state::disk disk_of(unsigned side) const { return volume(side).state.disk; }
    state::disk peer_disk_of(unsigned side) const { return volume(side).state.peer_disk; }
    bool frozen(unsigned side = a) const { return nodes[side]->status().suspended_fencing; }

    unsigned called(unsigned side, const std::string& handler) {
        return nodes[side]->helpers_called[handler];
    }
    const replica::helper_call& last_call(unsigned side) {
        expect(!nodes[side]->helper_calls.empty(), "a handler was called");
        return nodes[side]->helper_calls.back();
    }
    void handler_hangs(unsigned side, const std::string& handler) {
        nodes[side]->helper_answers[handler].hangs = true;
    }
    void handler_exits(unsigned side, const std::string& handler, int code) {
        nodes[side]->helper_answers[handler] = {code, 10'000'000, false};
    }
    void wait_called(unsigned side, const std::string& handler, unsigned times = 1) {
        wait([&] { return called(side, handler) >= times; }, handler.c_str());
    }

    void break_writes(unsigned side, bool broken = true) {
        nodes[side]->data_disk(0).faults.write_error_permille = broken ? 1000 : 0;
    }
    void break_reads(unsigned side, bool broken = true) {
        nodes[side]->data_disk(0).faults.read_error_permille = broken ? 1000 : 0;
    }
    void converge() {
        expect(wait_in_sync(), "in sync again");
        check_converged();
        expect(true, "both replicas hold what was acknowledged");
    }
};

} // namespace lockstep::simulation
