// Turns a sequence of snapshots into events: what exists, was created, has changed, was destroyed.
// Source of objects and keys: see protocol/event.hpp.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kernel/control/protocol/event.hpp"
#include "kernel/control/protocol/snapshot.hpp"

namespace lockstep::control {

// All objects of a snapshot as `exists` events, without the final "exists -": resource,
// connection, devices, peer devices. Without addresses the connection has no name.
std::vector<event> describe(const snapshot& from, std::int64_t time_us);

// What later versions of DRBD tell cluster managers (drbd-utils 9.14 and newer): may this node be
// promoted, and how good would that be. The score is 0 if some volume has no UpToDate copy in
// reach, else 10000 if every volume has a local disk, plus 100 times the UpToDate local volumes
// (at most 99), plus the lowest number of UpToDate copies of a volume.
struct promotion {
    bool possible = false; // data in reach, and nobody is Primary
    std::uint32_t score = 0;
};
promotion promotion_of(const snapshot& from);

class event_stream {
public:
    // Forgets what was; the next step() compares with `now`.
    void start(const snapshot& now);
    // What happened since the last start() or step(). Statistics alone are no event, progress only
    // from one full percent to the next.
    std::vector<event> step(const snapshot& now, std::int64_t time_us);

private:
    std::map<std::string, event> known_; // by kind and number of the object
};

} // namespace lockstep::control
