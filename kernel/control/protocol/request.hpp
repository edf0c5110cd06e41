// What a client asks of an engine: one JSON object on one line each. Requests on one connection
// may overlap; each is answered once, with its id. Source of the commands and their arguments:
// drbdsetup of drbd-utils (8.4).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/error.hpp"

namespace lockstep::control {

// Said by both sides first. An engine talks to clients of the same version only; the number
// changes when an old client would misunderstand.
constexpr std::uint32_t protocol_version = 1;

enum class command : std::uint8_t {
    status, // answered with a snapshot
    events, // answered with ok, preceded by the initial state, followed by events
    new_minor,
    del_minor,
    del_resource,
    down,
    attach,
    detach,
    disk_options,
    resize,
    connect,
    disconnect,
    net_options,
    resource_options,
    primary,
    secondary,
    invalidate,
    invalidate_remote,
    pause_sync,
    resume_sync,
    suspend_io,
    resume_io,
    outdate,
    verify,
    new_current_uuid,
};

// The 8.4 spelling: "new-current-uuid".
std::string_view name(command what);
std::optional<command> command_named(std::string_view text);
// Does it operate on one volume, named by its minor?
bool needs_minor(command what);

// An option by its 8.4 name with its text as kernel/options understands it.
struct option_setting {
    std::string name;
    std::string value;

    bool operator==(const option_setting&) const = default;
};

constexpr std::size_t max_path_bytes = 4096;
constexpr std::size_t max_address_bytes = 256;
constexpr std::size_t max_settings = 128;
constexpr std::uint32_t max_minor = (1U << 20) - 1;
constexpr std::uint32_t max_volume = 65534;
constexpr std::uint64_t whole_device = ~std::uint64_t{0};
// verify: behind what an interrupted one has compared.
constexpr std::uint64_t where_it_stopped = ~std::uint64_t{0};

// Fields that a command does not use have their default and are refused in its JSON.
struct request {
    std::uint64_t id = 0;
    command what = command::status;
    std::uint32_t minor = 0; // of the volume; see needs_minor()

    std::uint32_t volume = 0;             // new_minor
    std::string backing_device;           // attach: absolute path
    std::string meta_device;              // attach: absolute path
    std::string meta_index;               // attach: "internal", "flexible", or a decimal number
    std::string local_address;            // connect: "ipv4:10.0.0.1:7789", "ipv6:[::1]:7789"
    std::string peer_address;             // connect
    std::vector<option_setting> settings; // attach, connect, ...-options
    bool set_defaults = false; // ...-options: start from the defaults, not from what is set

    bool force = false;                            // primary, detach, disconnect, down
    bool by_intention = false;                     // detach: the volume is to stay without a disk
    bool discard_my_data = false;                  // connect
    bool tentative = false;                        // connect
    bool clear_bitmap = false;                     // new_current_uuid
    bool assume_clean = false;                     // resize
    bool assume_peer_has_space = false;            // resize
    std::uint64_t size_sectors = 0;                // resize; 0: as large as the disks allow
    std::uint64_t start_sector = where_it_stopped; // verify
    std::uint64_t stop_sector = whole_device;      // verify; the first sector not to be verified

    bool operator==(const request&) const = default;
};

// One line with its line feed.
std::string encode(const request& value);
// `line` without or with its line feed. Errors name the field and what is allowed.
result<request> decode_request(std::string_view line);

} // namespace lockstep::control
