// What DRBD 9 added and a resource of two nodes can use, brought to the form of 8.4; and the
// blocks of `drbdsetup show`.
#include <algorithm>

#include <fmt/format.h>

#include "agent/config/parser.hpp"

namespace lockstep::config {

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
        expect('{');
        merge(owner.net_options, parse_option_block(net_section, owner));
        return true;
    case key::disk:
        expect('{');
        merge(owner.disk_options, parse_option_block(disk_section, owner));
        return true;
    case key::volume:
        parse_connection_volume(owner);
        return true;
    default:
        break;
    }
    const std::string name = token_.kind == token_kind::word ? token_.text : std::string{};
    if (name == "host") {
        parse_connection_host(owner);
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
        parse_connection_host(owner);
        ++hosts;
        return true;
    }
    return unknown("host");
}

// host NAME; host NAME port N; host NAME address ADDRESS;
void parser::parse_connection_host(resource& owner) {
    const std::string name = expect_string();
    next();
    const auto found = std::find_if(owner.hosts.begin(), owner.hosts.end(),
                                    [&](const auto& host) { return host->has_name(name); });
    if (!state_.stopped && found == owner.hosts.end()) {
        return stop(statement_, fmt::format("in resource {}: host {} has no section 'on {} {{ ... "
                                            "}}' before this connection",
                                            owner.name, name, name));
    }
    if (word() == key::address) {
        const socket_address address = parse_address({name});
        if (!state_.stopped) {
            (*found)->address = address;
        }
        return;
    }
    if (token_.kind == token_kind::word && token_.text == "port") {
        const std::string port = expect_number();
        bounded(port, "port", 1, 65535);
        expect(';');
        if (!state_.stopped && (*found)->address) {
            (*found)->address->port = port;
        }
        return;
    }
    if (!token_.is(';')) {
        expected("address | port | ;");
    }
}

// volume N { disk { … } }: options of the peer device, those of the volume in 8.4.
void parser::parse_connection_volume(resource& owner) {
    const unsigned number = parse_volume_number();
    expect('{');
    option_list found;
    while (!state_.stopped && !next().is('}')) {
        if (word() != key::disk) {
            return expected("disk | }");
        }
        expect('{');
        merge(found, parse_option_block(disk_section, owner));
    }
    for (const auto& host : owner.hosts) {
        for (volume& row : host->volumes) {
            if (row.number == number) {
                merge(row.disk_options, found);
            }
        }
    }
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
            expect('{');
            merge(owner.net_options, parse_option_block(net_section, owner));
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
    std::string name = expect_value();
    expect('{');
    if (state_.stopped) {
        return false;
    }
    state_.doc.resources.push_back(parse_resource(std::move(name), false));
    return !state_.stopped;
}

} // namespace lockstep::config
