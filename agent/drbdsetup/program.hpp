// The program drbdsetup without its main(): from the words of the command line to the exit code.
#pragma once

#include <string>
#include <vector>

#include "agent/drbdsetup/console.hpp"
#include "kernel/control/protocol/runtime_directory.hpp"

namespace lockstep::drbdsetup {

// words[0] is the program as it was called.
int run_program(const std::vector<std::string>& words, const control::runtime_directory& where,
                console& terminal);

} // namespace lockstep::drbdsetup
