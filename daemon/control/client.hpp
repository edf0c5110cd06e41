// A program's way to ask lockstepd of this node.
#pragma once

#include <chrono>
#include <optional>

#include "daemon/control/request.hpp"

namespace lockstep::daemon {

// Waits for the answer; none as limit: as long as it takes. An error: no daemon, or it went away.
result<answer> ask(const request& what, std::optional<std::chrono::milliseconds> limit);

} // namespace lockstep::daemon
