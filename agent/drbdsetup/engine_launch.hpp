// Starting the engine of a resource; see kernel/control/protocol/launch.hpp.
#pragma once

#include <string>
#include <vector>

#include "kernel/base/error.hpp"
#include "kernel/control/protocol/reply.hpp"
#include "kernel/control/protocol/request.hpp"

namespace lockstep::drbdsetup {

// Where the engine program is: $LOCKSTEP_ENGINE, beside this program's ../lib/lockstep, or in the
// build tree. Errors say where was looked.
result<std::string> find_engine_program();

// Starts it and waits until it is ready or says why it cannot be, or `timeout_ms` have passed.
result<control::reply> launch_engine(const std::string& resource,
                                     const std::vector<control::option_setting>& settings,
                                     int timeout_ms);

} // namespace lockstep::drbdsetup
