#include "agent/config/resolve.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace lockstep::config {

namespace {

std::optional<unsigned> number_of(std::string_view text) {
    unsigned value = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || failed != std::errc{} || end != text.data() + text.size()) {
        return std::nullopt;
    }
    return value;
}

std::string section_text(const host_section& host) {
    return host.lower != nullptr ? fmt::format("stacked-on-top-of {}", host.lower->name)
                                 : fmt::format("on {}", host.names_text());
}

bool is_mine(const host_section& host, const node_identity& node, bool by_proxy) {
    if (by_proxy) {
        return host.proxy && std::find(host.proxy->on_hosts.begin(), host.proxy->on_hosts.end(),
                                       node.name) != host.proxy->on_hosts.end();
    }
    if (host.by_address) {
        return node.has_address(*host.address) || node.name == host.address->host;
    }
    if (!host.stacked_on.empty()) {
        return host.lower != nullptr && host.lower->me != nullptr;
    }
    return host.this_host || host.has_name(node.name);
}

void select_me(resource& owner, const node_identity& node, bool by_proxy, diagnostics& found) {
    for (const auto& host : owner.hosts) {
        if (!is_mine(*host, node, by_proxy)) {
            continue;
        }
        if (owner.me != nullptr) {
            found.error(host->at,
                        fmt::format("in resource {}, {} {{ ... }} ... {} {{ ... }}:\n"
                                    "\tThere are multiple host sections for this node.",
                                    owner.name, section_text(*owner.me), section_text(*host)));
        }
        owner.me = host.get();
        owner.stacked = owner.stacked || host->lower != nullptr;
    }
    owner.ignored = owner.me == nullptr;
}

// The hosts of a stacked section are those of the resource below.
void bind_lower(document& doc, resource& owner, diagnostics& found) {
    for (const auto& host : owner.hosts) {
        if (host->stacked_on.empty()) {
            continue;
        }
        const resource* lower = doc.find_resource(host->stacked_on);
        if (lower == nullptr) {
            found.error(owner.start,
                        fmt::format("in resource {}, referenced resource '{}' not defined.",
                                    owner.name, host->stacked_on));
            continue;
        }
        host->lower = lower;
        for (const auto& below : lower->hosts) {
            if (below->stacked_on.empty()) {
                host->names.insert(host->names.end(), below->names.begin(), below->names.end());
            }
        }
    }
}

// The disk of a stacked volume is the device of the volume below.
void bind_disks(const resource& owner, diagnostics& found) {
    for (const auto& host : owner.hosts) {
        if (host->lower == nullptr || host->lower->me == nullptr) {
            continue;
        }
        for (volume& row : host->volumes) {
            const volume* below = host->lower->me->find_volume(row.number);
            if (below == nullptr || !below->minor) {
                found.error(host->at, fmt::format("in resource {}: volume {} not defined on {}",
                                                  owner.name, row.number, host->lower->name));
                continue;
            }
            row.disk = below->device.value_or(fmt::format("/dev/drbd{}", *below->minor));
            row.meta_disk = row.meta_disk.value_or("internal");
            row.meta_index = row.meta_index.value_or("internal");
        }
    }
}

bool matches_wanted_peer(const host_section& host, const std::string& wanted) {
    return host.by_address ? host.address->host == wanted : host.has_name(wanted);
}

} // namespace

void select_hosts(document& doc, const node_identity& node, diagnostics& found, bool by_proxy) {
    for (const auto& owner : doc.resources) {
        if (owner->stacked_on_one) {
            bind_lower(doc, *owner, found);
        }
    }
    for (const bool stacked : {false, true}) {
        for (const auto& owner : doc.resources) {
            if (owner->stacked_on_one == stacked) {
                select_me(*owner, node, by_proxy, found);
            }
        }
    }
    for (const auto& owner : doc.resources) {
        if (owner->stacked_on_one && !owner->ignored) {
            bind_disks(*owner, found);
        }
    }
}

void select_peer(resource& owner, const std::optional<std::string>& wanted, bool required,
                 diagnostics& found) {
    if (owner.ignored || owner.me == nullptr || owner.peer != nullptr) {
        return;
    }
    const auto complain = [&](const std::string& text) {
        found.error(owner.start, fmt::format("in resource {}:\n\t{}", owner.name, text));
    };
    if (owner.hosts.size() < 2) {
        return required ? complain("Missing section 'on <PEER> { ... }'.") : void();
    }
    if (owner.hosts.size() == 2) {
        owner.peer = owner.hosts[owner.hosts[0].get() == owner.me ? 1 : 0].get();
        return;
    }
    if (!wanted) {
        return required ? complain("There are multiple host sections for the peer node.\n"
                                   "\tUse the --peer option to select which peer section to use.")
                        : void();
    }
    const auto is_wanted = [&](const auto& host) {
        return host.get() != owner.me && matches_wanted_peer(*host, *wanted);
    };
    const auto first = std::find_if(owner.hosts.begin(), owner.hosts.end(), is_wanted);
    if (first == owner.hosts.end()) {
        return required
                   ? complain(fmt::format("No host ('on' or 'floating') section matches --peer "
                                          "'{}'",
                                          *wanted))
                   : void();
    }
    if (std::count_if(owner.hosts.begin(), owner.hosts.end(), is_wanted) > 1) {
        return complain(
            fmt::format("Invoked with --peer '{}', but that matches multiple times!", *wanted));
    }
    owner.peer = first->get();
}

target find_target(const document& doc, const std::string& text) {
    const std::size_t slash = text.find('/');
    target out;
    for (const auto& owner : doc.resources) {
        if (!owner->ignored && owner->name == text.substr(0, slash)) {
            out.owner = owner.get();
        }
    }
    if (out.owner == nullptr || slash == std::string::npos) {
        return out;
    }
    const auto number = number_of(std::string_view(text).substr(slash + 1));
    for (volume& row : out.owner->me->volumes) {
        if (number == row.number) {
            out.row = &row;
        }
    }
    return out.row == nullptr ? target{} : out;
}

target find_minor(const document& doc, const std::string& text) {
    constexpr std::string_view prefix = "minor-";
    if (text.substr(0, prefix.size()) != prefix) {
        return {};
    }
    const auto minor = number_of(std::string_view(text).substr(prefix.size()));
    for (const auto& owner : doc.resources) {
        if (owner->ignored || !minor) {
            continue;
        }
        for (volume& row : owner->me->volumes) {
            if (row.minor == minor) {
                return {owner.get(), &row};
            }
        }
    }
    return {};
}

} // namespace lockstep::config
