#include "daemon/store/file_replacement.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

#include "kernel/base/owned_fd.hpp"

namespace lockstep::daemon {

namespace {

constexpr const char* remedy_of_write =
    "make room, or mount it writable: until then this node agrees to nothing new";

result<> write_all(int file, const std::string& place, const_byte_span content) {
    while (!content.empty()) {
        const ssize_t done = ::write(file, content.data(), content.size());
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return fail_errno(done < 0 ? errno : ENOSPC, "can't write", place, remedy_of_write);
        }
        content = content.subspan(static_cast<std::size_t>(done));
    }
    return {};
}

} // namespace

result<> replace_file(int directory, const std::string& place, const std::string& name,
                      const_byte_span content) {
    const std::string fresh = name + ".new";
    const std::string where = place + "/" + fresh;
    {
        const owned_fd file{::openat(directory, fresh.c_str(),
                                     O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600)};
        if (!file.valid()) {
            return fail_errno(errno, "can't create", where, remedy_of_write);
        }
        if (auto written = write_all(file.get(), where, content); !written) {
            return written;
        }
        if (::fsync(file.get()) != 0) {
            return fail_errno(errno, "can't bring it to the disk", where, remedy_of_write);
        }
    }
    if (::renameat(directory, fresh.c_str(), directory, name.c_str()) != 0) {
        return fail_errno(errno, "can't rename it to " + name, where, remedy_of_write);
    }
    if (::fsync(directory) != 0) {
        return fail_errno(errno, "can't bring the directory to the disk", place, remedy_of_write);
    }
    return {};
}

result<std::optional<std::vector<std::byte>>> read_file(int directory, const std::string& place,
                                                        const std::string& name, std::size_t most) {
    const std::string where = place + "/" + name;
    const owned_fd file{::openat(directory, name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW)};
    if (!file.valid()) {
        if (errno == ENOENT) {
            return std::nullopt;
        }
        return fail_errno(errno, "can't open", where);
    }
    struct stat about = {};
    if (::fstat(file.get(), &about) != 0) {
        return fail_errno(errno, "can't look at it", where);
    }
    if (!S_ISREG(about.st_mode) || static_cast<std::size_t>(about.st_size) > most) {
        return fail("not a file of this daemon: too large, or not a regular file", where);
    }
    std::vector<std::byte> content(static_cast<std::size_t>(about.st_size));
    std::size_t have = 0;
    while (have < content.size()) {
        const ssize_t done = ::read(file.get(), content.data() + have, content.size() - have);
        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return fail_errno(done < 0 ? errno : EIO, "can't read", where);
        }
        have += static_cast<std::size_t>(done);
    }
    return content;
}

} // namespace lockstep::daemon
