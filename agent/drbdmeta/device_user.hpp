// Who has a block device that can't be opened exclusively.
#pragma once

#include <string>

namespace lockstep::drbdmeta {

// "mounted on /srv", "in use as swap", "a part of dm-0", "open in lockstep-engine (pid 612)"; of a
// whole disk also what its partitions are. Empty if nobody can be found.
std::string user_of(const std::string& path);

} // namespace lockstep::drbdmeta
