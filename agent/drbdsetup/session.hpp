// What every command of drbdsetup is given.
#pragma once

#include <string>

#include "agent/drbdsetup/arguments.hpp"
#include "agent/drbdsetup/console.hpp"
#include "agent/drbdsetup/engines.hpp"
#include "kernel/base/error.hpp"

namespace lockstep::drbdsetup {

struct session {
    const invocation& asked;
    engines nodes;
    console& terminal;
    std::string program; // as it was called: "drbdsetup"

    // Says that a command is accepted and not done yet, and why.
    void tell_pending(const std::string& reason) const;
    // Says why something failed and returns the exit code for it. `where` of a coded error is
    // printed as the kernel's additional information.
    int refuse(const error& problem) const;
    // The same for an answer of an engine; 0 if it agreed.
    int report(const control::reply& answer) const;
};

} // namespace lockstep::drbdsetup
