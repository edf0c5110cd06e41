// Reads pcap files as tcpdump writes them (Ethernet, IPv4) and puts TCP connections together again:
// retransmissions dropped, segments in order. Bounds-checked; the files may be anything.
#pragma once

#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "kernel/base/bytes.hpp"
#include "kernel/base/error.hpp"

namespace lockstep::support {

struct endpoint {
    std::uint32_t address = 0; // 10.77.0.11 is 0x0a4d000b
    std::uint16_t port = 0;

    bool operator<(const endpoint& other) const {
        return std::tie(address, port) < std::tie(other.address, other.port);
    }
};

// New bytes of one direction of one connection, in the order of the capture.
struct tcp_bytes {
    double seconds = 0; // since the first frame of the file
    endpoint from;
    endpoint to;
    bool begins = false; // the connection is new: a SYN without ACK from `from`, no bytes
    std::vector<std::byte> bytes;
};

// All connections of which one end has this port.
result<std::vector<tcp_bytes>> read_tcp_capture(const std::string& path, std::uint16_t port);

} // namespace lockstep::support
