// The commands that wait for something to happen.
#pragma once

#include "agent/drbdsetup/session.hpp"

namespace lockstep::drbdsetup {

int run_events(const session& now); // events, events2
int run_wait(const session& now);   // wait-connect, wait-sync

} // namespace lockstep::drbdsetup
