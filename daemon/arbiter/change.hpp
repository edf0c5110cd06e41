// What may be done to the record, and by whom: pure functions. Proposals are judged by every daemon
// when they are delivered, with the same result.
#pragma once

#include <optional>
#include <string>
#include <variant>

#include "daemon/arbiter/record.hpp"

namespace lockstep::arbiter {

// --- changes of a resource's record ---

// A new resource: nobody is in sync until the first member is named.
struct create_resource {
    std::uint64_t incarnation = 0;
};
struct remove_resource {};
// The first member of an empty set, named by --force or by the initial sync.
struct found_set {
    node_id member = 0;
};
// `node` lacks, or will lack, writes that are acknowledged: by the primary, or by the node itself.
struct leave_set {
    node_id node = 0;
};
// `node` has all of them again: by the primary; with none, by a member.
struct join_set {
    node_id node = 0;
};
// The proposer becomes primary. `alone`: and the only member, for it has lost the others.
struct claim {
    bool alone = false;
};
// The proposer is primary no longer.
struct resign {};

// --- changes of the cluster's record ---

// The list of nodes becomes this one, once majorities of both lists have it on disk.
struct set_nodes {
    vote_list nodes;
};
// They have: the list before it does not count any more.
struct finish_nodes {};

using change = std::variant<create_resource, remove_resource, found_set, leave_set, join_set, claim,
                            resign, set_nodes, finish_nodes>;

// What a proposal's judges look at besides the record.
struct circumstances {
    node_id proposer = 0;
    node_set members; // of the view
};

// The record after the change, with its next version, or none if that change is not allowed by the
// one who proposes it now.
std::optional<resource_record> changed(const resource_record& record, const change& by,
                                       const circumstances& now);
std::optional<cluster_record> changed(const cluster_record& record, const change& by,
                                      const circumstances& now);

// One or more words for a log: "claim alone", "leave 3".
std::string text(const change& what);

} // namespace lockstep::arbiter
