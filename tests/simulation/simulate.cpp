// simulate [--seed N] [--count N] [--seconds S] [--verbose]: random histories of a pair, from seed
// N on. TAP output; a seed that fails is printed and replays exactly.
#include <chrono>
#include <cstdio>
#include <map>
#include <string>

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
};

double seconds_since(std::chrono::steady_clock::time_point start) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

} // namespace

int main(int argc, char** argv) {
    CLI::App app("random histories of two nodes in virtual time");
    run_options options;
    std::uint64_t count = 1;
    double seconds = 0;
    std::uint64_t failures_max = 1;
    app.add_option("--seed", options.seed, "first seed");
    app.add_option("--count", count, "seeds to run");
    app.add_option("--seconds", seconds, "stop after so much time, however many seeds are left");
    app.add_option("--steps", options.steps, "steps of each round instead of a random number");
    app.add_option("--failures", failures_max, "go on until so many seeds have failed");
    app.add_flag("--verbose", options.verbose, "print the logs of both nodes");
    app.add_flag("--ignore-flush", options.ignore_flush, "sabotage: disks do not flush");
    app.add_flag("--ignore-fua", options.ignore_fua, "sabotage: disks do not honour FUA");
    CLI11_PARSE(app, argc, argv);

    const auto start = std::chrono::steady_clock::now();
    totals all;
    for (std::uint64_t index = 0; index < count && all.failures < failures_max; ++index) {
        if (seconds > 0 && seconds_since(start) > seconds) {
            break;
        }
        const auto result = run_random(options);
        ++all.runs;
        all.requests += result.requests;
        all.crashes += result.crashes;
        if (!result.failure.empty()) {
            ++all.failures;
            fmt::print("# seed {} ({}): {}\n", options.seed, result.settings, result.failure);
        }
        ++options.seed;
    }
    fmt::print("{} 1 - simulation of {} seeds keeps every promise\n",
               all.failures == 0 ? "ok" : "not ok", all.runs);
    fmt::print("# {} requests, {} crashes, {:.1f} s\n1..1\n", all.requests, all.crashes,
               seconds_since(start));
    return all.failures == 0 ? 0 : 1;
}
