#include "unit/state/kernel_log.hpp"

#include "kernel/options/table.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string_view>
#include <system_error>

namespace lockstep::test {

namespace {

using state::volume_state;

// "[  123.456] block drbd0: TEXT" -> "TEXT"; empty for lines of something else.
std::string message_of(const std::string& line) {
    if (line.empty() || line.front() != '[') {
        return {};
    }
    for (const char* device : {"] block drbd0: ", "] drbd r0: "}) {
        const std::size_t at = line.find(device);
        if (at != std::string::npos) {
            return line.substr(at + std::string(device).size());
        }
    }
    return {};
}

bool take_text(std::string_view& rest, std::string_view wanted) {
    if (rest.substr(0, wanted.size()) != wanted) {
        return false;
    }
    rest.remove_prefix(wanted.size());
    return true;
}

template <class Number>
bool take_number(std::string_view& rest, Number& value, int base) {
    const auto [end, failed] = std::from_chars(rest.data(), rest.data() + rest.size(), value, base);
    if (failed != std::errc()) {
        return false;
    }
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    return true;
}

std::string trimmed(const std::string& text) {
    const std::size_t first = text.find_first_not_of(" \t");
    const std::size_t last = text.find_last_not_of(" \t;");
    return first == std::string::npos ? std::string() : text.substr(first, last - first + 1);
}

// "    after-sb-0pri discard-younger-primary;": taken if it is an option of net or disk.
void take_option(const std::string& line, options::net_options& net, options::disk_options& disk) {
    if (line.empty() || trimmed(line).empty() || line.find(';') == std::string::npos) {
        return;
    }
    std::istringstream words(trimmed(line));
    std::string name;
    std::string value;
    words >> name >> value;
    if (!options::set(net, name, value)) {
        static_cast<void>(options::set(disk, name, value));
    }
}

template <class Word>
bool word_of(const std::string& text, int highest, Word& value) {
    for (int at = 0; at <= highest; ++at) {
        if (name(static_cast<Word>(at)) == text) {
            value = static_cast<Word>(at);
            return true;
        }
    }
    return false;
}

bool flag_of(const std::string& text, bool& value) {
    value = text == "1";
    return text == "0" || text == "1";
}

bool take_field(const std::string& field, const std::string& word, volume_state& at) {
    if (field == "role") {
        return word_of(word, 2, at.role);
    }
    if (field == "peer") {
        return word_of(word, 2, at.peer_role);
    }
    if (field == "conn") {
        return word_of(word, 23, at.connection);
    }
    if (field == "disk") {
        return word_of(word, 8, at.disk);
    }
    if (field == "pdsk") {
        return word_of(word, 8, at.peer_disk);
    }
    if (field == "aftr_isp") {
        return flag_of(word, at.sync_paused_after);
    }
    if (field == "peer_isp") {
        return flag_of(word, at.sync_paused_peer);
    }
    return field == "user_isp" && flag_of(word, at.sync_paused_user);
}

// A change of the whole connection is logged in two lines: first what is the volume's own (here:
// the peer's pause ends with the connection), then what all volumes share. The two are one change.
bool continues(const std::vector<log_line>& lines, const std::string& line) {
    return !lines.empty() && line.find("] drbd r0: peer(") != std::string::npos &&
           lines.back().text == "peer_isp( 1 -> 0 ) ";
}

std::vector<node_log> read_file(const std::filesystem::path& path) {
    std::ifstream in(path);
    std::vector<node_log> logs;
    node_log head;
    head.file = path.filename().string();
    std::string line;
    for (int number = 1; std::getline(in, line); ++number) {
        if (line.rfind("== dmesg ", 0) == 0) {
            head.node = line.substr(9);
            logs.push_back(head);
        } else if (logs.empty()) {
            take_option(line, head.net, head.disk);
        } else if (const std::string text = message_of(line); !text.empty()) {
            std::vector<log_line>& lines = logs.back().lines;
            if (continues(lines, line)) {
                lines.back() = {lines.back().text + text, number};
            } else {
                lines.push_back({text, number});
            }
        }
    }
    return logs;
}

} // namespace

std::string node_log::place(const log_line& line) const {
    return file + ":" + std::to_string(line.number) + " (node " + node + "): " + line.text;
}

std::vector<node_log> read_kernel_logs() {
    std::vector<std::filesystem::path> paths;
    const std::filesystem::path where =
        std::filesystem::path(LOCKSTEP_UNPACKED_FIXTURES) / "wire" / "logs";
    for (const auto& entry : std::filesystem::directory_iterator(where)) {
        paths.push_back(entry.path());
    }
    std::sort(paths.begin(), paths.end());
    std::vector<node_log> logs;
    for (const auto& path : paths) {
        for (node_log& one : read_file(path)) {
            logs.push_back(std::move(one));
        }
    }
    return logs;
}

std::optional<logged_transition> parse_transition(const std::string& text,
                                                  const volume_state& now) {
    std::istringstream words(text);
    logged_transition found = {now, now};
    std::string field;
    bool any = false;
    while (words >> field) {
        std::string from;
        std::string arrow;
        std::string to;
        std::string close;
        words >> from >> arrow >> to >> close;
        if (field.empty() || field.back() != '(' || arrow != "->" || close != ")") {
            return std::nullopt;
        }
        field.pop_back();
        if (!take_field(field, from, found.before) || !take_field(field, to, found.after)) {
            return std::nullopt;
        }
        any = true;
    }
    return any ? std::optional(found) : std::nullopt;
}

std::optional<state::generation> parse_generation(const std::string& text,
                                                  const std::string& prefix) {
    std::string_view rest = text;
    std::array<std::uint64_t, 4> slots = {};
    if (!take_text(rest, prefix) || !take_text(rest, " ")) {
        return std::nullopt;
    }
    for (std::size_t at = 0; at < slots.size(); ++at) {
        if ((at != 0 && !take_text(rest, ":")) || !take_number(rest, slots[at], 16)) {
            return std::nullopt;
        }
    }
    return state::generation{slots[0], slots[1], {slots[2], slots[3]}};
}

std::optional<logged_record> parse_record(const std::string& text, const std::string& who) {
    const auto uuids = parse_generation(text, who);
    const std::size_t at = text.find(" bits:");
    if (!uuids || at == std::string::npos) {
        return std::nullopt;
    }
    logged_record found = {*uuids, 0, 0};
    std::string_view rest = std::string_view(text).substr(at);
    const bool read = take_text(rest, " bits:") && take_number(rest, found.bits, 10) &&
                      take_text(rest, " flags:") && take_number(rest, found.flags, 16);
    return read ? std::optional(found) : std::nullopt;
}

std::optional<logged_comparison> parse_comparison(const std::string& text) {
    std::string_view rest = text;
    logged_comparison found;
    const bool read = take_text(rest, "uuid_compare()=") && take_number(rest, found.result, 10) &&
                      take_text(rest, " by rule ") && take_number(rest, found.rule, 10);
    return read ? std::optional(found) : std::nullopt;
}

} // namespace lockstep::test
