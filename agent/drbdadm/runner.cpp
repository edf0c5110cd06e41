#include "agent/drbdadm/runner.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "agent/config/escape.hpp"
#include "agent/drbdadm/exit_code.hpp"

extern char** environ; // POSIX; declared by no header in strict mode

namespace lockstep::drbdadm {

namespace {

using clock = std::chrono::steady_clock;

class descriptor {
public:
    explicit descriptor(int fd = -1) : fd_(fd) {}
    ~descriptor() { reset(); }
    descriptor(const descriptor&) = delete;
    descriptor& operator=(const descriptor&) = delete;
    int get() const { return fd_; }
    void set(int fd) {
        reset();
        fd_ = fd;
    }
    void reset() {
        if (fd_ >= 0) {
            ::close(fd_);
        }
        fd_ = -1;
    }

private:
    int fd_;
};

struct pipe_ends {
    descriptor reading;
    descriptor writing;

    bool open() {
        std::array<int, 2> ends{};
        if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
            return false;
        }
        reading.set(ends[0]);
        writing.set(ends[1]);
        return true;
    }
};

// The environment of the child: ours, LC_ALL=C and the additions, a later one wins.
std::vector<std::string> child_environment(const std::vector<std::string>& additions) {
    std::vector<std::string> out;
    const auto put = [&](const std::string& entry) {
        const std::string name = entry.substr(0, entry.find('=') + 1);
        const auto same = std::find_if(out.begin(), out.end(), [&](const std::string& other) {
            return other.compare(0, name.size(), name) == 0;
        });
        if (same == out.end()) {
            out.push_back(entry);
        } else {
            *same = entry;
        }
    };
    for (char** entry = environ; *entry != nullptr; ++entry) {
        out.emplace_back(*entry);
    }
    put("LC_ALL=C");
    std::for_each(additions.begin(), additions.end(), put);
    return out;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> out;
    out.reserve(texts.size() + 1);
    for (std::string& text : texts) {
        out.push_back(text.data());
    }
    out.push_back(nullptr);
    return out;
}

void redirect(output how, int target, const pipe_ends& pipe) {
    if (how == output::capture) {
        ::dup2(pipe.writing.get(), target);
    } else if (how == output::hide) {
        const int null = ::open("/dev/null", O_WRONLY | O_CLOEXEC);
        ::dup2(null, target);
    }
}

// Between fork and exec of a single-threaded process. The child ends with its parent.
[[noreturn]] void become(const run_request& what, const pipe_ends& out, const pipe_ends& err,
                         std::vector<char*>& words, std::vector<char*>& environment,
                         output standard_error) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (what.own_group) {
        ::setpgid(0, 0);
    }
    redirect(what.standard_output, STDOUT_FILENO, out);
    redirect(standard_error, STDERR_FILENO, err);
    ::execvpe(words[0], words.data(), environment.data());
    const std::string text =
        fmt::format("Can not execute '{}': {}\n", words[0], std::strerror(errno));
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    ::_exit(exit_exec_error);
}

class child {
public:
    bool start(const run_request& what, output standard_error) {
        command_words words = what.words;
        std::vector<std::string> environment = child_environment(what.environment);
        std::vector<char*> word_pointers = pointers(words);
        std::vector<char*> environment_pointers = pointers(environment);
        if ((what.standard_output == output::capture && !out_.open()) ||
            (standard_error == output::capture && !err_.open())) {
            return false;
        }
        std::fflush(stdout);
        std::fflush(stderr);
        pid_ = ::fork();
        if (pid_ == 0) {
            become(what, out_, err_, word_pointers, environment_pointers, standard_error);
        }
        out_.writing.reset();
        err_.writing.reset();
        return pid_ > 0;
    }

    pid_t pid() const { return pid_; }

    // Reads what is captured until the child has ended or `until` is there (no limit if empty).
    bool wait(std::optional<clock::time_point> until, run_outcome& outcome) {
        const descriptor ended(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
        bool running = true;
        while (running || out_.reading.get() >= 0 || err_.reading.get() >= 0) {
            const int left_ms = remaining_ms(until);
            if (left_ms == 0) {
                return false;
            }
            std::array<pollfd, 3> set{{{running ? ended.get() : -1, POLLIN, 0},
                                       {out_.reading.get(), POLLIN, 0},
                                       {err_.reading.get(), POLLIN, 0}}};
            // What a grandchild keeps open is not waited for once the child has ended.
            const int ready = ::poll(set.data(), set.size(), running ? left_ms : 0);
            if (ready == 0 && !running) {
                break;
            }
            drain(set[1], out_, outcome.captured_output);
            drain(set[2], err_, outcome.captured_error);
            running = running && (set[0].revents & POLLIN) == 0;
        }
        int status = 0;
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
        }
        outcome.code = WIFEXITED(status) ? WEXITSTATUS(status) : exit_exec_error;
        signal_ = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        return true;
    }

