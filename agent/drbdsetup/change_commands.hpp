// The commands that ask an engine to change something, and those that begin or end one.
#pragma once

#include "agent/drbdsetup/session.hpp"

namespace lockstep::drbdsetup {

// Any row of the command table with a request. Returns the exit code.
int run_change(const session& now);

int run_new_resource(const session& now);
// One resource, or all that run.
int run_down(const session& now);

} // namespace lockstep::drbdsetup
