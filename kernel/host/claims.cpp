#include "kernel/host/claims.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>

namespace lockstep::host {

namespace {

bool still_named(int fd, const std::string& path) {
    struct stat open = {};
    struct stat named = {};
    return ::fstat(fd, &open) == 0 && ::stat(path.c_str(), &named) == 0 &&
           open.st_ino == named.st_ino && open.st_dev == named.st_dev;
}

std::string holder_of(const std::string& path) {
    const owned_fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    std::array<char, 256> text = {};
    const ssize_t size = fd.valid() ? ::read(fd.get(), text.data(), text.size()) : -1;
    return size > 0 ? std::string(text.data(), static_cast<std::size_t>(size)) : "another one";
}

} // namespace

std::string claims::path_of(std::string_view key) const {
    std::string name(key);
    for (char& one : name) {
        if (one == '/') {
            one = '_';
        }
    }
    return directory_ + "/" + name + ".lock";
}

result<> claims::take(std::string_view key, int code, mode how) {
    if (held_.count(key) != 0) {
        return {};
    }
    std::error_code problem;
    std::filesystem::create_directories(directory_, problem);
    if (problem) {
        return fail_errno(problem.value(), "cannot make the directory of claims", directory_);
    }
    const std::string path = path_of(key);
    for (;;) {
        owned_fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        if (!fd.valid()) {
            return fail_errno(errno, "cannot open the claim", path);
        }
        if (::flock(fd.get(), (how == mode::shared ? LOCK_SH : LOCK_EX) | LOCK_NB) != 0) {
            if (errno == EWOULDBLOCK) {
                return fail(std::string(key) + " belongs to resource " + holder_of(path), path,
                            "choose another one, or take that resource down", code);
            }
            return fail_errno(errno, "cannot lock the claim", path);
        }
        // Whoever releases a claim removes its file: a lock on a removed file is worth nothing.
        if (still_named(fd.get(), path)) {
            if (::ftruncate(fd.get(), 0) == 0) {
                [[maybe_unused]] const ssize_t count =
                    ::pwrite(fd.get(), holder_.data(), holder_.size(), 0);
            }
            held_.emplace(std::string(key), std::move(fd));
            return {};
        }
    }
}

void claims::release(std::string_view key) {
    const auto found = held_.find(key);
    if (found == held_.end()) {
        return;
    }
    // Only the last of several sharers may remove the file.
    if (::flock(found->second.get(), LOCK_EX | LOCK_NB) == 0) {
        ::unlink(path_of(key).c_str());
    }
    held_.erase(found);
}

int claims::descriptor(std::string_view key) const {
    const auto found = held_.find(key);
    return found == held_.end() ? -1 : found->second.get();
}

} // namespace lockstep::host
