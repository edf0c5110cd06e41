#include "agent/drbdadm/load.hpp"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <sys/utsname.h>
#include <unistd.h>

#include <fmt/format.h>

#include "agent/config/local_address.hpp"
#include "agent/config/reader.hpp"
#include "agent/config/resolve.hpp"
#include "agent/drbdadm/exit_code.hpp"
#include "agent/drbdadm/registry.hpp"

namespace lockstep::drbdadm {

namespace {

// In /etc wherever the programs are, as every tool around DRBD expects. A file for one generation
// goes before the common one.
struct default_file {
    std::string_view name;
    bool of_8_3; // looked for by drbdadm of 8.3, too
};

constexpr std::array default_files{
    default_file{"drbd-90.conf", false}, default_file{"drbd-84.conf", false},
    default_file{"drbd-83.conf", true},  default_file{"drbd-82.conf", false},
    default_file{"drbd-08.conf", true},  default_file{"drbd.conf", true}};

tl::unexpected<error> invalid() {
    return fail({}, {}, {}, exit_config_invalid);
}

// The configuration is used for more than printing it.
bool is_applied(const session& run) {
    return !run.request.what->dumps() || run.dry() || run.request.verbose != 0;
}

result<> resolve(session& run) {
    const config::node_identity me{run.node_name, config::have_local_address};
    config::select_hosts(run.doc, me, run.found, run.request.what->action == action::proxy);
    if (is_applied(run)) {
        config::expand_common(run.doc);
    }
    if (!run.request.what->needs_resource) {
        return {};
    }
    const bool stops_by_name = run.request.what->name == "down" && !run.request.all();
    if (run.doc.resources.empty() && !run.request.what->dumps() && !stops_by_name) {
        return fail("no resources defined!", {}, {}, exit_usage);
    }
    for (const auto& owner : run.doc.resources) {
        config::select_peer(*owner, run.request.peer, false, run.found);
        config::validate(run.doc, *owner, run.forgiving, run.found);
        if (run.found.valid() && !run.request.what->dumps()) {
            config::translate_names(run.doc, *owner, run.node_name, run.forgiving, run.found);
        }
        if (!run.found.valid()) {
            return invalid();
        }
    }
    if (!run.request.what->dumps()) {
        config::check_resync_cycles(run.doc, run.found);
    }
    if (!run.found.valid()) {
        return invalid();
    }
    return {};
}

} // namespace

std::string node_name() {
    const char* pretended = ::getenv("__DRBD_NODE__");
    if (pretended != nullptr && pretended[0] != '\0') {
        return pretended;
    }
    utsname found{};
    return ::uname(&found) == 0 ? found.nodename : "";
}

result<std::string> choose_config_file(const request& what, bool for_8_3) {
    if (what.config_file) {
        return *what.config_file;
    }
    if (what.what->uses_registered_config && !what.names.empty()) {
        if (auto file = registered_config(what.names.front())) {
            return *file;
        }
    }
    std::string last;
    for (const default_file& one : default_files) {
        if (for_8_3 && !one.of_8_3) {
            continue;
        }
        last = fmt::format("/etc/{}", one.name);
        if (::access(last.c_str(), R_OK) == 0) {
            return last;
        }
    }
    auto missing = fail_errno(errno, fmt::format("Can not open '{}'", last), {},
                              "write one, or name another with -c FILE");
    missing.value().code = exit_config_invalid;
    return missing;
}

result<> load_configuration(session& run, const std::string& file) {
    config::reader reader(run.doc, run.found);
    for (const std::string& name : run.request.config_excludes) {
        reader.exclude(name);
    }
    if (auto read = reader.read_file(file); !read) {
        return read;
    }
    run.from_stdin = file == "-";
    run.config_path = run.doc.files.front()->path;
    for (const std::string& more : run.request.config_tests) {
        if (auto read = reader.read_file(more); !read) {
            return read;
        }
    }
    if (!run.found.valid()) {
        return invalid();
    }
    return resolve(run);
}

bool verify_address(session& run, const config::resource& owner) {
    if (run.doc.global.disable_ip_verification || run.request.dry_run == 1 ||
        !run.request.what->verifies_addresses || owner.ignored ||
        (owner.stacked && !run.request.stacked) || config::have_local_address(*owner.me->address)) {
        return true;
    }
    run.found.error(owner.me->at,
                    fmt::format("in resource {}, on {}:\n\tIP {} not found on this "
                                "host.",
                                owner.name, owner.me->names_text(), owner.me->address->host));
    return false;
}

} // namespace lockstep::drbdadm
