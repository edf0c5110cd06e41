#include "agent/drbdmeta/generation_text.hpp"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <vector>

#include <fmt/format.h>

#include "agent/drbdmeta/console.hpp"

namespace lockstep::drbdmeta {

namespace {

namespace flag = format::md_flag;

// In the order of the text.
constexpr std::array flags_in_order = {
    flag::consistent, flag::was_up_to_date, flag::primary_ind,     flag::connected_ind,
    flag::full_sync,  flag::peer_out_dated, flag::crashed_primary,
};

std::string_view disk_word(const format::superblock& value) {
    if (!value.has(flag::consistent)) {
        return "Inconsistent";
    }
    return value.has(flag::was_up_to_date) ? "UpToDate" : "Outdated";
}

std::vector<std::string> split(std::string_view text) {
    std::vector<std::string> fields;
    for (;;) {
        const auto colon = text.find(':');
        fields.emplace_back(text.substr(0, colon));
        if (colon == std::string_view::npos) {
            return fields;
        }
        text.remove_prefix(colon + 1);
    }
}

result<std::uint64_t> read_number(const std::string& text, int base) {
    char* end = nullptr;
    errno = 0;
    const std::uint64_t value = std::strtoull(text.c_str(), &end, base);
    if (*end != 0 || text[0] == '-') {
        return stop(10, fmt::format("'{}' is not a number.\n", text));
    }
    if (errno != 0) {
        return stop(10, fmt::format("'{}' is out of range.\n", text));
    }
    return value;
}

} // namespace

std::string generation_line(const format::superblock& value) {
    std::string line =
        fmt::format("{:016X}:{:016X}:{:016X}:{:016X}", value.uuids.current, value.uuids.bitmap,
                    value.uuids.history[0], value.uuids.history[1]);
    for (const std::uint32_t bit : flags_in_order) {
        line += value.has(bit) ? ":1" : ":0";
    }
    return line;
}

std::string generation_drawing(const format::superblock& value) {
    std::string text = "\n"
                       "       +--<  Current data generation UUID  >-\n"
                       "       |               +--<  Bitmap's base data generation UUID  >-\n"
                       "       |               |                 +--<  younger history UUID  >-\n"
                       "       |               |                 |         +-<  older history  >-\n"
                       "       V               V                 V         V\n";
    text += generation_line(value) + "\n";
    constexpr std::array meanings = {
        "Data consistency flag  >--+",
        "Data was/is currently up-to-date  >--+",
        "Node was/is currently primary  >--+",
        "Node was/is currently connected  >--+",
        "Node was in the progress of setting all bits in the bitmap  >--+",
        "The peer's disk was out-dated or inconsistent  >--+",
        "This node was a crashed primary, and has not seen its peer since   >--+",
    };
    // The first flag stands in column 68; each line ends below its flag, the arrows of those to
    // come go on beside it.
    constexpr std::size_t first_column = 68;
    text += std::string(first_column, ' ') + "^ ^ ^ ^ ^ ^ ^\n";
    for (std::size_t i = 0; i < meanings.size(); ++i) {
        const std::string label = fmt::format("-<  {}", meanings[i]);
        text += fmt::format("{:>{}}", label, first_column + 2 * i + 1);
        for (std::size_t rest = i + 1; rest < meanings.size(); ++rest) {
            text += " |";
        }
        text += "\n";
    }
    text += fmt::format("\nflags:{} {}, {}, {}{}{}\n",
                        value.has(flag::crashed_primary) ? " crashed" : "",
                        value.has(flag::primary_ind) ? "Primary" : "Secondary",
                        value.has(flag::connected_ind) ? "Connected" : "StandAlone",
                        disk_word(value), value.has(flag::full_sync) ? ", need full sync" : "",
                        value.has(flag::peer_out_dated) ? ", peer Outdated" : "");
    text += fmt::format("meta-data: {}\n", value.has(flag::al_clean) ? "clean" : "need apply-al");
    return text;
}

result<format::superblock> with_generation(format::superblock value, std::string_view text) {
    const std::array<std::uint64_t*, 4> identifiers = {&value.uuids.current, &value.uuids.bitmap,
                                                       &value.uuids.history[0],
                                                       &value.uuids.history[1]};
    const auto fields = split(text);
    if (fields.size() > identifiers.size() + flags_in_order.size()) {
        return stop(10, fmt::format("'{}' has {} fields, there are only {}.\n", text, fields.size(),
                                    identifiers.size() + flags_in_order.size()));
    }
    for (std::size_t i = 0; i < fields.size(); ++i) {
        if (fields[i].empty()) {
            continue;
        }
        const bool identifier = i < identifiers.size();
        const auto number = read_number(fields[i], identifier ? 16 : 0);
        if (!number) {
            return tl::unexpected(number.error());
        }
        if (identifier) {
            *identifiers[i] = *number;
            continue;
        }
        if (*number > 1) {
            return stop(10, fmt::format("'{}' is not 0 or 1.\n", *number));
        }
        const std::uint32_t bit = flags_in_order[i - identifiers.size()];
        value.flags = *number == 1 ? value.flags | bit : value.flags & ~bit;
    }
    return value;
}

} // namespace lockstep::drbdmeta
