#include "kernel/replica/helpers.hpp"

#include <fmt/format.h>

#include "kernel/replica/machinery.hpp"

namespace lockstep::replica {

std::uint64_t helpers::start(helper_call out, std::function<void(int)> done) {
    out.id = next_id_++;
    running_.emplace(out.id, call{out.name, all_.now(), std::move(done)});
    all_.log(log_level::info, out.reason.empty()
                                  ? fmt::format("helper command: {}", out.name)
                                  : fmt::format("helper command: {} ({})", out.name, out.reason));
    all_.world.run_helper(out);
    all_.world.changed();
    return out.id;
}

std::uint64_t helpers::call_with_id(helper_call out, std::function<void(std::uint64_t, int)> done) {
    const std::uint64_t id = next_id_; // start() takes it
    return start(std::move(out), [id, done = std::move(done)](int code) { done(id, code); });
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
             fmt::format("helper command: {} exit code {} after {:.3f} s", ended.name, exit_code,
                         static_cast<double>(all_.now() - ended.begun) / nanoseconds_per_second));
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
