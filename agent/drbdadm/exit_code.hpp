// drbdadm's exit codes (drbd-utils 8.4, user/shared/shared_main.h).
#pragma once

namespace lockstep::drbdadm {

inline constexpr int exit_usage = 1;           // unknown command, unknown resource
inline constexpr int exit_config_invalid = 10; // also: configuration refused by the engine
inline constexpr int exit_state_refused = 11;
inline constexpr int exit_no_up_to_date = 17;
inline constexpr int exit_exec_error = 20;

} // namespace lockstep::drbdadm