    void kill(bool own_group) const {
        if (own_group) {
            ::kill(-pid_, SIGKILL);
        }
        ::kill(pid_, SIGKILL);
        while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
        }
    }

    int signal() const { return signal_; }

private:
    static int remaining_ms(std::optional<clock::time_point> until) {
        if (!until) {
            return -1;
        }
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(*until - clock::now());
        return static_cast<int>(std::max<std::int64_t>(left.count(), 0));
    }

    static void drain(const pollfd& which, pipe_ends& pipe, std::string& into) {
        if (which.fd < 0 || which.revents == 0) {
            return;
        }
        std::array<char, 4096> buffer{};
        const ssize_t got = ::read(which.fd, buffer.data(), buffer.size());
        if (got > 0) {
            into.append(buffer.data(), static_cast<std::size_t>(got));
        } else if (got == 0 || errno != EINTR) {
            pipe.reading.reset();
        }
    }

    pipe_ends out_;
    pipe_ends err_;
    pid_t pid_ = -1;
    int signal_ = 0;
};

std::string plain_line(const command_words& words) {
    return fmt::format("{}", fmt::join(words, " "));
}

} // namespace

std::string shell_line(const command_words& words) {
    std::string out;
    for (const std::string& word : words) {
        out += out.empty() ? "" : " ";
        out += config::shell_word(word);
    }
    return out;
}

unsigned runner::limit_s(patience what) const {
    switch (what) {
    case patience::brief:
        return settings_.brief_s;
    case patience::medium:
        return settings_.medium_s;
    case patience::extended:
        return settings_.extended_s;
    case patience::forever:
        break;
    }
    return 0;
}

void runner::announce(const run_request& what) const {
    if (what.is_query || (settings_.dry_run == 0 && settings_.verbose == 0)) {
        return;
    }
    if (settings_.shell_variable) {
        fmt::print("{}={}\n", *settings_.shell_variable, config::shell_word(what.resource));
    }
    fmt::print("{}\n", shell_line(what.words));
}

run_outcome runner::run(const run_request& what) const {
    run_outcome outcome;
    announce(what);
    if (settings_.dry_run != 0 && !what.is_query) {
        return outcome;
    }
    const output standard_error = settings_.hide_errors && what.standard_error == output::pass
                                      ? output::hide
                                      : what.standard_error;
    child one;
    if (!one.start(what, standard_error)) {
        fmt::print(stderr, "Can not start '{}': {}\n", what.words.front(), std::strerror(errno));
        outcome.code = exit_exec_error;
        return outcome;
    }
    const unsigned seconds = limit_s(what.patience);
    std::optional<clock::time_point> until;
    if (seconds != 0) {
        until = clock::now() + std::chrono::seconds(seconds);
    }
    if (!one.wait(until, outcome)) {
        one.kill(what.own_group);
        outcome.timed_out = true;
        outcome.code = exit_exec_error;
        fmt::print(stderr,
                   "Command '{}' did not terminate within {} seconds\n"
                   "It was ended, and what it had done by then is not known: look at the state "
                   "before you try again.\n",
                   plain_line(what.words), seconds);
        return outcome;
    }
    if (one.signal() != 0) {
        fmt::print(stderr, "Command '{}' was killed by signal {}\n", plain_line(what.words),
                   one.signal());
    } else if (outcome.code >= 10 && what.reports_failure && what.patience != patience::forever &&
               standard_error == output::pass) {
        fmt::print(stderr, "Command '{}' terminated with exit code {}\n", plain_line(what.words),
                   outcome.code);
    }
    return outcome;
}

pid_t runner::start(const run_request& what) const {
    announce(what);
    if (settings_.dry_run != 0) {
        return 0;
    }
    child one;
    if (!one.start(what, what.standard_error)) {
        fmt::print(stderr, "Can not start '{}': {}\n", what.words.front(), std::strerror(errno));
        return -1;
    }
    return one.pid();
}

} // namespace lockstep::drbdadm
