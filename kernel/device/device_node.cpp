#include "kernel/device/device_node.hpp"

#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace lockstep::device {

namespace {

constexpr const char* node_remedy = "run as root, with a /dev that takes device nodes";

// A name beside `path` for what is to be renamed to it.
std::string beside(const std::string& path) {
    const std::size_t slash = path.rfind('/') + 1;
    return path.substr(0, slash) + '.' + path.substr(slash) + '.' + std::to_string(::getpid());
}

gid_t disk_group() {
    const group* found = ::getgrnam("disk");
    return found == nullptr ? 0 : found->gr_gid;
}

bool is_of_type(const std::string& path, mode_t type) {
    struct stat found = {};
    return ::lstat(path.c_str(), &found) != 0 || (found.st_mode & S_IFMT) == type;
}

std::string link_target(const std::string& name, std::uint32_t minor) {
    // One step up for each directory of drbd/NAME.
    std::string target;
    const auto depth = std::count(name.begin(), name.end(), '/') + 1;
    for (long i = 0; i < depth; ++i) {
        target += "../";
    }
    return target + "drbd" + std::to_string(minor);
}

result<> make_directories(const std::string& below, const std::string& name) {
    for (std::size_t slash = name.find('/'); slash != std::string::npos;
         slash = name.find('/', slash + 1)) {
        const std::string path = below + '/' + name.substr(0, slash);
        if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST) {
            return fail_errno(errno, "cannot make a directory for links to devices", path,
                              node_remedy);
        }
    }
    return {};
}

} // namespace

std::string node_path(const std::string& directory, std::uint32_t minor) {
    return directory + "/drbd" + std::to_string(minor);
}

result<> put_node(const std::string& path, std::uint64_t device) {
    if (!is_of_type(path, S_IFBLK)) {
        return fail("cannot make the device node: something else has that name", path,
                    "move it away");
    }
    const std::string made = beside(path);
    ::unlink(made.c_str());
    if (::mknod(made.c_str(), S_IFBLK | 0600, device) != 0) {
        return fail_errno(errno, "cannot make the device node", path, node_remedy);
    }
    if (::chown(made.c_str(), 0, disk_group()) != 0 || ::chmod(made.c_str(), 0660) != 0 ||
        ::rename(made.c_str(), path.c_str()) != 0) {
        const int error = errno;
        ::unlink(made.c_str());
        return fail_errno(error, "cannot put the device node in place", path, node_remedy);
    }
    return {};
}

result<> put_resting_node(const std::string& directory, std::uint32_t minor) {
    return put_node(node_path(directory, minor), ::makedev(drbd_major, minor));
}

std::optional<std::uint64_t> node_device(const std::string& path) {
    struct stat found = {};
    if (::lstat(path.c_str(), &found) != 0 || !S_ISBLK(found.st_mode)) {
        return std::nullopt;
    }
    return found.st_rdev;
}

void remove_node(const std::string& path) {
    if (node_device(path)) {
        ::unlink(path.c_str());
    }
}

result<> put_link(const std::string& directory, const std::string& name, std::uint32_t minor) {
    if (auto made = make_directories(directory, "drbd/" + name); !made) {
        return made;
    }
    const std::string path = directory + "/drbd/" + name;
    if (!is_of_type(path, S_IFLNK)) {
        return fail("cannot make a link to the device: something else has that name", path,
                    "move it away");
    }
    const std::string made = beside(path);
    ::unlink(made.c_str());
    if (::symlink(link_target(name, minor).c_str(), made.c_str()) != 0 ||
        ::rename(made.c_str(), path.c_str()) != 0) {
        const int error = errno;
        ::unlink(made.c_str());
        return fail_errno(error, "cannot make a link to the device", path, node_remedy);
    }
    return {};
}

void remove_link(const std::string& directory, const std::string& name, std::uint32_t minor) {
    const std::string path = directory + "/drbd/" + name;
    char target[256] = {};
    const ssize_t length = ::readlink(path.c_str(), target, sizeof target - 1);
    if (length <= 0 || link_target(name, minor) != target) {
        return;
    }
    ::unlink(path.c_str());
    const std::string whole = "drbd/" + name;
    for (std::size_t slash = whole.rfind('/'); slash != std::string::npos && slash > 0;
         slash = whole.rfind('/', slash - 1)) {
        if (::rmdir((directory + '/' + whole.substr(0, slash)).c_str()) != 0) {
            return; // others have links there
        }
    }
}

} // namespace lockstep::device
