// What has to be done so that a running resource becomes what the configuration says. Pure.
#pragma once

#include <vector>

#include "agent/config/tree.hpp"

namespace lockstep::drbdadm {

struct volume_difference {
    const config::volume* wanted = nullptr;  // null: the volume is not in the configuration
    const config::volume* running = nullptr; // null: the engine does not have it
    bool detach = false;
    bool remove_minor = false;
    bool add_minor = false;
    bool attach = false;
    bool disk_options = false;
    bool resize = false;
};

struct resource_difference {
    bool new_resource = false;
    bool resource_options = false;
    bool disconnect = false; // with the addresses in use now
    bool connect = false;
    bool net_options = false;
    std::vector<volume_difference> volumes; // by volume number

    bool nothing() const;
};

// `wanted` has me, peer and inherited options set; `running` is what `drbdsetup show` said, with me
// and peer set, or null if the engine has no such resource. Options that are not in the engine's
// table do not count.
resource_difference compare(const config::resource& wanted, const config::resource* running);

} // namespace lockstep::drbdadm
