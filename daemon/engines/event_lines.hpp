// The lines of `drbdsetup events2`: ours, and drbd-utils' for the in-kernel DRBD 8.4 and 9.
//
//   [TIMESTAMP] ACTION OBJECT name:RESOURCE [KEY:VALUE]...
//   [TIMESTAMP] exists -                                    ends what exists at the start
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernel/base/error.hpp"

namespace lockstep::engines {

enum class event_action : std::uint8_t {
    exists,
    create,
    change,
    destroy,
    rename, // of a resource: field new_name
    call,   // of a helper
    response,
};

enum class event_object : std::uint8_t {
    none, // of `exists -`
    resource,
    connection,
    device,
    peer_device,
    path,
    helper,
    other, // of a later version; nothing more is known of it
};

struct event_line {
    event_action action = event_action::exists;
    event_object object = event_object::none;
    std::string timestamp; // as it is printed; empty: none
    std::string resource;
    std::string connection; // its name; 8.4 has none before it has addresses
    std::optional<std::uint32_t>
        peer_node;                       // drbd-utils before 9 do not print the one of 8.4's peer
    std::optional<std::uint32_t> volume; // of each device and peer device
    std::vector<std::pair<std::string, std::string>> fields; // the others, each key once

    // Null: the line does not say.
    const std::string* field(std::string_view key) const;
};

// The line is without its line feed. An error names the column.
result<event_line> parse_event_line(std::string_view line);

} // namespace lockstep::engines
