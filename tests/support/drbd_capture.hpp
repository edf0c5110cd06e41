// The DRBD packets of a capture, as packet_stream splits them under the version, features and
// digests that the two nodes agreed on in the same capture.
#pragma once

#include <string>
#include <vector>

#include "kernel/wire/stream.hpp"
#include "support/tcp_capture.hpp"

namespace lockstep::support {

struct drbd_packet {
    double seconds = 0;
    std::uint32_t from = 0; // IPv4 address
    wire::socket_kind socket = wire::socket_kind::fresh;
    wire::protocol rules;
    wire::header head;
    std::size_t digest_bytes = 0;      // of DATA, DATA_REPLY, RS_DATA_REPLY
    std::vector<std::byte> payload;    // all of it
    std::vector<std::byte> raw_header; // as it was on the wire
    std::size_t fixed_bytes = 0;       // of the payload, without digest and data for data packets

    const_byte_span fixed_part() const { return const_byte_span(payload).first(fixed_bytes); }
    const_byte_span data() const {
        return const_byte_span(payload).subspan(fixed_bytes + digest_bytes);
    }
};

// Captures that begin in the middle of a connection are taken as version 101 with all features and
// no digests, which is what the fixtures of that kind have.
result<std::vector<drbd_packet>> read_drbd_capture(const std::string& path);

// Bytes of a digest that DRBD computes with this algorithm; 0 for none or an unknown one.
std::size_t digest_bytes_of(std::string_view algorithm);

// Every *.pcap in the directory, sorted by name.
std::vector<std::string> captures_in(const std::string& directory);

} // namespace lockstep::support
