// What breaks: the network, nodes, disks; alone, and in the short courses of events that a rule of
// the replica exists for.
#include <array>
#include <string_view>
#include <utility>

#include "history.hpp"

namespace lockstep::simulation {

using state::connection;

namespace {

bool syncing(const state::volume_state& now) {
    return now.connection == connection::sync_source || now.connection == connection::sync_target;
}

} // namespace

void history::fault_step() {
    const auto dice = choices_.below(settings_.disk_errors ? 12 : 9);
    if (dice < 4) {
        network_fault();
    } else if (dice < 8) {
        crash_fault();
    } else if (dice == 8) {
        pause(second);
    } else {
        disk_fault();
    }
}

void history::network_fault() {
    auto& net = world_.net;
    switch (choices_.below(5)) {
    case 0:
    case 1:
        ++result_.reconnects;
        net.break_connection();
        break;
    case 2:
        net.faults.cut = !net.faults.cut;
        break;
    case 3: {
        const unsigned side = any_side();
        net.faults.cut_from[side] = !net.faults.cut_from[side];
        break;
    }
    default:
        net.faults.delay_max = choices_.between(20'000, 30 * millisecond);
        break;
    }
}

void history::crash_fault() {
    const unsigned side = any_side();
    switch (choices_.below(5)) {
    case 0:
    case 1:
        crash_node(side, choices_.percent(70));
        break;
    case 2:
        crash_node(side, choices_.percent(50));
        crash_node(1 - side, choices_.percent(50));
        break;
    default:
        if (!up(side)) {
            start_node(side);
        }
        break;
    }
}

// --- disks ---

void history::disk_fault() {
    const unsigned side = any_side();
    auto& data = at(side).data_disk(any_volume());
    switch (choices_.below(6)) {
    case 0:
        data.faults.latency_max = any_latency();
        break;
    case 1:
        fail_disk(side);
        break;
    case 2:
        hang_disk(side);
        break;
    case 3:
        data.faults.read_error_permille = static_cast<unsigned>(choices_.below(200));
        data.faults.write_error_permille = static_cast<unsigned>(choices_.below(200));
        data.faults.flush_error_permille = static_cast<unsigned>(choices_.below(200));
        break;
    default:
        mend_disks(side);
        break;
    }
}

void history::fail_disk(unsigned side) {
    const volume_number volume = any_volume();
    const bool metadata = settings_.node.external_metadata && choices_.percent(40);
    auto& broken = metadata ? at(side).metadata_disk(volume) : at(side).data_disk(volume);
    broken.faults.dead = true;
}

void history::hang_disk(unsigned side) {
    const volume_number volume = any_volume();
    auto& hanging = at(side).data_disk(volume);
    hanging.faults.hung = true;
    pause(2 * second);
    if (up(side) && choices_.percent(50)) {
        ask([&](replica::on_outcome done) {
            at(side).machine().detach(volume, true, std::move(done));
        });
        pause(second);
    }
    hanging.unhang();
}

// The disk is good again, or another one is there; and attached, if its volume had lost it.
void history::mend_disks(unsigned side) {
    for (volume_number number = 0; number < settings_.node.volumes; ++number) {
        auto& data = at(side).data_disk(number);
        auto& metadata = at(side).metadata_disk(number);
        const bool was_dead = data.faults.dead || metadata.faults.dead;
        for (disk* each : {&data, &metadata}) {
            const instant latency = each->faults.latency_max;
            each->faults = {};
            each->faults.latency_max = latency;
        }
        const bool unused = !up(side) || at(side).state(number).disk == state::disk::diskless;
        const bool idle = data.under_way() + metadata.under_way() == 0;
        const bool spared = seen_.has_all(1 - side) && !settings_.wide;
        if (was_dead && unused && idle && spared && choices_.percent(50)) {
            data.replace();
            if (&metadata != &data) {
                metadata.replace();
            }
            create_metadata(at(side).metadata_at(number));
            seen_.now_stale(side);
            world_.print(side, "HAS A NEW DISK");
        }
        if (up(side) && unused && idle) {
            attach(side, number);
        }
    }
}

// --- stories ---

void history::story() {
    using course = void (history::*)();
    constexpr std::array<std::pair<std::string_view, course>, 5> stories = {{
        {"resync", &history::kill_in_resync},
        {"demote", &history::demote_and_kill},
        {"alone", &history::write_alone_and_kill},
        {"forget", &history::forget_and_kill},
        {"detach", &history::lose_disk_and_kill}, // the last ones only where they are asked for
    }};
    constexpr std::size_t by_chance = 4;
    const std::string_view chosen =
        given_.story.empty() ? stories[choices_.below(by_chance)].first : given_.story;
    for (const auto& [name, happens] : stories) {
        if (name == chosen) {
            (this->*happens)();
        }
    }
}

void history::kill_in_resync() {
    const unsigned side = any_side();
    if (choices_.percent(60)) {
        ask([&](replica::on_outcome done) {
            if (up(side)) {
                at(side).machine().disconnect(true, std::move(done));
            }
        });
        for (unsigned count = 0; count < 20; ++count) {
            if (seen_.is_primary(0) || seen_.is_primary(1)) {
                client_step(seen_.is_primary(0) ? 0 : 1);
                pause(millisecond);
            }
        }
    }
    world_.net.faults.cut = false;
    world_.net.faults.cut_from = {};
    for (unsigned each = 0; each < 2; ++each) {
        if (!up(each)) {
            start_node(each);
        }
        connect(each);
    }
    const bool began = world_.run_until(
        [this] { return (up(0) && syncing(at(0).state())) || (up(1) && syncing(at(1).state())); },
        3 * second);
    if (!began) {
        return;
    }
    pause(choices_.percent(50) ? 3 * millisecond : 50 * millisecond);
    const auto dice = choices_.below(4);
    if (dice == 0) {
        world_.net.break_connection();
        pause(10 * millisecond);
    }
    if (dice <= 1) {
        crash_node(side, true);
    } else {
        crash_node(side, choices_.percent(50));
        crash_node(1 - side, choices_.percent(50));
    }
}

// What a node that says Secondary may lack after a power failure nobody asks any more.
void history::demote_and_kill() {
    const unsigned side = seen_.is_primary(0) ? 0 : 1;
    if (!seen_.is_primary(side)) {
        return;
    }
    if (choices_.percent(40)) {
        world_.net.break_connection();
    }
    for (unsigned count = 0; count < 8; ++count) {
        client_step(side);
        pause(millisecond);
    }
    if (!up(side)) {
        return;
    }
    auto ended = std::make_shared<bool>(false);
    at(side).machine().secondary([ended](const replica::outcome&) { *ended = true; });
    world_.run_until([ended] { return *ended; }, 3 * second);
    pause(choices_.percent(50) ? 0 : 5 * millisecond);
    crash_node(side, true);
}

// Bits that only the memory knows, and extents that the log has forgotten since.
void history::write_alone_and_kill() {
    const unsigned side = seen_.is_primary(0) ? 0 : 1;
    if (!seen_.is_primary(side)) {
        return;
    }
    if (up(1 - side)) {
        ask([&](replica::on_outcome done) {
            at(1 - side).machine().disconnect(true, std::move(done));
        });
    }
    pause(20 * millisecond);
    if (settings_.wide) {
        burst(side);
    } else {
        for (unsigned count = 0; count < 10; ++count) {
            client_step(side);
            pause(2 * millisecond);
        }
    }
    pause(20 * millisecond);
    crash_node(side, true);
}

// Data that is acknowledged, and so perhaps forgotten by the log, but not flushed here.
void history::forget_and_kill() {
    const unsigned side = seen_.is_primary(0) ? 0 : 1;
    if (!seen_.is_primary(side)) {
        return;
    }
    if (settings_.wide) {
        burst(side);
        burst(side);
    } else {
        client_step(side);
    }
    pause(30 * millisecond);
    crash_node(side, true);
}

// The Primary's disk goes while the peer has only received what was acknowledged.
void history::lose_disk_and_kill() {
    const unsigned side = seen_.is_primary(0) ? 0 : 1;
    if (!seen_.is_primary(side)) {
        return;
    }
    const volume_number volume = any_volume();
    const std::uint64_t end = at(side).device_size(volume);
    for (unsigned count = 0; count < 4 && end >= 1024; ++count) {
        world_.write(side, volume, choices_.below(end / 8) * 8, 8, choices_.percent(50));
        pause(choices_.percent(50) ? 0 : millisecond);
    }
    if (choices_.percent(50)) {
        world_.flush(side, volume);
        pause(choices_.percent(50) ? 5 * millisecond : 50 * millisecond);
    }
    if (!up(side)) {
        return;
    }
    const bool by_force = choices_.percent(50);
    ask([&](replica::on_outcome done) {
        at(side).machine().detach(volume, by_force, std::move(done));
    });
    pause(choices_.percent(50) ? 5 * millisecond : 50 * millisecond);
    crash_node(1 - side, choices_.percent(50));
    if (choices_.percent(50)) {
        crash_node(side, true);
    }
}

} // namespace lockstep::simulation
