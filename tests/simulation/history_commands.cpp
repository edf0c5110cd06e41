// What administrators type in between.
#include <fmt/format.h>

#include "history.hpp"

namespace lockstep::simulation {

using state::connection;
using state::role;

void history::command_step() {
    const unsigned side = any_side();
    if (!up(side)) {
        return;
    }
    auto& machine = at(side).machine();
    const volume_number volume = any_volume();
    switch (choices_.below(12)) {
    case 0:
    case 1:
        ask([&](replica::on_outcome done) { machine.disconnect(false, std::move(done)); });
        break;
    case 2:
    case 3:
        connect(0);
        connect(1);
        break;
    case 4:
        if (seen_.is_primary(side)) {
            ask([&](replica::on_outcome done) { machine.secondary(std::move(done)); });
        }
        break;
    case 5:
        ask([&](replica::on_outcome done) { machine.pause_sync(volume, std::move(done)); });
        break;
    case 6:
        ask([&](replica::on_outcome done) { machine.resume_sync(volume, std::move(done)); });
        break;
    case 7:
        ask([&](replica::on_outcome done) { machine.suspend_io(std::move(done)); });
        break;
    case 8:
        // By hand it also ends the wait for a fence-peer handler.
        if (at(side).state().suspended_user && !at(side).state().suspended_fencing) {
            ask([&](replica::on_outcome done) { machine.resume_io(std::move(done)); });
        }
        break;
    case 9: {
        const std::uint64_t first = 8 * choices_.below(256);
        ask([&](replica::on_outcome done) {
            machine.verify(volume, first, first + 1024, std::move(done));
        });
        break;
    }
    case 10:
        if (settings_.disk_errors) {
            ask([&](replica::on_outcome done) { machine.detach(volume, false, std::move(done)); });
            pause(20 * millisecond);
            if (up(side) && choices_.percent(70)) {
                attach(side, volume);
            }
        }
        break;
    default:
        if (settings_.administration) {
            administrate(side);
        } else if (settings_.grows) {
            grow(side);
        }
        break;
    }
}

void history::administrate(unsigned side) {
    auto& machine = at(side).machine();
    const unsigned other = 1 - side;
    const volume_number volume = any_volume();
    switch (choices_.below(4)) {
    case 0:
        // Only what the other has too may be thrown away.
        if (seen_.has_all(other) && up(other) && !seen_.is_primary(side)) {
            machine.invalidate(volume, [this, side](const replica::outcome& ended) {
                if (ended.ok) {
                    seen_.now_stale(side);
                }
            });
        }
        break;
    case 1:
        if (seen_.has_all(side) && at(side).state(volume).disk == state::disk::up_to_date) {
            seen_.now_stale(other);
            ask([&](replica::on_outcome done) {
                machine.invalidate_remote(volume, std::move(done));
            });
        }
        break;
    case 2:
        ask([&](replica::on_outcome done) { machine.outdate(volume, std::move(done)); });
        break;
    default:
        force(side);
        break;
    }
    pause(20 * millisecond);
}

// primary --force: this side's data are the good ones, whatever the other has.
void history::force(unsigned side) {
    const unsigned other = 1 - side;
    if (seen_.is_primary(0) || seen_.is_primary(1) || promoting_) {
        return;
    }
    const bool loses = !seen_.reaches_good_data(side);
    if (loses && !peace_) {
        return; // enough is lost by chance
    }
    promoting_ = side;
    seen_.overruled();
    at(side).machine().primary(true, [this, other, loses](const replica::outcome& ended) {
        promoting_.reset();
        if (ended.ok && loses) {
            seen_.all_is_doubtful();
        }
        if (ended.ok) {
            seen_.now_stale(other);
        }
    });
    pause(20 * millisecond);
}

// The new size is in the configuration of both nodes first, and never smaller than the last one: a
// node that restarts with a smaller one would cut off what was written behind it.
void history::grow(unsigned side) {
    const volume_number volume = any_volume();
    const auto known = at(side).size_option.find(volume);
    const bool limited = known == at(side).size_option.end();
    replica::resize_arguments arguments;
    if (limited && choices_.percent(50)) {
        arguments.size_sectors = settings_.node.disk.size_sectors + 800;
    } else if (!limited && known->second != 0 && choices_.percent(50)) {
        arguments.size_sectors = known->second;
    }
    for (auto& each : world_.nodes) {
        each->size_option[volume] = arguments.size_sectors;
    }
    ask([&](replica::on_outcome done) {
        at(side).machine().resize(volume, at(side).properties_now(volume), arguments,
                                  std::move(done));
    });
    pause(20 * millisecond);
}

replica::resize_arguments history::configured_size(volume_number volume) {
    const auto known = at(0).size_option.find(volume);
    replica::resize_arguments arguments;
    arguments.size_sectors =
        known != at(0).size_option.end() ? known->second : settings_.node.disk.size_sectors;
    return arguments;
}

// The devices below become larger: mostly on both nodes, and mostly somebody says so.
void history::grow_devices() {
    const volume_number volume = any_volume();
    // Less than the metadata takes, so that its old place and its new one overlap; or far.
    const std::uint64_t added =
        choices_.percent(40) ? 8 * choices_.between(1, 4) : 8 * choices_.between(16, 256);
    const unsigned first = any_side();
    const bool both = choices_.percent(75);
    for (const unsigned side : {first, 1 - first}) {
        const std::uint64_t before = at(side).data_disk(volume).sectors();
        if ((side == first || both) && before < settings_.node.device_sectors + 8192) {
            world_.print(side, fmt::format("[{}] DEVICE GROWS BY {}", volume, added));
            at(side).grow_device(volume, before + added);
        }
    }
    pause(20 * millisecond);
    const unsigned asks = any_side();
    if (up(asks) && choices_.percent(75)) {
        ask([&](replica::on_outcome done) {
            at(asks).machine().resize(volume, at(asks).properties_now(volume),
                                      configured_size(volume), std::move(done));
        });
        pause(20 * millisecond);
    }
}

// One that was refused or interrupted is begun again: else a node that has not heard of it keeps
// the other, which has, from connecting.
void history::resize_as_configured(unsigned side) {
    for (volume_number volume = 0; volume < settings_.node.volumes; ++volume) {
        if (!settings_.devices_grow && !at(side).size_option.contains(volume)) {
            continue;
        }
        world_.run([&](replica::on_outcome done) {
            at(side).machine().resize(volume, at(side).properties_now(volume),
                                      configured_size(volume), std::move(done));
        });
    }
}

} // namespace lockstep::simulation
