// lockstep-engine: the process of one resource. Started by `drbdsetup new-resource`, which reads
// from its standard output whether it came up (kernel/control/protocol/launch.hpp).
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <vector>

#include "kernel/control/protocol/launch.hpp"
#include "kernel/control/protocol/reply.hpp"
#include "kernel/engine_process.hpp"

namespace {

using namespace lockstep;

void say(std::string_view text) {
    while (!text.empty()) {
        const ssize_t count = ::write(STDOUT_FILENO, text.data(), text.size());
        if (count <= 0) {
            return;
        }
        text.remove_prefix(static_cast<std::size_t>(count));
    }
}

int report(const error& problem) {
    control::reply reply;
    reply.ok = false;
    reply.code = problem.code;
    reply.text = problem.where.empty() ? problem.what : problem.where + ": " + problem.what;
    reply.remedy = problem.remedy;
    say(control::encode(reply));
    return 1;
}

// Nothing of the caller is held on to: no directory, no terminal, no pipe.
void leave_caller() {
    ::setsid();
    ::umask(077);
    if (::chdir("/") != 0) {
        return;
    }
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    ::dup2(null, STDIN_FILENO);
}

void end_output() {
    const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
    ::dup2(null, STDOUT_FILENO);
    ::dup2(null, STDERR_FILENO);
}

} // namespace

int main(int count, char** arguments) {
    const std::vector<std::string> words(arguments + 1, arguments + count);
    for (const std::string& word : words) {
        if (word == "--help" || word == "--version") {
            say(word == "--help" ? engine::usage() : "lockstep-engine " LOCKSTEP_VERSION "\n");
            return 0;
        }
    }
    auto settings = engine::parse_settings(words);
    if (!settings) {
        return report(settings.error());
    }
    if (const auto problem = control::name_problem(settings->resource); !problem.empty()) {
        return report(error{std::string(problem), settings->resource,
                            "lockstep-engine --help shows the usage", 162});
    }
    leave_caller();
    engine::process process(std::move(*settings));
    if (auto started = process.start(); !started) {
        ::_exit(report(started.error()));
    }
    say(control::ready_line);
    end_output();
    process.run();
    return 0;
}
