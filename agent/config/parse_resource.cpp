#include <algorithm>

#include <fmt/format.h>

#include "agent/config/parser.hpp"

namespace lockstep::config {

// The opening brace has been read.
std::unique_ptr<resource> parser::parse_resource(std::string name, bool is_common) {
    state_.in_resource.clear();
    peer_options_.clear();
    connection_hosts_.clear();
    connection_ = {};
    auto owner = std::make_unique<resource>();
    owner->name = std::move(name);
    owner->start = here();
    claim(state_.everywhere, "resource section", owner->name);
    while (!state_.stopped) {
        next();
        statement_ = here();
        if (token_.is('}') || !parse_resource_statement(*owner, is_common)) {
            break;
        }
    }
    if (!state_.stopped) {
        finish_resource(*owner, here().line, is_common);
    }
    return owner;
}

bool parser::parse_resource_statement(resource& owner, bool is_common) {
    switch (word()) {
    case key::on:
        parse_on(owner);
        return true;
    case key::floating:
        parse_floating(owner);
        return true;
    case key::stacked_on_top_of:
        parse_stacked(owner);
        return true;
    case key::ignore_on:
        expect_string();
        expect(';');
        state_.diag.warn(statement_, fmt::format("in resource {}, WARN: The 'ignore-on' keyword "
                                                 "is deprecated.",
                                                 owner.name));
        return true;
    case key::this_host:
    case key::remote_host:
        if (state_.from_show) {
            parse_shown_host(owner, word() == key::remote_host);
            return true;
        }
        break;
    case key::device:
        claim_once("device statement", owner.name + ":device");
        [[fallthrough]];
    case key::meta_disk:
    case key::flexible_meta_disk:
        parse_volume_statement({}, implicit_volume(owner.volumes));
        return true;
    case key::volume:
        add_volume(owner.volumes, parse_volume({}, false), owner.name);
        return true;
    default:
        break;
    }
    if (parse_resource_section(owner) || (!is_common && parse_statement_of_9(owner))) {
        return true;
    }
    return unknown("protocol | on | disk | net | syncer | startup | handlers | options | volume | "
                   "device | meta-disk | floating | proxy | connection | stacked-on-top-of");
}

// The sections that common {} has, too. False if the word starts none of them.
bool parser::parse_resource_section(resource& owner) {
    const auto block = [&](std::string_view what, std::string_view id,
                           const option_section& section) {
        claim_once(fmt::format("{} section", what), fmt::format("{}:{}", owner.name, id));
        expect('{');
        return parse_option_block(section, owner);
    };
    switch (word()) {
    case key::net_option:
        if (token_.text != "protocol") {
            return false;
        }
        parse_protocol(owner);
        return true;
    case key::disk:
        parse_resource_disk(owner);
        return true;
    case key::net:
        merge(owner.net_options, block("net", "net", net_section));
        return true;
    case key::syncer:
        claim_once("syncer section", owner.name + ":syncer");
        parse_syncer(owner);
        return true;
    case key::startup:
        owner.startup_options = block("startup", "startup", startup_section);
        return true;
    case key::handlers:
        owner.handlers = block("handlers", "handlers", handlers_section);
        return true;
    case key::options:
        merge(owner.resource_options,
              block("resource options", "res_options", resource_options_section));
        return true;
    case key::proxy:
        owner.proxy_options = block("proxy", "proxy", proxy_options_section);
        return true;
    default:
        return false;
    }
}

void parser::parse_resource_disk(resource& owner) {
    next();
    if (token_.is('{')) {
        claim_once("disk section", owner.name + ":disk");
        merge(owner.disk_options, parse_option_block(disk_section, owner));
    } else if (is_string()) {
        implicit_volume(owner.volumes).disk = token_.text;
        expect(';');
    } else {
        expected("a path | {");
    }
}

// 8.3 has it outside of net {}.
void parser::parse_protocol(resource& owner) {
    claim_once("protocol statement", owner.name + ": protocol");
    option row{"protocol", expect_string(), statement_};
    if (!state_.stopped) {
        check_value(row, key::net_option);
    }
    expect(';');
    if (!state_.stopped) {
        state_.diag.hint(row.at, fmt::format("'protocol {0};' is written 'net {{ protocol {0}; }}' "
                                             "since DRBD 8.4",
                                             *row.value));
    }
    owner.net_options.push_back(std::move(row));
}

void parser::merge(option_list& into, option_list from) {
    std::move(from.begin(), from.end(), std::back_inserter(into));
}

void parser::finish_resource(resource& owner, int start_line, bool is_common) {
    const position end{&file_, start_line};
    if (is_common && !owner.hosts.empty()) {
        state_.diag.error(end, "in the common section, there are no host sections allowed.");
        return;
    }
    apply_connection(owner);
    if (state_.from_show) {
        return apply_peer_options(owner);
    }
    apply_connection_hosts(owner);
    for (const auto& host : owner.hosts) {
        inherit_volumes(owner, *host);
        check_complete(owner, *host);
    }
    apply_peer_options(owner);
    compare_volumes(owner);
    compare_node_ids(owner);
}

void parser::inherit_volumes(const resource& owner, host_section& host) {
    for (const volume& from : owner.volumes) {
        auto to = std::find_if(host.volumes.begin(), host.volumes.end(),
                               [&](const volume& row) { return row.number >= from.number; });
        if (to == host.volumes.end() || to->number != from.number) {
            volume fresh;
            fresh.number = from.number;
            fresh.implicit = from.implicit;
            fresh.at = from.at;
            to = host.volumes.insert(to, std::move(fresh));
        }
        if (!to->disk && from.disk) {
            to->disk = from.disk;
        }
        if (!to->device && from.device) {
            to->device = from.device;
        }
        if (!to->minor && from.minor) {
            to->minor = from.minor;
            for (const std::string& name : host.names) {
                statement_ = from.at;
                claim(state_.everywhere, "device-minor",
                      fmt::format("device-minor:{}:{}", name, *to->minor));
            }
        }
        if (!to->meta_disk && from.meta_disk) {
            to->meta_disk = from.meta_disk;
            to->meta_index = from.meta_index;
        }
    }
    for (const volume& row : host.volumes) {
        if (!row.meta_disk || row.internal_metadata()) {
            continue;
        }
        for (const std::string& name : host.names) {
            statement_ = row.at;
            claim(state_.everywhere, "meta-disk",
                  fmt::format("{}:{}[{}]", name, *row.meta_disk, row.meta_index.value_or("")));
        }
    }
}

void parser::missing(const resource& owner, const host_section& host, std::string_view word) {
    state_.diag.error(host.at, fmt::format("in resource {}, on {} {{ ... }}: '{}' keyword "
                                           "missing.",
                                           owner.name, host.names_text(), word));
}

void parser::check_complete(const resource& owner, const host_section& host) {
    if (!host.address) {
        missing(owner, host, "address");
    }
    if (!host.stacked_on.empty()) {
        return;
    }
    bool any_implicit = false;
    bool any_other = false;
    for (const volume& row : host.volumes) {
        any_implicit = any_implicit || row.implicit;
        any_other = any_other || row.number != 0 || !row.implicit;
        if (!row.minor) {
            missing(owner, host, "device");
        }
        if (!row.disk) {
            missing(owner, host, "disk");
        }
        if (!row.meta_disk && !row.diskless()) {
            missing(owner, host, "meta-disk");
        }
    }
    if (any_implicit && any_other) {
        state_.diag.error(host.at, fmt::format("in resource {}: you must not mix implicit and "
                                               "explicit volumes",
                                               owner.name));
    }
}

// All hosts have one, as DRBD 9 needs it, or none, as 8.4 does.
void parser::compare_node_ids(const resource& owner) {
    const bool any = std::any_of(owner.hosts.begin(), owner.hosts.end(),
                                 [](const auto& host) { return host->node_id.has_value(); });
    for (const auto& host : owner.hosts) {
        if (any && !host->node_id) {
            missing(owner, *host, "node-id");
        }
    }
}

// Every host must have the volumes of the first.
void parser::compare_volumes(const resource& owner) {
    for (std::size_t i = 1; i < owner.hosts.size(); ++i) {
        const host_section& first = *owner.hosts.front();
        const host_section& other = *owner.hosts[i];
        const auto complain = [&](const host_section& has, const host_section& lacks) {
            for (const volume& row : has.volumes) {
                const volume* found = lacks.find_volume(row.number);
                if (found == nullptr) {
                    state_.diag.error(has.at, fmt::format("in resource {}, on {} {{ ... }}: volume "
                                                          "{} not defined on {}",
                                                          owner.name, has.names_text(), row.number,
                                                          lacks.names_text()));
                } else if (row.implicit && !found->implicit) {
                    state_.diag.error(has.at,
                                      fmt::format("in resource {}, on {} resp. {}: volume {} must "
                                                  "not be implicit on one but not the other",
                                                  owner.name, has.names_text(), lacks.names_text(),
                                                  row.number));
                }
            }
        };
        complain(first, other);
        complain(other, first);
    }
}

} // namespace lockstep::config
