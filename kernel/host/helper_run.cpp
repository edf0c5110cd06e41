// Running a handler: `drbdadm NAME TARGET` with an environment that is ours alone. What it prints
// goes to the log. Its time limit is the keeper's: the job's whole process group is killed then.

#include <fcntl.h>
#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "kernel/host/keeper_operations.hpp"

namespace lockstep::host {

namespace {

[[noreturn]] void become(const keeper_job& job, int output, int failure) {
    std::vector<char*> arguments;
    std::vector<char*> environment;
    for (std::size_t i = 0; i < job.argument_count(); ++i) {
        (i < 3 ? arguments : environment).push_back(const_cast<char*>(job.argument(i).c_str()));
    }
    arguments.push_back(nullptr);
    environment.push_back(nullptr);
    const int null = ::open("/dev/null", O_RDONLY);
    ::dup2(null, 0);
    ::dup2(output, 1);
    ::dup2(output, 2);
    ::dup2(failure, 3);
    ::fcntl(3, F_SETFD, FD_CLOEXEC);
    ::close_range(4, ~0U, 0);
    if (::chdir("/") == 0) {
        ::execve(arguments[0], arguments.data(), environment.data());
    }
    const int error = errno;
    [[maybe_unused]] const ssize_t ignored = ::write(3, &error, sizeof error);
    ::_exit(127);
}

struct two_ends {
    owned_fd reading;
    owned_fd writing;

    // Above the standard descriptors, so that become() can put its own there.
    bool open() {
        int ends[2] = {-1, -1};
        if (::pipe2(ends, O_CLOEXEC) != 0) {
            return false;
        }
        reading.reset(::fcntl(ends[0], F_DUPFD_CLOEXEC, 10));
        writing.reset(::fcntl(ends[1], F_DUPFD_CLOEXEC, 10));
        ::close(ends[0]);
        ::close(ends[1]);
        return reading.valid() && writing.valid();
    }
};

class line_logger {
public:
    explicit line_logger(const keeper_job& job) : job_(job) {}

    void add(const char* bytes, std::size_t size) {
        for (std::size_t i = 0; i < size; ++i) {
            if (bytes[i] == '\n' || text_.size() >= log_text_max / 2) {
                flush();
            }
            if (bytes[i] != '\n') {
                text_ += bytes[i];
            }
        }
    }

    void flush() {
        if (!text_.empty()) {
            job_.log(log_severity::notice, "helper " + job_.argument(1) + ": " + text_);
            text_.clear();
        }
    }

private:
    const keeper_job& job_;
    std::string text_;
};

// Reads what the program prints until it ends. What it left running in the background may hold the
// pipe open for longer: that is not waited for.
void follow(int output, int process, line_logger& lines) {
    std::array<pollfd, 2> waits = {pollfd{output, POLLIN, 0}, pollfd{process, POLLIN, 0}};
    for (;;) {
        if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) {
            return;
        }
        if (waits[0].revents != 0) {
            std::array<char, 512> bytes = {};
            const ssize_t count = ::read(output, bytes.data(), bytes.size());
            if (count > 0) {
                lines.add(bytes.data(), static_cast<std::size_t>(count));
                continue;
            }
            waits[0].fd = -1;
        }
        if (waits[1].revents != 0) {
            return;
        }
    }
}

} // namespace

void run_helper_operation(keeper_job& job) {
    two_ends output;
    two_ends failure; // tells that the program could not be started; closed by a successful start
    if (job.argument_count() < 3 || !output.open() || !failure.open()) {
        job.refuse(EINVAL, "cannot run the helper " + job.argument(1));
        return;
    }
    const pid_t pid = ::fork();
    if (pid < 0) {
        const int error = errno;
        job.refuse(error, "cannot fork for the helper " + job.argument(1));
        return;
    }
    if (pid == 0) {
        become(job, output.writing.get(), failure.writing.get());
    }
    output.writing.reset();
    failure.writing.reset();
    const owned_fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    line_logger lines(job);
    follow(output.reading.get(), process.get(), lines);
    lines.flush();
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    int start_error = 0;
    const bool started = ::read(failure.reading.get(), &start_error, sizeof start_error) <= 0;
    // As the kernel's module does: only a status of exit() counts, anything else reads as 0.
    const bool exited = started && WIFEXITED(status);
    job.add_value(std::to_string(exited ? WEXITSTATUS(status) : 0));
    if (!started) {
        job.add_value("cannot start " + job.argument(0) + ": " + std::strerror(start_error));
    } else {
        job.add_value(exited ? "" : "signal " + std::to_string(WTERMSIG(status)));
    }
}

} // namespace lockstep::host
