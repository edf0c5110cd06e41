// One random history of a pair: clients, faults, commands and handlers' answers drawn from a seed;
// then peace, and the question whether everything that was promised still holds.
#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>

#include "history_settings.hpp"
#include "observer.hpp"
#include "random_run.hpp"
#include "world.hpp"

namespace lockstep::simulation {

class history {
public:
    explicit history(const run_options& given);
    run_result run();

private:
    node& at(unsigned side) { return *world_.nodes[side]; }
    bool up(unsigned side) { return at(side).alive(); }
    unsigned any_side() { return static_cast<unsigned>(choices_.below(2)); }
    volume_number any_volume() {
        return static_cast<volume_number>(choices_.below(settings_.node.volumes));
    }
    instant any_latency() { return choices_.between(50'000, 4 * millisecond); }
    void ask(const std::function<void(replica::on_outcome)>& command);
    void pause(instant most) { world_.run_for(choices_.below(most + 1)); }
    bool going_on() const { return world_.failure().empty(); }

    // --- clients ---
    void step(unsigned fault_percent, unsigned command_percent);
    void client_step(unsigned side);
    // Many small writes to as many places, more than the activity log has room for.
    void burst(unsigned side);
    void promote_someone();
    void promote(unsigned side);

    // --- nodes ---
    void start_node(unsigned side);
    void attach(unsigned side, volume_number volume);
    void connect(unsigned side, bool discard_my_data = false);
    void crash_node(unsigned side, bool noticed);

    // --- faults (history_faults.cpp) ---
    void fault_step();
    void network_fault();
    void crash_fault();
    void disk_fault();
    void fail_disk(unsigned side);
    void hang_disk(unsigned side);
    void mend_disks(unsigned side);
    // Short courses of events in which a missing rule shows.
    void story();
    void kill_in_resync();
    void demote_and_kill();
    void write_alone_and_kill();
    void forget_and_kill();
    void lose_disk_and_kill();

    // --- commands (history_commands.cpp) ---
    void command_step();
    void administrate(unsigned side);
    void force(unsigned side);
    void grow(unsigned side);
    void grow_devices();
    replica::resize_arguments configured_size(volume_number volume);
    void resize_as_configured(unsigned side);

    // --- the fence-peer handler (history_fencing.cpp) ---
    bool helper_called(unsigned side, const replica::helper_call& call);
    void fence_peer(unsigned side, std::uint64_t incarnation, std::uint64_t id);
    int fence_absent_peer(unsigned side);
    void outdate_peer(unsigned side, std::uint64_t incarnation, std::uint64_t id);
    void check_not_alone_unfenced();

    // --- peace (history_peace.cpp) ---
    void finish();
    void make_peace();
    void check_waits();
    void wake_up();
    void help(unsigned side);
    void settle_split_brain();
    void choose_good_data();
    void grow_at_last();
    bool settled();

    random_source choices_;
    history_settings settings_;
    world world_;
    run_options given_;
    observer seen_;
    run_result result_;
    std::uint64_t hot_sector_ = 0;
    std::optional<unsigned> promoting_;
    bool peace_ = false;
};

} // namespace lockstep::simulation
