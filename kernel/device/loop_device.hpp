// The kernel's loop driver (Linux 5.8 and later: LOOP_CONFIGURE). These functions block; they are
// called in processes of the keeper, never in the engine, which serves the file behind the device.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernel/base/error.hpp"
#include "kernel/base/owned_fd.hpp"

namespace lockstep::device {

//
// A device is known by the name of the file behind it, its label: sysfs shows that even when nobody
// serves the file any more (LOOP_GET_STATUS64 then fails, because it asks for the file's
// attributes).

struct loop_request {
    int backing_fd = -1; // opened for direct I/O
    std::uint32_t logical_block_bytes = 512;
    bool read_only = false;
};

struct loop_device {
    int number = -1;
    std::uint64_t device = 0; // makedev(): what a node needs
};

enum class loop_release : std::uint8_t {
    done,   // nobody has it open, it is free
    in_use, // somebody has it open, and it goes on as it was
    gone,   // there is no device with this label any more
};

// A new loop device on the file. Fails, and leaves nothing, if it would not do direct I/O.
result<loop_device> attach_loop(const loop_request& wanted);
// The device on the file /LABEL of a mount without a path.
std::optional<loop_device> find_loop(const std::string& label);
// The numbers of all devices that have a file.
std::vector<int> loops_in_use();
// Releases the device unless somebody has it open. force: whoever has it open keeps it, but it is
// released with the last close; the answer is `done`.
loop_release release_loop(int number, const std::string& label, bool force);
// Takes over the size that the backing file has now.
result<> grow_loop(int number, const std::string& label);
// Empty for a device without a file, or with one that has a directory.
std::string loop_label(int number);
// Nobody serves the FUSE file behind the device any more. False if it is not known soon: a server
// that only does not answer lives.
bool is_unserved(int number);
// The processes that have the device open, and where it is mounted, in words: "mounted on /srv",
// "dd (pid 17)". Empty if nobody is found.
std::string loop_holders(std::uint64_t device);

} // namespace lockstep::device
