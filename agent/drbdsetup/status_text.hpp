// `drbdsetup status`: a resource as a small tree.
#pragma once

#include <cstddef>
#include <string>

#include "kernel/control/protocol/snapshot.hpp"

namespace lockstep::drbdsetup {

struct status_style {
    bool verbose = false;
    bool statistics = false;
    bool colour = false;
    std::size_t columns = 0; // of the terminal; 0: lines of any length
};

// Ends with an empty line, as each resource does.
std::string status_text(const control::snapshot& from, const status_style& style);

} // namespace lockstep::drbdsetup
