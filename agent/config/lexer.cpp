#include "agent/config/lexer.hpp"

#include <algorithm>
#include <vector>

namespace lockstep::config {

namespace {

constexpr std::size_t longest_word = 128;
constexpr std::size_t longest_quoted = 255;

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool is_hex(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool is_word(char c) {
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '/' ||
           c == '.' || c == '_' || c == '-';
}

std::size_t word_length(std::string_view text) {
    const auto end = std::find_if_not(text.begin(), text.end(), is_word);
    return static_cast<std::size_t>(end - text.begin());
}

bool is_number(std::string_view word) {
    const std::string_view suffixes = "MKGs";
    if (!word.empty() && suffixes.find(word.back()) != std::string_view::npos) {
        word.remove_suffix(1);
    }
    return !word.empty() && word.size() <= 8 && std::all_of(word.begin(), word.end(), is_digit);
}

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    while (true) {
        const std::size_t end = text.find(separator);
        parts.push_back(text.substr(0, end));
        if (end == std::string_view::npos) {
            return parts;
        }
        text.remove_prefix(end + 1);
    }
}

bool is_ipv4(std::string_view word) {
    const auto parts = split(word, '.');
    return parts.size() == 4 && std::all_of(parts.begin(), parts.end(), [](std::string_view part) {
               return !part.empty() && part.size() <= 3 &&
                      std::all_of(part.begin(), part.end(), is_digit);
           });
}

bool is_hex_group(std::string_view part) {
    return !part.empty() && part.size() <= 4 && std::all_of(part.begin(), part.end(), is_hex);
}

// One side of the middle group: nothing at all, or one to six groups.
bool is_side(const std::vector<std::string_view>& parts, std::size_t from, std::size_t to) {
    const std::size_t count = to - from;
    if (count == 1 && parts[from].empty()) {
        return true;
    }
    return count <= 6 && std::all_of(parts.begin() + static_cast<std::ptrdiff_t>(from),
                                     parts.begin() + static_cast<std::ptrdiff_t>(to), is_hex_group);
}

// left ":" [group] ":" right, where either side may be empty.
bool is_ipv6(std::string_view text) {
    const auto parts = split(text, ':');
    for (std::size_t middle = 1; middle + 1 < parts.size(); ++middle) {
        if ((parts[middle].empty() || is_hex_group(parts[middle])) && is_side(parts, 0, middle) &&
            is_side(parts, middle + 1, parts.size())) {
            return true;
        }
    }
    return false;
}

// "::ffff:1.2.3.4"
std::size_t mapped_ipv4_length(std::string_view text) {
    constexpr std::size_t prefix = 7;
    if (text.size() < prefix || text.substr(0, 2) != "::" || text[6] != ':' ||
        !std::all_of(text.begin() + 2, text.begin() + 6,
                     [](char c) { return c == 'f' || c == 'F'; })) {
        return 0;
    }
    const std::size_t rest = word_length(text.substr(prefix));
    return is_ipv4(text.substr(prefix, rest)) ? prefix + rest : 0;
}

} // namespace

std::size_t ipv6_length(std::string_view text) {
    // Thirteen groups of four digits and twelve colons are more than any address has.
    constexpr std::size_t longest = std::size_t{13} * 5;
    std::size_t length = 0;
    while (length < text.size() && length < longest &&
           (is_hex(text[length]) || text[length] == ':')) {
        ++length;
    }
    while (length > 1 && !is_ipv6(text.substr(0, length))) {
        --length;
    }
    if (length < 2) {
        return 0;
    }
    if (length < text.size() && text[length] == '%') {
        const std::size_t zone = std::min(word_length(text.substr(length + 1)), longest_word);
        length += zone == 0 ? 0 : zone + 1;
    }
    return std::max(length, mapped_ipv4_length(text));
}

void lexer::skip_blank() {
    while (at_ < input_.size()) {
        const char c = input_[at_];
        if (c == '#') {
            at_ = std::min(input_.find('\n', at_), input_.size());
        } else if (c == ' ' || c == '\t' || c == '\r') {
            ++at_;
        } else if (c == '\n') {
            ++at_;
            ++line_;
        } else {
            return;
        }
    }
}

token lexer::take(token_kind kind, std::size_t length) {
    token out{kind, std::string(input_.substr(at_, length)), line_};
    at_ += length;
    return out;
}

token lexer::quoted() {
    std::string text;
    std::size_t here = at_ + 1;
    std::size_t count = 0;
    for (; here < input_.size() && input_[here] != '"'; ++here, ++count) {
        if (count == longest_quoted) {
            return take(token_kind::quote_too_long, here - at_);
        }
        const bool escape = input_[here] == '\\';
        here += escape ? 1 : 0;
        if (here < input_.size() && input_[here] == '\n') {
            return take(token_kind::quote_open, here - at_);
        }
        if (here < input_.size()) {
            text += input_[here];
        }
    }
    if (here >= input_.size()) {
        return take(token_kind::quote_open, input_.size() - at_);
    }
    token out{token_kind::quoted, std::move(text), line_};
    at_ = here + 1;
    return out;
}

token lexer::next() {
    skip_blank();
    if (at_ >= input_.size()) {
        return {token_kind::end, {}, line_};
    }
    const std::string_view rest = input_.substr(at_);
    if (rest.front() == '"') {
        return quoted();
    }
    const std::size_t length = word_length(rest.substr(0, longest_word + 1));
    const std::size_t address = ipv6_length(rest);
    if (address > length) {
        return take(token_kind::ipv6, address);
    }
    if (length > longest_word) {
        return take(token_kind::word_too_long, length);
    }
    const std::string_view word = rest.substr(0, length);
    if (is_ipv4(word)) {
        return take(token_kind::ipv4, length);
    }
    if (length > 0) {
        return take(is_number(word) ? token_kind::number : token_kind::word, length);
    }
    const std::string_view punctuation = "{};[]:";
    const bool known = punctuation.find(rest.front()) != std::string_view::npos;
    return take(known ? token_kind::punctuation : token_kind::other, 1);
}

} // namespace lockstep::config
