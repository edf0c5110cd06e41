#include "kernel/options/table.hpp"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

namespace lockstep::options {

namespace {

constexpr int config_invalid = 10; // drbdadm's exit code

int shift_of(char scale) {
    switch (scale) {
    case 'k':
        return 10;
    case 's':
        return 9;
    default:
        return 0;
    }
}

int shift_of_suffix(char suffix) {
    switch (suffix) {
    case 'K':
    case 'k':
        return 10;
    case 'M':
    case 'm':
        return 20;
    case 'G':
    case 'g':
        return 30;
    case 's':
        return 9;
    default:
        return -1;
    }
}

tl::unexpected<error> not_a_number(std::string_view text) {
    return fail(fmt::format("{} is not a valid number", text), {},
                "give digits, and if wanted one of the suffixes K, M, G (bytes) or s (sectors)",
                config_invalid);
}

std::string scale_suffix(const option_row& row) {
    return row.scale == '1' ? std::string{} : std::string(1, row.scale);
}

result<std::string> normalise_number(const option_row& row, std::string_view text) {
    const auto value = parse_number(text, row.scale, row.min < 0);
    if (!value) {
        return fail(fmt::format("{} {}: {}", row.name, text, value.error().what), {},
                    value.error().remedy, config_invalid);
    }
    const std::string unit = scale_suffix(row);
    if (row.clamped) {
        return fmt::format("{}{}", std::clamp(*value, row.min, row.max), unit);
    }
    if (*value < row.min || *value > row.max) {
        return fail(fmt::format("{} {} => {}{} out of range [{}..{}]{}.", row.name, text, *value,
                                unit, row.min, row.max, unit),
                    {}, fmt::format("the default is {}", row.default_text), config_invalid);
    }
    return fmt::format("{}{}", *value, unit);
}

result<std::string> normalise_word(const option_row& row, std::string_view text) {
    std::string allowed;
    for (const word_value& entry : row.words) {
        // The protocol's letter is the only word whose case DRBD ignores.
        const bool letter =
            row.name == "protocol" && text.size() == 1 && (text[0] & ~0x20) == entry.word[0];
        if (text == entry.word || letter) {
            return std::string(entry.word);
        }
        allowed += allowed.empty() ? "" : " | ";
        allowed += entry.word;
    }
    return fail(fmt::format("{} {}: not one of {}", row.name, text, allowed), {},
                fmt::format("the default is {}", row.default_text), config_invalid);
}

result<std::string> normalise_text(const option_row& row, std::string_view text) {
    if (static_cast<std::int64_t>(text.size()) > row.max) {
        return fail(fmt::format("{}: {} bytes are too long, at most {} are possible", row.name,
                                text.size(), row.max),
                    {}, {}, config_invalid);
    }
    return std::string(text);
}

result<std::string> normalise_kind(const option_row& row, std::string_view text) {
    switch (row.kind) {
    case kind::number:
        return normalise_number(row, text);
    case kind::word:
        return normalise_word(row, text);
    case kind::text:
        return normalise_text(row, text);
    case kind::boolean:
        break;
    }
    if (text.empty() || text == "yes") {
        return std::string("yes");
    }
    if (text == "no") {
        return std::string("no");
    }
    return fail(fmt::format("{} {}: not one of yes | no", row.name, text), {}, {}, config_invalid);
}

} // namespace

const option_row* find(section where, std::string_view name) {
    const auto all = rows(where);
    const auto found =
        std::find_if(all.begin(), all.end(), [&](const auto& row) { return row.name == name; });
    return found == all.end() ? nullptr : &*found;
}

std::string_view section_name(section where) {
    switch (where) {
    case section::disk:
        return "disk";
    case section::net:
        return "net";
    case section::resource:
        break;
    }
    return "options";
}

result<std::int64_t> parse_number(std::string_view text, char scale, bool negative) {
    const std::string_view whole = text;
    const bool minus = negative && !text.empty() && text.front() == '-';
    if (minus) {
        text.remove_prefix(1);
    }
    std::uint64_t value = 0;
    std::size_t digits = 0;
    for (; digits < text.size() && text[digits] >= '0' && text[digits] <= '9'; ++digits) {
        const auto digit = static_cast<std::uint64_t>(text[digits] - '0');
        if (value > (std::numeric_limits<std::int64_t>::max() - digit) / 10) {
            return fail(fmt::format("{}: out of range", whole), {}, {}, config_invalid);
        }
        value = value * 10 + digit;
    }
    const std::string_view suffix = text.substr(digits);
    if (digits == 0 || suffix.size() > 1) {
        return not_a_number(whole);
    }
    int shift = 0;
    if (!suffix.empty()) {
        const int bits = shift_of_suffix(suffix.front());
        if (bits < 0) {
            return not_a_number(whole);
        }
        shift = bits - shift_of(scale);
    }
    if (shift < 0) {
        value = (value + (std::uint64_t{1} << -shift) - 1) >> -shift;
    } else if (value > (std::uint64_t{std::numeric_limits<std::int64_t>::max()} >> shift)) {
        return fail(fmt::format("{}: out of range", whole), {}, {}, config_invalid);
    } else {
        value <<= shift;
    }
    const auto number = static_cast<std::int64_t>(value);
    return minus ? -number : number;
}

result<std::string> normalise(const option_row& row, std::string_view text) {
    auto normal = normalise_kind(row, text);
    if (normal && row.effect == effect::refused_unless_default && *normal != row.default_text) {
        return fail(fmt::format("{} {} is not possible here: {}", row.name, *normal, row.reason),
                    {}, fmt::format("leave it at its default, {}", row.default_text),
                    config_invalid);
    }
    return normal;
}

bool same_value(const option_row& row, std::string_view a, std::string_view b) {
    if (a == b) {
        return true;
    }
    const auto left = normalise_kind(row, a);
    const auto right = normalise_kind(row, b);
    return left && right && *left == *right;
}

std::string quoted(std::string_view text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"' || c == '\\') {
            out += '\\';
        }
        out += c;
    }
    return out + '"';
}

std::string show_line(const setting& entry) {
    const option_row& row = *entry.row;
    const std::string value = row.kind == kind::text ? quoted(entry.text) : entry.text;
    std::string line = fmt::format("{:<16}\t{};", row.name, value);
    if (!row.unit.empty() || entry.is_default) {
        line += " # ";
        line += row.unit;
        line += !row.unit.empty() && entry.is_default ? ", " : "";
        line += entry.is_default ? "default" : "";
    }
    return line;
}

std::int64_t number_of(const option_row& row, std::string_view text) {
    const auto value = parse_number(text, row.scale, row.min < 0);
    return value ? *value : 0;
}

} // namespace lockstep::options
