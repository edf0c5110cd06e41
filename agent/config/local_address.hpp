// Which addresses this host has.
#pragma once

#include "agent/config/tree.hpp"

namespace lockstep::config {

// True if an interface that is up has the address. Families other than ipv4 and ipv6 cannot be
// looked up and count as present, as in DRBD.
bool have_local_address(const socket_address& address);

// True if both mean the same address (not port), whatever their spelling.
bool same_address(const socket_address& a, const socket_address& b);

} // namespace lockstep::config
