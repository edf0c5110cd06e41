// One random history: clients, faults and commands drawn from a seed, then peace, and the question
// whether everything that was promised still holds.
#pragma once

#include <cstdint>
#include <string>

namespace lockstep::simulation {

struct run_options {
    std::uint64_t seed = 1;
    std::uint32_t steps = 0; // 0: drawn from the seed
    bool verbose = false;
    // Not left to chance: a device that the activity log covers a tenth of; devices that grow; how
    // each round ends.
    bool wide = false;
    bool growing = false;
    std::string story;         // "resync", "demote", "alone", "forget"; empty: any or none
    bool ignore_flush = false; // sabotage of every disk: flushes do nothing
    bool ignore_fua = false;
};

struct run_result {
    std::string failure; // empty: every promise was kept
    std::string settings;
    std::uint64_t requests = 0;
    std::uint64_t crashes = 0;
    std::uint64_t reconnects = 0;
};

run_result run_random(const run_options& options);

} // namespace lockstep::simulation
