// Checked access to the fields of one JSON object. Included by the sources of this room only.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "kernel/base/error.hpp"

namespace lockstep::control {

using json = nlohmann::json;

// Parses one line as a JSON object.
result<json> parse_object(std::string_view line, std::string_view what);

std::string to_line(const json& value);

// Takes fields out of an object and remembers the first thing that is wrong. A field that is
// missing leaves the fallback; one that nobody asked for is reported by finish().
class json_fields {
public:
    json_fields(const json& object, std::string where)
        : object_(object), where_(std::move(where)) {}

    bool has(const char* key) const { return object_.contains(key); }
    // Null if it is missing; counts as taken.
    const json* member(const char* key);

    bool boolean(const char* key, bool fallback);
    std::uint64_t number(const char* key, std::uint64_t fallback,
                         std::uint64_t max = std::numeric_limits<std::uint64_t>::max());
    std::int64_t signed_number(const char* key, std::int64_t fallback);
    std::string text(const char* key, std::string fallback, std::size_t max_bytes);
    // Calls `each` for every element of an array of at most `max` elements.
    void array(const char* key, std::size_t max, const std::function<void(const json&)>& each);

    template <class Small>
    Small small(const char* key, Small fallback) {
        return static_cast<Small>(number(key, fallback, std::numeric_limits<Small>::max()));
    }

    void wrong(const std::string& key, const std::string& expected);
    void adopt(const error& problem);
    bool ok() const { return !problem_; }
    // Also refuses fields that were not taken, unless `lenient` (a newer peer may know more).
    result<> finish(bool lenient);

private:
    const json& object_;
    std::string where_;
    std::set<std::string> taken_;
    std::optional<error> problem_;
};

} // namespace lockstep::control
