// Opening a backing device, in a process of its own: the open of a frozen disk may never return.

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>

#include "kernel/host/keeper_operations.hpp"

namespace lockstep::host {

namespace {

// The device as it was found, for keeper_operations.hpp's table of values.
struct found_disk {
    std::uint64_t size_bytes = 0;
    unsigned logical_block_bytes = 512;
    bool can_discard = false;
    std::string identity; // "block:7:3", "file:64769:131074": the same for all names of one disk
};

bool block_device_discards(dev_t device) {
    const std::string base = "/sys/dev/block/" + std::to_string(major(device)) + ":" +
                             std::to_string(minor(device)) + "/";
    for (const char* where : {"queue/", "../queue/"}) { // of a disk, of a partition
        std::ifstream file(base + where + "discard_max_bytes");
        std::uint64_t bytes = 0;
        if (file >> bytes) {
            return bytes != 0;
        }
    }
    return false;
}

bool examine(int fd, const struct stat& what, found_disk& facts) {
    if (S_ISBLK(what.st_mode)) {
        int block = 0;
        if (::ioctl(fd, BLKGETSIZE64, &facts.size_bytes) != 0 ||
            ::ioctl(fd, BLKSSZGET, &block) != 0) {
            return false;
        }
        facts.logical_block_bytes = static_cast<unsigned>(block);
        facts.can_discard = block_device_discards(what.st_rdev);
        facts.identity = "block:" + std::to_string(major(what.st_rdev)) + ":" +
                         std::to_string(minor(what.st_rdev));
        return true;
    }
    facts.size_bytes = static_cast<std::uint64_t>(what.st_size);
    facts.can_discard = true;
    facts.identity = "file:" + std::to_string(what.st_dev) + ":" + std::to_string(what.st_ino);
    return true;
}

int open_block_device(const char* path, int mode, bool exclusive) {
    if (exclusive) {
        return ::open(path, mode | O_DIRECT | O_EXCL | O_CLOEXEC);
    }
    // A metadata device that several resources share. That nobody else (a filesystem) has it can
    // still be seen; two engines looking at once see each other, so look again.
    for (int attempt = 0; attempt < 20; ++attempt) {
        const int probe = ::open(path, mode | O_EXCL | O_CLOEXEC);
        if (probe >= 0) {
            ::close(probe);
            return ::open(path, mode | O_DIRECT | O_CLOEXEC);
        }
        if (errno != EBUSY) {
            return -1;
        }
        ::usleep(25'000);
    }
    errno = EBUSY;
    return -1;
}

int open_file(const char* path, int mode, bool exclusive) {
    int fd = ::open(path, mode | O_DIRECT | O_CLOEXEC);
    if (fd < 0 && errno == EINVAL) { // a filesystem without direct I/O, such as older tmpfs
        fd = ::open(path, mode | O_CLOEXEC);
    }
    if (fd >= 0 && ::flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0) {
        ::close(fd);
        errno = EBUSY;
        return -1;
    }
    return fd;
}

std::string explanation(const std::string& path, int error) {
    std::string text = "cannot open " + path + ": " + std::strerror(error);
    if (error == EBUSY) {
        text += " (mounted, or claimed by another resource, LVM or md)";
    }
    return text;
}

} // namespace

void open_disk_operation(keeper_job& job) {
    const std::string& path = job.argument(0);
    const int mode = job.argument(1) == "read-only" ? O_RDONLY : O_RDWR;
    const bool exclusive = job.argument(2) != "shared";
    const bool files_allowed = job.argument(3) == "files";
    struct stat what = {};
    if (::stat(path.c_str(), &what) != 0) {
        const int error = errno;
        job.refuse(error, explanation(path, error));
        return;
    }
    const bool block = S_ISBLK(what.st_mode);
    if (!block && !(files_allowed && S_ISREG(what.st_mode))) {
        job.refuse(ENOTBLK, path + " is not a block device");
        return;
    }
    owned_fd fd(block ? open_block_device(path.c_str(), mode, exclusive)
                      : open_file(path.c_str(), mode, exclusive));
    found_disk facts;
    if (!fd.valid() || ::fstat(fd.get(), &what) != 0 || !examine(fd.get(), what, facts)) {
        const int error = errno;
        job.refuse(error, explanation(path, error));
        return;
    }
    job.add_value(std::to_string(facts.size_bytes));
    job.add_value(std::to_string(facts.logical_block_bytes));
    job.add_value(facts.can_discard ? "discard" : "");
    job.add_value(facts.identity);
    job.hand_over(std::move(fd));
}

void close_disk_operation(keeper_job& job) {
    job.close_fd(0);
}

} // namespace lockstep::host
