// `drbdsetup sh-status`, and the one-word commands.
#pragma once

#include <string>

#include "kernel/control/protocol/snapshot.hpp"

namespace lockstep::drbdsetup {

// Shell assignments that describe one volume.
std::string sh_status_text(const control::snapshot& resource,
                           const control::volume_snapshot& volume);

// The same for a minor that nobody has.
std::string sh_status_unknown(std::uint32_t minor);

// Each a line: "Primary/Secondary", "Connected", "UpToDate/Inconsistent", or "Unconfigured".
std::string role_text(const control::volume_snapshot& volume);
std::string connection_text(const control::volume_snapshot& volume);
std::string disk_text(const control::volume_snapshot& volume);

} // namespace lockstep::drbdsetup
