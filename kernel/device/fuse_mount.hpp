// A FUSE mount that is nowhere in the file system: it has a descriptor, below which its file can
// be opened, and no path. Nobody else comes upon it, nothing has to be unmounted, and it is gone
// with its last user. (fsopen and fsmount: Linux 5.2.)
#pragma once

#include "kernel/base/error.hpp"
#include "kernel/base/owned_fd.hpp"

namespace lockstep::device {

struct fuse_mount {
    owned_fd fuse; // the server's end
    owned_fd root; // the mounted directory
};

// Does not need the server to answer yet.
result<fuse_mount> mount_fuse();

} // namespace lockstep::device
