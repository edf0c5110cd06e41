#include "random_run.hpp"

#include <array>
#include <optional>

#include <fmt/format.h>

#include "world.hpp"

namespace lockstep::simulation {
namespace {

using state::connection;
using state::disk;
using state::role;

node_settings random_settings(random_source& random) {
    node_settings drawn;
    const bool wide = random.percent(15);
    // Wide: ten times what 67 extents span, so that the activity log forgets all the time.
    drawn.device_sectors =
        wide ? std::uint64_t{680} * format::al_extent_sectors : 2048 * random.between(2, 6);
    drawn.external_metadata = random.percent(30);
    drawn.volumes = random.percent(15) ? 2 : 1;
    auto& net = drawn.net;
    const auto protocol = random.below(10);
    net.protocol = protocol < 6   ? options::protocol::c
                   : protocol < 8 ? options::protocol::b
                                  : options::protocol::a;
    net.timeout_ds = static_cast<std::uint32_t>(random.between(20, 60));
    net.ping_int_s = static_cast<std::uint32_t>(random.between(1, 10));
    net.ping_timeout_ds = static_cast<std::uint32_t>(random.between(3, 10));
    net.ko_count = static_cast<std::uint32_t>(random.between(2, 7));
    net.max_epoch_size =
        random.percent(30) ? static_cast<std::uint32_t>(random.between(1, 20)) : 2048;
    net.use_rle = random.percent(70);
    net.max_buffers = static_cast<std::uint32_t>(random.between(32, 2048));
    if (random.percent(20)) {
        net.data_integrity_alg = "crc32c";
    }
    if (random.percent(30)) {
        net.csums_alg = "crc32c";
    }
    net.verify_alg = "crc32c";
    if (random.percent(20)) {
        net.cram_hmac_alg = "sha1";
        net.shared_secret = "secret";
    }
    auto& device = drawn.disk;
    device.al_extents = wide || random.percent(20) ? 67 : 1237;
    device.on_io_error = static_cast<options::on_io_error>(random.below(3));
    device.c_max_rate_kib = random.percent(20) ? 2000 : 1 << 20;
    device.c_plan_ahead_ds = random.percent(20) ? 0 : 20;
    device.resync_rate_kib = 1 << 18;
    if (random.percent(25)) {
        device.read_balancing = static_cast<options::read_balancing>(random.below(11));
    }
    if (random.percent(20)) {
        device.rs_discard_granularity = 65536;
    }
    drawn.peer_pool_bytes = random.percent(20) ? 2U << 20U : 4U << 20U;
    return drawn;
}

// What an outside observer, who sees both nodes, knows about who has the last word.
struct observer {
    // The node may lack writes that were acknowledged: it must not be promoted.
    std::array<bool, 2> stale{};
    // Its cache was lost while the other node had everything; until they are in sync again.
    std::array<bool, 2> crashed{};

