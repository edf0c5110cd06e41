// Listening sockets of the NBD server.
#pragma once

#include <string>

#include "kernel/base/error.hpp"
#include "kernel/base/owned_fd.hpp"

namespace lockstep::device {

// For root only. A socket that nobody listens on any more is replaced; one that is in use, and a
// file that is no socket, are errors.
result<owned_fd> listen_unix(const std::string& path);
// "ADDRESS:PORT" or "[ADDRESS]:PORT", numbers only. No encryption and no authentication: for
// loopback and trusted networks.
result<owned_fd> listen_tcp(const std::string& address);

} // namespace lockstep::device
