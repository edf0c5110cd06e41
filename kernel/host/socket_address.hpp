// An address as drbdsetup writes it: "ipv4:10.0.0.1:7789", "ipv6:[fe80::1%eth0]:7789".
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "kernel/base/error.hpp"

namespace lockstep::host {

struct socket_address {
    sockaddr_storage raw = {};
    unsigned size = 0;
    std::string family; // "ipv4" or "ipv6"
    std::string host;   // as it was written, without brackets
    std::uint16_t port = 0;

    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&raw); }
    // "ipv4:10.0.0.1:7789"
    std::string text() const;
};

// The prefix "ipv4:" may be left out. Other families that drbd.conf knows (ssocks, sdp) need
// hardware that TCP does not; they are refused by name.
result<socket_address> parse_socket_address(std::string_view text);

// The same host, whatever the port.
bool same_host(const socket_address& one, const sockaddr_storage& other);
// The host of an address that the kernel gave, for log lines.
std::string host_text(const sockaddr_storage& address);
// A strict order over addresses with their ports; the same on both nodes.
bool comes_before(const socket_address& one, const socket_address& other);

} // namespace lockstep::host