    bool has_all(unsigned side) const { return !stale[side] && !crashed[side]; }
};

class history {
public:
    explicit history(const run_options& given)
        : choices_(given.seed), settings_(random_settings(choices_)),
          world_(choices_.next(), settings_), given_(given) {
        world_.verbose = given.verbose;
        for (auto& each : world_.nodes) {
            each->on_changed = [this] { watch(); };
            for (volume_number number = 0; number < settings_.volumes; ++number) {
                create_metadata_in_sync(each->metadata_at(number), 0x1234567812345678U);
                for (simulation::disk* one :
                     {&each->data_disk(number), &each->metadata_disk(number)}) {
                    one->sabotage.ignore_flush = given.ignore_flush;
                    one->sabotage.ignore_fua = given.ignore_fua;
                    one->faults.latency_max = latency_max_();
                }
            }
        }
        world_.net.faults.delay_max = choices_.between(20'000, 3 * millisecond);
        if (choices_.percent(20)) {
            world_.net.faults.window_bytes = 16 * 1024;
        }
    }

    run_result run();

private:
    node& at(unsigned side) { return *world_.nodes[side]; }
    bool up(unsigned side) { return at(side).alive(); }
    instant latency_max_() { return choices_.between(50'000, 4 * millisecond); }
    std::optional<unsigned> primary();
    void watch();
    bool in_sync(unsigned side);
    void start_node(unsigned side);
    void client_step(unsigned side);
    void fault_step();
    void crash_node(unsigned side, bool noticed);
    void promote_someone();
    void command_step();
    void make_peace();
    void finish();
    bool settled();
    void ask(const std::function<void(replica::on_outcome)>& command);

    random_source choices_;
    node_settings settings_;
    world world_;
    run_options given_;
    observer seen_;
    run_result result_;
    std::uint64_t hot_sectors_ = 0;
    bool promoting_ = false;
};

std::optional<unsigned> history::primary() {
    for (unsigned side = 0; side < 2; ++side) {
        if (up(side) && at(side).state().role == role::primary) {
            return side;
        }
    }
    return std::nullopt;
}

// Called at each change of a status: whoever is Primary without a connected UpToDate peer may
// acknowledge what the peer lacks, from now until they are in sync again.
void history::watch() {
    for (unsigned side = 0; side < 2; ++side) {
        if (!up(side)) {
            continue;
        }
        bool alone = false;
        bool behind = false;
        for (volume_number number = 0; number < settings_.volumes; ++number) {
            const auto now = at(side).state(number);
            const bool peer_good =
                now.connection >= connection::connected && now.peer_disk == disk::up_to_date;
            alone |= !peer_good;
            behind |= now.disk != disk::up_to_date;
        }
        if (at(side).state().role == role::primary) {
            seen_.stale[1 - side] = alone;
            // A Primary whose own disk is not good leans on the peer.
            seen_.stale[side] = behind;
        }
        if (!alone && !behind && up(1 - side) && in_sync(1 - side)) {
            seen_.crashed = {};
        }
    }
}

bool history::in_sync(unsigned side) {
    for (volume_number number = 0; number < settings_.volumes; ++number) {
        const auto now = at(side).state(number);
        if (now.connection < connection::connected || now.disk != disk::up_to_date ||
            now.peer_disk != disk::up_to_date) {
            return false;
        }
    }
    return true;
}

// Starts a command and does not wait for it: others may come in between.
void history::ask(const std::function<void(replica::on_outcome)>& command) {
    command([](const replica::outcome&) {});
}

void history::start_node(unsigned side) {
    at(side).start();
    for (volume_number number = 0; number < settings_.volumes; ++number) {
        ask([&](replica::on_outcome done) { at(side).attach(number, std::move(done)); });
    }
    world_.run_for(choices_.below(50 * millisecond));
    if (up(side) && at(side).status().connection == connection::standalone) {
        at(side).connect();
    }
}

void history::client_step(unsigned side) {
    if (!up(side) || at(side).requests_open() > 24) {
        return;
    }
    const auto volume = static_cast<volume_number>(choices_.below(settings_.volumes));
    const std::uint64_t blocks = at(side).data_sectors(volume) / 8;
    // Half of the requests go to a few places, so that they overlap.
    std::uint64_t first = choices_.percent(50) ? choices_.below(24) : choices_.below(blocks);
    if (hot_sectors_ != 0 && choices_.percent(30)) {
        first = hot_sectors_ / 8;
    }
    std::uint64_t sectors = 8 * choices_.between(1, choices_.percent(10) ? 64 : 6);
    first *= 8;
    if (choices_.percent(15)) {
        first += choices_.below(8);
        sectors = choices_.between(1, 16);
    }
    const std::uint64_t end = at(side).data_sectors(volume);
    if (first + sectors > end) {
        first = end - sectors;
    }
    hot_sectors_ = first;
    const auto kind = choices_.below(100);
    if (kind < 55) {
        world_.write(side, volume, first, sectors, choices_.percent(15));
    } else if (kind < 80) {
        world_.read(side, volume, first, sectors);
    } else if (kind < 90) {
        world_.flush(side, volume);
    } else if (kind < 95) {
        world_.discard(side, volume, first, sectors);
    } else {
        world_.write_zeroes(side, volume, first, sectors);
    }
}

void history::crash_node(unsigned side, bool noticed) {
    if (!up(side)) {
        return;
    }
    watch();
    const bool was_primary = at(side).state().role == role::primary;
    const unsigned other = 1 - side;
    const bool other_has_all = up(other) && seen_.has_all(other);
    ++result_.crashes;
    if (given_.verbose) {
        fmt::print("{:12.6f} {} CRASHES\n", static_cast<double>(world_.events.now()) / 1e9,
                   side == 0 ? 'A' : 'B');
    }
    at(side).crash(noticed);
    promoting_ = false;
    seen_.crashed[side] |= other_has_all;
    // The last word survives in the cache of the other node, if that has all of it; else only
    // what was flushed.
    if (!other_has_all) {
        for (auto& each : world_.models) {
            each.forget_unflushed();
        }
    } else if (was_primary && settings_.net.protocol != options::protocol::c) {
        for (auto& each : world_.models) {
            each.forget_unsettled();
        }
    }
}

void history::promote_someone() {
    // Two who are asked at the same time would both become Primary if the link breaks.
    if (primary() || promoting_) {
        return;
    }
    const auto side = static_cast<unsigned>(choices_.below(2));
    for (const unsigned candidate : {side, 1 - side}) {
        if (!up(candidate) || !seen_.has_all(candidate)) {
            continue;
        }
        // Both alive and apart: promoting one is safe while nobody promotes the other; the
        // observer sees to that.
        promoting_ = true;
        at(candidate).machine().primary(false,
                                        [this](const replica::outcome&) { promoting_ = false; });
        world_.run_for(choices_.below(20 * millisecond));
        return;
    }
}

void history::fault_step() {
    auto& net = world_.net;
    const auto side = static_cast<unsigned>(choices_.below(2));
    switch (choices_.below(12)) {
    case 0:
    case 1:
        ++result_.reconnects;
        net.break_connection();
        break;
    case 2:
        net.faults.cut = !net.faults.cut;
        break;
    case 3:
        net.faults.cut_from[side] = !net.faults.cut_from[side];
        break;
    case 4:
    case 5:
        crash_node(side, choices_.percent(70));
        break;
    case 6:
        crash_node(side, choices_.percent(50));
        crash_node(1 - side, choices_.percent(50));
        break;
    case 7:
    case 8:
        if (!up(side)) {
            start_node(side);
        }
        break;
    case 9:
        net.faults.delay_max = choices_.between(20'000, 30 * millisecond);
        break;
    case 10:
        for (auto& each : world_.nodes) {
            each->data_disk(0).faults.latency_max = latency_max_();
        }
        break;
    default:
        world_.run_for(choices_.below(second));
        break;
    }
}

void history::command_step() {
    const auto side = static_cast<unsigned>(choices_.below(2));
    if (!up(side)) {
        return;
    }
    auto& machine = at(side).machine();
    const auto volume = static_cast<volume_number>(choices_.below(settings_.volumes));
    switch (choices_.below(10)) {
    case 0:
    case 1:
        ask([&](replica::on_outcome done) { machine.disconnect(false, std::move(done)); });
        break;
    case 2:
    case 3:
        for (auto& each : world_.nodes) {
            if (each->alive() && each->status().connection == connection::standalone) {
                each->connect();
            }
        }
        break;
    case 4:
        if (at(side).state().role == role::primary) {
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
        ask([&](replica::on_outcome done) { machine.resume_io(std::move(done)); });
        break;
    default:
        if (settings_.device_sectors < 65536) {
            ask([&](replica::on_outcome done) {
                machine.verify(volume, 0, ~std::uint64_t{0}, std::move(done));
            });
        }
        break;
    }
}

bool history::settled() {
    return world_.quiet() && world_.is_in_sync();
}

// The faults end. Everything that was begun has to end too.
void history::make_peace() {
    auto& net = world_.net;
    net.faults.cut = false;
    net.faults.cut_from = {};
    net.faults.delay_max = 200'000;
    for (unsigned side = 0; side < 2; ++side) {
        if (!up(side)) {
            start_node(side);
        }
    }
    for (int round = 0; round < 4 && !settled() && world_.failure().empty(); ++round) {
        for (auto& each : world_.nodes) {
            ask([&](replica::on_outcome done) { each->machine().resume_io(std::move(done)); });
            for (volume_number number = 0; number < settings_.volumes; ++number) {
                ask([&](replica::on_outcome done) {
                    each->machine().resume_sync(number, std::move(done));
                });
                const auto status = each->status().volumes[number];
                if (status.state.disk == disk::diskless) {
                    ask([&](replica::on_outcome done) { each->attach(number, std::move(done)); });
                }
            }
            if (each->status().connection == connection::standalone) {
                each->connect();
            }
        }
        world_.run_until([this] { return settled(); }, 60 * second);
    }
}

void history::finish() {
    make_peace();
    if (world_.failure().empty() && !settled()) {
        world_.fail_with(world_.quiet() ? "the nodes do not get in sync though all faults are over"
                                        : "requests of clients do not end");
    }
    if (world_.failure().empty()) {
        world_.check_converged();
    }
}

run_result history::run() {
    start_node(0);
    start_node(1);
    result_.settings =
        fmt::format("protocol {} al-extents {} {} MiB {} volumes {}",
                    static_cast<char>('A' + static_cast<int>(settings_.net.protocol) - 1),
                    settings_.disk.al_extents, settings_.device_sectors / 2048, settings_.volumes,
                    settings_.external_metadata ? "external" : "internal");
    const auto rounds = choices_.between(1, 3);
    for (std::uint64_t round = 0; round < rounds && world_.failure().empty(); ++round) {
        world_.run_until([this] { return world_.is_in_sync(); }, 5 * second);
        const std::uint64_t steps = given_.steps != 0 ? given_.steps : choices_.between(20, 120);
        const unsigned fault_percent = static_cast<unsigned>(choices_.below(12));
        const unsigned command_percent = static_cast<unsigned>(choices_.below(8));
        for (std::uint64_t step = 0; step < steps && world_.failure().empty(); ++step) {
            const auto dice = choices_.below(100);
            if (dice < fault_percent) {
                fault_step();
            } else if (dice < fault_percent + command_percent) {
                command_step();
            } else if (const auto side = primary()) {
                client_step(*side);
            } else {
                promote_someone();
            }
            if (choices_.percent(60)) {
                world_.run_for(
                    choices_.below(choices_.percent(10) ? 200 * millisecond : 3 * millisecond));
            }
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

} // namespace

run_result run_random(const run_options& options) {
    return history(options).run();
}

} // namespace lockstep::simulation
