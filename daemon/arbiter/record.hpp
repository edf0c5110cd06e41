// What the daemons of a cluster agree on: who keeps the record, and for each resource who is
// primary and whose disk holds every acknowledged write.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>

namespace lockstep::arbiter {

using node_id = std::uint32_t; // corosync's
using node_set = std::set<node_id>;
using vote_list = std::map<node_id, std::uint32_t>; // votes of each node that keeps the record

// Orders all that was ever written of one record: first by the view in which it was written.
struct version {
    std::uint64_t view = 0;
    std::uint64_t counter = 0; // of changes since the record was made

    friend bool operator==(const version&, const version&) = default;
    friend bool operator<(const version& one, const version& other) {
        return std::tie(one.view, one.counter) < std::tie(other.view, other.counter);
    }
};

// What every record has.
struct record_head {
    version at;
    std::uint64_t incarnation = 0; // random, of the one who made it; 0: there is none
    std::uint64_t lineage = 0;     // a digest of all changes that made it what it is

    friend bool operator==(const record_head&, const record_head&) = default;
};

// The nodes whose majority decides. A change of the list is decided by majorities of the lists
// before and after it.
struct cluster_record : record_head {
    vote_list nodes;
    vote_list before; // of a change that is not finished; empty: none

    friend bool operator==(const cluster_record&, const cluster_record&) = default;
};

struct resource_record : record_head {
    bool removed = false;    // kept, so that nobody who was away brings it back
    std::uint64_t epoch = 0; // counts primaries
    std::optional<node_id> primary;
    node_set in_sync; // their disks hold every acknowledged write

    friend bool operator==(const resource_record&, const resource_record&) = default;
};

// All that a daemon keeps on its disk.
struct ledger_state {
    std::uint64_t promised = 0; // takes nothing of a view below
    // False after the state was lost, until a view of others who have theirs gave it back: what
    // this node promised before is not known to anybody.
    bool votes = false;
    cluster_record cluster;
    std::map<std::string, resource_record> resources; // by name

    friend bool operator==(const ledger_state&, const ledger_state&) = default;
};

} // namespace lockstep::arbiter
