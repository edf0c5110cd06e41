// Which minors of this node sync at the moment, over all engines: one file, in which byte N is
// locked by the engine whose minor N is busy. The kernel drops the locks of an engine however it
// ends, and asking for a lock changes nothing.
#pragma once

#include <cstdint>
#include <string>

#include "kernel/base/owned_fd.hpp"

namespace lockstep::host {

class resync_marks {
public:
    // directory: that of the claims; made if missing.
    explicit resync_marks(std::string directory) : directory_(std::move(directory)) {}

    // False if it could not be shown.
    bool show(std::uint32_t minor, bool busy);
    // Whether another engine shows this minor as busy.
    bool is_busy(std::uint32_t minor);

private:
    bool open(bool make);

    std::string directory_;
    owned_fd file_;
};

} // namespace lockstep::host
