#include "agent/drbdsetup/engine_launch.hpp"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include <fmt/format.h>

#include "agent/drbdsetup/engine_client.hpp"
#include "kernel/control/protocol/launch.hpp"

extern char** environ;

namespace lockstep::drbdsetup {

namespace {

std::string own_directory() {
    std::array<char, PATH_MAX> path;
    const ssize_t size = ::readlink("/proc/self/exe", path.data(), path.size());
    const std::string full(path.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
    return full.substr(0, full.rfind('/'));
}

// The write end of a pipe as the engine's standard output; everything else is inherited.
result<pid_t> spawn(const std::string& program, const std::vector<std::string>& words, int output) {
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    posix_spawnattr_t attributes;
    ::posix_spawnattr_init(&attributes);
    // A session of its own: the engine outlives the terminal that it was started from.
    ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    std::vector<char*> arguments;
    arguments.reserve(words.size() + 1);
    for (const std::string& word : words) {
        arguments.push_back(const_cast<char*>(word.c_str()));
    }
    arguments.push_back(nullptr);
    pid_t child = -1;
    const int problem =
        ::posix_spawn(&child, program.c_str(), &actions, &attributes, arguments.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    ::posix_spawnattr_destroy(&attributes);
    if (problem != 0) {
        return fail_errno(problem, "Can not start the engine", program);
    }
    return child;
}

// What the engine says before it closes its standard output.
result<std::string> read_all(int input, std::int64_t deadline_ms) {
    std::string text;
    std::array<char, 4096> buffer;
    while (text.find('\n') == std::string::npos) {
        pollfd ready = {input, POLLIN, 0};
        const std::int64_t left = deadline_ms - now_ms();
        if (left <= 0) {
            return fail("The engine was started but is not ready", {},
                        "Its log says what it waits for: syslog, lockstep-RESOURCE.",
                        error_timed_out);
        }
        if (::poll(&ready, 1, static_cast<int>(left)) <= 0) {
            continue;
        }
        const ssize_t got = ::read(input, buffer.data(), buffer.size());
        if (got > 0) {
            text.append(buffer.data(), static_cast<std::size_t>(got));
        } else if (got == 0) {
            break;
        }
    }
    return text;
}

result<control::reply> understand(const std::string& text, pid_t child) {
    if (text.substr(0, control::ready_line.size()) == control::ready_line) {
        return control::reply{};
    }
    int status = 0;
    const bool ended = ::waitpid(child, &status, text.empty() ? 0 : WNOHANG) == child;
    result<control::server_message> said = control::decode_server_message(text);
    if (said) {
        if (auto* refused = std::get_if<control::reply>(&*said)) {
            return std::move(*refused);
        }
    }
    const std::string end = !ended ? std::string("said something else than \"ready\"")
                            : WIFSIGNALED(status)
                                ? fmt::format("was killed by signal {}", WTERMSIG(status))
                                : fmt::format("ended with exit code {}", WEXITSTATUS(status));
    return fail(fmt::format("The engine {} before it was ready", end), {},
                "Its log says why: syslog, lockstep-RESOURCE.");
}

} // namespace

result<std::string> find_engine_program() {
    const std::string given_variable(control::engine_path_variable);
    if (const char* given = std::getenv(given_variable.c_str()); given != nullptr && *given != 0) {
        if (::access(given, X_OK) == 0) {
            return std::string(given);
        }
        return fail_errno(errno, "Can not run the engine", given,
                          fmt::format("Correct or unset {}.", given_variable));
    }
    const std::string here = own_directory();
    const std::array<std::string, 4> places = {
        fmt::format("{}/../lib/lockstep/{}", here, control::engine_program),
        fmt::format("{}/../libexec/lockstep/{}", here, control::engine_program),
        fmt::format("{}/../../kernel/{}", here, control::engine_program),
        fmt::format("/usr/lib/lockstep/{}", control::engine_program),
    };
    for (const std::string& place : places) {
        if (::access(place.c_str(), X_OK) == 0) {
            return place;
        }
    }
    return fail(fmt::format("The engine program {} is not installed", control::engine_program),
                fmt::format("looked for {}", fmt::join(places, ", ")),
                fmt::format("Install Lockstep completely, or set {} to the path of the program.",
                            given_variable));
}

result<control::reply> launch_engine(const std::string& resource,
                                     const std::vector<control::option_setting>& settings,
                                     int timeout_ms) {
    const result<std::string> program = find_engine_program();
    if (!program) {
        return tl::unexpected<error>(program.error());
    }
    std::array<int, 2> ends;
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
        return fail_errno(errno, "Can not make a pipe");
    }
    std::vector<std::string> words = {*program, resource};
    for (const control::option_setting& each : settings) {
        words.push_back(fmt::format("--{}={}", each.name, each.value));
    }
    const result<pid_t> child = spawn(*program, words, ends[1]);
    ::close(ends[1]);
    if (!child) {
        ::close(ends[0]);
        return tl::unexpected<error>(child.error());
    }
    const result<std::string> said = read_all(ends[0], now_ms() + timeout_ms);
    ::close(ends[0]);
    if (!said) {
        return tl::unexpected<error>(said.error());
    }
    return understand(*said, *child);
}

} // namespace lockstep::drbdsetup
