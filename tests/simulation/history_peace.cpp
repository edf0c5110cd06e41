// The end of a history: the faults are over, an administrator does what the states ask for, and
// everything that was begun has to end.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "history.hpp"

namespace lockstep::simulation {

using state::connection;

bool history::settled() {
    return world_.quiet() && world_.is_in_sync();
}

// With the network and the disks good again a request may only wait for something that status
// names; it does not wait for an administrator who does not know.
void history::check_waits() {
    const bool all_ended = world_.run_until([this] { return world_.quiet(); }, 60 * second);
    for (unsigned side = 0; side < 2 && !all_ended; ++side) {
        if (!up(side) || at(side).requests_open() == 0 || at(side).state().suspended()) {
            continue;
        }
        bool named = false;
        for (const auto& each : at(side).status().volumes) {
            named |= !each.waiting_for.empty();
        }
        if (!named) {
            world_.fail_with(fmt::format("node {}: {} requests wait without a reason",
                                         side == 0 ? 'A' : 'B', at(side).requests_open()));
        }
    }
}

// Nodes run, disks are whole, and both look for each other.
void history::wake_up() {
    for (unsigned side = 0; side < 2; ++side) {
        if (!up(side)) {
            start_node(side);
        }
        mend_disks(side);
        resize_as_configured(side);
        connect(side);
    }
    const auto connected = [this] {
        return at(0).state().connection >= connection::connected &&
               at(1).state().connection >= connection::connected;
    };
    if (!world_.run_until(connected, 10 * second) && going_on()) {
        settle_split_brain();
        world_.run_until(connected, 10 * second);
    }
}

// Each went its own way, or does not go on without the other: decided by hand. The one that has
// less gives up its part.
void history::settle_split_brain() {
    for (unsigned side = 0; side < 2; ++side) {
        if (at(side).state().suspended()) {
            seen_.overruled();
            ask([&](replica::on_outcome done) { at(side).machine().resume_io(std::move(done)); });
        }
    }
    if (world_.net.dialect.version_max < 91) {
        // Old versions can't correct the end of an interrupted resync: the way out is an upgrade.
        world_.net.dialect = {};
        for (unsigned side = 0; side < 2; ++side) {
            connect(side);
        }
    }
    // A Primary that crashed as source at the very end of a resync has marks that the other, who
    // went on, can't tell from writes: in doubt that is a split brain. And a Secondary that heard
    // of its Primary's detach has a generation of its own, as has the Primary, if the link was lost
    // before both knew it.
    const bool may_split = seen_.was_overruled() || seen_.fell_as_primary(0) ||
                           seen_.fell_as_primary(1) || seen_.kept_for_peer(0) ||
                           seen_.kept_for_peer(1);
    if (!may_split) {
        return;
    }
    const unsigned victim = seen_.has_all(0) ? 1 : 0;
    const bool doubtful = !seen_.has_all(1 - victim) || seen_.has_all(victim);
    world_.run([&](replica::on_outcome done) { at(victim).machine().secondary(std::move(done)); });
    if (doubtful) {
        seen_.all_is_doubtful(); // what has ended before the demotion, too
    }
    for (unsigned side = 0; side < 2; ++side) {
        ask([&](replica::on_outcome done) {
            at(side).machine().disconnect(true, std::move(done));
        });
    }
    connect(victim, true);
    connect(1 - victim);
}

void history::help(unsigned side) {
    auto& machine = at(side).machine();
    ask([&](replica::on_outcome done) { machine.resume_io(std::move(done)); });
    for (volume_number number = 0; number < settings_.node.volumes && going_on(); ++number) {
        ask([&](replica::on_outcome done) { machine.resume_sync(number, std::move(done)); });
        const auto now = at(side).state(number);
        const bool spoiled = now.disk == state::disk::inconsistent &&
                             now.connection == connection::connected &&
                             now.peer_disk == state::disk::up_to_date;
        if (spoiled) {
            // pass_on: the disk is looked at, and attached again.
            world_.run(
                [&](replica::on_outcome done) { machine.detach(number, false, std::move(done)); });
        }
        attach(side, number);
    }
}

// Nobody is UpToDate: somebody has to say whose data are good.
void history::choose_good_data() {
    for (volume_number number = 0; number < settings_.node.volumes && going_on(); ++number) {
        const auto [a, b] = std::pair{at(0).state(number), at(1).state(number)};
        const bool syncs = a.connection > connection::connected;
        if (syncs || a.disk == state::disk::up_to_date || b.disk == state::disk::up_to_date) {
            continue;
        }
        for (auto& each : world_.nodes) {
            world_.run(
                [&](replica::on_outcome done) { each->machine().secondary(std::move(done)); });
        }
        force(seen_.has_all(0) ? 0 : 1);
        return;
    }
}

void history::make_peace() {
    auto& net = world_.net;
    net.faults.cut = false;
    net.faults.cut_from = {};
    net.faults.delay_max = 200'000;
    for (unsigned side = 0; side < 2; ++side) {
        if (!up(side)) {
            start_node(side);
        }
        mend_disks(side);
    }
    check_waits();
    peace_ = true;
    for (int round = 0; round < 6 && !settled() && going_on(); ++round) {
        if (round == 3) {
            // A disk that is refused while they are connected is attached first, and what an old
            // version can't do takes an upgrade.
            net.dialect = {};
            for (auto& each : world_.nodes) {
                ask([&](replica::on_outcome done) {
                    each->machine().disconnect(true, std::move(done));
                });
            }
        }
        wake_up();
        for (unsigned side = 0; side < 2 && going_on(); ++side) {
            help(side);
        }
        world_.run_until([this] { return settled(); }, 5 * second);
        choose_good_data();
        world_.run_until([this] { return settled(); }, 60 * second);
    }
}

// Nothing is in the way any more: what both disks have room for is used.
void history::grow_at_last() {
    const bool primary = seen_.is_primary(0) || seen_.is_primary(1);
    for (unsigned round = 0; round < 2 && primary && settings_.devices_grow && going_on();
         ++round) {
        resize_as_configured(round);
        help(0);
        help(1);
        world_.run_until([this] { return settled(); }, 60 * second);
        world_.run_for(second);
    }
    for (volume_number number = 0; number < settings_.node.volumes; ++number) {
        const std::uint64_t user = configured_size(number).size_sectors;
        const std::uint64_t disks =
            std::min(at(0).data_sectors(number), at(1).data_sectors(number));
        const std::uint64_t expected = user != 0 ? std::min(user, disks) : disks;
        const auto [a, b] = std::pair{at(0).device_size(number), at(1).device_size(number)};
        if (a != b || (primary && settings_.devices_grow && a != expected)) {
            world_.fail_with(fmt::format("volume {}: the devices have {} and {} sectors, not {}",
                                         number, a, b, expected));
        }
    }
}

void history::finish() {
    if (!going_on()) {
        return;
    }
    // Commands and handlers that were under way may begin something once more.
    for (int attempt = 0; attempt < 3 && going_on(); ++attempt) {
        make_peace();
        world_.run_for(second);
        if (settled()) {
            break;
        }
    }
    if (going_on() && !settled()) {
        world_.fail_with(world_.quiet() ? "the nodes do not get in sync though all faults are over"
                                        : "requests of clients do not end");
    }
    if (going_on()) {
        grow_at_last();
    }
    if (going_on()) {
        world_.check_converged();
    }
    peace_ = false;
}

} // namespace lockstep::simulation
