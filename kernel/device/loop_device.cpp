#include "kernel/device/loop_device.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/major.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <thread>

namespace lockstep::device {

namespace {

constexpr int loop_control_minor = 237; // Linux 6.1 include/linux/miscdevice.h
constexpr int attempts_max = 64;

std::string loop_path(int number) {
    return "/dev/loop" + std::to_string(number);
}

// In a container or a bare /dev the node may be missing: then a node is made for the moment.
owned_fd open_node(const std::string& path, mode_t type, dev_t device, int flags) {
    struct stat found = {};
    if (::stat(path.c_str(), &found) == 0 && (found.st_mode & S_IFMT) == type &&
        found.st_rdev == device) {
        return owned_fd{::open(path.c_str(), flags | O_CLOEXEC)};
    }
    const std::string own = "/dev/.lockstep-" + std::to_string(::getpid());
    if (::mknod(own.c_str(), type | 0600, device) != 0) {
        return {};
    }
    owned_fd fd{::open(own.c_str(), flags | O_CLOEXEC)};
    const int error = errno;
    ::unlink(own.c_str());
    errno = error;
    return fd;
}

// The number of a loop device's node depends on the driver's max_part.
dev_t device_of(int number) {
    std::ifstream file{"/sys/block/loop" + std::to_string(number) + "/dev"};
    unsigned major = 0;
    unsigned minor = 0;
    char colon = 0;
    if (file >> major >> colon >> minor) {
        return ::makedev(major, minor);
    }
    return ::makedev(LOOP_MAJOR, static_cast<unsigned>(number));
}

owned_fd open_loop(int number, int flags) {
    return open_node(loop_path(number), S_IFBLK, device_of(number), flags);
}

bool get_status(int fd, loop_info64& info) {
    return ::ioctl(fd, LOOP_GET_STATUS64, &info) == 0;
}

tl::unexpected<error> no_loop(int errno_value, const std::string& what, const std::string& where) {
    return fail_errno(errno_value, what, where,
                      "load the loop module, or use the NBD socket instead of the device node");
}

} // namespace

result<loop_device> attach_loop(const loop_request& wanted) {
    const auto control =
        open_node("/dev/loop-control", S_IFCHR, ::makedev(MISC_MAJOR, loop_control_minor), O_RDWR);
    if (!control.valid()) {
        return no_loop(errno, "cannot open the loop driver", "/dev/loop-control");
    }
    loop_config config = {};
    config.fd = static_cast<unsigned>(wanted.backing_fd);
    config.block_size = wanted.logical_block_bytes;
    config.info.lo_flags = LO_FLAGS_DIRECT_IO;
    if (wanted.read_only) {
        config.info.lo_flags |= LO_FLAGS_READ_ONLY;
    }
    for (int attempt = 0; attempt < attempts_max; ++attempt) {
        const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
        if (number < 0) {
            return no_loop(errno, "no loop device can be had", "/dev/loop-control");
        }
        const auto fd = open_loop(number, wanted.read_only ? O_RDONLY : O_RDWR);
        if (!fd.valid()) {
            return no_loop(errno, "cannot open a loop device", loop_path(number));
        }
        if (::ioctl(fd.get(), LOOP_CONFIGURE, &config) != 0) {
            if (errno == EBUSY) {
                continue; // somebody else was faster
            }
            return no_loop(errno, "cannot configure a loop device", loop_path(number));
        }
        loop_info64 info = {};
        if (!get_status(fd.get(), info) || (info.lo_flags & LO_FLAGS_DIRECT_IO) == 0) {
            ::ioctl(fd.get(), LOOP_CLR_FD, 0);
            return fail("the loop device does no direct I/O", loop_path(number),
                        "use the NBD socket instead of the device node");
        }
        return loop_device{number, device_of(number)};
    }
    return fail("others were faster to take every free loop device", "/dev/loop-control",
                "try again");
}

std::vector<int> loops_in_use() {
    std::vector<int> numbers;
    const std::unique_ptr<DIR, int (*)(DIR*)> directory{::opendir("/sys/block"), ::closedir};
    while (directory != nullptr) {
        const dirent* entry = ::readdir(directory.get());
        if (entry == nullptr) {
            break;
        }
        const std::string name = entry->d_name;
        if (name.rfind("loop", 0) == 0 &&
            ::access(("/sys/block/" + name + "/loop").c_str(), F_OK) == 0) {
            numbers.push_back(static_cast<int>(std::strtol(name.c_str() + 4, nullptr, 10)));
        }
    }
    return numbers;
}

std::optional<loop_device> find_loop(const std::string& label) {
    for (const int number : loops_in_use()) {
        if (loop_label(number) == label) {
            return loop_device{number, device_of(number)};
        }
    }
    return std::nullopt;
}

// Clearing a device that others have open answers 0 and only marks it to be cleared with the last
// close. Whether it was cleared can be told from the state afterwards: a device that is on its way
// out has no status any more (ENXIO). One that still has it gets the mark taken back.
loop_release release_loop(int number, const std::string& label, bool force) {
    const auto fd = open_loop(number, O_RDONLY);
    if (!fd.valid() || loop_label(number) != label) {
        return loop_release::gone;
    }
    if (::ioctl(fd.get(), LOOP_CLR_FD, 0) != 0) {
        return errno == ENXIO ? loop_release::gone : loop_release::in_use;
    }
    loop_info64 info = {};
    if (force || (!get_status(fd.get(), info) && errno == ENXIO)) {
        return loop_release::done;
    }
    info.lo_flags &= ~static_cast<unsigned>(LO_FLAGS_AUTOCLEAR);
    ::ioctl(fd.get(), LOOP_SET_STATUS64, &info);
    return loop_release::in_use;
}

result<> grow_loop(int number, const std::string& label) {
    const auto fd = open_loop(number, O_RDONLY);
    if (!fd.valid() || loop_label(number) != label) {
        return fail("the loop device is no longer ours", loop_path(number),
                    "make the resource Secondary and Primary again");
    }
    if (::ioctl(fd.get(), LOOP_SET_CAPACITY, 0) != 0) {
        return fail_errno(errno, "the loop device did not take the new size", loop_path(number),
                          "make the resource Secondary and Primary again");
    }
    return {};
}

// Asking for the status asks for the file's attributes, which a stopped server never gives; and a
// process that waits for them takes no signal but SIGKILL.
bool is_unserved(int number) {
    const pid_t asker = ::fork();
    if (asker == 0) {
        const auto fd = open_loop(number, O_RDONLY);
        loop_info64 info = {};
        const bool answered = !fd.valid() || get_status(fd.get(), info) || errno != ENOTCONN;
        ::_exit(answered ? 1 : 0);
    }
    constexpr int turns_max = 50;
    for (int turn = 0; asker > 0 && turn < turns_max; ++turn) {
        int status = 0;
        if (::waitpid(asker, &status, WNOHANG) == asker) {
            return WIFEXITED(status) && WEXITSTATUS(status) == 0;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    if (asker > 0) {
        ::kill(asker, SIGKILL);
    }
    return false;
}

std::string loop_label(int number) {
    std::ifstream file{"/sys/block/loop" + std::to_string(number) + "/loop/backing_file"};
    std::string path;
    std::getline(file, path);
    return path.size() > 1 && path.rfind('/') == 0 ? path.substr(1) : std::string{};
}

} // namespace lockstep::device
