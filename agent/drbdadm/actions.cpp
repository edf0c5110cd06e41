#include "agent/drbdadm/actions.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <random>

#include <fmt/format.h>

#include "agent/drbdadm/exit_code.hpp"
#include "agent/drbdadm/handlers.hpp"
#include "agent/drbdadm/registry.hpp"
#include "kernel/base/check.hpp"

namespace lockstep::drbdadm {

namespace {

constexpr int refused_inconsistent = 5; // drbdsetup outdate: the disk is Inconsistent or missing

run_request plain_request(const config::resource& owner, command_words words, patience how_long) {
    run_request out;
    out.words = std::move(words);
    out.patience = how_long;
    out.resource = owner.name;
    out.environment = {"DRBD_RESOURCE=" + owner.name};
    return out;
}

// drbdmeta would only say that it needs a disk.
int call_meta(const session& run, const subject& on, std::string_view command) {
    if (on.row->diskless()) {
        fmt::print(stderr,
                   "{}/{} is diskless on this node by its configuration (disk none): there "
                   "is no metadata for {}\n",
                   on.owner->name, on.row->number, command);
        return exit_usage;
    }
    return call(run, *on.owner, run.backend.meta(command, *on.row), patience::extended);
}

// Metadata of two nodes have room for one peer. An option of ours: drbdmeta does not get it.
int refuse_more_peers(const session& run) {
    constexpr std::string_view option = "--max-peers=";
    for (const setup_option& given : run.request.passed) {
        if (given.text.compare(0, option.size(), option) == 0 &&
            given.text.substr(option.size()) != "1") {
            fmt::print(stderr,
                       "{}: --max-peers {}: metadata of version v08 have room for one peer\n"
                       "Leave the option out, or say --max-peers 1.\n",
                       run.request.program, given.text.substr(option.size()));
            return exit_usage;
        }
    }
    return 0;
}

// The metadata carry a random number that names the device; it survives being made anew.
int create_metadata(const session& run, const subject& on, std::string_view command) {
    if (const int refused = refuse_more_peers(run)) {
        return refused;
    }
    run_request before =
        plain_request(*on.owner, run.backend.device_uuid(*on.row, std::nullopt), patience::brief);
    before.standard_output = output::capture;
    before.standard_error = output::hide;
    before.is_query = true;
    before.reports_failure = false;
    const std::string known =
        run.dry() || on.row->diskless() ? std::string{} : run.runner.run(before).captured_output;
    const int code = call_meta(run, on, command);
    if (code != 0 || run.dry()) {
        return code;
    }
    std::uint64_t number = 0;
    std::from_chars(known.data(), known.data() + known.size(), number, 16);
    std::random_device random;
    while (number == 0) {
        number = std::uint64_t{random()} << 32 | random();
    }
    return call(run, *on.owner, run.backend.device_uuid(*on.row, number), patience::extended);
}

int call_setup(const session& run, const command& what, const subject& on, patience how_long) {
    return call(run, *on.owner,
                on.row != nullptr ? run.backend.setup(what.name, *on.row)
                                  : run.backend.setup(what.name, *on.owner),
                how_long);
}

// What stands behind the slash of the role.
int peer_role(const session& run, const subject& on) {
    run_request request =
        plain_request(*on.owner, run.backend.setup("role", *on.row), patience::brief);
    request.standard_output = output::capture;
    const run_outcome outcome = run.runner.run(request);
    const std::string& roles = outcome.captured_output;
    fmt::print("{}", roles.substr(roles.find('/') + 1)); // all of it if there is no slash
    return outcome.code;
}

int refuse_apart_from_connection(const session& run, const command& what, const subject& on) {
    fmt::print(stderr,
               "{}: {}: peer and path come and go with the connection here\n"
               "Use '{} connect {}' and '{} disconnect {}'.\n",
               run.request.program, what.name, run.request.program, on.owner->name,
               run.request.program, on.owner->name);
    return exit_usage;
}

// drbdsetup while the device is up, drbdmeta otherwise.
int setup_or_meta(const session& run, const command& what, const subject& on) {
    run_request request =
        plain_request(*on.owner, run.backend.setup(what.name, *on.row), patience::brief);
    request.standard_error = output::capture;
    const run_outcome outcome = run.runner.run(request);
    // The device is up and refused: drbdmeta could only say that it is in use.
    if (outcome.timed_out || outcome.code == exit_state_refused ||
        outcome.code == exit_no_up_to_date) {
        fmt::print(stderr, "{}", outcome.captured_error);
        return outcome.code;
    }
    if (outcome.code == 0 && !run.dry()) {
        fmt::print(stderr, "{}", outcome.captured_error);
        return 0;
    }
    return call_meta(run, on, what.name);
}

int outdate(const session& run, const command& what, const subject& on) {
    run_request request =
        plain_request(*on.owner, run.backend.setup(what.name, *on.row), patience::brief);
    request.standard_error = output::capture;
    const run_outcome outcome = run.runner.run(request);
    if (outcome.code == exit_no_up_to_date || outcome.timed_out) {
        fmt::print(stderr, "{}", outcome.captured_error);
        return outcome.code; // it is Primary
    }
    if (outcome.code == 0 && !run.dry()) {
        return 0;
    }
    const int code = call_meta(run, on, what.name);
    if (code != 0 && outcome.code == refused_inconsistent) {
        // Why the engine refused: drbdmeta knows only that the device is up.
        fmt::print(stderr, "{}", outcome.captured_error);
        return refused_inconsistent;
    }
    return code;
}

// ( drbdsetup resize && drbdsetup check-resize ) || drbdmeta check-resize
int check_resize(const session& run, const command& what, const subject& on) {
    return resize_disk(run, *on.owner, *on.row, true) == 0 ? 0 : call_meta(run, on, what.name);
}

void defer_up(session& run, const subject& on) {
    config::resource& owner = *on.owner;
    config::volume& row = *on.row;
    const bool first = &row == &owner.me->volumes.front() || run.single_volume;
    if (first) {
        run.deferred.add(stage::prerequisite, owner.name, "new-resource",
                         [&run, &owner] { return make_resource(run, owner); });
        run.deferred.add(stage::net, owner.name, "connect",
                         [&run, &owner] { return connect_peer(run, owner); });
    }
    run.deferred.add(stage::prerequisite, owner.name, "new-minor",
                     [&run, &owner, &row] { return make_minor(run, owner, row); });
    if (!row.diskless()) {
        run.deferred.add(stage::disk, owner.name, "attach",
                         [&run, &owner, &row] { return attach_disk(run, owner, row); });
    }
}

// 8.3's verb for the parameters that 8.4 keeps in options {}, disk {} and net {}.
int reload_syncer(const session& run, const subject& on) {
    const config::resource& owner = *on.owner;
    int worst = call(run, owner, run.backend.new_resource(owner, scope::reset));
    for (const config::volume& row : owner.me->volumes) {
        if (!row.diskless()) {
            worst = std::max(worst, call(run, owner, run.backend.disk_options(row, scope::reset),
                                         patience::medium));
        }
    }
    return std::max(worst, call(run, owner, run.backend.net_options(owner, scope::reset)));
}

// drbd-proxy is a program of its own on this host or another; it takes orders by drbd-proxy-ctl.
int tell_proxy(const session& run, const command& what, const subject& on) {
    const config::resource& owner = *on.owner;
    if (owner.peer == nullptr || !owner.peer->proxy) {
        fmt::print(stderr, "There is no proxy config for the peer in resource {}.\n", owner.name);
        return exit_config_invalid;
    }
    if (what.name == "proxy-down") {
        return call(run, owner, run.backend.proxy_removal(owner));
    }
    const int code = call(run, owner, run.backend.proxy_connection(owner));
    command_words settings = run.backend.proxy_settings(owner);
    return code != 0 || settings.empty() ? code : call(run, owner, std::move(settings));
}

} // namespace

int call(const session& run, const config::resource& owner, command_words words,
         patience how_long) {
    return run.runner.run(plain_request(owner, std::move(words), how_long)).code;
}

int make_resource(const session& run, const config::resource& owner) {
    const int code = call(run, owner, run.backend.new_resource(owner, scope::create));
    if (code == 0 && run.registers()) {
        register_resource(owner.name, run.config_path);
    }
    return code;
}

int make_minor(const session& run, const config::resource& owner, const config::volume& row) {
    const int code = call(run, owner, run.backend.new_minor(owner, row));
    if (code == 0 && run.registers()) {
        register_minor(row.minor.value_or(0), run.config_path);
    }
    return code;
}

// What the log says was being written goes into the bitmap first.
int attach_disk(const session& run, const config::resource& owner, const config::volume& row) {
    run_request request = plain_request(owner, run.backend.apply_al(row), patience::extended);
    request.standard_error = output::capture;
    const run_outcome outcome = run.runner.run(request);
    fmt::print(stderr, "{}", outcome.captured_error);
    const auto said = [&](std::string_view words) {
        return outcome.captured_error.find(words) != std::string::npos;
    };
    // What drbdmeta knows of a disk that is not new it has said.
    if (said("No valid meta data") && !said("give it its old size") && !said("are damaged")) {
        fmt::print(stderr,
                   "{}/{}: there are no metadata on {} that can be used\n"
                   "If the disk is a new one, make them: drbdadm create-md {}\n",
                   owner.name, row.number, row.metadata_device(), owner.name);
    }
    return outcome.code != 0 ? outcome.code
                             : call(run, owner, run.backend.attach(row), patience::medium);
}

int connect_peer(const session& run, const config::resource& owner) {
    if (owner.peer == nullptr && !run.dry()) {
        fmt::print(stderr, "resource {}: cannot configure network without knowing my peer.\n",
                   owner.name);
        return exit_exec_error;
    }
    return call(run, owner, run.backend.connect(owner));
}

int resize_disk(const session& run, const config::resource& owner, const config::volume& row,
                bool quiet) {
    run_request request = plain_request(owner, run.backend.resize(owner, row), patience::brief);
    request.standard_error = quiet ? output::hide : output::pass;
    const int code = run.runner.run(request).code;
    if (code != 0) {
        return code;
    }
    // Lets the engine's own idea of the backing device be recorded for the next check-resize.
    request.words = run.backend.check_resize(row);
    run.runner.run(request);
    return 0;
}

namespace {

int perform_on_volume(session& run, const command& what, const subject& on) {
    switch (what.action) {
    case action::attach:
        return on.row->diskless() ? 0 : attach_disk(run, *on.owner, *on.row);
    case action::disk_options:
        return call(run, *on.owner, run.backend.disk_options(*on.row, scope::change),
                    patience::medium);
    case action::up:
        defer_up(run, on);
        return 0;
    case action::setup_or_meta:
        return setup_or_meta(run, what, on);
    case action::meta:
        return call_meta(run, on, what.name);
    case action::create_md:
        return create_metadata(run, on, what.name);
    case action::outdate:
        return outdate(run, what, on);
    case action::resize:
        return resize_disk(run, *on.owner, *on.row, false);
    case action::check_resize:
        return check_resize(run, what, on);
    case action::wait_connect:
        return call(run, *on.owner,
                    run.backend.wait_connect(*on.owner, *on.row, run.request.stacked),
                    patience::forever);
    case action::wait_sync:
        return call_setup(run, what, on, patience::forever);
    case action::new_minor:
        return make_minor(run, *on.owner, *on.row);
    case action::del_minor:
        return call_setup(run, what, on, patience::brief);
    case action::peer_role:
        return peer_role(run, on);
    default:
        return perform_query(run, what, on);
    }
}

int perform_on_resource(session& run, const command& what, const subject& on) {
    switch (what.action) {
    case action::connect:
        return connect_peer(run, *on.owner);
    case action::net_options:
        return call(run, *on.owner, run.backend.net_options(*on.owner, scope::change));
    case action::disconnect:
        return call(run, *on.owner, run.backend.disconnect(*on.owner));
    case action::resource_options:
        return call(run, *on.owner, run.backend.new_resource(*on.owner, scope::change));
    case action::syncer:
        return reload_syncer(run, on);
    case action::adjust:
    case action::adjust_with_progress:
        return perform_adjust(run, on);
    case action::sh_list_adjustable:
        return list_if_adjustable(run, on);
    case action::with_connection:
        return refuse_apart_from_connection(run, what, on);
    case action::proxy:
        return tell_proxy(run, what, on);
    case action::new_resource:
        return make_resource(run, *on.owner);
    case action::handler:
        return run_handler(run, on, std::string(what.name));
    default:
        return perform_query(run, what, on);
    }
}

} // namespace

int perform(session& run, const command& what, const subject& on) {
    if (!what.needs_resource) {
        return what.action == action::wait_con_int ? wait_for_all_connections(run)
                                                   : perform_query(run, what, on);
    }
    LOCKSTEP_CHECK(on.owner != nullptr);
    LOCKSTEP_CHECK(on.row != nullptr || !what.each_volume);
    if (run.layout_83) {
        if (const auto code = perform_83(run, what, on)) {
            return *code;
        }
    }
    // These two are for volumes and for resources alike.
    if (what.action == action::setup_short) {
        return call_setup(run, what, on, patience::brief);
    }
    if (what.action == action::setup_long) {
        return call_setup(run, what, on, patience::medium);
    }
    return what.each_volume ? perform_on_volume(run, what, on) : perform_on_resource(run, what, on);
}

} // namespace lockstep::drbdadm
