#include "agent/drbdsetup/program.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "agent/drbdsetup/change_commands.hpp"
#include "agent/drbdsetup/legacy_grammar.hpp"
#include "agent/drbdsetup/messages.hpp"
#include "agent/drbdsetup/query_commands.hpp"
#include "agent/drbdsetup/usage.hpp"
#include "agent/drbdsetup/watch_commands.hpp"

namespace lockstep::drbdsetup {

namespace {

struct handler {
    std::string_view name;
    int (*run)(const session&);
};

// Those that are not simply a request.
constexpr std::array handlers = {
    handler{"new-resource", &run_new_resource},
    handler{"down", &run_down},
    handler{"state", &run_word},
    handler{"role", &run_word},
    handler{"cstate", &run_word},
    handler{"dstate", &run_word},
    handler{"sh-status", &run_sh_status},
    handler{"show-gi", &run_gi},
    handler{"get-gi", &run_gi},
    handler{"show", &run_show},
    handler{"status", &run_status},
    handler{"proc", &run_proc},
    handler{"check-resize", &run_check_resize},
    handler{"events", &run_events},
    handler{"events2", &run_events},
    handler{"wait-connect", &run_wait},
    handler{"wait-sync", &run_wait},
};

bool is_help(std::string_view word) {
    return word == "help" || word == "--help" || word == "-h";
}

int help(const std::vector<std::string>& words, const std::string& program, console& terminal) {
    if (words.size() < 2) {
        terminal.print(general_usage(program));
        return exit_usage;
    }
    const command_row* row = find_command(words[1]);
    if (row == nullptr) {
        terminal.print(general_usage(program) + "\nunknown command\n");
        return exit_usage;
    }
    terminal.print(words[0] == "xml-help" ? command_xml(*row) : command_usage(*row, program));
    return exit_ok;
}

int run_command(const std::vector<std::string>& words, const std::string& program,
                const control::runtime_directory& where, console& terminal) {
    const result<invocation> asked = parse_arguments(words);
    if (!asked) {
        terminal.complain(fmt::format("{}{}{}\n{}", asked.error().what,
                                      asked.error().where.empty() ? "" : ": ", asked.error().where,
                                      asked.error().remedy));
        return exit_usage;
    }
    const session now{*asked, engines(where), terminal, program};
    if (where.forbidden()) {
        return now.refuse({"", where.root(), "", code_permission});
    }
    const auto found = std::find_if(handlers.begin(), handlers.end(), [&](const handler& each) {
        return each.name == asked->row->name;
    });
    return found == handlers.end() ? run_change(now) : found->run(now);
}

} // namespace

int run_program(const std::vector<std::string>& words, const control::runtime_directory& where,
                console& terminal) {
    const std::string called = words.empty() ? "drbdsetup" : words[0];
    const std::string program = called.substr(called.rfind('/') + 1);
    std::vector<std::string> rest(words.empty() ? words.begin() : words.begin() + 1, words.end());
    if (rest.size() > 1 && (rest[1] == "--help" || rest[1] == "-h")) {
        std::swap(rest[0], rest[1]);
    }
    if (rest.empty() || is_help(rest[0]) || rest[0] == "xml-help") {
        return help(rest, program, terminal);
    }
    if (is_legacy(rest)) {
        const result<std::vector<std::vector<std::string>>> translated = translate_legacy(
            rest, [&](std::uint32_t minor) { return where.resource_of_minor(minor); });
        if (!translated) {
            terminal.complain(translated.error().text() + "\n");
            return exit_usage;
        }
        int code = exit_ok;
        for (auto each = translated->begin(); each != translated->end() && code == 0; ++each) {
            code = run_command(*each, program, where, terminal);
        }
        return code;
    }
    return run_command(rest, program, where, terminal);
}

} // namespace lockstep::drbdsetup
