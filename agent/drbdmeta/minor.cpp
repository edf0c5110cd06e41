#include "agent/drbdmeta/minor.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "agent/drbdmeta/console.hpp"

extern char** environ;

namespace lockstep::drbdmeta {

namespace {

constexpr unsigned drbd_major = 147;
constexpr unsigned minors_max = 1U << 20U;
constexpr const char* lock_directory = "/var/lock";

std::optional<unsigned> digits_only(std::string_view text) {
    if (text.empty() || text.size() > 7 ||
        !std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c); })) {
        return {};
    }
    const auto value = static_cast<unsigned>(std::strtoul(std::string(text).c_str(), nullptr, 10));
    return value < minors_max ? std::optional<unsigned>(value) : std::nullopt;
}

struct answer {
    std::string text;
    int exit_code = -1; // -1: could not be run
};

// Our own drbdsetup lies beside this program when both are installed; otherwise PATH decides.
std::string find_drbdsetup() {
    std::array<char, 4096> path = {};
    const ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size() - 1);
    if (length > 0) {
        std::string candidate(path.data(), static_cast<std::size_t>(length));
        candidate.replace(candidate.find_last_of('/') + 1, std::string::npos, "drbdsetup");
        if (::access(candidate.c_str(), X_OK) == 0) {
            return candidate;
        }
    }
    return "drbdsetup";
}

answer ask_drbdsetup(unsigned minor) {
    answer reply;
    std::array<int, 2> ends = {-1, -1};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        return reply;
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    std::string program = find_drbdsetup();
    std::string number = std::to_string(minor);
    std::string verb = "dstate";
    std::array<char*, 4> words = {program.data(), number.data(), verb.data(), nullptr};
    pid_t child = -1;
    const int failed =
        ::posix_spawnp(&child, program.c_str(), &actions, nullptr, words.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    ::close(ends[1]);
    std::array<char, 256> part = {};
    for (;;) {
        const ssize_t count = ::read(ends[0], part.data(), part.size());
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count <= 0) {
            break;
        }
        reply.text.append(part.data(), static_cast<std::size_t>(count));
    }
    ::close(ends[0]);
    int status = 0;
    if (failed == 0 && ::waitpid(child, &status, 0) == child && WIFEXITED(status)) {
        reply.exit_code = WEXITSTATUS(status);
    }
    return reply;
}

} // namespace

std::optional<unsigned> minor_of(const std::string& device) {
    constexpr std::string_view prefix = "/dev/drbd";
    if (auto number = digits_only(device)) {
        return number;
    }
    if (device.rfind(prefix, 0) == 0) {
        if (auto number = digits_only(std::string_view(device).substr(prefix.size()))) {
            return number;
        }
    }
    struct stat status = {};
    if (::stat(device.c_str(), &status) == 0 && S_ISBLK(status.st_mode) &&
        major(status.st_rdev) == drbd_major) {
        return minor(status.st_rdev);
    }
    return {};
}

minor_lock::minor_lock(minor_lock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

minor_lock::~minor_lock() {
    if (fd_ >= 0) {
        ::close(fd_);
    }
}

result<minor_lock> minor_lock::take(unsigned minor) {
    using namespace std::chrono_literals;
    const std::string path = fmt::format("{}/drbd-{}-{}", lock_directory, drbd_major, minor);
    minor_lock lock(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (lock.fd_ < 0) {
        return stop(20, fmt::format("open({}): {}\n", path, std::strerror(errno)));
    }
    struct flock whole = {};
    whole.l_type = F_WRLCK;
    const auto deadline = std::chrono::steady_clock::now() + 1s;
    while (::fcntl(lock.fd_, F_SETLK, &whole) != 0) {
        if (errno != EINTR && errno != EAGAIN && errno != EACCES) {
            return stop(20, fmt::format("fcntl({},...): {}\n", path, std::strerror(errno)));
        }
        if (std::chrono::steady_clock::now() >= deadline) {
            struct flock holder = whole;
            ::fcntl(lock.fd_, F_GETLK, &holder);
            return stop(20,
                        fmt::format("lock on {} currently held by pid:{}\n", path, holder.l_pid));
        }
        std::this_thread::sleep_for(20ms);
    }
    return lock;
}

result<bool> is_attached(unsigned minor) {
    // States of drbdsetup that mean a disk in use; 8.4 prints "local/peer".
    constexpr std::array attached = {"Attaching", "Failed",   "Negotiating", "Inconsistent",
                                     "Outdated",  "DUnknown", "Consistent",  "UpToDate"};
    constexpr std::array detached = {"Diskless", "Unconfigured"};
    const answer reply = ask_drbdsetup(minor);
    // 10: no such minor, 20: no module; -1 and 127: no drbdsetup.
    if (reply.exit_code == 10 || reply.exit_code == 20 || reply.exit_code == -1 ||
        reply.exit_code == 127) {
        return false;
    }
    const std::string state = reply.text.substr(0, reply.text.find_first_of("/\n"));
    const auto is = [&state](const char* name) { return state == name; };
    if (std::any_of(attached.begin(), attached.end(), is)) {
        return true;
    }
    if (std::any_of(detached.begin(), detached.end(), is)) {
        return false;
    }
    return stop(20, fmt::format("Unexpected output from drbdsetup >{}<\n", state));
}

} // namespace lockstep::drbdmeta
