// From what the file says to what this node has to do: whose section is mine, what is inherited,
// and whether all of it can be meant.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "agent/config/diagnostics.hpp"
#include "agent/config/tree.hpp"

namespace lockstep::config {

struct node_identity {
    std::string name; // uname -n, or __DRBD_NODE__
    std::function<bool(const socket_address&)> has_address;
};

// Sets `me` of every resource, or `ignored` where the node is not mentioned; resolves stacked
// resources to their lower ones. With `by_proxy` a host section is matched by its proxy's names.
void select_hosts(document& doc, const node_identity& node, diagnostics& found,
                  bool by_proxy = false);

// Sets `peer`. With more than one other host `wanted` (--peer) decides. If `required`, a missing
// or ambiguous peer is an error.
void select_peer(resource& owner, const std::optional<std::string>& wanted, bool required,
                 diagnostics& found);

// Copies what common {} says into the resources, and what a resource says into its volumes,
// wherever the more specific place is silent. Gives every volume its device name.
void expand_common(document& doc);

// Checks names used in options against the configuration. An unknown resource in resync-after is
// an error; with `forgiving` it is a warning and the option is dropped: a script must not lose a
// cluster over a reference to a resource that is gone.
void validate(const document& doc, resource& owner, bool forgiving, diagnostics& found);

// Replaces names by what drbdsetup takes: resync-after RESOURCE[/VOLUME] by the minor, and
// discard-node-NAME by discard-local or discard-remote.
void translate_names(const document& doc, resource& owner, const std::string& node_name,
                     bool forgiving, diagnostics& found);
// After that: no volume may wait for itself by resync-after, over whatever resources.
void check_resync_cycles(const document& doc, diagnostics& found);

// Finds `NAME`, `NAME/VOLUME` among the resources that this node has. Null where there is none; a
// volume only if one was asked for.
struct target {
    resource* owner = nullptr;
    volume* row = nullptr;
};
target find_target(const document& doc, const std::string& text);

// Finds "minor-N".
target find_minor(const document& doc, const std::string& text);

} // namespace lockstep::config
