#include "kernel/host/helper_calls.hpp"

#include <cerrno>
#include <charconv>
#include <utility>

namespace lockstep::host {

using replica::log_level;

std::vector<std::string> helper_environment(const helper_settings& settings,
                                            const replica::helper_call& call,
                                            const helper_facts& facts) {
    std::vector<std::string> out = {"HOME=/", "TERM=linux", "PATH=/sbin:/usr/sbin:/bin:/usr/bin"};
    const auto add = [&out](const std::string& name, const std::string& value) {
        if (!value.empty()) {
            out.push_back(name + "=" + value);
        }
    };
    add("DRBD_MY_AF", facts.my_family);
    add("DRBD_MY_ADDRESS", facts.my_address);
    add("DRBD_PEER_AF", facts.peer_family);
    add("DRBD_PEER_ADDRESS", facts.peer_address);
    add("DRBD_CSTATE", facts.connection);
    add("DRBD_FENCE_REASON", call.reason);
    if (call.for_volume) {
        // The minor may be another one, or none, in a configuration that has been changed.
        add("LOCKSTEP_RESOURCE", settings.resource);
    } else {
        // drbdadm makes UP_TO_DATE_NODES of it, where the configuration has node-ids.
        out.push_back(std::string("LOCKSTEP_UP_TO_DATE=") + (facts.own_up_to_date ? "me " : "") +
                      (facts.peer_up_to_date ? "peer" : ""));
    }
    for (const helper_facts::volume& one : facts.volumes) {
        if (call.for_volume && one.number != call.volume) {
            continue;
        }
        // One volume's handler gets plain names, the resource's gets them by number.
        const std::string suffix = call.for_volume ? "" : "_" + std::to_string(one.number);
        add("DRBD_MINOR" + suffix, std::to_string(one.minor));
        add("DRBD_VOLUME" + suffix, std::to_string(one.number));
        add("DRBD_BACKING_DEV" + suffix, one.backing_device);
    }
    out.insert(out.end(), settings.environment.begin(), settings.environment.end());
    return out;
}

void helper_calls::run(const replica::helper_call& call, const helper_facts& facts,
                       on_ended ended) {
    std::string target = settings_.resource;
    if (call.for_volume) {
        for (const helper_facts::volume& one : facts.volumes) {
            if (one.number == call.volume) {
                target = "minor-" + std::to_string(one.minor);
            }
        }
    }
    const std::string shown = settings_.program + " " + call.name + " " + target;
    keeper_call job;
    job.limit_ms = call.unlimited ? 0 : settings_.limit_ms;
    if (settings_.program == "disabled" || settings_.program.empty()) {
        job.operation = "nothing";
    } else {
        job.operation = "run-helper";
        job.arguments = {settings_.program, call.name, target};
        const auto environment = helper_environment(settings_, call, facts);
        job.arguments.insert(job.arguments.end(), environment.begin(), environment.end());
    }
    const auto when_done = [this, id = call.id, shown,
                            ended = std::move(ended)](const keeper_answer& got) {
        unlimited_.erase(id);
        if (got.error == ETIMEDOUT) {
            log_(log_level::error, shown + " took too long and was killed; it counts as broken");
            ended(helper_timed_out);
            return;
        }
        if (!got.ok() || got.values.size() < 2) {
            log_(log_level::error, shown + " could not be run: " + got.sentence);
            ended(0);
            return;
        }
        if (!got.values[1].empty()) {
            log_(log_level::warning, shown + ": " + got.values[1] + "; it counts as exit code 0");
        }
        const std::string& code = got.values[0];
        int value = 0;
        std::from_chars(code.data(), code.data() + code.size(), value);
        ended(value);
    };
    const std::uint64_t number = keeper_.call(std::move(job), when_done);
    if (call.unlimited) {
        unlimited_.emplace(call.id, number);
    }
}

void helper_calls::limit(std::uint64_t id) {
    const auto found = unlimited_.find(id);
    if (found == unlimited_.end()) {
        return;
    }
    if (settings_.limit_ms != 0) {
        keeper_.limit(found->second, settings_.limit_ms);
    }
    unlimited_.erase(found);
}

} // namespace lockstep::host
