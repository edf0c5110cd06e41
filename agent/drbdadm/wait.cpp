// wait-con-int: waits until all peers are there, and lets a person at the terminal stop it.
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <poll.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

#include <fmt/format.h>

#include "agent/drbdadm/actions.hpp"
#include "agent/drbdadm/exit_code.hpp"

namespace lockstep::drbdadm {

namespace {

using clock = std::chrono::steady_clock;

constexpr int silent_seconds = 10; // dots only, before a person is asked

class waiters {
public:
    void add(pid_t pid) { running_.push_back(pid); }
    bool any() const { return !running_.empty(); }
    // 20 if one could not ask the engine; 5 (time is up) and an interruption are no failures.
    int worst() const { return worst_; }

    void reap() {
        std::erase_if(running_, [&](pid_t pid) {
            int status = 0;
            const pid_t ended = ::waitpid(pid, &status, WNOHANG);
            if (ended == pid && WIFEXITED(status) && WEXITSTATUS(status) == exit_exec_error) {
                worst_ = exit_exec_error;
            }
            return ended == pid || (ended < 0 && errno == ECHILD);
        });
    }

    void stop() {
        for (const pid_t pid : running_) {
            ::kill(pid, SIGINT);
        }
        for (const pid_t pid : running_) {
            while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
            }
        }
        running_.clear();
    }

private:
    std::vector<pid_t> running_;
    int worst_ = 0;
};

void start_all(const session& run, waiters& all) {
    for (const auto& owner : run.doc.resources) {
        if (owner->ignored || owner->stacked != run.request.stacked) {
            continue;
        }
        for (const config::volume& row : owner->me->volumes) {
            run_request request;
            request.words = run.backend.wait_connect(*owner, row, false);
            request.patience = patience::forever;
            request.resource = owner->name;
            const pid_t pid = run.runner.start(request);
            if (pid > 0) {
                all.add(pid);
            }
        }
    }
}

std::string startup_value(const session& run, std::string_view name) {
    for (const auto& owner : run.doc.resources) {
        if (!owner->ignored) {
            const config::option* row = config::find_option(owner->startup_options, name);
            return row == nullptr ? "0" : row->value.value_or("0");
        }
    }
    return "0";
}

void print_dialog(const session& run) {
    fmt::print("\n***************************************************************\n"
               " DRBD's startup script waits for the peer node(s) to appear.\n"
               " - If this node was already a degraded cluster before the\n"
               "   reboot, the timeout is {} seconds. [degr-wfc-timeout]\n"
               " - If the peer was available before the reboot, the timeout\n"
               "   is {} seconds. [wfc-timeout]\n"
               "   (0 sec -> wait forever)\n",
               startup_value(run, "degr-wfc-timeout"), startup_value(run, "wfc-timeout"));
}

// What was typed within a second, or nothing.
std::string typed_within_a_second(bool terminal) {
    pollfd input{terminal ? STDIN_FILENO : -1, POLLIN, 0};
    std::array<char, 64> buffer{};
    if (::poll(&input, 1, 1000) <= 0 || (input.revents & POLLIN) == 0) {
        return {};
    }
    const ssize_t got = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    return got > 0 ? std::string(buffer.data(), static_cast<std::size_t>(got)) : std::string{};
}

} // namespace

int wait_for_all_connections(session& run) {
    waiters all;
    start_all(run, all);
    const bool terminal = !run.forgiving;
    const unsigned refresh = run.doc.global.dialog_refresh_s; // 0: never
    const auto start = clock::now();
    const auto seconds = [&] {
        return std::chrono::duration_cast<std::chrono::seconds>(clock::now() - start).count();
    };
    bool asked = false;
    for (all.reap(); all.any(); all.reap()) {
        const bool silent = seconds() < silent_seconds;
        const std::string answer = typed_within_a_second(terminal && !silent);
        all.reap();
        if (!all.any()) {
            break;
        }
        if (silent) {
            fmt::print(".");
        } else if (!asked) {
            print_dialog(run);
            fmt::print("{}", terminal ? std::string(" To abort waiting enter 'yes' [ -- ]: ")
                                      : fmt::format(" To abort waiting for DRBD connections, kill "
                                                    "this process: kill {}\n",
                                                    ::getpid()));
            asked = true;
        } else if (answer == "yes\n") {
            all.stop();
        } else if (terminal && ((refresh != 0 && seconds() % refresh == 0) || !answer.empty())) {
            fmt::print("\r To abort waiting enter 'yes' [{:4d}]: ", seconds());
        }
        std::fflush(stdout);
    }
    if (asked) {
        fmt::print("\n");
    }
    return all.worst();
}

} // namespace lockstep::drbdadm
