#include "history.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace lockstep::simulation {

using state::connection;
using state::role;

history::history(const run_options& given)
    : choices_(given.seed), settings_(draw_settings(choices_, given)),
      world_(choices_.next(), settings_.node), given_(given), seen_(world_, settings_) {
    world_.verbose = given.verbose;
    world_.net.dialect = settings_.dialect;
    world_.net.faults.delay_max = choices_.between(20'000, 3 * millisecond);
    if (choices_.percent(20)) {
        world_.net.faults.window_bytes = 16 * 1024;
    }
    for (volume_number number = 0; number < settings_.node.volumes; ++number) {
        world_.models[number].zeroes_before(at(0).data_sectors(number));
    }
    if (settings_.freezes()) {
        world_.on_event = [this] { check_not_alone_unfenced(); };
    }
    for (auto& each : world_.nodes) {
        each->on_changed = [this] { seen_.look(); };
        each->helper_answers["fence-disk"].exit_code = 4; // the peer knows of it
        each->on_helper = [this, side = each->side()](const replica::helper_call& call) {
            return helper_called(side, call);
        };
        for (volume_number number = 0; number < settings_.node.volumes; ++number) {
            create_metadata_in_sync(each->metadata_at(number), 0x1234567812345678U,
                                    settings_.node.disk.size_sectors);
            for (disk* one : {&each->data_disk(number), &each->metadata_disk(number)}) {
                one->sabotage.ignore_flush = given.ignore_flush;
                one->sabotage.ignore_fua = given.ignore_fua;
                one->faults.latency_max = any_latency();
            }
        }
    }
}

// Starts a command and does not wait for it: others may come in between.
void history::ask(const std::function<void(replica::on_outcome)>& command) {
    command([](const replica::outcome&) {});
}

// --- nodes ---

void history::start_node(unsigned side) {
    at(side).start();
    for (volume_number number = 0; number < settings_.node.volumes; ++number) {
        attach(side, number);
    }
    pause(50 * millisecond);
    connect(side);
}

void history::attach(unsigned side, volume_number volume) {
    if (at(side).data_disk(volume).under_way() + at(side).metadata_disk(volume).under_way() > 0) {
        return; // of a disk that was given up
    }
    ask([&](replica::on_outcome done) { at(side).attach(volume, std::move(done)); });
}

void history::connect(unsigned side, bool discard_my_data) {
    if (up(side) && at(side).state().connection == connection::standalone) {
        at(side).connect(discard_my_data);
    }
}

void history::crash_node(unsigned side, bool noticed) {
    // Who asked to be promoted with the data of a node that is there must find it there.
    const bool leant_on = promoting_ == 1 - side && !seen_.has_all(1 - side);
    if (!up(side) || leant_on) {
        return;
    }
    seen_.crashes(side);
    ++result_.crashes;
    world_.print(side, "CRASHES");
    at(side).crash(noticed);
    for (volume_number number = 0; number < settings_.node.volumes; ++number) {
        at(side).data_disk(number).faults.hung = false;
    }
    if (promoting_ == side) {
        promoting_.reset();
    }
}

// --- clients ---

void history::client_step(unsigned side) {
    if (!seen_.is_primary(side) || at(side).requests_open() > 24) {
        return;
    }
    const volume_number volume = any_volume();
    const std::uint64_t end = at(side).device_size(volume);
    if (end < 1024) {
        return; // not attached, and not told by the peer either
    }
    // Half of the requests go to a few places, so that they overlap.
    std::uint64_t first = choices_.percent(50) ? choices_.below(24) : choices_.below(end / 8);
    if (hot_sector_ != 0 && choices_.percent(30)) {
        first = hot_sector_ / 8;
    }
    std::uint64_t sectors = 8 * choices_.between(1, choices_.percent(10) ? 64 : 6);
    first *= 8;
    if (choices_.percent(15)) {
        first += choices_.below(8);
        sectors = choices_.between(1, 16);
    }
    first = std::min(first, end - sectors);
    hot_sector_ = first;
    const auto kind = choices_.below(1000);
    const unsigned flushes = settings_.wide ? 5 : 100;
    if (kind < flushes) {
        world_.flush(side, volume);
    } else if (kind < 350) {
        world_.read(side, volume, first, sectors);
    } else if (kind < 400) {
        world_.discard(side, volume, first, sectors);
    } else if (kind < 450) {
        world_.write_zeroes(side, volume, first, sectors);
    } else {
        world_.write(side, volume, first, sectors, choices_.percent(settings_.wide ? 1 : 15));
    }
}

void history::burst(unsigned side) {
    const volume_number volume = any_volume();
    const std::uint64_t end = up(side) ? at(side).device_size(volume) : 0;
    const auto count = choices_.between(20, 220);
    for (std::uint64_t index = 0; index < count && end >= 1024 && up(side); ++index) {
        world_.write(side, volume, choices_.below(end / 8) * 8, 8);
        if (choices_.percent(30)) {
            pause(millisecond);
        }
    }
}

void history::promote_someone() {
    // Two who are asked at the same time would both become Primary if the link breaks.
    const bool allowed = settings_.two_primaries ? !(seen_.is_primary(0) && seen_.is_primary(1))
                                                 : !(seen_.is_primary(0) || seen_.is_primary(1));
    if (!allowed || promoting_) {
        return;
    }
    const unsigned first = any_side();
    for (const unsigned side : {first, 1 - first}) {
        if (!up(side) || seen_.is_primary(side)) {
            continue;
        }
        // Where fencing freezes whoever loses its peer, it alone has to see to it that nobody is
        // promoted who lacks something. Else the observer does.
        const bool safe = settings_.freezes() || seen_.has_all(side) ||
                          (seen_.reaches_good_data(side) && up(1 - side) && seen_.linked() &&
                           seen_.has_all(1 - side));
        if (safe) {
            promote(side);
            return;
        }
    }
}

void history::promote(unsigned side) {
    promoting_ = side;
    world_.print(side, "IS TO BE PROMOTED");
    at(side).machine().primary(false, [this](const replica::outcome&) { promoting_.reset(); });
    pause(20 * millisecond);
}

void history::step(unsigned fault_percent, unsigned command_percent) {
    if (settings_.devices_grow && choices_.percent(4)) {
        grow_devices();
    }
    const auto dice = choices_.below(100);
    const unsigned side = any_side();
    if (dice < fault_percent) {
        fault_step();
    } else if (dice < fault_percent + command_percent) {
        command_step();
    } else if (seen_.is_primary(side) && settings_.wide && choices_.percent(4)) {
        burst(side);
    } else if (seen_.is_primary(side)) {
        client_step(side);
    } else if (settings_.two_primaries ? choices_.percent(20) : !seen_.is_primary(1 - side)) {
        promote_someone();
    } else {
        client_step(1 - side);
    }
    if (choices_.percent(60)) {
        pause(choices_.percent(10) ? 200 * millisecond : 3 * millisecond);
    }
}

run_result history::run() {
    result_.settings = settings_.text();
    start_node(0);
    start_node(1);
    const auto rounds = choices_.between(1, 3);
    for (std::uint64_t round = 0; round < rounds && going_on(); ++round) {
        world_.run_until([this] { return world_.is_in_sync(); }, 5 * second);
        const std::uint64_t steps = given_.steps != 0 ? given_.steps : choices_.between(20, 120);
        const auto fault_percent = static_cast<unsigned>(choices_.below(12));
        const auto command_percent = static_cast<unsigned>(choices_.below(8));
        for (std::uint64_t step_number = 0; step_number < steps && going_on(); ++step_number) {
            step(fault_percent, command_percent);
        }
        if ((choices_.percent(50) || !given_.story.empty()) && going_on()) {
            story();
        }
        finish();
    }
    result_.failure = world_.failure();
    if (!result_.failure.empty()) {
        result_.failure +=
            fmt::format("\n    A: {}\n    B: {}", world_.describe(0), world_.describe(1));
    }
    result_.requests = world_.requests_done;
    return result_;
}

run_result run_random(const run_options& options) {
    return history(options).run();
}

} // namespace lockstep::simulation
