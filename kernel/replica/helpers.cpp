#include "kernel/replica/helpers.hpp"

#include <fmt/format.h>

#include "kernel/replica/machinery.hpp"

namespace lockstep::replica {

void helpers::start(helper_call out, std::function<void(int)> done) {
    out.id = next_id_++;
    running_.emplace(out.id, call{out.name, std::move(done)});
    all_.log(log_level::info, fmt::format("helper command: {}", out.name));
    all_.world.run_helper(out);
    all_.world.changed();
}

void helpers::call_for_volume(std::string_view name, volume& target,
                              std::function<void(int)> done) {
    helper_call out;
    out.name = name;
    out.for_volume = true;
    out.volume = target.number;
    start(std::move(out), std::move(done));
}

void helpers::call_for_resource(std::string_view name, std::string_view reason,
                                std::function<void(int)> done) {
    helper_call out;
    out.name = name;
    out.reason = reason;
    start(std::move(out), std::move(done));
}

void helpers::finished(std::uint64_t id, int exit_code) {
    const auto found = running_.find(id);
    if (found == running_.end()) {
        return;
    }
    call ended = std::move(found->second);
    running_.erase(found);
    all_.log(log_level::info,
             fmt::format("helper command: {} exit code {}", ended.name, exit_code));
    all_.world.changed();
    if (ended.done) {
        ended.done(exit_code);
    }
}

bool helpers::running(std::string_view name) const {
    for (const auto& [id, each] : running_) {
        if (each.name == name) {
            return true;
        }
    }
    return false;
}

std::vector<std::string> helpers::names_running() const {
    std::vector<std::string> names;
    for (const auto& [id, each] : running_) {
        names.push_back(each.name);
    }
    return names;
}

} // namespace lockstep::replica
