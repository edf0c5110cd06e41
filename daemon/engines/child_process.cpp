#include "daemon/engines/child_process.hpp"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include <fmt/format.h>

namespace lockstep::engines {

namespace {

constexpr std::size_t complaint_bytes_max = 8192;

class owned_descriptor {
public:
    owned_descriptor() = default;
    ~owned_descriptor() {
        if (held_ >= 0) {
            ::close(held_);
        }
    }
    owned_descriptor(const owned_descriptor&) = delete;
    owned_descriptor& operator=(const owned_descriptor&) = delete;

    void hold(int descriptor) { held_ = descriptor; }
    int get() const { return held_; }
    int release() { return std::exchange(held_, -1); }

private:
    int held_ = -1;
};

struct pipe_ends {
    owned_descriptor read;
    owned_descriptor write;

    // 0 or an errno value. Only our end does not wait: the child may not expect that of its own.
    int open() {
        int ends[2];
        if (::pipe2(ends, O_CLOEXEC) != 0) {
            return errno;
        }
        read.hold(ends[0]);
        write.hold(ends[1]);
        return ::fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0 ? 0 : errno;
    }
};

// With LC_ALL=C: what it says is for logs, and read by programs.
std::vector<std::string> plain_environment() {
    std::vector<std::string> all;
    for (char** each = environ; *each != nullptr; ++each) {
        if (std::string_view(*each).substr(0, 7) != "LC_ALL=") {
            all.emplace_back(*each);
        }
    }
    all.emplace_back("LC_ALL=C");
    return all;
}

std::vector<char*> pointers(std::vector<std::string>& to) {
    std::vector<char*> all;
    all.reserve(to.size() + 1);
    for (std::string& each : to) {
        all.push_back(each.data());
    }
    all.push_back(nullptr);
    return all;
}

// 0 or an errno value. Signals are as a program expects them, whatever the daemon does with its
// own.
int spawn(std::vector<std::string> words, int output, int complaints, pid_t& pid) {
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, complaints, STDERR_FILENO);
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    sigset_t signals;
    ::sigemptyset(&signals);
    ::posix_spawnattr_setsigmask(&attributes, &signals);
    ::sigfillset(&signals);
    ::posix_spawnattr_setsigdefault(&attributes, &signals);
    ::posix_spawnattr_setpgroup(&attributes, 0);
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                                POSIX_SPAWN_SETPGROUP);
    std::vector<std::string> environment = plain_environment();
    const int code = ::posix_spawnp(&pid, words[0].c_str(), &actions, &attributes,
                                    pointers(words).data(), pointers(environment).data());
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
    return code;
}

// Up to what is there now. False at the end.
template <class Take>
bool read_all(int descriptor, Take take) {
    std::array<char, 16384> part;
    for (;;) {
        const ssize_t got = ::read(descriptor, part.data(), part.size());
        if (got > 0) {
            take(std::string_view(part.data(), static_cast<std::size_t>(got)));
        } else if (got == 0 || errno != EINTR) {
            return got != 0 && errno == EAGAIN;
        }
    }
}

} // namespace

std::string child_end::text() const {
    std::string said = complaint;
    while (!said.empty() && said.back() == '\n') {
        said.pop_back();
    }
    const std::string how = exit_code ? fmt::format("exit code {}", *exit_code) : "killed";
    return said.empty() ? how : fmt::format("{}: {}", how, said);
}

child_process::child_process(qb_loop_t* loop, pid_t pid, hooks calls)
    : loop_(loop), pid_(pid), calls_(std::move(calls)) {}

result<std::unique_ptr<child_process>>
child_process::start(qb_loop_t* loop, const std::vector<std::string>& words, hooks calls) {
    pipe_ends output;
    pipe_ends complaints;
    for (pipe_ends* each : {&output, &complaints}) {
        if (const int code = each->open(); code != 0) {
            return fail_errno(code, "no pipe to a program", words[0]);
        }
    }
    pid_t pid = 0;
    if (const int code = spawn(words, output.write.get(), complaints.write.get(), pid); code != 0) {
        return fail_errno(code, "the program could not be started", words[0]);
    }
    std::unique_ptr<child_process> made(new child_process(loop, pid, std::move(calls)));
    const int exits = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    if (exits < 0) {
        return fail_errno(errno, "the end of a program can't be waited for", words[0]);
    }
    if (const auto refused = made->watch(exits, output.read.release(), complaints.read.release())) {
        return tl::unexpected(*refused);
    }
    return made;
}

std::optional<error> child_process::watch(int exits, int output, int complaints) {
    exits_ = std::make_unique<daemon::watched_descriptor>(loop_, exits, [this] { exited(); });
    output_ = std::make_unique<daemon::watched_descriptor>(loop_, output, [this] {
        if (!read_output()) {
            output_->ignore();
        }
    });
    complaints_ = std::make_unique<daemon::watched_descriptor>(loop_, complaints,
                                                               [this] { read_complaints(); });
    for (const auto* each : {&exits_, &output_, &complaints_}) {
        if ((*each)->refusal() != 0) {
            return fail_errno((*each)->refusal(), "the main loop does not take a descriptor")
                .value();
        }
    }
    return std::nullopt;
}

child_process::~child_process() {
    if (!is_reaped_) {
        kill();
        // It may take its time to die, which nobody waits for: then init takes what is left.
        ::waitpid(pid_, nullptr, WNOHANG);
    }
}

void child_process::kill() {
    if (!is_reaped_) {
        ::kill(-pid_, SIGKILL);
    }
}

bool child_process::read_output() {
    std::string all;
    const bool goes_on =
        read_all(output_->descriptor(), [&](std::string_view part) { all += part; });
    if (!all.empty() && calls_.printed) {
        calls_.printed(all);
    }
    return goes_on;
}

void child_process::read_complaints() {
    const bool goes_on = read_all(complaints_->descriptor(), [&](std::string_view part) {
        complaint_ += part.substr(0, complaint_bytes_max - complaint_.size());
    });
    if (!goes_on) {
        complaints_->ignore();
    }
}

void child_process::exited() {
    int status = 0;
    const pid_t ended = ::waitpid(pid_, &status, WNOHANG);
    if (ended == 0) {
        return;
    }
    is_reaped_ = true;
    // What it started may hold the pipes open still, so their ends are not waited for.
    read_output();
    read_complaints();
    exits_.reset();
    output_.reset();
    complaints_.reset();
    child_end end;
    if (ended == pid_ && WIFEXITED(status)) {
        end.exit_code = WEXITSTATUS(status);
    }
    end.complaint = std::move(complaint_);
    const auto call = std::move(calls_.ended);
    call(end);
}

} // namespace lockstep::engines
