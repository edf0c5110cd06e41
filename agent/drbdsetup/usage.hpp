// help and xml-help, from the command table.
#pragma once

#include <string>
#include <string_view>

#include "agent/drbdsetup/command_table.hpp"

namespace lockstep::drbdsetup {

// The list of all commands.
std::string general_usage(std::string_view program);
// `with_ours`: also the options that drbd-utils do not have.
std::string command_usage(const command_row& row, std::string_view program, bool with_ours = true);
std::string command_xml(const command_row& row, bool with_ours = true);

} // namespace lockstep::drbdsetup
