#include "kernel/control/protocol/json_fields.hpp"

#include <fmt/format.h>

namespace lockstep::control {

namespace {

// Bytes that are no UTF-8 can be part of names and paths: they are shown as replacement
// characters rather than not at all.
std::string dump(const json& value) {
    return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

// Deeper input is no message of ours, and would only cost stack to look at.
constexpr int max_depth = 8;

bool too_deep(std::string_view text) {
    int depth = 0;
    bool quoted = false;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const char c = text[at];
        if (quoted) {
            at += c == '\\' ? 1 : 0;
            quoted = c != '"';
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            if (++depth > max_depth) {
                return true;
            }
        } else if (c == '}' || c == ']') {
            --depth;
        }
    }
    return false;
}

} // namespace

result<json> parse_object(std::string_view line, std::string_view what) {
    if (too_deep(line)) {
        return fail(fmt::format("The {} is nested too deeply", what));
    }
    json parsed = json::parse(line.begin(), line.end(), nullptr, false);
    if (parsed.is_discarded()) {
        return fail(fmt::format("The {} is not valid JSON", what));
    }
    if (!parsed.is_object()) {
        return fail(fmt::format("The {} is not a JSON object", what));
    }
    return parsed;
}

std::string to_line(const json& value) {
    return dump(value) + "\n";
}

const json* json_fields::member(const char* key) {
    taken_.insert(key);
    const auto found = object_.find(key);
    return found == object_.end() ? nullptr : &*found;
}

bool json_fields::boolean(const char* key, bool fallback) {
    const json* value = member(key);
    if (value == nullptr) {
        return fallback;
    }
    if (!value->is_boolean()) {
        wrong(key, "true or false");
        return fallback;
    }
    return value->get<bool>();
}

std::uint64_t json_fields::number(const char* key, std::uint64_t fallback, std::uint64_t max) {
    const json* value = member(key);
    if (value == nullptr) {
        return fallback;
    }
    if (!value->is_number_unsigned() || value->get<std::uint64_t>() > max) {
        wrong(key, fmt::format("a whole number from 0 to {}", max));
        return fallback;
    }
    return value->get<std::uint64_t>();
}

std::int64_t json_fields::signed_number(const char* key, std::int64_t fallback) {
    const json* value = member(key);
    if (value == nullptr) {
        return fallback;
    }
    const bool fits = value->is_number_integer() &&
                      !(value->is_number_unsigned() &&
                        value->get<std::uint64_t>() >
                            static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()));
    if (!fits) {
        wrong(key, "a whole number");
        return fallback;
    }
    return value->get<std::int64_t>();
}

std::string json_fields::text(const char* key, std::string fallback, std::size_t max_bytes) {
    const json* value = member(key);
    if (value == nullptr) {
        return fallback;
    }
    if (!value->is_string() || value->get_ref<const std::string&>().size() > max_bytes) {
        wrong(key, fmt::format("a text of at most {} bytes", max_bytes));
        return fallback;
    }
    const std::string& found = value->get_ref<const std::string&>();
    if (found.find('\0') != std::string::npos) {
        wrong(key, "a text without zero bytes");
        return fallback;
    }
    return found;
}

void json_fields::array(const char* key, std::size_t max,
                        const std::function<void(const json&)>& each) {
    const json* value = member(key);
    if (value == nullptr) {
        return;
    }
    if (!value->is_array() || value->size() > max) {
        wrong(key, fmt::format("an array of at most {} elements", max));
        return;
    }
    for (const json& element : *value) {
        each(element);
    }
}

void json_fields::wrong(const std::string& key, const std::string& expected) {
    if (!problem_) {
        problem_ = error{fmt::format("Field \"{}\" must be {}", key, expected), where_, {}, 0};
    }
}

void json_fields::adopt(const error& problem) {
    if (!problem_) {
        problem_ = problem;
    }
}

result<> json_fields::finish(bool lenient) {
    for (auto at = object_.begin(); !lenient && at != object_.end() && !problem_; ++at) {
        if (taken_.count(at.key()) == 0) {
            problem_ =
                error{fmt::format("Field \"{}\" does not belong here", at.key()), where_, {}, 0};
        }
    }
    if (problem_) {
        return tl::unexpected<error>(*problem_);
    }
    return {};
}

} // namespace lockstep::control
