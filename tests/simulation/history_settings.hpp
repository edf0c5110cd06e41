// What a random history is about: drawn from its seed before anything else.
#pragma once

#include <cstdint>
#include <string>

#include "network.hpp"
#include "node.hpp"
#include "random.hpp"
#include "random_run.hpp"

namespace lockstep::simulation {

struct history_settings {
    node_settings node;
    network_dialect dialect;
    // Ten times what 67 extents span, so that the activity log forgets all the time; few flushes,
    // so that what it forgets has not been flushed by chance.
    bool wide = false;
    // What may go wrong beyond crashes and the network.
    bool disk_errors = false;    // single errors, and disks that die
    bool administration = false; // invalidate, outdate, forced promotion
    bool two_primaries = false;  // with fencing: each may go on alone only if the other is dead
    bool grows = false;          // resize
    bool devices_grow = false;   // and then resize

    bool fencing() const { return node.disk.fencing != options::fencing::dont_care; }
    // Without an answer of the handler nothing is completed that the peer may lack.
    bool freezes() const { return node.disk.fencing == options::fencing::resource_and_stonith; }
    std::string text() const;
};

history_settings draw_settings(random_source& random, const run_options& given);

} // namespace lockstep::simulation
