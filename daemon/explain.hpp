// Why a resource is not primary here, in plain words.
#pragma once

#include <string_view>

#include "daemon/arbiter/resource_arbiter.hpp"

namespace lockstep::daemon {

// A word for programs, and a sentence for people.
std::string_view word(arbiter::resource_arbiter::reason why);
std::string_view sentence(arbiter::resource_arbiter::reason why);

} // namespace lockstep::daemon
