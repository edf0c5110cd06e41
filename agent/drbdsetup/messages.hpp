// What drbdsetup says when something was refused, and with which exit code it ends.
#pragma once

#include <string>
#include <string_view>

#include "kernel/control/protocol/reply.hpp"

namespace lockstep::drbdsetup {

// Exit codes of drbdsetup (drbd-utils 8.4).
constexpr int exit_ok = 0;
constexpr int exit_timed_out = 5; // wait-…; also outdate on a disk that is Inconsistent
constexpr int exit_refused = 10;  // configuration refused
constexpr int exit_state = 11;    // state change refused
constexpr int exit_no_disk = 16;
constexpr int exit_no_data = 17; // primary without UpToDate data
constexpr int exit_usage = 20;   // usage, or no answer

struct code_text {
    int code;
    std::string_view text;   // DRBD's
    std::string_view remedy; // ours: what to do next
};

// For 101..176; null for numbers that mean nothing.
const code_text* find_code(int code);

struct message {
    std::string text; // for standard error; empty if all is well
    int exit_code = exit_ok;
};

// `object`: what the user called the thing. "NAME: Failure: (NNN) TEXT", "NAME: State change
// failed: (-N) TEXT", the kernel's additional lines, and a hint.
message describe_outcome(std::string_view object, const control::reply& end);

} // namespace lockstep::drbdsetup
