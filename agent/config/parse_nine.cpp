// What DRBD 9 added and a resource of two nodes can use, brought to the form of 8.4; and the
// blocks of `drbdsetup show`.
#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/format.h>

#include "agent/config/parser.hpp"

namespace lockstep::config {

namespace {

// "8.4" or "8.4.11"
std::optional<version_numbers> version_of(std::string_view text) {
    version_numbers out{};
    std::size_t field = 0;
    for (const char* at = text.data(); field < out.size(); ++field) {
        const char* const end = text.data() + text.size();
        const auto [rest, failed] = std::from_chars(at, end, out[field]);
        if (failed != std::errc{}) {
            return std::nullopt;
        }
        if (rest == end) {
            return field == 0 ? std::nullopt : std::optional(out);
        }
        if (*rest != '.') {
            return std::nullopt;
        }
        at = rest + 1;
    }
    return std::nullopt;
}

} // namespace

// False if the current word starts no statement of DRBD 9.
bool parser::parse_statement_of_9(resource& owner) {
    if (token_.kind != token_kind::word) {
        return false;
    }
    if (token_.text == "connection") {
        parse_connection(owner);
        return true;
    }
    if (token_.text == "connection-mesh") {
        parse_mesh(owner);
        return true;
    }
    if (token_.text == "template-file") {
        parse_template_file(owner);
        return true;
    }
    return false;
}

// connection [NAME] { host A …; host B …; path { … } net { … } disk { … } volume N { … } }
void parser::parse_connection(resource& owner) {
    const position start = statement_;
    claim_once("connection section", owner.name + ":connection");
    next();
    if (is_string()) {
        if (!state_.from_show) {
            state_.diag.warn(start, fmt::format("in resource {}: the name of a connection is "
                                                "deprecated and ignored",
                                                owner.name));
        }
        next();
    }
    if (!token_.is('{')) {
        return expected("{");
    }
    unsigned hosts = 0;
    unsigned paths = 0;
    while (!state_.stopped) {
        next();
        statement_ = here();
        if (token_.is('}') || !parse_connection_statement(owner, hosts, paths)) {
            break;
        }
    }
    if (state_.stopped || state_.from_show) {
        return;
    }
    if (paths > 1) {
        state_.diag.error(start, fmt::format("in resource {}: {} paths in one connection; one is "
                                             "supported",
                                             owner.name, paths));
    }
    if (hosts != 2) {
        state_.diag.error(start, fmt::format("in resource {}: a connection has two hosts, but {} "
                                             "are given",
                                             owner.name, hosts));
    }
}

bool parser::parse_connection_statement(resource& owner, unsigned& hosts, unsigned& paths) {
    switch (word()) {
    case key::net:
        parse_connection_options(net_section);
        return true;
    case key::disk:
        parse_connection_options(disk_section);
        return true;
    case key::volume:
        parse_connection_volume();
        return true;
    default:
        break;
    }
    const std::string name = token_.kind == token_kind::word ? token_.text : std::string{};
    if (name == "host") {
        parse_connection_host();
        ++hosts;
        return true;
    }
    if (name == "path") {
        ++paths;
        expect('{');
        while (!state_.stopped && !next().is('}')) {
            if (!parse_path_statement(owner, hosts)) {
                return false;
            }
        }
        return true;
    }
    if (state_.from_show && (name == "_peer_node_id" || name == "_cstate" || name == "_name")) {
        expect_value();
        expect(';');
        return true;
    }
    return unknown("host | path | net | disk | volume");
}

void parser::parse_connection_options(const option_section& section) {
    expect('{');
    option_list list = parse_option_block(section, connection_);
    merge(&section == &net_section ? connection_.net_options : connection_.disk_options,
          std::move(list));
}

// What a connection says is more specific than what its resource says.
void parser::replace(option_list& into, option_list from) {
    for (option& row : from) {
        std::erase_if(into, [&](const option& other) { return other.name == row.name; });
        into.push_back(std::move(row));
    }
}

void parser::apply_connection(resource& owner) {
    replace(owner.net_options, std::move(connection_.net_options));
    replace(owner.disk_options, std::move(connection_.disk_options));
    connection_ = {};
}

bool parser::parse_path_statement(resource& owner, unsigned& hosts) {
    statement_ = here();
    const key kind = word();
    if (state_.from_show && (kind == key::this_host || kind == key::remote_host)) {
        host_section& host = shown_host(owner, kind == key::remote_host);
        host.address = parse_plain_address();
        expect(';');
        return true;
    }
    if (token_.kind == token_kind::word && token_.text == "host") {
        parse_connection_host();
        ++hosts;
        return true;
    }
    return unknown("host");
}

// host NAME; host NAME port N; host NAME address ADDRESS;
void parser::parse_connection_host() {
    connection_host found{expect_string(), {}, {}, statement_};
    next();
    if (word() == key::address) {
        found.address = parse_address({found.name});
    } else if (token_.kind == token_kind::word && token_.text == "port") {
        found.port = expect_number();
        bounded(*found.port, "port", 1, 65535);
        expect(';');
    } else if (!token_.is(';')) {
        expected("address | port | ;");
    }
    connection_hosts_.push_back(std::move(found));
}

void parser::apply_connection_hosts(resource& owner) {
    for (connection_host& one : connection_hosts_) {
        const auto host = std::find_if(owner.hosts.begin(), owner.hosts.end(),
                                       [&](const auto& row) { return row->has_name(one.name); });
        if (host == owner.hosts.end()) {
            state_.diag.error(one.at, fmt::format("in resource {}: the connection names host {}, "
                                                  "for which there is no section 'on {} {{ ... }}'",
                                                  owner.name, one.name, one.name));
            continue;
        }
        if (one.address) {
            (*host)->address = std::move(one.address);
        }
        if (one.port && (*host)->address) {
            (*host)->address->port = *one.port;
        }
    }
    connection_hosts_.clear();
}

// volume N { disk { … } }: options of the peer device, those of the volume in 8.4.
void parser::parse_connection_volume() {
    peer_options found{parse_volume_number(), {}, statement_};
    expect('{');
    while (!state_.stopped && !next().is('}')) {
        if (word() != key::disk) {
            return expected("disk | }");
        }
        expect('{');
        merge(found.list, parse_option_block(disk_section, connection_));
    }
    peer_options_.push_back(std::move(found));
}

void parser::apply_peer_options(resource& owner) {
    for (const peer_options& one : peer_options_) {
        bool known = false;
        for (const auto& host : owner.hosts) {
            for (volume& row : host->volumes) {
                if (row.number == one.volume) {
                    replace(row.disk_options, one.list);
                    known = true;
                }
            }
        }
        if (!known && !state_.stopped) {
            state_.diag.error(one.at, fmt::format("in resource {}: the connection has options for "
                                                  "volume {}, which does not exist",
                                                  owner.name, one.volume));
        }
    }
    peer_options_.clear();
}

// require-drbd-module-version-{eq,ne,gt,ge,lt,le} X.Y.Z; compared with the version of the engine's
// control interface. False if the current word is another one.
bool parser::parse_required_version() {
    constexpr std::string_view prefix = "require-drbd-module-version-";
    const version_numbers& ours = state_.doc.driver_version;
    if (token_.kind != token_kind::word || token_.text.substr(0, prefix.size()) != prefix) {
        return false;
    }
    const std::string relation = token_.text.substr(prefix.size());
    const std::string version = next().text;
    const auto given = version_of(version);
    const version_numbers wanted = given.value_or(version_numbers{});
    const bool known = relation == "eq"   ? ours == wanted
                       : relation == "ne" ? ours != wanted
                       : relation == "gt" ? ours > wanted
                       : relation == "ge" ? ours >= wanted
                       : relation == "lt" ? ours < wanted
                                          : relation == "le" && ours <= wanted;
    if (!given) {
        expected("a version like 8.4.0");
    } else if (!known) {
        stop(statement_, fmt::format("this configuration requires a driver version {} {}, and this "
                                     "one is {}",
                                     relation, version, fmt::join(ours, ".")));
    }
    expect(';');
    return true;
}

// connection-mesh { hosts A B; net { … } }
void parser::parse_mesh(resource& owner) {
    const position start = statement_;
    claim_once("connection section", owner.name + ":connection");
    expect('{');
    std::vector<std::string> names;
    while (!state_.stopped && !next().is('}')) {
        statement_ = here();
        if (token_.kind == token_kind::word && token_.text == "hosts") {
            names = host_names(';');
        } else if (word() == key::net) {
            parse_connection_options(net_section);
        } else {
            return expected("hosts | net");
        }
    }
    if (!state_.stopped && names.size() != 2) {
        state_.diag.error(start, fmt::format("in resource {}: a connection-mesh of {} hosts; two "
                                             "are supported",
                                             owner.name, names.size()));
    }
}

host_section& parser::shown_host(resource& owner, bool remote) {
    for (const auto& host : owner.hosts) {
        if (host->remote_host == remote) {
            return *host;
        }
    }
    host_section& host = add_host(owner, {remote ? "_remote_host" : "_this_host"});
    host.this_host = !remote;
    host.remote_host = remote;
    return host;
}

bool parser::parse_shown_resource() {
    next();
    statement_ = here();
    if (token_.kind == token_kind::end) {
        return false;
    }
    if (word() != key::resource) {
        expected("resource");
        return false;
    }
    // Printed without quotes, even if there are blanks in it.
    std::string name;
    for (next(); !token_.is('{') && token_.kind != token_kind::end; next()) {
        name += name.empty() ? "" : " ";
        name += token_.text;
    }
    if (state_.stopped || !token_.is('{')) {
        expected("{");
        return false;
    }
    state_.doc.resources.push_back(parse_resource(std::move(name), false));
    return !state_.stopped;
}

} // namespace lockstep::config
