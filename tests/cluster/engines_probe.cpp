// What daemon/engines tells its user, a line for each call, and commands from standard input:
//
//     engines_probe DRBDSETUP DRBDADM LIMIT_MS
//
// reads "promote r0" and prints "ended r0 promote 0 -", "facts r0 running,primary connection=0
// started=1 separated=1", "gone r0", "problem ...". It ends with its standard input.
#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <sstream>

#include <fmt/format.h>

#include "daemon/engines/engine_commands.hpp"
#include "daemon/engines/event_stream.hpp"

using namespace lockstep;
using namespace lockstep::engines;

namespace {

instant now() {
    const auto since = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<instant>(std::chrono::nanoseconds(since).count());
}

// A line, whatever the text has in it.
void print(std::string text) {
    for (char& each : text) {
        each = each == '\n' ? ' ' : each;
    }
    std::puts(text.c_str());
    std::fflush(stdout);
}

std::string flags(const engine_facts& of) {
    std::string text;
    const auto add = [&](bool is, const char* name) {
        text += is ? fmt::format("{}{}", text.empty() ? "" : ",", name) : "";
    };
    add(of.running, "running");
    add(of.primary, "primary");
    add(of.up_to_date, "up_to_date");
    add(of.connected, "connected");
    add(of.stands_alone, "stands_alone");
    add(of.peer_up_to_date, "peer_up_to_date");
    add(of.peer_primary, "peer_primary");
    return text.empty() ? "-" : text;
}

class printing_user final : public event_stream_user {
public:
    void facts(const std::string& resource, const engine_facts& its) override {
        print(fmt::format("facts {} {} connection={} started={} separated={}", resource, flags(its),
                          its.connection, its.started, its.separated));
    }
    void gone(const std::string& resource) override { print("gone " + resource); }
    void problem(const std::string& text) override { print("problem " + text); }
};

const std::map<std::string, command> words{
    {"drop_link", command::drop_link}, {"connect", command::connect},
    {"outdate", command::outdate},     {"promote", command::promote},
    {"demote", command::demote},       {"demote_with_errors", command::demote_with_errors},
};

void give(engine_commands& commands, const std::string& line) {
    std::istringstream in(line);
    std::string word;
    std::string resource;
    in >> word >> resource;
    const auto what = words.find(word);
    if (what == words.end()) {
        print("problem no such command: " + line);
        return;
    }
    commands.run(resource, what->second, [word, resource](const command_end& end) {
        print(fmt::format("ended {} {} {}{} {}", resource, word, end.exit_code,
                          end.too_late ? " too late" : "",
                          end.complaint.empty() ? "-" : end.complaint));
    });
}

} // namespace

int main(int count, char** arguments) {
    if (count != 4) {
        return 2;
    }
    qb_loop_t* const loop = qb_loop_create();
    {
        printing_user user;
        const event_stream events(loop, arguments[1], now, user);
        engine_commands commands(
            loop, {arguments[2], std::strtoull(arguments[3], nullptr, 10) * 1'000'000});
        ::fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
        std::string unfinished;
        const daemon::watched_descriptor input(loop, STDIN_FILENO, [&] {
            std::array<char, 4096> part;
            const ssize_t got = ::read(STDIN_FILENO, part.data(), part.size());
            if (got <= 0) {
                qb_loop_stop(loop);
                return;
            }
            unfinished.append(part.data(), static_cast<std::size_t>(got));
            for (std::size_t end; (end = unfinished.find('\n')) != std::string::npos;
                 unfinished.erase(0, end + 1)) {
                give(commands, unfinished.substr(0, end));
            }
        });
        qb_loop_run(loop);
    }
    qb_loop_destroy(loop);
    return 0;
}
