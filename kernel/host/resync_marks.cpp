#include "kernel/host/resync_marks.hpp"

#include <fcntl.h>

#include <filesystem>
#include <system_error>

namespace lockstep::host {

namespace {

struct flock byte_of(std::uint32_t minor, short kind) {
    struct flock range = {};
    range.l_type = kind;
    range.l_whence = SEEK_SET;
    range.l_start = minor;
    range.l_len = 1;
    return range;
}

} // namespace

bool resync_marks::open(bool make) {
    if (file_.valid()) {
        return true;
    }
    if (make) {
        std::error_code problem;
        std::filesystem::create_directories(directory_, problem);
    }
    const std::string path = directory_ + "/resync.marks";
    file_ = owned_fd(::open(path.c_str(), O_RDWR | O_CLOEXEC | (make ? O_CREAT : 0), 0600));
    return file_.valid();
}

bool resync_marks::show(std::uint32_t minor, bool busy) {
    if (!open(busy)) {
        return !busy; // nobody has shown anything
    }
    struct flock range = byte_of(minor, busy ? F_WRLCK : F_UNLCK);
    return ::fcntl(file_.get(), F_OFD_SETLK, &range) == 0;
}

bool resync_marks::is_busy(std::uint32_t minor) {
    if (!open(false)) {
        return false;
    }
    struct flock range = byte_of(minor, F_WRLCK);
    return ::fcntl(file_.get(), F_OFD_GETLK, &range) == 0 && range.l_type != F_UNLCK;
}

} // namespace lockstep::host
