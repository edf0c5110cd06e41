// Writes a manual page from its template: `write_options TEMPLATE PAGE VERSION`. The options come
// from the table that the programs use, so that a page cannot say anything else than they do.
//
// Lines of a template that are not copied:
//   @conf SECTION@          the options of a section as drbd.conf has them
//   @setup SECTION@         as drbdsetup takes them
//   @legacy disk|net|syncer@  the options of a command of DRBD 8.3
//   @failures@              the numbers of refused configurations: text and remedy
//   @refusals@              the same of refused changes of state
//   @note SECTION NAME@ ... @end@   what @conf adds to one option; before its section
// @version@ stands for the version anywhere.
#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <string>

#include <fmt/format.h>

#include "agent/drbdsetup/messages.hpp"
#include "kernel/options/legacy.hpp"
#include "kernel/options/table.hpp"
#include "kernel/state/types.hpp"

namespace {

using namespace lockstep;
using options::option_row;

// Text as roff shows it: nothing in it is a command, and a hyphen can be copied to a shell.
std::string plain(std::string_view text) {
    std::string out;
    for (const char c : text) {
        out += c == '-' ? "\\-" : c == '\\' ? "\\e" : std::string(1, c);
    }
    return !out.empty() && (out[0] == '.' || out[0] == '\'') ? "\\&" + out : out;
}

// What stands for the value behind the name of an option.
std::string value_word(const option_row& row) {
    static const std::map<std::string_view, std::string> special = {
        {"on-io-error", "handler"}, {"protocol", "prot-id"},     {"resync-after", "resource"},
        {"cpu-mask", "mask"},       {"shared-secret", "secret"}, {"read-balancing", "method"}};
    if (const auto found = special.find(row.name); found != special.end()) {
        return found->second;
    }
    switch (row.kind) {
    case options::kind::boolean:
        return "yes|no";
    case options::kind::word:
        return "policy";
    case options::kind::text:
        return "algorithm";
    case options::kind::number:
        break;
    }
    return row.unit == "bytes" ? "size" : row.unit == "bytes/second" ? "rate" : "number";
}

// What a bare number counts.
std::string counted(const option_row& row) {
    const bool per_second = row.unit == "bytes/second";
    if (row.scale == 'k' || row.scale == 's') {
        return fmt::format(" {}{}", row.scale == 'k' ? "KiB" : "sectors of 512 bytes",
                           per_second ? " per second" : "");
    }
    if (row.unit == "1/10 seconds") {
        return " tenths of a second";
    }
    return row.unit.empty() ? std::string{} : " " + plain(row.unit);
}

std::string range(const option_row& row) {
    return fmt::format("From {} to {}{}; default {}.\n{}", plain(std::to_string(row.min)), row.max,
                       counted(row), plain(row.default_text),
                       row.clamped ? "A value outside becomes the nearest one inside.\n" : "");
}

std::string values(const option_row& row) {
    if (row.kind == options::kind::number) {
        return range(row);
    }
    if (row.kind == options::kind::boolean) {
        return fmt::format("Default {}.\n", row.default_text);
    }
    if (row.kind == options::kind::text) {
        return fmt::format("At most {} bytes; not set by default.\n", row.max);
    }
    std::string list;
    for (const options::word_value& each : row.words) {
        list += (list.empty() ? "" : ", ") + fmt::format("\\fB{}\\fR", plain(each.word));
    }
    return fmt::format("One of {}; default {}.\n", list, plain(row.default_text));
}

std::string old_names(const option_row& row) {
    std::string out;
    for (const auto& [command, section] :
         {std::pair{options::command_83::disk, "disk"}, std::pair{options::command_83::net, "net"},
          std::pair{options::command_83::syncer, "syncer"}}) {
        for (const options::legacy_option& old : options::legacy_options(command)) {
            const bool same_place = section == options::section_name(row.section);
            if (old.section == row.section && old.name == row.name &&
                !(same_place && old.old_name == row.name)) {
                out += fmt::format("DRBD 8.3: \\fB{}\\fR in \\fB{}\\fR {{}}.\n",
                                   plain(old.old_name), section);
            }
        }
    }
    return out;
}

std::string description(const option_row& row) {
    std::string out = plain(row.help) + "\n" + values(row);
    if (row.effect == options::effect::refused_unless_default) {
        out += fmt::format("Anything but the default is refused: {}.\n", plain(row.reason));
    } else if (row.effect == options::effect::meaningless_here) {
        out += fmt::format("Accepted and shown, but without effect here: {}.\n", plain(row.reason));
    }
    return out + (row.at_run_time ? "" : "Can be set by attach only, not at run time.\n");
}

using notes = std::map<std::string, std::string>;

std::string as_conf(options::section where, notes& added) {
    std::string out;
    for (const option_row& row : options::rows(where)) {
        out += fmt::format(".TP\n\\fB{}\\fR \\fI{}\\fR\n{}{}", plain(row.name),
                           plain(value_word(row)), description(row), old_names(row));
        const auto note = added.find(fmt::format("{} {}", options::section_name(where), row.name));
        if (note != added.end()) {
            out += note->second;
            added.erase(note);
        }
    }
    return out;
}

std::string as_setup(options::section where) {
    std::string out;
    for (const option_row& row : options::rows(where)) {
        const bool flag = row.kind == options::kind::boolean;
        out +=
            fmt::format(".TP\n\\fB\\-\\-{}\\fR{}=\\fI{}\\fR{}\n{}", plain(row.name),
                        flag ? "[" : "", plain(value_word(row)), flag ? "]" : "", description(row));
    }
    return out;
}

std::string as_legacy(options::command_83 command) {
    std::string out;
    for (const options::legacy_option& old : options::legacy_options(command)) {
        const option_row* row = options::find(old.section, old.name);
        const bool flag = row == nullptr || row->kind == options::kind::boolean;
        out += fmt::format(".TP\n\\fB\\-{}\\fR, \\fB\\-\\-{}\\fR{}\nToday \\fB\\-\\-{}\\fR{}.\n",
                           old.short_option, plain(old.old_name),
                           flag ? "" : fmt::format(" \\fI{}\\fR", plain(value_word(*row))),
                           plain(old.name),
                           old.implied_value.empty() ? "" : fmt::format("={}", old.implied_value));
    }
    return out;
}

// Messages have line ends and tabs for a terminal.
std::string on_one_line(std::string_view text) {
    std::istringstream words{std::string(text)};
    std::string out;
    for (std::string word; words >> word;) {
        out += out.empty() ? word : " " + word;
    }
    return plain(out);
}

std::string message(int number, std::string_view text, std::string_view remedy) {
    return fmt::format(".TP\n\\fB({})\\fR {}\n{}\n", plain(std::to_string(number)),
                       on_one_line(text), on_one_line(remedy));
}

std::string failures() {
    constexpr int first = 101;
    std::string out;
    for (int number = first; const auto* code = drbdsetup::find_code(number); ++number) {
        out += message(number, code->text, code->remedy);
    }
    return out;
}

std::string refusals() {
    std::string out;
    for (int number = static_cast<int>(state::verdict::two_primaries);
         number >= static_cast<int>(state::verdict::outdate_without_connection); --number) {
        const auto value = static_cast<state::verdict>(number);
        if (const std::string_view remedy = state::remedy(value); !remedy.empty()) {
            out += message(number, state::text(value), remedy);
        }
    }
    return out;
}

// Empty if the directive is none of ours.
std::string expand(const std::string& line, notes& added) {
    using options::section;
    for (const section where : {section::disk, section::net, section::resource}) {
        const std::string_view name = options::section_name(where);
        if (line == fmt::format("@conf {}@", name)) {
            return as_conf(where, added);
        }
        if (line == fmt::format("@setup {}@", name)) {
            return as_setup(where);
        }
    }
    using options::command_83;
    return line == "@legacy disk@"     ? as_legacy(command_83::disk)
           : line == "@legacy net@"    ? as_legacy(command_83::net)
           : line == "@failures@"      ? failures()
           : line == "@refusals@"      ? refusals()
           : line == "@legacy syncer@" ? as_legacy(command_83::syncer)
                                       : std::string{};
}

std::string read_note(std::istream& from) {
    std::string out;
    for (std::string line; std::getline(from, line) && line != "@end@";) {
        out += line + "\n";
    }
    return out;
}

int write_page(std::istream& from, std::ostream& to, const std::string& version) {
    constexpr std::string_view note = "@note ";
    constexpr std::string_view version_word = "@version@";
    notes added;
    for (std::string line; std::getline(from, line);) {
        if (const std::size_t at = line.find(version_word); at != std::string::npos) {
            line.replace(at, version_word.size(), version);
        }
        if (line.compare(0, note.size(), note) == 0) {
            added[line.substr(note.size(), line.size() - note.size() - 1)] = read_note(from);
        } else if (line.empty() || line[0] != '@') {
            to << line << "\n";
        } else if (const std::string text = expand(line, added); !text.empty()) {
            to << text;
        } else {
            std::cerr << "unknown directive " << line << "\n";
            return 1;
        }
    }
    for (const auto& [name, text] : added) {
        std::cerr << "note for an option that is not there: " << name << "\n";
    }
    return added.empty() && to.flush() ? 0 : 1;
}

} // namespace

int main(int count, char** arguments) {
    if (count != 4) {
        std::cerr << "usage: write_options TEMPLATE PAGE VERSION\n";
        return 2;
    }
    std::ifstream from(arguments[1]);
    std::ofstream to(arguments[2]);
    if (!from || !to) {
        std::cerr << "cannot open " << (from ? arguments[2] : arguments[1]) << "\n";
        return 1;
    }
    return write_page(from, to, arguments[3]);
}
