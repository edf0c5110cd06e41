// How `drbdsetup new-resource` and the engine program understand each other.
//
//   lockstep-engine NAME [--OPTION=VALUE ...]
//
// started with standard input from /dev/null and standard output to a pipe; everything else is the
// engine's to arrange (new session, working directory, log). As soon as its control socket accepts
// clients the engine writes the line "ready" and closes its standard output. If it cannot come up
// it writes instead one reply line (encode(reply) with ok false), whose code and text the caller
// reports, and exits. Its standard error is the caller's until then.
#pragma once

#include <string_view>

namespace lockstep::control {

constexpr std::string_view engine_program = "lockstep-engine";
constexpr std::string_view engine_path_variable = "LOCKSTEP_ENGINE";
constexpr std::string_view ready_line = "ready\n";

} // namespace lockstep::control
