// simulate [--seed N|random] [--count N] [--seconds S] [--verbose]: random histories of a pair,
// from seed N on. TAP output; a seed that fails is printed and replays exactly.
//     simulate --seconds 3600 --seed random --failures 10     for an hour, and the first ten
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include <malloc.h>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "random_run.hpp"

namespace {

using namespace lockstep::simulation;

struct totals {
    std::uint64_t runs = 0;
    std::uint64_t requests = 0;
    std::uint64_t crashes = 0;
    std::uint64_t failures = 0;
    std::uint64_t open = 0;
};

std::uint64_t running_seed = 0;

// A check in the replica that fails ends the program; which seed it was is said all the same.
void say_seed(int) {
    fmt::print("# seed {}: a check failed\nnot ok 1 - simulation\n1..1\n", running_seed);
    std::fflush(stdout);
}

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

} // namespace

int main(int argc, char** argv) try {
    // Histories give back and take the same memory again and again.
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    CLI::App app("random histories of two nodes in virtual time");
    run_options options;
    std::uint64_t count = 0;
    double seconds = 0;
    std::uint64_t failures_max = 1;
    std::string seed = "1";
    app.add_option("--seed", seed, "first seed, or `random`");
    app.add_option("--count", count, "seeds to run; without --seconds 1");
    app.add_option("--seconds", seconds, "stop after so much time, however many seeds are left");
    app.add_option("--steps", options.steps, "steps of each round instead of a random number");
    app.add_option("--failures", failures_max, "go on until so many seeds have failed");
    std::vector<std::uint64_t> open;
    app.add_option("--open", open, "seeds that are known to fail: they have to, or leave this list")
        ->delimiter(',');
    app.add_flag("--wide", options.wide, "the activity log covers a tenth of the device");
    app.add_flag("--growing", options.growing, "the disks become larger now and then");
    app.add_option("--story", options.story, "how each round ends")
        ->check(CLI::IsMember({"resync", "demote", "alone", "forget", "detach"}));
    app.add_flag("--verbose", options.verbose, "print the logs of both nodes");
    app.add_flag("--ignore-flush", options.ignore_flush, "sabotage: disks do not flush");
    app.add_flag("--ignore-fua", options.ignore_fua, "sabotage: disks do not honour FUA");
    CLI11_PARSE(app, argc, argv);
    options.seed = seed == "random" ? std::random_device{}() : std::stoull(seed);
    if (count == 0) {
        count = seconds > 0 ? ~std::uint64_t{0} : 1;
    }

    std::setvbuf(stdout, nullptr, _IOLBF, 4096);
    std::signal(SIGABRT, say_seed);
    const auto start = std::chrono::steady_clock::now();
    totals all;
    for (std::uint64_t index = 0; index < count && all.failures < failures_max; ++index) {
        if (seconds > 0 && seconds_since(start) > seconds) {
            break;
        }
        running_seed = options.seed;
        const auto result = run_random(options);
        ++all.runs;
        all.requests += result.requests;
        all.crashes += result.crashes;
        const bool is_open = std::ranges::find(open, options.seed) != open.end();
        all.open += is_open ? 1 : 0;
        if (!result.failure.empty()) {
            fmt::print("# {}seed {} ({}): {}\n", is_open ? "open: " : "", options.seed,
                       result.settings, result.failure);
        } else if (is_open) {
            fmt::print("# seed {} is said to be open, and passes\n", options.seed);
        }
        all.failures += result.failure.empty() == is_open ? 1 : 0;
        ++options.seed;
    }
    fmt::print("{} 1 - simulation of {} seeds keeps every promise\n",
               all.failures == 0 ? "ok" : "not ok", all.runs - all.open);
    if (all.open > 0) {
        fmt::print("# {} seeds are open\n", all.open);
    }
    fmt::print("# {} requests, {} crashes, {:.1f} s\n1..1\n", all.requests, all.crashes,
               seconds_since(start));
    return all.failures == 0 ? 0 : 1;
} catch (const std::exception& problem) {
    std::fprintf(stderr, "%s\n", problem.what());
    return 2;
}
