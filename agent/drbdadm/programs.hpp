// Where drbdsetup and drbdmeta are.
#pragma once

#include "agent/drbdadm/backend.hpp"
#include "agent/drbdadm/command_line.hpp"
#include "kernel/base/error.hpp"

namespace lockstep::drbdadm {

// -s and -m if given (an error if such a program cannot be executed); else the program beside
// drbdadm, if drbdadm was called by a path; else the bare name, which is looked up in PATH, beside
// this program and in the directories for system programs when it is run.
result<programs> find_programs(const request& asked);

} // namespace lockstep::drbdadm
