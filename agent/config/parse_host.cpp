// on, floating, stacked-on-top-of and _this_host sections.
#include <utility>

#include <fmt/format.h>

#include "agent/config/parser.hpp"

namespace lockstep::config {

host_section& parser::add_host(resource& owner, std::vector<std::string> names) {
    for (const std::string& name : names) {
        claim_once("host section", fmt::format("{}: on {}", owner.name, name));
    }
    owner.hosts.push_back(std::make_unique<host_section>());
    host_section& host = *owner.hosts.back();
    host.names = std::move(names);
    host.at = statement_;
    return host;
}

void parser::parse_on(resource& owner) {
    host_section& host = add_host(owner, host_names('{'));
    parse_host_body(owner, host);
}

void parser::parse_shown_host(resource& owner, bool remote) {
    expect('{');
    host_section& host = add_host(owner, {remote ? "_remote_host" : "_this_host"});
    host.this_host = !remote;
    host.remote_host = remote;
    parse_host_body(owner, host);
}

// floating ADDRESS { … } or floating ADDRESS;
void parser::parse_floating(resource& owner) {
    socket_address address = parse_plain_address();
    if (state_.stopped) {
        return;
    }
    claim(state_.everywhere, "IP", address.host + ":" + address.port);
    const std::string name = address.family == "ipv6"
                                 ? fmt::format("ipv6 [{}]:{}", address.host, address.port)
                                 : fmt::format("{}:{}", address.host, address.port);
    host_section& host = add_host(owner, {name});
    host.by_address = true;
    host.address = std::move(address);
    next();
    if (token_.is('{')) {
        parse_host_body(owner, host);
    } else if (!token_.is(';')) {
        expected("{ | ;");
    }
}

void parser::parse_host_body(resource& owner, host_section& host) {
    while (!state_.stopped) {
        next();
        statement_ = here();
        if (token_.is('}') || !parse_host_statement(owner, host)) {
            return;
        }
    }
}

bool parser::parse_host_statement(resource& owner, host_section& host) {
    const auto once = [&](std::string_view what) {
        for (const std::string& name : host.names) {
            claim_once(fmt::format("{} statement", what),
                       fmt::format("{}:{}:{}", owner.name, name, what));
        }
    };
    switch (word()) {
    case key::disk: {
        // A path, or a section of options: only the former is the statement that stands once.
        volume& row = implicit_volume(host.volumes);
        const std::optional<std::string> before = std::exchange(row.disk, std::nullopt);
        const bool known = parse_volume_statement(host.names, row);
        if (row.disk) {
            once("disk");
        } else {
            row.disk = before;
        }
        return known;
    }
    case key::device:
        once("device");
        return parse_volume_statement(host.names, implicit_volume(host.volumes));
    case key::meta_disk:
    case key::flexible_meta_disk:
        once("meta-disk");
        return parse_volume_statement(host.names, implicit_volume(host.volumes));
    case key::address:
        once("address");
        parse_host_address(owner, host, false);
        return true;
    case key::alternate_address:
        once("alt-address");
        parse_host_address(owner, host, true);
        return true;
    case key::proxy:
        parse_proxy(host);
        return true;
    case key::volume:
        add_volume(host.volumes, parse_volume(host.names, false), host.names_text());
        return true;
    case key::options:
        expect('{');
        host.resource_options = parse_option_block(resource_options_section, owner);
        return true;
    default:
        break;
    }
    if (token_.kind == token_kind::word && token_.text == "node-id") {
        once("node-id");
        host.node_id = expect_number();
        bounded(*host.node_id, "node-id", 0, 31);
        claim_once("node-id", owner.name + ":" + *host.node_id);
        expect(';');
        return true;
    }
    return unknown("disk | device | address | meta-disk | flexible-meta-disk | volume | options | "
                   "proxy | node-id");
}

void parser::parse_host_address(const resource& owner, host_section& host, bool alternate) {
    if (host.by_address) {
        return stop(statement_,
                    fmt::format("in resource {}: address statement not allowed for floating {{}} "
                                "host sections",
                                owner.name));
    }
    (alternate ? host.alternate_address : host.address) = parse_address(host.names);
}

// "[af] ip:port", where an IPv6 address is in brackets.
socket_address parser::parse_plain_address() {
    next();
    socket_address out;
    switch (word()) {
    case key::ssocks:
        out.family = "ssocks"; // 8.3 called it sci
        next();
        break;
    case key::sdp:
    case key::ipv4:
    case key::ipv6:
        out.family = token_.text;
        next();
        break;
    default:
        out.family = "ipv4";
        if (token_.kind != token_kind::ipv4) {
            expected("ssocks | sdp | ipv4 | ipv6 | <ipv4 address> ");
            return out;
        }
    }
    const bool v6 = out.family == "ipv6";
    if (v6) {
        if (!token_.is('[')) {
            expected("[");
            return out;
        }
        next();
    }
    if (token_.kind != (v6 ? token_kind::ipv6 : token_kind::ipv4)) {
        expected(v6 ? "<ipv6 address>" : "<ipv4 address>");
        return out;
    }
    out.host = token_.text;
    if (v6) {
        expect(']');
    }
    expect(':');
    out.port = expect_number();
    bounded(out.port, "port", 1, 65535);
    return out;
}

socket_address parser::parse_address(const std::vector<std::string>& on_hosts) {
    socket_address out = parse_plain_address();
    const std::string place = out.host + ":" + out.port;
    // A loopback address may be used by every host for itself.
    if (out.host.substr(0, 4) == "127." || out.host == "::1") {
        for (const std::string& name : on_hosts) {
            claim(state_.everywhere, "IP", fmt::format("{}:{}", name, place));
        }
    } else {
        claim(state_.everywhere, "IP", place);
    }
    expect(';');
    return out;
}

// proxy on HOST { inside ADDRESS; outside ADDRESS; options { … } }
void parser::parse_proxy(host_section& host) {
    next();
    if (word() != key::on) {
        return expected("on");
    }
    host.proxy.emplace();
    proxy_section& proxy = *host.proxy;
    const position start = statement_;
    proxy.on_hosts = host_names('{');
    while (!state_.stopped && !next().is('}')) {
        switch (word()) {
        case key::inside:
            proxy.inside = parse_address(proxy.on_hosts);
            break;
        case key::outside:
            proxy.outside = parse_address(proxy.on_hosts);
            break;
        case key::options: {
            expect('{');
            resource plugins;
            proxy.options = parse_option_block(proxy_options_section, plugins);
            proxy.plugins = std::move(plugins.proxy_plugins);
            break;
        }
        default:
            return expected("inside | outside");
        }
    }
    for (const auto& [what, given] :
         {std::pair("inside", &proxy.inside), std::pair("outside", &proxy.outside)}) {
        if (!state_.stopped && !given->has_value()) {
            state_.diag.error(start,
                              fmt::format("in section: on {} {{ proxy on {} {{ ... }} }}: "
                                          "'{}' keyword missing.",
                                          host.names_text(), join(proxy.on_hosts, " "), what));
        }
    }
}

// stacked-on-top-of LOWER { device …; address …; }
void parser::parse_stacked(resource& owner) {
    std::string lower = expect_string();
    claim(state_.everywhere, "stacked-on-top-of", "stacked:" + lower);
    expect('{');
    host_section& host = add_host(owner, {});
    host.stacked_on = std::move(lower);
    owner.stacked_on_one = true;
    while (!state_.stopped && !next().is('}')) {
        statement_ = here();
        if (!parse_stacked_statement(owner, host)) {
            return;
        }
    }
}

bool parser::parse_stacked_statement(resource& owner, host_section& host) {
    switch (word()) {
    case key::device: {
        volume& row = implicit_volume(host.volumes);
        parse_device({}, row);
        row.meta_disk = "internal";
        row.meta_index = "internal";
        return true;
    }
    case key::address:
        parse_host_address(owner, host, false);
        return true;
    case key::alternate_address:
        parse_host_address(owner, host, true);
        return true;
    case key::proxy:
        parse_proxy(host);
        return true;
    case key::volume:
        add_volume(host.volumes, parse_volume({}, true), host.stacked_on);
        return true;
    default:
        return unknown("device | address | proxy | volume");
    }
}

} // namespace lockstep::config
