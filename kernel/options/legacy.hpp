// DRBD 8.3's spelling of the options: drbdsetup's `disk`, `net` and `syncer` commands with their
// short options, and drbd.conf's syncer {} section and no-… flags.
// Source: drbd-utils 8.3, drbdsetup's option tables.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "kernel/options/table.hpp"

namespace lockstep::options {

enum class command_83 : std::uint8_t { disk, net, syncer };

struct legacy_option {
    std::string_view old_name;
    char short_option;
    options::section section;       // where 8.4 keeps it
    std::string_view name;          // 8.4 spelling
    std::string_view implied_value; // for flags: "no" for no-disk-flushes, "yes" for use-rle
};

// The options of one 8.3 command. Flags (implied_value not empty) took no argument.
std::span<const legacy_option> legacy_options(command_83 command);

// By the 8.3 name; null if the command never had it.
const legacy_option* find_legacy(command_83 command, std::string_view old_name);

} // namespace lockstep::options
