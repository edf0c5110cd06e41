#include "agent/drbdadm/deferred.hpp"

#include <algorithm>
#include <cstdio>

#include <fmt/format.h>

namespace lockstep::drbdadm {

namespace {

constexpr std::array<const char*, stage_count> names{"create res",  "adjust res",  "prepare disk",
                                                     "adjust disk", "prepare net", "adjust net"};

} // namespace

void deferred_commands::add(stage when, std::string resource, std::string what,
                            std::function<int()> run) {
    stages_[static_cast<std::size_t>(when)].push_back(
        {std::move(resource), std::move(what), std::move(run)});
}

int deferred_commands::run_stage(stage when, const std::string& program, bool progress,
                                 std::vector<std::string>& failed) {
    const auto all = std::move(stages_[static_cast<std::size_t>(when)]);
    stages_[static_cast<std::size_t>(when)].clear();
    const std::vector<std::string> failed_before = failed;
    const bool stops_at_once = when == stage::prerequisite || when == stage::disk_prerequisite;
    int worst = 0;
    std::string last;
    if (progress && !all.empty()) {
        fmt::print("\n{:>15}:", names[static_cast<std::size_t>(when)]);
    }
    for (const entry& one : all) {
        const std::vector<std::string>& skipped = stops_at_once ? failed : failed_before;
        const bool skip = std::find(skipped.begin(), skipped.end(), one.resource) != skipped.end();
        if (progress && one.resource != last) {
            fmt::print(" {}{}{}", skip ? "[skipped:" : "", one.resource, skip ? "]" : "");
        }
        last = one.resource;
        if (skip) {
            if (!progress) {
                fmt::print(stderr, "{}: {} {}: skipped due to earlier error\n", program, one.what,
                           one.resource);
            }
            continue;
        }
        std::fflush(stdout);
        const int code = one.run();
        if (code != 0) {
            failed.push_back(one.resource);
            worst = std::max(worst, code);
            if (progress) {
                fmt::print(":failed({}:{})", one.what, code);
            }
        }
    }
    return worst;
}

int deferred_commands::run(const std::string& program, bool progress) {
    std::vector<std::string> failed;
    int worst = 0;
    if (progress) {
        fmt::print("[");
    }
    for (std::size_t i = 0; i < stage_count; ++i) {
        worst = std::max(worst, run_stage(static_cast<stage>(i), program, progress, failed));
    }
    if (progress) {
        fmt::print("\n]\n");
    }
    return worst;
}

} // namespace lockstep::drbdadm
