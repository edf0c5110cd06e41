// A step of a resource's life, as `drbdsetup events2` prints it.
//
// Objects and their keys, in the order of printing (8.4's, with those that later versions added):
//   resource     role suspended may_promote promotion_score            | write-ordering
//   connection   connection role                                       | congested
//   device       backing_dev disk client quorum open                   | size read written ...
//   peer-device  replication peer-disk peer-client resync-suspended    | received sent ...
//                done
//   helper       helper status
// Those right of the bar are statistics: they go with an event but do not cause one.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/error.hpp"

namespace lockstep::control {

enum class event_kind : std::uint8_t { exists, create, change, destroy, call, response };
// `none` only in the "exists -" that ends the initial state.
enum class event_object : std::uint8_t { none, resource, connection, device, peer_device, helper };

std::string_view name(event_kind kind);
std::string_view name(event_object object); // "peer-device"; "-" for none

struct event_field {
    std::string key;
    std::string value;
    bool changed = true; // against the event before of the same object
    bool statistic = false;
    bool quiet = false; // a statistic that is printed only when it changed

    bool operator==(const event_field&) const = default;
};

struct event {
    event_kind kind = event_kind::exists;
    event_object object = event_object::none;
    std::string resource;
    bool has_connection = false;         // addresses are configured: "conn-name:peer" is shown
    std::optional<std::uint32_t> volume; // device, peer-device; helper of a volume
    std::optional<std::uint32_t> minor;  // device; helper of a volume
    std::int64_t time_us = 0;            // wall clock, microseconds since 1970; equal within a step
    std::vector<event_field> fields;     // all fields of the object; empty for destroy

    bool operator==(const event&) const = default;
};

std::string encode(const event& value);

} // namespace lockstep::control
