// A status of lockstepd, as people read it.
#pragma once

#include <string>
#include <string_view>

#include "kernel/base/error.hpp"

namespace lockstep::daemon {

result<std::string> status_for_people(std::string_view status);

} // namespace lockstep::daemon
