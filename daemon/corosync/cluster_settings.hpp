// What corosync.conf says, as the running corosync has it.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "daemon/arbiter/record.hpp"
#include "kernel/base/error.hpp"

namespace lockstep::corosync {

struct cluster_node {
    arbiter::node_id id = 0;
    std::string name;    // empty: corosync.conf gives none
    std::string address; // ring0_addr
    std::uint32_t votes = 1;
};

// As the section "quorum" has them: what is not written there is false.
struct quorum_options {
    std::string provider; // empty: corosync counts no votes
    bool two_node = false;
    bool wait_for_all = false; // two_node implies it unless it is written to be off
    bool last_man_standing = false;
    bool auto_tie_breaker = false;
    bool allow_downscale = false;
    std::string device; // its model; empty: none
};

struct cluster_settings {
    arbiter::node_id self = 0;
    std::string name;
    std::vector<cluster_node> nodes;   // in the order of corosync.conf
    std::chrono::milliseconds token{}; // the one in force
    quorum_options quorum;

    const cluster_node* find(arbiter::node_id id) const;
};

// Asks corosync, once.
result<cluster_settings> read_cluster_settings();

} // namespace lockstep::corosync
