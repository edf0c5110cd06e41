#include "kernel/host/keeper_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <utility>

#include "kernel/base/check.hpp"
#include "kernel/host/keeper_message.hpp"

namespace lockstep::host {

namespace {

using milliseconds = std::int64_t;

constexpr milliseconds grace_ms = 2'000; // for jobs under way when the engine dies

milliseconds current_ms() {
    timespec now = {};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return milliseconds{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

struct job {
    std::uint64_t id = 0;
    pid_t pid = -1;
    std::string name;
    bool outlives_engine = false;
    bool answered = false;
    std::optional<milliseconds> deadline;
};

struct memory {
    std::string key;
    std::string operation;
    std::vector<std::string> arguments;
};

void restore_signals() {
    for (int signal_number = 1; signal_number < SIGRTMIN; ++signal_number) {
        ::signal(signal_number, SIG_DFL);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
}

keeper_message answer_of(std::uint64_t id, int error, std::string sentence) {
    keeper_message message;
    message.what = keeper_message::kind::answer;
    message.id = id;
    message.error = error;
    message.texts = {std::move(sentence)};
    return message;
}

class keeper_loop {
public:
    explicit keeper_loop(const keeper_process_settings& settings) : settings_(settings) {}

    void run() {
        set_up();
        while (!engine_gone_) {
            step(next_timeout());
        }
        after_engine();
    }

private:
    void set_up() {
        // The keeper outlives the engine by as much as it takes to clean up, also when the whole
        // group is told to end.
        for (const int signal_number : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE}) {
            ::signal(signal_number, SIG_IGN);
        }
        sigset_t children;
        sigemptyset(&children);
        sigaddset(&children, SIGCHLD);
        sigprocmask(SIG_BLOCK, &children, nullptr);
        signals_.reset(::signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK));
        int pair[2] = {-1, -1};
        LOCKSTEP_CHECK(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
        from_jobs_.reset(pair[0]);
        to_keeper_.reset(pair[1]);
    }

    void log(log_severity severity, const std::string& text) const {
        send_log_record(settings_.log_socket, severity, settings_.resource + ": " + text);
    }

    // One wait, and all that has come.
    void step(int timeout_ms) {
        pollfd waits[3] = {{signals_.get(), POLLIN, 0},
                           {from_jobs_.get(), POLLIN, 0},
                           {engine_gone_ ? -1 : settings_.engine_socket, POLLIN, 0}};
        ::poll(waits, 3, timeout_ms);
        signalfd_siginfo ignored;
        while (::read(signals_.get(), &ignored, sizeof ignored) > 0) {
        }
        read_jobs();
        reap();
        end_overdue();
        if ((waits[2].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
            read_engine();
        }
    }

    int next_timeout() const {
        std::optional<milliseconds> first;
        for (const job& one : jobs_) {
            if (one.deadline && (!first || *one.deadline < *first)) {
                first = one.deadline;
            }
        }
        return first ? static_cast<int>(std::max<milliseconds>(*first - current_ms(), 0)) : -1;
    }

    job* find(std::uint64_t id) {
        const auto found =
            std::find_if(jobs_.begin(), jobs_.end(), [id](const job& one) { return one.id == id; });
        return found == jobs_.end() ? nullptr : &*found;
    }

    void read_jobs() {
        for (;;) {
            auto received = receive_message(from_jobs_.get(), MSG_DONTWAIT);
            if (!received) {
                if (received.error().code == EAGAIN) {
                    return;
                }
                log(log_severity::error, "keeper: " + received.error().text());
                if (received.error().code != 0) {
                    return;
                }
                continue;
            }
            if (!*received) {
                return;
            }
            from_job(std::move(**received));
        }
    }

    void from_job(received_message received) {
        keeper_message& message = received.message;
        if (message.what == keeper_message::kind::answer) {
            job* const of = find(message.id);
            if (of != nullptr && !of->answered) {
                of->answered = true;
                of->deadline.reset();
                answer(message, received.fds);
            }
        } else if (message.what == keeper_message::kind::remember && message.texts.size() >= 2) {
            forget(message.texts[0]);
            memories_.push_back({message.texts[0],
                                 message.texts[1],
                                 {message.texts.begin() + 2, message.texts.end()}});
        } else if (message.what == keeper_message::kind::forget && !message.texts.empty()) {
            forget(message.texts[0]);
        }
    }

    void forget(const std::string& key) {
        memories_.erase(std::remove_if(memories_.begin(), memories_.end(),
                                       [&key](const memory& one) { return one.key == key; }),
                        memories_.end());
    }

    void answer(const keeper_message& message, const std::vector<owned_fd>& fds = {}) {
        if (engine_gone_) {
            if (message.id == undo_id_) {
                undo_error_ = message.error;
                undo_sentence_ = message.texts.empty() ? std::string() : message.texts[0];
            }
            return;
        }
        const std::vector<int> numbers = numbers_of(fds);
        // The engine reads its answers at once unless it is stopped; then waiting is right.
        (void)send_message(settings_.engine_socket, message, numbers);
    }

    void reap() {
        for (;;) {
            int status = 0;
            const pid_t pid = ::waitpid(-1, &status, WNOHANG);
            if (pid <= 0) {
                return;
            }
            const auto ended = std::find_if(jobs_.begin(), jobs_.end(),
                                            [pid](const job& one) { return one.pid == pid; });
            if (ended == jobs_.end()) {
                continue;
            }
            read_jobs();
            if (!ended->answered) {
                const std::string how =
                    WIFSIGNALED(status) ? "was killed by signal " + std::to_string(WTERMSIG(status))
                                        : "ended without an answer";
                answer(answer_of(ended->id, ended->deadline ? ECANCELED : EIO,
                                 "the keeper's job " + ended->name + " " + how));
            }
            jobs_.erase(ended);
        }
    }

    static void kill_job(const job& one) {
        ::kill(-one.pid, SIGKILL);
        ::kill(one.pid, SIGKILL);
    }

    void end_overdue() {
        const milliseconds now = current_ms();
        for (job& one : jobs_) {
            if (one.deadline && *one.deadline <= now && !one.answered) {
                one.answered = true;
                one.deadline.reset();
                kill_job(one);
                answer(answer_of(one.id, ETIMEDOUT,
                                 "the keeper's job " + one.name + " took too long and was killed"));
            }
        }
    }

    void read_engine() {
        for (;;) {
            auto received = receive_message(settings_.engine_socket, MSG_DONTWAIT);
            if (!received) {
                if (received.error().code == EAGAIN) {
                    return;
                }
                log(log_severity::error, "keeper: " + received.error().text());
                engine_gone_ = received.error().code != 0;
                if (engine_gone_) {
                    return;
                }
                continue;
            }
            if (!*received) {
                engine_gone_ = true;
                return;
            }
            from_engine(std::move(**received));
        }
    }

    void from_engine(received_message received) {
        keeper_message& message = received.message;
        switch (message.what) {
        case keeper_message::kind::call:
            start_job(std::move(message), std::move(received.fds));
            break;
        case keeper_message::kind::cancel:
            if (job* const one = find(message.id); one != nullptr && !one->answered) {
                one->answered = true;
                one->deadline.reset();
                kill_job(*one);
                answer(answer_of(one->id, ECANCELED, "cancelled"));
            }
            break;
        case keeper_message::kind::limit:
            if (job* const one = find(message.id); one != nullptr && !one->answered) {
                one->deadline = current_ms() + message.limit_ms;
            }
            break;
        case keeper_message::kind::stop:
            orderly_ = true;
            break;
        default:
            log(log_severity::error, "keeper: an unexpected message from the engine");
        }
    }

    const keeper_operation* operation(const std::string& name) const {
        for (const keeper_operation& one : settings_.operations) {
            if (one.name == name) {
                return &one;
            }
        }
        return nullptr;
    }

    void start_job(keeper_message message, std::vector<owned_fd> fds) {
        const std::string name = message.texts.empty() ? std::string() : message.texts[0];
        const keeper_operation* const what = operation(name);
        if (what == nullptr) {
            answer(answer_of(message.id, ENOSYS, "the keeper knows no operation " + name));
            return;
        }
        int gate[2] = {-1, -1}; // holds the job back until it alone has its descriptors
        const pid_t pid = ::pipe2(gate, O_CLOEXEC) == 0 ? ::fork() : -1;
        const int error = errno;
        owned_fd gate_in(gate[0]);
        owned_fd gate_out(gate[1]);
        if (pid < 0) {
            answer(answer_of(message.id, error, std::string("cannot fork: ") + strerror(error)));
            return;
        }
        if (pid == 0) {
            gate_out.reset();
            char none = 0;
            while (::read(gate_in.get(), &none, 1) < 0 && errno == EINTR) {
            }
            gate_in.reset();
            run_job(*what, std::move(message), std::move(fds));
        }
        fds.clear();
        ::setpgid(pid, pid);
        job started;
        started.id = message.id;
        started.pid = pid;
        started.name = name;
        started.outlives_engine = what->outlives_engine;
        if (message.limit_ms != 0) {
            started.deadline = current_ms() + message.limit_ms;
        }
        jobs_.push_back(std::move(started));
    }

    [[noreturn]] void run_job(const keeper_operation& what, keeper_message message,
                              std::vector<owned_fd> fds) {
        ::setpgid(0, 0);
        restore_signals();
        if (!what.outlives_engine) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        }
        // While a job holds the engine's socket, neither side would see the other's end.
        ::close(settings_.engine_socket);
        from_jobs_.reset();
        const std::uint64_t id = message.id;
        message.texts.erase(message.texts.begin());
        keeper_job job(std::move(message.texts), std::move(fds), to_keeper_.get(),
                       settings_.log_socket);
        what.run(job);
        keeper_message reply = answer_of(id, job.error(), job.sentence());
        reply.texts.insert(reply.texts.end(), job.values().begin(), job.values().end());
        const std::vector<int> numbers = numbers_of(job.handed_over());
        if (!send_message(to_keeper_.get(), reply, numbers)) {
            (void)send_message(to_keeper_.get(), answer_of(id, EMSGSIZE, "the answer was too long"),
                               {});
        }
        ::_exit(0);
    }

    bool jobs_to_wait_for() const {
        return std::any_of(jobs_.begin(), jobs_.end(),
                           [](const job& one) { return !one.outlives_engine; });
    }

    void wait_for_jobs(milliseconds limit_ms) {
        const milliseconds until = current_ms() + limit_ms;
        while (jobs_to_wait_for() && current_ms() < until) {
            step(static_cast<int>(std::max<milliseconds>(until - current_ms(), 0)));
        }
    }

    void after_engine() {
        if (!orderly_) {
            log(log_severity::error, "the engine has died");
        }
        wait_for_jobs(grace_ms);
        for (const job& one : jobs_) {
            if (!one.outlives_engine) {
                kill_job(one);
            }
        }
        wait_for_jobs(grace_ms);
        read_jobs();
        while (!memories_.empty()) {
            const memory last = std::move(memories_.back());
            memories_.pop_back();
            undo(last);
        }
        if (!orderly_) {
            log(log_severity::notice, "cleaned up after the engine");
            restart();
        }
    }

    void undo(const memory& what) {
        keeper_message message;
        message.id = ++undo_id_;
        message.texts = {what.operation};
        message.texts.insert(message.texts.end(), what.arguments.begin(), what.arguments.end());
        undo_error_ = -1;
        undo_sentence_.clear();
        const std::uint64_t id = message.id;
        message.limit_ms = settings_.undo_limit_ms;
        start_job(std::move(message), {});
        while (undo_error_ == -1 && find(id) != nullptr) {
            step(next_timeout());
        }
        if (undo_error_ == 0) {
            log(log_severity::notice, "keeper: removed " + what.key);
        } else {
            log(log_severity::error, "keeper: cannot remove " + what.key + ": " + undo_sentence_);
        }
    }

    void restart() {
        if (settings_.restart_command.empty()) {
            return;
        }
        log(log_severity::notice, "restarting the engine: " + settings_.restart_command[0]);
        const pid_t pid = ::fork();
        if (pid != 0) {
            return;
        }
        ::setsid();
        restore_signals();
        std::vector<char*> arguments;
        for (const std::string& one : settings_.restart_command) {
            arguments.push_back(const_cast<char*>(one.c_str()));
        }
        arguments.push_back(nullptr);
        ::execvp(arguments[0], arguments.data());
        log(log_severity::error, std::string("cannot restart the engine: ") + strerror(errno));
        ::_exit(127);
    }

    keeper_process_settings settings_;
    owned_fd signals_;
    owned_fd from_jobs_;
    owned_fd to_keeper_;
    std::vector<job> jobs_;
    std::vector<memory> memories_;
    bool engine_gone_ = false;
    bool orderly_ = false;
    // Undoing is numbered apart from the engine's calls, some of which may still run.
    std::uint64_t undo_id_ = std::uint64_t{1} << 63;
    int undo_error_ = -1;
    std::string undo_sentence_;
};

} // namespace

void run_keeper(const keeper_process_settings& settings) {
    keeper_loop(settings).run();
}

} // namespace lockstep::host
