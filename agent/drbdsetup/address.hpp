// Addresses of a connection as they are typed: [{af}:]{host}[:{port}].
#pragma once

#include <string>
#include <string_view>

#include "kernel/base/error.hpp"

namespace lockstep::drbdsetup {

// The port that DRBD takes if none is given.
constexpr unsigned default_port = 7788;

// "ipv4:10.0.0.1:7789" or "ipv6:[fe80::1]:7789". A host name is looked up. Errors say what is
// expected; families that need special hardware (sdp, ssocks) are refused.
result<std::string> normal_address(std::string_view typed);

// As `show` prints it: "ipv4 10.0.0.1:7789".
std::string shown_address(std::string_view normal);

} // namespace lockstep::drbdsetup
