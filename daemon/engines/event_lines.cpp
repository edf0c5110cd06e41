#include "daemon/engines/event_lines.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include <fmt/format.h>

namespace lockstep::engines {

namespace {

constexpr std::array<std::pair<std::string_view, event_action>, 7> actions{{
    {"exists", event_action::exists},
    {"create", event_action::create},
    {"change", event_action::change},
    {"destroy", event_action::destroy},
    {"rename", event_action::rename},
    {"call", event_action::call},
    {"response", event_action::response},
}};

constexpr std::array<std::pair<std::string_view, event_object>, 7> objects{{
    {"-", event_object::none},
    {"resource", event_object::resource},
    {"connection", event_object::connection},
    {"device", event_object::device},
    {"peer-device", event_object::peer_device},
    {"path", event_object::path},
    {"helper", event_object::helper},
}};

template <class Table>
auto look_up(const Table& table, std::string_view word)
    -> std::optional<typename Table::value_type::second_type> {
    const auto found = std::find_if(table.begin(), table.end(),
                                    [&](const auto& each) { return each.first == word; });
    return found == table.end() ? std::nullopt : std::optional(found->second);
}

class line_reader {
public:
    explicit line_reader(std::string_view line) : line_(line) {}

    result<event_line> read();

private:
    // Up to the next blank; empty at the end of the line, and where two blanks follow each other.
    std::string_view next();
    bool at_end() const { return at_ > line_.size(); }
    tl::unexpected<error> wrong(std::string what) const;
    std::optional<error> read_fields();
    std::optional<error> take(std::string_view key, std::string_view value);
    std::optional<error> take_number(std::string_view text, std::optional<std::uint32_t>& into);
    std::optional<error> go_on(std::string_view word);
    std::optional<error> check_key() const;

    std::string_view line_;
    std::size_t at_ = 0;   // where the next word begins; behind the end: there is none
    std::size_t word_ = 0; // where the last one did
    event_line out_;
};

std::string_view line_reader::next() {
    word_ = std::min(at_, line_.size());
    const std::size_t end = std::min(line_.find(' ', word_), line_.size());
    at_ = end + 1;
    return line_.substr(word_, end - word_);
}

tl::unexpected<error> line_reader::wrong(std::string what) const {
    return fail(std::move(what),
                fmt::format("events2, column {} of \"{}\"", word_ + 1, line_.substr(0, 200)));
}

bool is_timestamp(std::string_view word) {
    return word.size() >= 19 && word[4] == '-' && word[10] == 'T' &&
           word.find_first_not_of("0123456789-+:.TZ") == std::string_view::npos;
}

result<event_line> line_reader::read() {
    const auto odd = std::find_if(line_.begin(), line_.end(),
                                  [](unsigned char each) { return each < 0x20 || each == 0x7F; });
    if (odd != line_.end()) {
        word_ = static_cast<std::size_t>(odd - line_.begin());
        return fail("a control character in an event",
                    fmt::format("events2, column {}", word_ + 1));
    }
    std::string_view word = next();
    if (is_timestamp(word)) {
        out_.timestamp = word;
        word = next();
    }
    const auto action = look_up(actions, word);
    if (!action) {
        return wrong("what happened is none of exists, create, change, destroy, rename, call and "
                     "response");
    }
    out_.action = *action;
    if (at_end()) {
        return wrong("an event without the kind of its object");
    }
    word = next();
    if (word.empty()) {
        return wrong("an event without the kind of its object");
    }
    out_.object = look_up(objects, word).value_or(event_object::other);
    if (out_.object == event_object::other) {
        return std::move(out_);
    }
    if (out_.object == event_object::none) {
        if (out_.action != event_action::exists || !at_end()) {
            return wrong("only \"exists\" can have no object, and nothing follows then");
        }
        return std::move(out_);
    }
    if (const auto bad = read_fields()) {
        return tl::unexpected(*bad);
    }
    return std::move(out_);
}

std::optional<error> line_reader::read_fields() {
    while (!at_end()) {
        const std::string_view word = next();
        const std::size_t colon = word.find(':');
        const bool is_field = colon != std::string_view::npos && colon != 0;
        auto bad = is_field ? take(word.substr(0, colon), word.substr(colon + 1)) : go_on(word);
        if (bad) {
            return bad;
        }
    }
    return check_key();
}

std::optional<error> line_reader::take_number(std::string_view text,
                                              std::optional<std::uint32_t>& into) {
    std::uint32_t number = 0;
    const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (into || code != std::errc() || end != text.data() + text.size()) {
        return wrong("not a number, or the second one").value();
    }
    into = number;
    return std::nullopt;
}

std::optional<error> line_reader::take(std::string_view key, std::string_view value) {
    if (key == "volume") {
        return take_number(value, out_.volume);
    }
    if (key == "peer-node-id") {
        return take_number(value, out_.peer_node);
    }
    if (key == "name" || key == "conn-name") {
        std::string& into = key == "name" ? out_.resource : out_.connection;
        if (!into.empty() || value.empty()) {
            return wrong("an empty name, or a second one").value();
        }
        into = value;
        return std::nullopt;
    }
    if (out_.field(key) != nullptr) {
        return wrong(fmt::format("{} is told twice", key)).value();
    }
    out_.fields.emplace_back(key, value);
    return std::nullopt;
}

// The name of a disk's file may have blanks, which are printed as they are.
std::optional<error> line_reader::go_on(std::string_view word) {
    if (out_.fields.empty() || out_.fields.back().first != "backing_dev") {
        return wrong("not KEY:VALUE").value();
    }
    out_.fields.back().second.append(" ").append(word);
    return std::nullopt;
}

std::optional<error> line_reader::check_key() const {
    if (out_.resource.empty()) {
        return wrong("an event without the name of its resource").value();
    }
    const bool of_volume =
        out_.object == event_object::device || out_.object == event_object::peer_device;
    if (of_volume && !out_.volume) {
        return wrong("a device without the number of its volume").value();
    }
    return std::nullopt;
}

} // namespace

const std::string* event_line::field(std::string_view key) const {
    const auto found = std::find_if(fields.begin(), fields.end(),
                                    [&](const auto& each) { return each.first == key; });
    return found == fields.end() ? nullptr : &found->second;
}

result<event_line> parse_event_line(std::string_view line) {
    return line_reader(line).read();
}

} // namespace lockstep::engines
