// The resources of this node, as drbd.conf has them.
#pragma once

#include <string>
#include <vector>

#include "kernel/base/error.hpp"

namespace lockstep::daemon {

struct configured_resource {
    std::string name;
    std::vector<std::string> peer_names; // of the other host; empty: not exactly one
    bool protects = false; // protocol C and fencing resource-and-stonith: no write can be missed
    bool two_primaries = false; // allowed: who is primary is a cluster file system's matter
};

// Of those that this node has. An error: the file cannot be read, or is not valid.
result<std::vector<configured_resource>> read_resources(const std::string& file,
                                                        const std::string& node_name);

} // namespace lockstep::daemon
