// `drbdsetup status --json` and `drbdsetup show --json`. Keys: drbd-utils 9 (status), 9.2x (show).
#pragma once

#include <string>
#include <vector>

#include "kernel/control/protocol/snapshot.hpp"

namespace lockstep::drbdsetup {

// An array with one object for each resource. Never NaN or Infinity: what is not known is left out.
std::string status_json(const std::vector<control::snapshot>& resources);
// All options, also those that have their default.
std::string show_json(const std::vector<control::snapshot>& resources);

} // namespace lockstep::drbdsetup
