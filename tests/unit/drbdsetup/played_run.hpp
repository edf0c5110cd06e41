// A run of drbdsetup against engines that are played.
#pragma once

#include <string>
#include <vector>

#include "agent/drbdsetup/program.hpp"
#include "unit/drbdsetup/fake_engine.hpp"
#include "unit/drbdsetup/kept_console.hpp"

namespace lockstep::drbdsetup {

struct end {
    int code;
    std::string output;
    std::string errors;
};

inline end run(const scratch_runtime& runtime, std::vector<std::string> words) {
    kept_console terminal;
    words.insert(words.begin(), "/usr/sbin/drbdsetup");
    const int code = run_program(words, runtime.where(), terminal);
    return {code, terminal.output(), terminal.errors()};
}

// Minors that no real device of the machine has: their lock files are shared with it.
constexpr unsigned test_minor = 900123;
inline const std::string minor_word = "900123";

inline control::snapshot resource() {
    control::snapshot made = control::samples::resource_in_sync();
    made.volumes[0].minor = test_minor;
    return made;
}

inline bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

inline control::reply state_refusal(int code) {
    control::reply refused;
    refused.ok = false;
    refused.is_state_change = true;
    refused.code = code;
    return refused;
}

inline control::reply config_refusal(int code) {
    control::reply refused;
    refused.ok = false;
    refused.code = code;
    return refused;
}

} // namespace lockstep::drbdsetup
