// The keeper itself: the loop of the companion process. See keeper.hpp.
//
// Nothing in this loop blocks, but for the last steps after the engine's end: every operation is a
// child process, found again by its pid. Messages of the children come over one socket pair that
// all of them share; a message is read before the death of its sender is looked at, so an answer
// is never overtaken by it.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "kernel/host/keeper_job.hpp"

namespace lockstep::host {

struct keeper_process_settings {
    int engine_socket = -1;
    int log_socket = -1;
    std::string resource;
    std::vector<std::string> restart_command;
    std::span<const keeper_operation> operations;
    std::uint32_t undo_limit_ms = 10'000; // for each thing that is undone after the engine's death
};

// Runs until the engine is gone and everything is undone. Never returns to the engine's code: the
// caller ends the process.
void run_keeper(const keeper_process_settings& settings);

} // namespace lockstep::host
