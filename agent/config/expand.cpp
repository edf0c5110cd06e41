// Inheritance: common {} to resources, resources to volumes.
#include <algorithm>

#include <fmt/format.h>

#include "agent/config/resolve.hpp"

namespace lockstep::config {

namespace {

// Each option that `to` lacks is put in front of it, one after the other: the order in which
// drbdadm 8.4 passes inherited options on.
void inherit(const option_list& from, option_list& to) {
    for (const option& row : from) {
        if (find_option(to, row.name) == nullptr) {
            to.insert(to.begin(), row)->inherited = true;
        }
    }
}

void inherit_common(const resource& common, resource& owner) {
    inherit(common.net_options, owner.net_options);
    inherit(common.disk_options, owner.disk_options);
    inherit(common.startup_options, owner.startup_options);
    inherit(common.proxy_options, owner.proxy_options);
    inherit(common.handlers, owner.handlers);
    inherit(common.resource_options, owner.resource_options);
    owner.stacked_timeouts = owner.stacked_timeouts || common.stacked_timeouts;
    if (owner.become_primary_on.empty()) {
        owner.become_primary_on = common.become_primary_on;
    }
    if (owner.proxy_plugins.empty()) {
        inherit(common.proxy_plugins, owner.proxy_plugins);
    }
}

void inherit_volume_options(const resource& owner, host_section& host) {
    for (volume& row : host.volumes) {
        if (!row.device && row.minor) {
            row.device = fmt::format("/dev/drbd{}", *row.minor);
        }
        const auto above =
            std::find_if(owner.volumes.begin(), owner.volumes.end(),
                         [&](const volume& other) { return other.number == row.number; });
        if (above != owner.volumes.end()) {
            inherit(above->disk_options, row.disk_options);
        }
        inherit(owner.disk_options, row.disk_options);
    }
}

// options {} of a host section are that host's own.
void apply_host_options(resource& owner) {
    if (owner.me == nullptr || owner.me->resource_options.empty()) {
        return;
    }
    option_list own = owner.me->resource_options;
    inherit(owner.resource_options, own);
    owner.resource_options = std::move(own);
}

} // namespace

void expand_common(document& doc) {
    for (const auto& owner : doc.resources) {
        const resource* common =
            owner->template_common ? owner->template_common.get() : doc.common.get();
        if (common != nullptr) {
            inherit_common(*common, *owner);
        }
        apply_host_options(*owner);
        for (const auto& host : owner->hosts) {
            inherit_volume_options(*owner, *host);
            if (host->proxy) {
                inherit(owner->proxy_options, host->proxy->options);
                inherit(owner->proxy_plugins, host->proxy->plugins);
            }
        }
    }
}

} // namespace lockstep::config
