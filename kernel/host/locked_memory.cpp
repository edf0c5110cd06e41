#include "kernel/host/locked_memory.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "kernel/base/owned_fd.hpp"

namespace lockstep::host {

namespace {

constexpr std::size_t huge_page = 2U << 20;
constexpr int set_io_flusher = 57; // PR_SET_IO_FLUSHER, Linux 5.6

std::string sentence(const std::string& what) {
    return what + ": " + std::strerror(errno);
}

} // namespace

result<memory_arena> memory_arena::create(std::size_t bytes) {
    const std::size_t mapped = bytes + huge_page;
    void* const raw =
        ::mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED) {
        return fail_errno(errno, "cannot get memory for buffers");
    }
    auto* const begin = static_cast<std::byte*>(raw);
    const std::size_t skew = reinterpret_cast<std::uintptr_t>(begin) % huge_page;
    const std::size_t head = skew == 0 ? 0 : huge_page - skew;
    if (head != 0) {
        ::munmap(begin, head);
    }
    if (head != huge_page) {
        ::munmap(begin + head + bytes, huge_page - head);
    }
    std::memset(begin + head, 0, bytes);
    return memory_arena(begin + head, bytes);
}

memory_arena::memory_arena(memory_arena&& other) noexcept
    : memory_(std::exchange(other.memory_, nullptr)), size_(std::exchange(other.size_, 0)) {}

memory_arena& memory_arena::operator=(memory_arena&& other) noexcept {
    std::swap(memory_, other.memory_);
    std::swap(size_, other.size_);
    return *this;
}

memory_arena::~memory_arena() {
    if (memory_ != nullptr) {
        ::munmap(memory_, size_);
    }
}

std::vector<std::string> protect_process() {
    std::vector<std::string> missing;
    // Pages are locked as they are touched: what is never used costs nothing.
    if (::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0) {
        missing.push_back(sentence("memory is not locked (ulimit -l, or CAP_IPC_LOCK)"));
    }
    if (::prctl(set_io_flusher, 1, 0, 0, 0) != 0) {
        missing.push_back(
            sentence("memory allocations may wait for I/O (no CAP_SYS_RESOURCE, or Linux < 5.6)"));
    }
    const owned_fd file(::open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
    if (!file.valid() || ::write(file.get(), "-1000", 5) != 5) {
        missing.push_back(sentence("the OOM killer may choose this process"));
    }
    return missing;
}

} // namespace lockstep::host
