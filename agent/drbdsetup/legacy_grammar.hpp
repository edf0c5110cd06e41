// The command line of DRBD 8.3, `drbdsetup DEVICE COMMAND ARGUMENTS OPTIONS`, in terms of 8.4's.
//
// 8.3 has no resources, only minors. A minor that belongs to none gets a resource of its own,
// called "drbdN", when its disk or its network is configured first. Source: drbd-utils 8.3,
// drbdsetup's help.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernel/base/error.hpp"

namespace lockstep::drbdsetup {

// Is it one? The first word is no command then, and the second is.
bool is_legacy(const std::vector<std::string>& words);

// The resource that has a minor.
using owner_of_minor = std::function<std::optional<std::string>(std::uint32_t minor)>;

// The 8.4 commands that do the same, to be run one after the other until one fails. None: there is
// nothing to do (down of something that is not configured).
result<std::vector<std::vector<std::string>>>
translate_legacy(const std::vector<std::string>& words, const owner_of_minor& owner);

} // namespace lockstep::drbdsetup
