// What a daemon knows, as a JSON text for `lockstep status`.
#pragma once

#include <map>
#include <string>

#include "daemon/arbiter/arbiter.hpp"
#include "daemon/corosync/cluster_settings.hpp"

namespace lockstep::daemon {

std::string status_text(arbiter::arbiter& all, const corosync::cluster_settings& cluster,
                        const std::map<std::string, arbiter::engine_facts>& engines);

} // namespace lockstep::daemon
