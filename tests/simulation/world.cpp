#include "world.hpp"

#include <cstdio>
#include <optional>

#include <fmt/format.h>

namespace lockstep::simulation {

using operation = replica::io_request::operation;

world::world(std::uint64_t seed, const node_settings& settings)
    : random(seed), net(events, random), models(settings.volumes), settings_(settings) {
    for (unsigned side = 0; side < 2; ++side) {
        nodes[side] = std::make_unique<node>(events, random, net, side, settings);
        nodes[side]->on_log = [this](unsigned from, std::string_view text) { print(from, text); };
        for (volume_number number = 0; number < settings.volumes; ++number) {
            for (disk* one :
                 {&nodes[side]->data_disk(number), &nodes[side]->metadata_disk(number)}) {
                one->on_complaint = [this, side](const std::string& about) {
                    fail_with(fmt::format("node {}: {}", side == 0 ? 'A' : 'B', about));
                };
            }
        }
        nodes[side]->on_abandoned = [this](client_request& request) {
            if (request.tag != 0) {
                models[request.io.volume].abandon(request.tag);
            }
        };
    }
}

void world::print(unsigned side, std::string_view text) const {
    if (verbose) {
        fmt::print("{:12.6f} {} {}\n", static_cast<double>(events.now()) / 1e9,
                   side == 0 ? 'A' : 'B', text);
    }
}

world::~world() {
    for (auto& each : nodes) {
        if (each->alive()) {
            each->crash(false);
        }
    }
}

void world::fail_with(const std::string& what) {
    if (failure_.empty()) {
        failure_ = fmt::format("at {:.6f} s: {}", static_cast<double>(events.now()) / 1e9, what);
        if (verbose) {
            fmt::print("FAILED {}\n", failure_);
        }
    }
}

void world::after_event() {
    for (auto& each : nodes) {
        while (each->alive() && each->deadline() <= events.now()) {
            each->expire();
        }
    }
    if (on_event) {
        on_event();
    }
}

bool world::run_until(const std::function<bool()>& condition, instant limit) {
    const instant end = events.now() + limit;
    while (failure_.empty()) {
        if (condition()) {
            return true;
        }
        const instant deadline = std::min(nodes[0]->deadline(), nodes[1]->deadline());
        const instant next = std::min(events.next_time(), deadline);
        if (next > end) {
            events.advance_to(end);
            return condition();
        }
        if (events.next_time() <= deadline) {
            events.run_one();
        } else {
            events.advance_to(deadline);
        }
        after_event();
    }
    return false;
}

void world::run_for(instant time) {
    run_until([] { return false; }, time);
}

// --- clients ---

void world::data_command(unsigned side, volume_number volume, operation op, std::uint64_t first,
                         std::uint64_t sectors, bool fua) {
    node& on = *nodes[side];
    model& known = models[volume];
    auto request = std::make_unique<client_request>();
    request->io.op = op;
    request->io.volume = volume;
    request->io.offset = first * 512;
    request->io.size = static_cast<std::uint32_t>(sectors * 512);
    request->io.fua = fua;
    if (op == operation::write) {
        request->io.buffer = on.client_buffer(request->io.size);
        if (!request->io.buffer) {
            return;
        }
    }
    request->tag = known.issue(side, first, sectors, op != operation::write);
    if (op == operation::write) {
        for (std::uint64_t at = 0; at < sectors; ++at) {
            model::fill(request->tag, first + at, request->io.buffer.data() + at * 512);
        }
    }
    if (verbose) {
        print(side, fmt::format("[{}] {} {}: {}+{}{}", volume,
                                op == operation::write     ? "WRITE"
                                : op == operation::discard ? "DISCARD"
                                                           : "ZEROES",
                                request->tag, first, sectors, fua ? " FUA" : ""));
    }
    request->done = [this, side, volume](client_request& ended, int error) {
        ++requests_done;
        if (verbose) {
            print(side, fmt::format("[{}] ended {}: {}", volume, ended.tag, error));
        }
        // A discard may have left everything as it was.
        if (error == 0 && ended.io.op != operation::discard) {
            models[volume].acknowledge(ended.tag, ended.io.fua);
        } else {
            writes_failed += error != 0 ? 1 : 0;
            models[volume].abandon(ended.tag);
        }
    };
    on.submit(std::move(request));
}

void world::write(unsigned side, volume_number volume, std::uint64_t first, std::uint64_t sectors,
                  bool fua) {
    data_command(side, volume, operation::write, first, sectors, fua);
}

void world::discard(unsigned side, volume_number volume, std::uint64_t first,
                    std::uint64_t sectors) {
    data_command(side, volume, operation::discard, first, sectors, false);
}

void world::write_zeroes(unsigned side, volume_number volume, std::uint64_t first,
                         std::uint64_t sectors) {
    data_command(side, volume, operation::write_zeroes, first, sectors, false);
}

void world::read(unsigned side, volume_number volume, std::uint64_t first, std::uint64_t sectors) {
    node& on = *nodes[side];
    auto request = std::make_unique<client_request>();
    request->io.op = operation::read;
    request->io.volume = volume;
    request->io.offset = first * 512;
    request->io.size = static_cast<std::uint32_t>(sectors * 512);
    request->io.buffer = on.client_buffer(request->io.size);
    if (!request->io.buffer) {
        return;
    }
    const model::moment issued = models[volume].now();
    request->done = [this, volume, issued](client_request& ended, int error) {
        read_done(volume, ended, issued, error);
    };
    on.submit(std::move(request));
}

void world::read_done(volume_number volume, client_request& request, model::moment issued,
                      int error) {
    ++requests_done;
    if (error != 0) {
        ++reads_failed;
        return;
    }
    for (std::uint64_t at = 0; at < request.io.size / 512; ++at) {
        const std::string wrong = models[volume].check(request.io.offset / 512 + at,
                                                       request.io.buffer.data() + at * 512, issued);
        if (!wrong.empty()) {
            fail_with("a read of volume " + std::to_string(volume) + ": " + wrong);
            return;
        }
    }
}

void world::flush(unsigned side, volume_number volume) {
    auto request = std::make_unique<client_request>();
    request->io.op = operation::flush;
    request->io.volume = volume;
    const model::moment issued = models[volume].now();
    if (verbose) {
        print(side, fmt::format("[{}] FLUSH of {}", volume, issued));
    }
    const node& other = *nodes[1 - side];
    const bool alone = !other.alive() || other.state(volume).role != state::role::primary;
    request->done = [this, side, volume, issued, alone](client_request&, int error) {
        ++requests_done;
        if (verbose) {
            print(side, fmt::format("[{}] ended flush of {}: {}", volume, issued, error));
        }
        if (error == 0) {
            models[volume].flushed(issued, alone ? std::nullopt : std::optional<unsigned>(side));
        } else {
            ++flushes_failed;
        }
    };
    nodes[side]->submit(std::move(request));
}

bool world::quiet() const {
    return nodes[0]->requests_open() == 0 && nodes[1]->requests_open() == 0;
}

// --- commands ---

replica::outcome world::run(const std::function<void(replica::on_outcome)>& command) {
    auto result = std::make_shared<std::optional<replica::outcome>>();
    command([result](replica::outcome ended) { *result = std::move(ended); });
    if (!run_until([result] { return result->has_value(); })) {
        replica::outcome none;
        none.ok = false;
        none.text = "the command did not end";
        if (failure_.empty()) {
            fail_with(none.text);
        }
        return none;
    }
    return **result;
}

bool world::attach(unsigned side) {
    bool good = true;
    for (volume_number number = 0; number < settings_.volumes; ++number) {
        const auto ended =
            run([&](replica::on_outcome done) { nodes[side]->attach(number, std::move(done)); });
        good = good && ended.ok;
    }
    return good;
}

bool world::primary(unsigned side, bool force) {
    return run([&](replica::on_outcome done) {
               nodes[side]->machine().primary(force, std::move(done));
           })
        .ok;
}

bool world::secondary(unsigned side) {
    return run([&](replica::on_outcome done) { nodes[side]->machine().secondary(std::move(done)); })
        .ok;
}

void world::disconnect(unsigned side) {
    run([&](replica::on_outcome done) {
        nodes[side]->machine().disconnect(false, std::move(done));
    });
}

void world::connect_both() {
    for (auto& each : nodes) {
        if (each->alive() && each->status().connection == state::connection::standalone) {
            each->connect();
        }
    }
}

bool world::is_in_sync() const {
    for (const auto& each : nodes) {
        if (!each->alive()) {
            return false;
        }
        for (volume_number number = 0; number < settings_.volumes; ++number) {
            const auto now = each->state(number);
            if (now.connection != state::connection::connected ||
                now.disk != state::disk::up_to_date || now.peer_disk != state::disk::up_to_date) {
                return false;
            }
        }
    }
    return true;
}

bool world::wait_in_sync(instant limit) {
    return run_until([this] { return is_in_sync(); }, limit);
}

// --- checks ---

void world::check_converged() {
    // Acknowledgements of the last writes may still be on their way.
    run_for(second);
    for (auto& each : nodes) {
        for (volume_number number = 0; number < settings_.volumes; ++number) {
            each->data_disk(number).write_back();
            each->metadata_disk(number).write_back();
        }
    }
    for (volume_number number = 0; number < settings_.volumes && failure_.empty(); ++number) {
        for (const auto& each : nodes) {
            const auto status = each->status().volumes[number];
            if (status.out_of_sync_kib != 0) {
                fail_with(fmt::format("node {}: {} KiB out of sync though all is UpToDate",
                                      each->side() == 0 ? 'A' : 'B', status.out_of_sync_kib));
                return;
            }
        }
        model& known = models[number];
        std::vector<std::uint64_t> sectors;
        for (const auto& [at, history] : known.touched()) {
            sectors.push_back(at);
        }
        for (const std::uint64_t at : sectors) {
            std::array<sector, 2> content;
            for (unsigned side = 0; side < 2; ++side) {
                nodes[side]->data_disk(number).read_now(at * 512, content[side]);
            }
            if (content[0] != content[1]) {
                model::write_id ids[2] = {0, 0};
                model::identify(at, content[0].data(), ids[0]);
                model::identify(at, content[1].data(), ids[1]);
                fail_with(fmt::format("volume {} sector {}: the replicas differ (writes {} and {})",
                                      number, at, ids[0], ids[1]));
                return;
            }
            if (auto wrong = known.settle(at, content[0].data()); !wrong.empty()) {
                fail_with(fmt::format("volume {}: {}", number, wrong));
                return;
            }
        }
        known.settled_all();
    }
}

std::string world::describe(unsigned side) const {
    const node& on = *nodes[side];
    if (!on.alive()) {
        return "down";
    }
    const auto status = on.status();
    std::string text = fmt::format("{} {}{}", state::name(status.connection),
                                   state::name(status.role), status.suspended ? " suspended" : "");
    for (const auto& each : status.volumes) {
        text +=
            fmt::format(" [{}: {} {}/{} oos {} KiB lo {} pe {} ua {} ap {} ep {}{}{}]", each.volume,
                        state::name(each.state.connection), state::name(each.state.disk),
                        state::name(each.state.peer_disk), each.out_of_sync_kib, each.lower_pending,
                        each.pending, each.unacked, each.upper_pending, each.epochs,
                        each.waiting_for.empty() ? "" : " waits: ", each.waiting_for);
    }
    return text;
}

} // namespace lockstep::simulation
