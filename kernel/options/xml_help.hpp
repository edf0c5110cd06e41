// The <option> elements of `drbdsetup xml-help CMD`, as drbdsetup 8.4 prints them.
#pragma once

#include <string>

#include "kernel/options/table.hpp"

namespace lockstep::options {

// All options of the section, or only those that can be changed at run time (disk-options,
// net-options, resource-options). Each line ends with a line feed.
std::string xml_help(section where, bool only_at_run_time);

} // namespace lockstep::options
