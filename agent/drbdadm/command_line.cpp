#include "agent/drbdadm/command_line.hpp"

#include <algorithm>
#include <array>
#include <getopt.h>
#include <set>
#include <vector>

#include <fmt/format.h>

#include "agent/config/nearest.hpp"
#include "agent/drbdadm/exit_code.hpp"
#include "kernel/options/table.hpp"

namespace lockstep::drbdadm {

namespace {

constexpr int passed_on = 257; // getopt's value for an option that is drbdsetup's

struct general_option {
    const char* name;
    int argument;
    int letter;
};

constexpr std::array general_options{
    general_option{"stacked", no_argument, 'S'},
    general_option{"dry-run", no_argument, 'd'},
    general_option{"verbose", no_argument, 'v'},
    general_option{"config-file", required_argument, 'c'},
    general_option{"config-to-test", required_argument, 't'},
    general_option{"config-to-exclude", required_argument, 'E'},
    general_option{"drbdsetup", required_argument, 's'},
    general_option{"drbdmeta", required_argument, 'm'},
    general_option{"drbd-proxy-ctl", required_argument, 'p'},
    general_option{"sh-varname", required_argument, 'n'},
    general_option{"peer", required_argument, 'P'},
    general_option{"version", no_argument, 'V'},
    general_option{"setup-option", required_argument, 'W'},
    general_option{"help", no_argument, 'h'},
};

// drbdsetup's options by name, with whether their value may be left out.
std::vector<std::pair<std::string, int>> setup_options() {
    std::vector<std::pair<std::string, int>> out{
        {"force", optional_argument},
        {"overwrite-data-of-peer", optional_argument},
        {"tentative", optional_argument},
        {"discard-my-data", optional_argument},
        {"alternate-address", required_argument},
        {"alternate-peer-address", required_argument},
        {"assume-peer-has-space", optional_argument},
        {"assume-clean", optional_argument},
        {"al-stripes", required_argument},
        {"al-stripe-size-kB", required_argument},
        {"clear-bitmap", optional_argument},
        {"start", required_argument},
        {"stop", required_argument},
        {"skip-disk", no_argument},
        {"skip-net", no_argument},
        {"max-peers", required_argument},
    };
    for (const options::section where :
         {options::section::disk, options::section::net, options::section::resource}) {
        for (const options::option_row& row : options::rows(where)) {
            out.emplace_back(row.name, row.kind == options::kind::boolean ? optional_argument
                                                                          : required_argument);
        }
    }
    return out;
}

tl::unexpected<error> usage_error(std::string what, std::string remedy = {}) {
    return fail(std::move(what), {}, std::move(remedy), exit_usage);
}

std::string way_to_command(const std::string& program, std::string_view word) {
    std::vector<std::string_view> known;
    for (const command& row : all_commands()) {
        known.push_back(row.name);
    }
    const std::string_view meant = config::nearest(word, known);
    const std::string help = fmt::format("try '{} help'", program);
    return meant.empty() ? help : fmt::format("did you mean '{}'? Else {}", meant, help);
}

bool is_shell_name(std::string_view name) {
    return std::all_of(name.begin(), name.end(), [](char c) {
        return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
               (c >= 'A' && c <= 'Z');
    });
}

bool has_control(std::string_view name) {
    return std::any_of(name.begin(), name.end(),
                       [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; });
}

void take_letter(request& out, int letter, const std::string& value) {
    switch (letter) {
    case 'S':
        out.stacked = true;
        break;
    case 'd':
        ++out.dry_run;
        break;
    case 'v':
        ++out.verbose;
        break;
    case 'c':
        out.config_file = value;
        break;
    case 't':
        out.config_tests.push_back(value);
        break;
    case 'E':
        out.config_excludes.push_back(value);
        break;
    case 's':
        out.drbdsetup = value;
        break;
    case 'm':
        out.drbdmeta = value;
        break;
    case 'p':
        out.drbd_proxy_ctl = value;
        break;
    case 'n':
        if (is_shell_name(value)) {
            out.shell_variable = value;
        } else {
            out.notices.push_back(fmt::format("ignored --sh-varname={}: contains suspect "
                                              "characters, allowed set is [a-zA-Z0-9_]",
                                              value));
        }
        break;
    case 'P':
        out.peer = value;
        break;
    case 'W':
        out.passed.push_back({value, true});
        break;
    case 'V':
        out.kind = request_kind::version;
        break;
    case 'h':
        out.kind = request_kind::help;
        break;
    default:
        break;
    }
}

result<> take_word(request& out, const std::string& word) {
    if (out.what != nullptr) {
        if (word.empty()) {
            return usage_error("Resource name is empty.");
        }
        if (has_control(word)) {
            return usage_error("Resource name is invalid - please don't use control characters.");
        }
        out.names.push_back(word);
        return {};
    }
    if (word == "help") {
        out.kind = request_kind::help;
        return {};
    }
    const std::string_view name = current_name(word);
    out.what = find_command(name);
    if (out.what == nullptr) {
        out.passed.push_back({word, true});
        return {};
    }
    out.typed_name = word;
    if (name != word) {
        out.notices.push_back(fmt::format("'{} {}' is deprecated, use '{} {}' instead.",
                                          out.program, word, out.program, name));
    }
    return {};
}

// Options without `--` before them must be the command's own.
result<> check_passed(const request& out) {
    for (const setup_option& option : out.passed) {
        if (option.is_explicit) {
            continue;
        }
        const std::string name = option.text.substr(0, option.text.find('='));
        if (!passes_option(*out.what, std::string_view(name).substr(2))) {
            return usage_error(fmt::format("{}: unrecognized option '{}'", out.program, name),
                               fmt::format("try '{} help {}'", out.program, out.what->name));
        }
    }
    return {};
}

result<> parse_options(request& out, int argc, char** argv) {
    static const auto known = setup_options();
    std::vector<option> table;
    std::string letters;
    std::set<std::string_view> names;
    for (const general_option& row : general_options) {
        table.push_back({row.name, row.argument, nullptr, row.letter});
        letters += static_cast<char>(row.letter);
        letters += row.argument == required_argument ? ":" : "";
        names.insert(row.name);
    }
    for (const auto& [name, argument] : known) {
        if (names.insert(name).second) {
            table.push_back({name.c_str(), argument, nullptr, passed_on});
        }
    }
    table.push_back({nullptr, 0, nullptr, 0});
    optind = 0;
    int index = 0;
    int got = 0;
    while ((got = ::getopt_long(argc, argv, letters.c_str(), table.data(), &index)) != -1) {
        if (got == '?') {
            return usage_error(fmt::format("try '{} help'", out.program));
        }
        const std::string value = optarg == nullptr ? std::string{} : optarg;
        if (got == passed_on) {
            const std::string name = table[static_cast<std::size_t>(index)].name;
            out.passed.push_back(
                {optarg == nullptr ? "--" + name : fmt::format("--{}={}", name, value), false});
        } else {
            take_letter(out, got, value);
        }
    }
    return {};
}

} // namespace

result<request> parse_command_line(int argc, char** argv) {
    request out;
    const std::string whole = argv[0];
    const std::size_t slash = whole.rfind('/');
    out.program = slash == std::string::npos ? whole : whole.substr(slash + 1);
    out.program_directory = slash == std::string::npos ? std::string{} : whole.substr(0, slash + 1);
    std::string program = out.program;
    argv[0] = program.data();
    if (auto parsed = parse_options(out, argc, argv); !parsed) {
        return tl::unexpected(parsed.error());
    }
    const int first = optind;
    for (int i = first; i < argc; ++i) {
        if (auto taken = take_word(out, argv[i]); !taken) {
            return tl::unexpected(taken.error());
        }
    }
    if (out.kind != request_kind::run) {
        return out;
    }
    if (out.what == nullptr) {
        if (first < argc) {
            return usage_error(fmt::format("{}: Unknown command '{}'", out.program, argv[first]),
                               way_to_command(out.program, argv[first]));
        }
        return usage_error(usage_text(out.program, nullptr) + "\nNo command specified");
    }
    if (auto checked = check_passed(out); !checked) {
        return tl::unexpected(checked.error());
    }
    if (!out.config_tests.empty() && !out.what->allows_config_test) {
        return usage_error("The --config-to-test (-t) option is only allowed with the dump and "
                           "sh-nop commands");
    }
    return out;
}

namespace {

std::string commands_for(audience whom) {
    std::string out;
    bool left = true;
    for (const command& row : all_commands()) {
        if (row.listed != whom) {
            continue;
        }
        out += left ? fmt::format(" {:<35}", row.name) : fmt::format("{:<35}\n", row.name);
        left = !left;
    }
    return left ? out : out + "\n";
}

} // namespace

std::string usage_text(const std::string& program, const command* what) {
    std::string out =
        fmt::format("\nUSAGE: {} {} [OPTION...] {{all|RESOURCE...}}\n\nGENERAL OPTIONS:\n", program,
                    what == nullptr ? "COMMAND" : what->name);
    for (const general_option& row : general_options) {
        const bool value = row.argument == required_argument;
        out += fmt::format("  --{}{}, -{}{}\n", row.name, value ? "=..." : "",
                           static_cast<char>(row.letter), value ? " ..." : "");
    }
    if (what == nullptr) {
        return out + "\nCOMMANDS:\n" + commands_for(audience::administrators);
    }
    std::string own;
    if (what->passes != passed_options::create_md) {
        for (const auto& [name, argument] : setup_options()) {
            if (passes_option(*what, name)) {
                own += fmt::format("  --{}{}\n", name,
                                   argument == no_argument         ? ""
                                   : argument == required_argument ? "=..."
                                                                   : "[=...]");
            }
        }
    }
    return own.empty() ? out : out + fmt::format("\nOPTIONS FOR {}:\n", what->name) + own;
}

std::string hidden_commands_text() {
    return "\nThese additional commands might be useful for writing\n"
           "nifty shell scripts around drbdadm:\n\n" +
           commands_for(audience::scripts) +
           "\nThese commands are used by the kernel part of DRBD to\n"
           "invoke user mode helper programs:\n\n" +
           commands_for(audience::engine) +
           "\nThese commands ought to be used by experts and developers:\n\n" +
           commands_for(audience::experts) + "\n";
}

} // namespace lockstep::drbdadm
