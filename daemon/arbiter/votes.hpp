// Counting votes, against the list in the cluster's record and never against what is present.
#pragma once

#include "daemon/arbiter/record.hpp"

namespace lockstep::arbiter {

// Who could vote, and how much is known of those who can't be heard.
struct electorate {
    node_set voters;  // members that have their state
    node_set steady;  // of these, those that were in a view before, without a restart since
    node_set excused; // absent nodes that are off for certain
};

// Whether nothing that is decided by `for_it` can be decided otherwise without them: they have more
// than half of all votes; or half of them, or more, the others that could make a majority are off,
// and none of `for_it` was itself off when the others may have gone on. (Less than half would not
// do, even with all others off: these may have been the majority just before.)
bool decisive(const cluster_record& cluster, const node_set& for_it, const electorate& who);

} // namespace lockstep::arbiter
