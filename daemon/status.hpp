// What a daemon knows, as a JSON text for `lockstep status`.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "daemon/arbiter/arbiter.hpp"
#include "daemon/corosync/cluster_settings.hpp"
#include "daemon/corosync/membership.hpp"

namespace lockstep::daemon {

// `membership`: none while corosync is gone.
std::string status_text(arbiter::arbiter& all, const corosync::cluster_settings& cluster,
                        const std::optional<corosync::membership_view>& membership,
                        const std::map<std::string, arbiter::engine_facts>& engines);

} // namespace lockstep::daemon
