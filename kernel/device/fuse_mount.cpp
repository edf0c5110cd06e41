#include "kernel/device/fuse_mount.hpp"

#include <fcntl.h>
#include <linux/major.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace lockstep::device {

namespace {

constexpr const char* fuse_remedy =
    "load the fuse module, or use the NBD socket instead of the device node";
constexpr unsigned fuse_minor = 229; // Linux 6.1 include/linux/miscdevice.h

// In a container or a bare /dev the node may be missing: then a node is made for the moment.
owned_fd open_fuse() {
    owned_fd fd{::open("/dev/fuse", O_RDWR | O_CLOEXEC)};
    if (fd.valid()) {
        return fd;
    }
    const std::string own = "/dev/.lockstep-fuse-" + std::to_string(::getpid());
    if (::mknod(own.c_str(), S_IFCHR | 0600, ::makedev(MISC_MAJOR, fuse_minor)) != 0) {
        return {};
    }
    fd.reset(::open(own.c_str(), O_RDWR | O_CLOEXEC));
    const int error = errno;
    ::unlink(own.c_str());
    errno = error;
    return fd;
}

} // namespace

result<fuse_mount> mount_fuse() {
    fuse_mount made;
    made.fuse = open_fuse();
    if (!made.fuse.valid()) {
        return fail_errno(errno, "cannot open FUSE", "/dev/fuse", fuse_remedy);
    }
    const owned_fd context{::fsopen("fuse", FSOPEN_CLOEXEC)};
    if (!context.valid()) {
        return fail_errno(errno, "cannot make a FUSE mount", "fsopen", fuse_remedy);
    }
    const std::string fd = std::to_string(made.fuse.get());
    const struct {
        const char* key;
        const char* value;
    } options[] = {
        {"source", "lockstep"}, {"fd", fd.c_str()}, {"rootmode", "40000"},
        {"user_id", "0"},       {"group_id", "0"},  {"max_read", "1048576"},
    };
    for (const auto& option : options) {
        if (::fsconfig(context.get(), FSCONFIG_SET_STRING, option.key, option.value, 0) != 0) {
            return fail_errno(errno, "the kernel refuses a FUSE mount", option.key, fuse_remedy);
        }
    }
    if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
        return fail_errno(errno, "the kernel refuses a FUSE mount", "create", fuse_remedy);
    }
    made.root = owned_fd{::fsmount(context.get(), FSMOUNT_CLOEXEC,
                                   MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)};
    if (!made.root.valid()) {
        return fail_errno(errno, "the kernel refuses a FUSE mount", "fsmount", fuse_remedy);
    }
    return made;
}

} // namespace lockstep::device
