// The commands that begin and end engines: new-resource and down.
#include <fmt/format.h>

#include "agent/drbdsetup/change_commands.hpp"
#include "agent/drbdsetup/engine_launch.hpp"
#include "agent/drbdsetup/messages.hpp"

namespace lockstep::drbdsetup {

namespace {

constexpr int start_ms = 30000;
constexpr std::int64_t down_ms = 120000;
constexpr std::int64_t leave_ms = 10000;

// After this a new-resource of the same name finds nothing of the old engine.
void wait_until_gone(engine_client& engine) {
    const std::int64_t deadline = now_ms() + leave_ms;
    while (engine.receive(deadline)) {
    }
}

// What an engine that has died left in the runtime directory.
void clear_away(const control::runtime_directory& where, const std::string& resource) {
    for (const std::uint32_t minor : where.minors()) {
        where.unlink_minor(minor, resource);
    }
    where.remove(resource);
}

int down_one(const session& now, const std::string& resource) {
    const result<client_pointer> engine = now.nodes.of_resource(resource);
    if (!engine && engine.error().code == code_resource_unknown) {
        clear_away(now.nodes.where(), resource);
        if (now.terminal.error_is_terminal()) {
            now.terminal.complain("Resource unknown\n");
        }
        return exit_ok;
    }
    if (!engine) {
        return now.refuse(engine.error());
    }
    control::request what;
    what.what = control::command::down;
    what.force = now.asked.has("force");
    // A forced one waits for nothing, and so need not say for what.
    engine_client::on_pending pending;
    if (!what.force) {
        pending = [&](const std::string& reason) { now.tell_pending(reason); };
    }
    const result<control::reply> answer = (*engine)->ask(what, now_ms() + down_ms, pending);
    if (!answer) {
        return now.refuse(answer.error());
    }
    const int code = now.report(*answer);
    if (code == exit_ok) {
        wait_until_gone(**engine);
    }
    return code;
}

} // namespace

int run_new_resource(const session& now) {
    const std::string& resource = now.asked.object;
    const result<client_pointer> running = now.nodes.of_resource(resource);
    if (running) {
        // As the kernel has it: what is there already is no error, and keeps its options.
        return exit_ok;
    }
    if (running.error().code != code_resource_unknown) {
        return now.refuse(running.error());
    }
    const result<control::reply> said = launch_engine(resource, now.asked.settings, start_ms);
    return said ? now.report(*said) : now.refuse(said.error());
}

int run_down(const session& now) {
    if (now.asked.object_kind != on_all) {
        return down_one(now, now.asked.object);
    }
    int worst = exit_ok;
    for (const std::string& resource : now.nodes.names()) {
        worst = std::max(worst, down_one(now, resource));
    }
    return worst;
}

} // namespace lockstep::drbdsetup
