// The names of a replicated device: /dev/drbdN, and the links that udev's rules for DRBD make:
// /dev/drbd/by-res/RES[/VOL] and /dev/drbd/by-disk/NAME. Nodes are replaced by rename, so that at
// every moment the name stands for the one device or the other.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "kernel/base/error.hpp"

namespace lockstep::device {

// DRBD's registered major number (Linux Documentation/admin-guide/devices.txt). No driver answers
// it here, so that a device that is not Primary cannot be opened.
constexpr unsigned drbd_major = 147;

std::string node_path(const std::string& directory, std::uint32_t minor);

// Makes or replaces the node, for group disk, mode 0660. Refuses to replace what is no block
// device.
result<> put_node(const std::string& path, std::uint64_t device);
// The node of a device that is not Primary.
result<> put_resting_node(const std::string& directory, std::uint32_t minor);
// The number of the device that the node stands for now.
std::optional<std::uint64_t> node_device(const std::string& path);
void remove_node(const std::string& path);

// Makes or replaces directory/drbd/NAME, a relative link to directory/drbdN. NAME is like
// "by-res/r0/0"; directories are made as needed. A file of that name that is no link is refused.
result<> put_link(const std::string& directory, const std::string& name, std::uint32_t minor);
// Removes the link if it is one to directory/drbdN, and the directories that are empty then.
void remove_link(const std::string& directory, const std::string& name, std::uint32_t minor);

} // namespace lockstep::device
