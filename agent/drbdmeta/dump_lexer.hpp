// The tokens of a metadata dump.
//
//   { } ;                 punctuation
//   digits                number: at most 19, possibly after a minus sign
//   0x + 8 or 16 digits   hexadecimal word; no other length
//   "text"                string of 1 to 20 characters
//   word                  keyword: letters, digits, '-' and '_'
//   # to end of line      comment
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>

namespace lockstep::drbdmeta {

enum class token : std::uint8_t {
    end,
    open,
    close,
    semicolon,
    number,
    hex32,
    hex64,
    string,
    word,
    invalid, // already complained about: see `complaint`
};

class dump_lexer {
public:
    // The file stays the caller's.
    explicit dump_lexer(std::FILE* file) : file_(file) {}

    token next();

    unsigned line() const { return line_; }
    const std::string& text() const { return text_; } // of the last token
    std::uint64_t value() const { return value_; }    // of the last number
    const std::string& complaint() const { return complaint_; }

private:
    int peek();
    int take();
    void skip_blank();
    token read_string();
    token read_word();
    token reject(const char* why);

    std::FILE* file_;
    std::array<char, 65536> buffer_ = {};
    std::size_t at_ = 0;
    std::size_t filled_ = 0;
    unsigned line_ = 1;
    std::string text_;
    std::uint64_t value_ = 0;
    std::string complaint_;
};

} // namespace lockstep::drbdmeta
