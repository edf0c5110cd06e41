// The version of the driver that drbdadm speaks for.
#pragma once

#include <string>

#include "agent/config/tree.hpp"
#include "kernel/base/error.hpp"

namespace lockstep::drbdadm {

// What this suite is compatible with, or what DRBD_DRIVER_VERSION_OVERRIDE pretends.
result<config::version_numbers> driver_version();

// "8.4.11" and "0x08040b"
std::string version_text(const config::version_numbers& version);
std::string version_code(const config::version_numbers& version);

// 8.3 is called in another way: a device at a time.
bool is_8_3(const config::version_numbers& version);

} // namespace lockstep::drbdadm
