#include "agent/drbdmeta/dump_lexer.hpp"

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include <fmt/format.h>

namespace lockstep::drbdmeta {

namespace {

constexpr int end_of_file = -1;
constexpr std::size_t string_length_max = 20;
constexpr std::size_t word_length_max = 100;
constexpr std::size_t number_digits_max = 19;

bool is_word_character(int c) {
    return c != end_of_file && (std::isalnum(c) != 0 || c == '-' || c == '_');
}

bool all_of_kind(const std::string& text, std::size_t from, int (*kind)(int)) {
    return text.size() > from &&
           std::all_of(text.begin() + static_cast<std::ptrdiff_t>(from), text.end(),
                       [kind](char c) { return kind(static_cast<unsigned char>(c)) != 0; });
}

} // namespace

int dump_lexer::peek() {
    if (at_ == filled_) {
        filled_ = std::fread(buffer_.data(), 1, buffer_.size(), file_);
        at_ = 0;
        if (filled_ == 0) {
            return end_of_file;
        }
    }
    return static_cast<unsigned char>(buffer_[at_]);
}

int dump_lexer::take() {
    const int c = peek();
    if (c != end_of_file) {
        ++at_;
        if (c == '\n') {
            ++line_;
        }
    }
    return c;
}

void dump_lexer::skip_blank() {
    for (;;) {
        const int c = peek();
        if (c == '#') {
            while (peek() != '\n' && peek() != end_of_file) {
                take();
            }
        } else if (c == ' ' || c == '\t' || c == '\r' || c == '\n') {
            take();
        } else {
            return;
        }
    }
}

token dump_lexer::reject(const char* why) {
    complaint_ = fmt::format("line {}: {}: {} ...\n", line_, why, text_);
    return token::invalid;
}

token dump_lexer::next() {
    skip_blank();
    text_.clear();
    complaint_.clear();
    const int c = peek();
    switch (c) {
    case end_of_file:
        return token::end;
    case '{':
        take();
        text_ = "{";
        return token::open;
    case '}':
        take();
        text_ = "}";
        return token::close;
    case ';':
        take();
        text_ = ";";
        return token::semicolon;
    case '"':
        return read_string();
    default:
        break;
    }
    if (is_word_character(c)) {
        return read_word();
    }
    take();
    const bool printable = c >= 0x20 && c < 0x7f;
    text_ = fmt::format("\\x{:02x}", c);
    complaint_ = fmt::format("line {}: invalid input character '{}'{}\n", line_, text_,
                             printable ? fmt::format(" [{}]", static_cast<char>(c)) : "");
    return token::invalid;
}

token dump_lexer::read_string() {
    take();
    for (int c = peek(); c != '"'; c = peek()) {
        if (c == end_of_file || c == '\n' || c == '\r' || text_.size() == string_length_max) {
            return reject("invalid string");
        }
        text_ += static_cast<char>(take());
    }
    take();
    return text_.empty() ? reject("invalid string") : token::string;
}

token dump_lexer::read_word() {
    while (is_word_character(peek()) && text_.size() < word_length_max) {
        text_ += static_cast<char>(take());
    }
    if (text_.rfind("0x", 0) == 0) {
        const bool good_length = text_.size() == 10 || text_.size() == 18;
        if (!good_length || !all_of_kind(text_, 2, std::isxdigit)) {
            return reject("invalid hex number (only 8 or 16 hex digits accepted)");
        }
        value_ = std::strtoull(text_.c_str(), nullptr, 16);
        return text_.size() == 10 ? token::hex32 : token::hex64;
    }
    const std::size_t sign = text_[0] == '-' ? 1 : 0;
    if (all_of_kind(text_, sign, std::isdigit)) {
        if (text_.size() - sign > number_digits_max) {
            return reject("number too big");
        }
        if (sign != 0) {
            // The original reads it as unsigned and goes on with nonsense.
            return reject("negative number");
        }
        value_ = std::strtoull(text_.c_str(), nullptr, 10);
        return token::number;
    }
    const bool letters = std::isalpha(static_cast<unsigned char>(text_[0])) != 0;
    return letters && text_.size() < word_length_max ? token::word : reject("unknown token");
}

} // namespace lockstep::drbdmeta
