#include "agent/config/escape.hpp"

#include <algorithm>

namespace lockstep::config {

namespace {

bool is_alphanumeric(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_one_of(char c, std::string_view set) {
    return set.find(c) != std::string_view::npos;
}

} // namespace

std::string config_word(std::string_view text) {
    constexpr std::size_t longest_bare = 80;
    const bool bare = std::all_of(text.begin(), text.end(), [](char c) {
        return is_alphanumeric(c) || is_one_of(c, "/._-");
    });
    if (!text.empty() && bare && text.size() <= longest_bare) {
        return std::string(text);
    }
    std::string out = "\"";
    for (const char c : text) {
        if (is_one_of(c, "\"\\")) {
            out += '\\';
        }
        out += c;
    }
    return out + '"';
}

std::string xml_text(std::string_view text) {
    std::string out;
    for (const char c : text) {
        switch (c) {
        case '\'':
            out += "&apos;";
            break;
        case '"':
            out += "&quot;";
            break;
        case '<':
            out += "&lt;";
            break;
        case '>':
            out += "&gt;";
            break;
        case '&':
            out += "&amp;";
            break;
        default:
            out += c;
        }
    }
    return out;
}

std::string shell_word(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (!is_alphanumeric(c) && !is_one_of(c, "%+-./:=@_")) {
            out += '\\';
        }
        out += c;
    }
    return out;
}

} // namespace lockstep::config
