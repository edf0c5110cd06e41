#include "agent/drbdsetup/usage.hpp"

#include <fmt/format.h>

#include "agent/drbdsetup/wrapped_text.hpp"
#include "kernel/options/xml_help.hpp"

namespace lockstep::drbdsetup {

namespace {

constexpr std::size_t columns = 80;
constexpr std::string_view addresses[] = {"[{af}:]{local_addr}[:{port}]",
                                          "[{af}:]{remote_addr}[:{port}]"};

std::string usage_of(const own_option& option) {
    switch (option.kind) {
    case option_kind::flag:
        return fmt::format("[--{}]", option.name);
    case option_kind::boolean:
        return fmt::format("[--{}={{yes|no}}]", option.name);
    case option_kind::number:
        return fmt::format("[--{}=({} ... {})]", option.name, option.min, option.max);
    case option_kind::address:
        return fmt::format("[--{}={}]", option.name, addresses[0]);
    case option_kind::text:
        break;
    }
    return fmt::format("[--{}=...]", option.name);
}

std::string usage_of(const options::option_row& option) {
    switch (option.kind) {
    case options::kind::boolean:
        return fmt::format("[--{}={{yes|no}}]", option.name);
    case options::kind::number:
        return fmt::format("[--{}=({} ... {})]", option.name, option.min, option.max);
    case options::kind::text:
        return fmt::format("[--{}=<str>]", option.name);
    case options::kind::word:
        break;
    }
    std::string words;
    for (const options::word_value& each : option.words) {
        words += words.empty() ? "" : "|";
        words += each.word;
    }
    return fmt::format("[--{}={{{}}}]", option.name, words);
}

// In the original the flags of those that look come before --set-defaults, and the options of
// those that change something after it; no command has both.
std::string xml_of(const own_option& option) {
    const std::string head = fmt::format("\t<option name=\"{}\" type=", option.name);
    switch (option.kind) {
    case option_kind::flag:
        return head + "\"flag\">\n\t</option>\n";
    case option_kind::boolean:
        return head + "\"boolean\">\n\t\t<default>no</default>\n\t</option>\n";
    case option_kind::address:
        return head + "\"address\">\n\t</option>\n";
    case option_kind::text:
        return head + "\"string\">\n\t</option>\n";
    case option_kind::number:
        break;
    }
    std::string number =
        head + fmt::format("\"numeric\">\n\t\t<min>{}</min>\n\t\t<max>{}</max>\n"
                           "\t\t<default>{}</default>\n"
                           "\t\t<unit_prefix>{}</unit_prefix>\n",
                           option.min, option.max, option.default_value, option.scale);
    if (!option.unit.empty()) {
        number += fmt::format("\t\t<unit>{}</unit>\n", option.unit);
    }
    return number + "\t</option>\n";
}

std::string xml_context(const command_row& row) {
    std::string lines;
    int choices = 0;
    const auto add = [&](context which, std::string_view word) {
        if ((row.contexts & which) != 0) {
            lines += fmt::format("\t\t<argument>{}</argument>\n", word);
            ++choices;
        }
    };
    add(on_resource, "resource");
    add(on_minor, "minor");
    add(on_all, "all");
    if (choices > 1) {
        return "\t<group>\n" + lines + "\t</group>\n";
    }
    return choices == 1 ? lines.substr(1) : lines;
}

} // namespace

std::string general_usage(std::string_view program) {
    std::string text = fmt::format("\nUSAGE: {} command device arguments options\n\n"
                                   "Device is usually /dev/drbdX or /dev/drbd/X.\n"
                                   "\nCommands are:\n",
                                   program);
    wrapped_text list(columns);
    for (const command_row& row : commands()) {
        list.add(4, fmt::format("{:<18}  ", row.name));
    }
    return text + list.text() +
           "\n\nTo get more details about a command issue 'drbdsetup help cmd'.\n\n";
}

std::string command_usage(const command_row& row, std::string_view program, bool with_ours) {
    wrapped_text line(columns);
    line.add(1, fmt::format("{} {}", program, row.name));
    if (const std::string first = first_argument(row); !first.empty()) {
        line.add(4, " " + first);
    }
    if ((row.contexts & on_connection) != 0) {
        line.add(4, fmt::format(" {}", addresses[0]));
        line.add(4, fmt::format(" {}", addresses[1]));
    }
    for (const std::string_view argument : row.arguments) {
        line.add(4, fmt::format(" {{{}}}", argument));
    }
    if (row.set_defaults) {
        line.add(4, " [--set-defaults]");
    }
    for (const own_option& option : row.options) {
        if (with_ours || !option.ours) {
            line.add(4, " " + usage_of(option));
        }
    }
    if (row.section) {
        for (const options::option_row& option : options::rows(row.section->section)) {
            if (takes(row, option)) {
                line.add(4, " " + usage_of(option));
            }
        }
    }
    return "USAGE:\n" + line.text() + "\n";
}

std::string command_xml(const command_row& row, bool with_ours) {
    std::string text = fmt::format("<command name=\"{}\">\n", row.name) + xml_context(row);
    if ((row.contexts & on_connection) != 0) {
        text += "\t<argument>local_addr</argument>\n\t<argument>remote_addr</argument>\n";
    }
    for (const std::string_view argument : row.arguments) {
        text += fmt::format("\t<argument>{}</argument>\n", argument);
    }
    if (row.set_defaults) {
        text += "\t<option name=\"set-defaults\" type=\"flag\">\n\t</option>\n";
    }
    for (const own_option& option : row.options) {
        if (with_ours || !option.ours) {
            text += xml_of(option);
        }
    }
    if (row.section) {
        text += options::xml_help(row.section->section, row.section->only_at_run_time);
    }
    return text + "</command>\n";
}

} // namespace lockstep::drbdsetup
