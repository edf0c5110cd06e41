#include "agent/drbdadm/program.hpp"

#include <algorithm>
#include <cstdio>
#include <unistd.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "agent/config/dump.hpp"
#include "agent/config/escape.hpp"
#include "agent/config/nearest.hpp"
#include "agent/config/resolve.hpp"
#include "agent/drbdadm/actions.hpp"
#include "agent/drbdadm/driver_version.hpp"
#include "agent/drbdadm/exit_code.hpp"
#include "agent/drbdadm/handlers.hpp"
#include "agent/drbdadm/load.hpp"
#include "agent/drbdadm/programs.hpp"

namespace lockstep::drbdadm {

namespace {

// What this suite is compatible with; scripts compare the numbers (0xMMmmpp).
void print_version(const config::version_numbers& driver) {
    fmt::print("DRBDADM_BUILDTAG={}\nDRBDADM_API_VERSION=1\nDRBD_KERNEL_VERSION_CODE={}\n"
               "DRBD_KERNEL_VERSION={}\nDRBDADM_VERSION_CODE={}\n"
               "DRBDADM_VERSION={}\nLOCKSTEP_VERSION={}\n",
               config::shell_word("Lockstep " LOCKSTEP_VERSION), version_code(driver),
               version_text(driver), version_code(config::compatible_version),
               version_text(config::compatible_version), config::shell_word(LOCKSTEP_VERSION));
}

void print_diagnostics(config::diagnostics& found) {
    fmt::print(stderr, "{}", found.text());
    const bool valid = found.valid();
    found = {};
    if (!valid) {
        found.error("the configuration is not valid");
    }
}

// How what is accepted from older generations is written today: for who looks at the file.
void print_hints(const session& run) {
    const action what = run.request.what->action;
    if (run.layout_83 || (what != action::dump && what != action::sh_nop)) {
        return;
    }
    for (const std::string& text : run.found.hints()) {
        fmt::print(stderr, "{}\n", text);
    }
}

int failed(const session& run, const error& why) {
    if (!why.what.empty()) {
        fmt::print(stderr, "{}\n", why.text());
    }
    return why.code != 0 ? why.code : (run.found.valid() ? exit_exec_error : exit_config_invalid);
}

int usage_failure(const std::string& text) {
    fmt::print(stderr, "{}\n", text);
    return exit_usage;
}

int perform_on(session& run, const subject& on) {
    const command& what = *run.request.what;
    if (what.needs_peer && on.owner->peer == nullptr) {
        config::select_peer(*on.owner, run.request.peer, true, run.found);
        print_diagnostics(run.found);
    }
    if (!what.each_volume || on.row != nullptr) {
        return perform(run, what, on);
    }
    for (config::volume& row : on.owner->me->volumes) {
        const int code = perform(run, what, {on.owner, &row});
        if (code != 0) {
            return code;
        }
    }
    return 0;
}

void print_dump_head(const session& run) {
    if (run.request.what->action == action::dump_xml) {
        fmt::print("{}", config::dump_xml_header(run.doc));
    } else {
        fmt::print("{}", run.layout_83 ? config::dump_header_83(run.doc)
                                       : config::dump_header(run.doc, run.request.verbose != 0));
    }
}

int refuse_without_resources(const session& run) {
    const auto& all = run.doc.resources;
    const bool any = std::any_of(all.begin(), all.end(), [&](const auto& owner) {
        return !owner->ignored && owner->stacked == run.request.stacked;
    });
    if (any) {
        return 0;
    }
    if (run.request.stacked) {
        return usage_failure(fmt::format("WARN: nothing stacked for this host ({}), nothing "
                                         "to do in stacked mode!",
                                         run.node_name));
    }
    const bool ignored =
        std::any_of(all.begin(), all.end(), [](const auto& owner) { return owner->ignored; });
    return usage_failure(fmt::format(
        "WARN: no normal resources defined for this host ({})!?{}", run.node_name,
        ignored ? "\nMisspelled name of the local machine with the 'on' keyword ?" : ""));
}

int perform_on_all(session& run) {
    const bool dumping = run.request.what->dumps();
    if (!dumping) {
        if (const int code = refuse_without_resources(run)) {
            return code;
        }
    }
    bool verified = true;
    for (const auto& owner : run.doc.resources) {
        verified = verify_address(run, *owner) && verified;
    }
    print_diagnostics(run.found);
    if (!verified) {
        return exit_config_invalid;
    }
    if (dumping) {
        print_dump_head(run);
        if (run.doc.resources.empty()) {
            fmt::print("{}", run.request.what->action == action::dump_xml
                                 ? "    <!-- No resources configured -->\n"
                                 : "# no resources configured\n");
        }
    }
    int worst = 0;
    for (const auto& owner : run.doc.resources) {
        if (dumping || (!owner->ignored && owner->stacked == run.request.stacked)) {
            worst = std::max(worst, perform_on(run, {owner.get(), nullptr}));
        }
    }
    if (run.request.what->action == action::dump_xml) {
        fmt::print("{}", config::dump_xml_footer());
    }
    return worst;
}

// Either the resource is there and this host is not in it, or the name is wrong.
std::string way_to_subject(const session& run, const std::string& name) {
    std::vector<std::string_view> here;
    for (const auto& owner : run.doc.resources) {
        if (!owner->ignored) {
            here.push_back(owner->name);
            continue;
        }
        if (owner->name == name.substr(0, name.find('/'))) {
            std::vector<std::string_view> hosts;
            for (const auto& host : owner->hosts) {
                hosts.insert(hosts.end(), host->names.begin(), host->names.end());
            }
            return fmt::format("this host is {} (uname -n), {} has sections for {}", run.node_name,
                               owner->name, fmt::join(hosts, ", "));
        }
    }
    if (const std::string_view meant = config::nearest(name, here); !meant.empty()) {
        return fmt::format("did you mean {}?", meant);
    }
    return fmt::format("{} has {}", run.config_path,
                       here.empty() ? "none for this host"
                                    : fmt::format("{}", fmt::join(here, ", ")));
}

// A volume whose minor the configuration does not have any more, or has given to another resource:
// the engine names its own. The handlers are the resource's.
std::optional<subject> named_by_engine(const session& run, const config::target& found) {
    const char* name = ::getenv("LOCKSTEP_RESOURCE");
    if (run.request.what->action != action::handler || name == nullptr ||
        (found.owner != nullptr && found.owner->name == name)) {
        return std::nullopt;
    }
    const config::target by_name = config::find_target(run.doc, name);
    return by_name.owner == nullptr ? std::nullopt : std::optional(subject{by_name.owner, nullptr});
}

// Brings a target to what the command works on; an error if that is not possible.
result<subject> find_subject(const session& run, const std::string& name) {
    const command& what = *run.request.what;
    config::target found = config::find_target(run.doc, name);
    if (found.owner == nullptr) {
        found = config::find_minor(run.doc, name);
    }
    if (const auto engines = named_by_engine(run, found)) {
        return *engines;
    }
    if (found.owner == nullptr) {
        return fail(fmt::format("'{}' not defined in your config (for this host).", name), {},
                    way_to_subject(run, name), exit_usage);
    }
    subject on{found.owner, found.row};
    if (!what.needs_volume && !what.each_volume && on.row != nullptr) {
        // The engine may name a resource by one of its minors, and so may who looks for the file.
        const bool by_minor = what.dumps() && name.compare(0, 6, "minor-") == 0;
        if (!on.row->implicit && what.action != action::handler && !by_minor) {
            return fail(fmt::format("{} operates on whole resources, but you specified a specific "
                                    "volume!",
                                    what.name),
                        {}, {}, exit_usage);
        }
        on.row = nullptr;
    }
    auto& volumes = on.owner->me->volumes;
    if (what.needs_volume && on.row == nullptr && !volumes.empty() && volumes.front().implicit) {
        on.row = &volumes.front();
    }
    if (what.needs_volume && on.row == nullptr) {
        return fail(fmt::format("{} requires a specific volume id, but none is specified.\n"
                                "Try '{} minor-<minor_number>' or '{} {}/<vnr>'",
                                what.name, what.name, what.name, name),
                    {}, {}, exit_usage);
    }
    if (run.request.stacked != on.owner->stacked && !what.dumps()) {
        return fail(fmt::format("'{}' is a {} resource, and not available in {} mode.",
                                on.owner->name, on.owner->stacked ? "stacked" : "normal",
                                run.request.stacked ? "stacked" : "normal"),
                    {}, {}, exit_usage);
    }
    return on;
}

// A resource that runs and is in no file any more can still be stopped. Nothing if it does not run.
std::optional<int> stop_unconfigured(const session& run, const std::string& name) {
    if (run.request.what->name != "down" || run.layout_83) {
        return std::nullopt;
    }
    config::resource owner;
    owner.name = name;
    run_request look;
    look.words = run.backend.show(owner);
    look.resource = name;
    look.standard_output = output::capture;
    look.standard_error = output::hide;
    look.reports_failure = false;
    look.is_query = true;
    const run_outcome seen = run.runner.run(look);
    if (seen.code != 0 || seen.captured_output.empty()) {
        return std::nullopt;
    }
    return call(run, owner, run.backend.setup("down", owner), patience::medium);
}

int perform_on_named(session& run) {
    int worst = 0;
    for (const std::string& name : run.request.names) {
        const auto on = find_subject(run, name);
        if (!on) {
            if (const auto stopped = stop_unconfigured(run, name)) {
                worst = std::max(worst, *stopped);
                continue;
            }
            fmt::print(stderr, "{}\n", on.error().text());
            return std::max(worst, on.error().code);
        }
        const bool verified = verify_address(run, *on->owner);
        print_diagnostics(run.found);
        if (!verified) {
            return exit_config_invalid;
        }
        run.single_volume = on->row != nullptr && run.request.what->each_volume;
        worst = std::max(worst, perform_on(run, *on));
    }
    return worst;
}

// Handlers that cannot run are found when somebody looks, not when they are needed.
void warn_of_missing_handlers(const session& run) {
    switch (run.request.what->action) {
    case action::up:
    case action::adjust:
    case action::adjust_with_progress:
    case action::dump:
    case action::sh_nop:
        break;
    default:
        return;
    }
    for (const auto& owner : run.doc.resources) {
        if (owner->ignored) {
            continue;
        }
        for (const std::string& text : missing_handler_programs(*owner)) {
            fmt::print(stderr, "{}\n", text);
        }
    }
}

int perform_request(session& run) {
    const command& what = *run.request.what;
    const bool status_83 = run.layout_83 && what.name == "status" && !run.dry();
    if (status_83) {
        print_status_head_83(run);
    }
    int code = 0;
    if (!what.needs_resource) {
        code = perform(run, what, {});
        if (code >= 10) {
            fmt::print(stderr, "command {} exited with code {}\n", what.name, code);
        }
    } else if (run.request.names.empty() || run.request.all()) {
        code = perform_on_all(run);
    } else {
        code = perform_on_named(run);
    }
    if (status_83) {
        print_status_foot_83();
    }
    std::fflush(stdout);
    const bool progress =
        what.action == action::adjust_with_progress && !run.dry() && run.request.verbose == 0;
    return std::max(code, run.deferred.run(run.request.program, progress));
}

// What is wrong with the names that were given; empty if the command may run.
std::string why_names_are_wrong(const request& asked) {
    const command& what = *asked.what;
    if (asked.names.empty()) {
        const bool means_all =
            what.dumps() || what.name == "status" || what.action == action::sh_list_adjustable;
        return means_all || !what.needs_resource ? std::string{} : "No resource names specified";
    }
    if (!what.needs_resource) {
        fmt::print(stderr, "This command will ignore resource names!\n");
    } else if (asked.names.size() > 1 && what.uses_registered_config) {
        fmt::print(stderr, "You should not use this command with multiple resources!\n");
    }
    return {};
}

run_settings settings_of(const request& asked, const config::global_options& global) {
    run_settings out;
    out.dry_run = asked.dry_run;
    out.verbose = asked.verbose;
    out.shell_variable = asked.shell_variable;
    out.brief_s = global.cmd_timeout_short_s;
    out.medium_s = global.cmd_timeout_medium_s;
    out.extended_s = global.cmd_timeout_long_s;
    out.hide_errors = asked.what->action == action::adjust_with_progress && asked.dry_run == 0 &&
                      asked.verbose == 0;
    return out;
}

std::vector<setup_option> passed_to_backend(const request& asked) {
    std::vector<setup_option> out = asked.passed;
    std::erase_if(
        out, [](const setup_option& row) { return row.text.compare(0, 12, "--max-peers=") == 0; });
    if (asked.what->passes == passed_options::adjust) {
        std::erase_if(out, [](const setup_option& row) { return !row.is_explicit; });
    }
    return out;
}

bool ends_with(std::string_view text, std::string_view end) {
    return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

int run_request_of(const request& asked, const config::version_numbers& driver) {
    const bool calls_8_3 = ends_with(asked.program, "-83") || is_8_3(driver);
    const auto names = find_programs(asked);
    if (!names) {
        fmt::print(stderr, "{}\n", names.error().text());
        return names.error().code;
    }
    const auto file = choose_config_file(asked, calls_8_3);
    if (!file) {
        fmt::print(stderr, "{}\n", file.error().text());
        return file.error().code;
    }
    session run{asked,
                {},
                {},
                node_name(),
                {},
                false,
                ::isatty(STDIN_FILENO) == 0 || ::isatty(STDOUT_FILENO) == 0,
                calls_8_3,
                false,
                backend(*names, passed_to_backend(asked), calls_8_3),
                runner({}),
                {}};
    run.doc.driver_version = driver;
    const auto loaded = load_configuration(run, *file);
    print_hints(run);
    print_diagnostics(run.found);
    if (!loaded) {
        return failed(run, loaded.error());
    }
    run.runner = runner(settings_of(run.request, run.doc.global));
    warn_of_missing_handlers(run);
    return perform_request(run);
}

} // namespace

int drbdadm_main(int argc, char** argv) {
    if (argc < 1 || argv == nullptr) {
        fmt::print(stderr, "drbdadm: Nonexistent or empty arguments array, aborting.\n");
        return exit_usage;
    }
    if (const char* pretended = ::getenv("__DRBD_NODE__"); pretended != nullptr && *pretended) {
        fmt::print(stderr,
                   "\n   found __DRBD_NODE__ in environment\n   PRETENDING that I am >>{}<<\n\n",
                   pretended);
    }
    auto asked = parse_command_line(argc, argv);
    const auto driver = driver_version();
    if (!asked || !driver) {
        const error& why = asked ? driver.error() : asked.error();
        fmt::print(stderr, "{}\n", why.text());
        return why.code;
    }
    for (const std::string& notice : asked->notices) {
        fmt::print(stderr, "{}\n", notice);
    }
    if (asked->kind == request_kind::version) {
        print_version(*driver);
        return 0;
    }
    if (asked->kind == request_kind::help) {
        fmt::print("{}", usage_text(asked->program, asked->what));
        return 0;
    }
    if (asked->what->action == action::hidden_commands) {
        fmt::print("{}", hidden_commands_text());
        return 0;
    }
    if (const std::string why = why_names_are_wrong(*asked); !why.empty()) {
        fmt::print(stderr, "{}\n{}\n", usage_text(asked->program, asked->what), why);
        return exit_usage;
    }
    return run_request_of(*asked, *driver);
}

} // namespace lockstep::drbdadm
