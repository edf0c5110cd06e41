// The command line of drbdmeta: positional, with a few options anywhere in between.
//
//   drbdmeta [--force] MINOR v08 DEVICE INDEX COMMAND [ARGUMENTS]
//
// MINOR is a number, /dev/drbdN, or "-" for none; INDEX is internal, flex-internal, flex-external
// or the number of a 128 MiB slot.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernel/base/error.hpp"
#include "kernel/format/geometry.hpp"

namespace lockstep::drbdmeta {

enum class bitmap_mode : std::uint8_t {
    automatic, // let the device zero itself, else write zeros
    zeroout,   // let the device zero itself or fail
    pwrite,    // write zeros
    skip,      // leave the area as it is
};

struct command_info {
    const char* name;
    const char* arguments; // as the usage text shows them; may be null
    bool in_usage;
    bool takes_node_id; // accepted for the sake of v09's callers
    bool modifies;      // refused while the engine uses the device
};

struct invocation {
    std::string program;            // without directory
    std::vector<std::string> words; // the whole command line, for the head of a dump
    bool force = false;
    bool dry_run = false;
    bool ignore_sanity_checks = false;
    int verbosity = 0;
    std::uint32_t peer_max_bio_size = 0;
    format::al_striping striping;
    bool striping_given = false;
    bitmap_mode bitmap = bitmap_mode::automatic;
    std::string drbd_device; // as given
    std::string device;      // the metadata device
    format::placement where;
    const command_info* command = nullptr;
    std::vector<std::string> arguments;
};

const std::vector<command_info>& commands();

// Reads the command line, prints what the original prints for a wrong one. Errors carry the exit
// code: 20 for words it does not know, 10 for values out of range.
result<invocation> read_command_line(int argc, char** argv);

} // namespace lockstep::drbdmeta
