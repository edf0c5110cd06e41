#include <algorithm>
#include <map>
#include <string>

#include <fmt/format.h>

#include "agent/config/resolve.hpp"

namespace lockstep::config {

namespace {

constexpr std::string_view by_node = "discard-node-";

bool names_a_node(const option& row) {
    return row.name == "after-sb-0pri" && row.value &&
           row.value->substr(0, by_node.size()) == by_node;
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
    return std::find(names.begin(), names.end(), name) != names.end();
}

void complain(const resource& owner, const std::string& text, diagnostics& found) {
    found.error(owner.start, fmt::format("in resource {}:\n\t{}", owner.name, text));
}

void unknown_resource(const resource& owner, const std::string& name, bool elsewhere,
                      bool forgiving, diagnostics& found) {
    const std::string text =
        fmt::format("in resource {}:\n\tresource '{}' mentioned in 'resync-after' option is not "
                    "known{}.",
                    owner.name, name, elsewhere ? " on this host" : "");
    if (forgiving) {
        found.warn(owner.start, text);
    } else {
        found.error(owner.start, text);
    }
}

// Removes the options of that name for which `is_bad` says so.
template <class F>
void drop(option_list& list, std::string_view name, F is_bad) {
    std::erase_if(list, [&](option& row) { return row.name == name && is_bad(row); });
}

void check_resync_after(const document& doc, resource& owner, bool forgiving, diagnostics& found) {
    drop(owner.disk_options, "resync-after", [&](const option& row) {
        const resource* other = doc.find_resource(row.value->substr(0, row.value->find('/')));
        if (other != nullptr && !other->ignored) {
            return false;
        }
        unknown_resource(owner, *row.value, other != nullptr, forgiving, found);
        return forgiving;
    });
}

void check_node_names(const resource& owner, diagnostics& found) {
    // A floating host has no name in the file: any may be meant.
    const bool floating = owner.me->by_address || (owner.peer != nullptr && owner.peer->by_address);
    const option* row = find_option(owner.net_options, "after-sb-0pri");
    if (row != nullptr && names_a_node(*row) && owner.peer != nullptr && !floating) {
        const std::string name = row->value->substr(by_node.size());
        if (!owner.me->has_name(name) && !owner.peer->has_name(name)) {
            complain(owner,
                     fmt::format("the nodename in the '{}' option is not known.\n\tvalid nodenames "
                                 "are: '{} {}'.",
                                 *row->value, owner.me->names_text(), owner.peer->names_text()),
                     found);
        }
    }
    for (const std::string& name : owner.become_primary_on) {
        if (owner.peer != nullptr && name != "both" && !owner.me->has_name(name) &&
            !owner.peer->has_name(name)) {
            complain(owner,
                     fmt::format("become-primary-on contains '{}', which is not named with the "
                                 "'on' sections.",
                                 name),
                     found);
        }
    }
}

// A minor number, or null with a message and the option to be dropped.
std::optional<unsigned> minor_after(const document& doc, const resource& owner,
                                    const std::string& name, bool forgiving, diagnostics& found) {
    target other = find_target(doc, name);
    if (other.owner != nullptr && other.row == nullptr) {
        if (other.owner->me->volumes.size() > 1) {
            complain(
                owner,
                fmt::format("resync-after contains '{}', which is ambiguous, since it contains "
                            "{} volumes",
                            name, other.owner->me->volumes.size()),
                found);
            return std::nullopt;
        }
        if (!other.owner->me->volumes.empty()) {
            other.row = &other.owner->me->volumes.front();
        }
    }
    if (other.row == nullptr || !other.row->minor) {
        unknown_resource(owner, name, other.owner != nullptr, forgiving, found);
        return std::nullopt;
    }
    return other.row->minor;
}

} // namespace

void validate(const document& doc, resource& owner, bool forgiving, diagnostics& found) {
    check_resync_after(doc, owner, forgiving, found);
    if (owner.ignored) {
        return;
    }
    if (contains(owner.become_primary_on, "both") &&
        find_option(owner.net_options, "allow-two-primaries") == nullptr) {
        found.error(owner.start, fmt::format("in resource {}:\nbecome-primary-on is set to both, "
                                             "but allow-two-primaries is not set.",
                                             owner.name));
    }
    if (owner.peer == nullptr) {
        select_peer(owner, std::nullopt, false, found);
    }
    if (owner.peer != nullptr && owner.me->proxy.has_value() != owner.peer->proxy.has_value()) {
        complain(owner, "Either both 'on' sections must contain a proxy subsection, or none.",
                 found);
    }
    check_node_names(owner, found);
}

void translate_names(const document& doc, resource& owner, const std::string& node_name,
                     bool forgiving, diagnostics& found) {
    for (const auto& host : owner.hosts) {
        for (volume& row : host->volumes) {
            drop(row.disk_options, "resync-after", [&](option& after) {
                const auto minor = minor_after(doc, owner, *after.value, forgiving, found);
                if (minor) {
                    after.value = std::to_string(*minor);
                }
                return !minor;
            });
        }
    }
    for (option& row : owner.net_options) {
        if (names_a_node(row)) {
            const bool mine = row.value->substr(by_node.size()) == node_name;
            row.value = mine ? "discard-local" : "discard-remote";
        }
    }
}

void check_resync_cycles(const document& doc, diagnostics& found) {
    std::map<std::string, const option*> after; // by minor
    for (const auto& owner : doc.resources) {
        if (owner->ignored || owner->me == nullptr) {
            continue;
        }
        for (const volume& row : owner->me->volumes) {
            const option* one = find_last_option(row.disk_options, "resync-after");
            if (one != nullptr && row.minor && *one->value != "-1") {
                after.emplace(std::to_string(*row.minor), one);
            }
        }
    }
    for (const auto& [minor, first] : after) {
        std::string chain = minor;
        auto next = after.find(minor);
        for (std::size_t steps = 0; next != after.end() && steps < after.size(); ++steps) {
            const std::string& wanted = *next->second->value;
            chain += " -> " + wanted;
            if (wanted == minor) {
                found.error(first->at,
                            fmt::format("resync-after: minor {} would wait for itself ({}): leave "
                                        "the option out of one of these devices",
                                        minor, chain));
                return;
            }
            next = after.find(wanted);
        }
    }
}

} // namespace lockstep::config
