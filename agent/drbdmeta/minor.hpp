// The minor that metadata belongs to: its lock, which keeps drbdsetup and a second drbdmeta away,
// and whether an engine or the kernel has the disk attached.
#pragma once

#include <optional>
#include <string>

#include "kernel/base/error.hpp"

namespace lockstep::drbdmeta {

// "7" and "/dev/drbd7" name minor 7, as does a block device with DRBD's major. Nothing otherwise.
std::optional<unsigned> minor_of(const std::string& device);

// Holds the lock file of a minor, the one that drbd-utils use as well, until destruction.
class minor_lock {
public:
    // Waits a second for another holder. Errors: exit 20.
    static result<minor_lock> take(unsigned minor);

    minor_lock(minor_lock&& other) noexcept;
    minor_lock& operator=(minor_lock&&) = delete;
    minor_lock(const minor_lock&) = delete;
    minor_lock& operator=(const minor_lock&) = delete;
    ~minor_lock();

private:
    explicit minor_lock(int fd) : fd_(fd) {}
    int fd_;
};

// Asks drbdsetup for the disk state. No drbdsetup, no module or no such minor: not attached.
// Errors: exit 20 for an answer that cannot be understood, because "don't know" is not "no".
result<bool> is_attached(unsigned minor);

} // namespace lockstep::drbdmeta
