// The "last known block device" file of a minor: size, name and device UUID of the device when its
// internal metadata was last written. Internal metadata is found from the device's end, so after
// the device has grown only this file tells where to look.
//
//   /var/lib/drbd/drbd-minor-N.lkbd:   SIZE<tab>NAME<newline>uuid:<tab>16 hex digits<newline>
//
// The file is shared with the tools of drbd-utils.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "kernel/base/error.hpp"

namespace lockstep::drbdmeta {

struct last_known {
    std::uint64_t size = 0;        // bytes
    std::string name;              // may be empty if the file was cut short
    std::uint64_t device_uuid = 0; // 0: not known
};

std::string last_known_path(unsigned minor);

// Nothing if there is no file. An unreadable or senseless one is an error.
result<std::optional<last_known>> load_last_known(unsigned minor);
result<> save_last_known(unsigned minor, const last_known& value);
result<> delete_last_known(unsigned minor);

// The text of the file, and back; nothing if not even a size can be read.
std::string last_known_text(const last_known& value);
std::optional<last_known> parse_last_known(const std::string& text);

} // namespace lockstep::drbdmeta
