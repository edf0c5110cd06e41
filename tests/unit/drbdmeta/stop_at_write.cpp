// Preloaded into drbdmeta: ends the process instead of its STOP_AT_WRITE-th write to a disk, so
// that a test finds the disk as a crash at that point leaves it. Counted are pwrite and the calls
// that zero a range.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

#include <cstdlib>

namespace {

constexpr int stopped = 99;

void count_write() {
    static long left = [] {
        const char* text = std::getenv("STOP_AT_WRITE");
        return text == nullptr ? -1 : std::strtol(text, nullptr, 10);
    }();
    if (left > 0 && --left == 0) {
        ::_exit(stopped);
    }
}

template <class Function>
Function* next(const char* name) {
    return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

} // namespace

extern "C" {

ssize_t pwrite(int fd, const void* bytes, size_t count, off_t offset) {
    count_write();
    static auto* const real = next<ssize_t(int, const void*, size_t, off_t)>("pwrite");
    return real(fd, bytes, count, offset);
}

ssize_t pwrite64(int fd, const void* bytes, size_t count, off64_t offset) {
    count_write();
    static auto* const real = next<ssize_t(int, const void*, size_t, off64_t)>("pwrite64");
    return real(fd, bytes, count, offset);
}

int fallocate(int fd, int mode, off_t offset, off_t length) {
    count_write();
    static auto* const real = next<int(int, int, off_t, off_t)>("fallocate");
    return real(fd, mode, offset, length);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
    count_write();
    static auto* const real = next<int(int, int, off64_t, off64_t)>("fallocate64");
    return real(fd, mode, offset, length);
}
}
