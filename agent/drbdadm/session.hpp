// One run of drbdadm: the request, the configuration and the means to carry it out.
#pragma once

#include <memory>
#include <string>

#include "agent/config/diagnostics.hpp"
#include "agent/config/tree.hpp"
#include "agent/drbdadm/backend.hpp"
#include "agent/drbdadm/command_line.hpp"
#include "agent/drbdadm/deferred.hpp"
#include "agent/drbdadm/runner.hpp"

namespace lockstep::drbdadm {

struct session {
    drbdadm::request request;
    config::document doc;
    config::diagnostics found;
    std::string node_name;
    std::string config_path; // absolute, "STDIN" for standard input
    bool from_stdin = false;
    bool forgiving = false;     // no terminal: a script calls
    bool layout_83 = false;     // called as drbdadm-83: dumps in 8.3's layout
    bool single_volume = false; // one volume was asked for, not its whole resource
    drbdadm::backend backend;
    drbdadm::runner runner;
    deferred_commands deferred;

    bool dry() const { return request.dry_run != 0; }
    // Remembers which file configured an object, for the engine's calls; not in a dry run.
    bool registers() const { return !dry() && !from_stdin; }
};

// What a command is applied to. `row` is null if it is for the whole resource.
struct subject {
    config::resource* owner = nullptr;
    config::volume* row = nullptr;
};

} // namespace lockstep::drbdadm
