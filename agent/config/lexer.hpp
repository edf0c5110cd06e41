// The tokens of drbd.conf, as drbd-utils' scanner of DRBD 8.4 cuts them.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace lockstep::config {

enum class token_kind : unsigned char {
    end,
    punctuation,    // one of { } ; [ ] :
    word,           // letters, digits and / . _ -, at most 128 of them
    quoted,         // "…" on one line, at most 255 characters; text is without the quotes
    number,         // one to eight digits and perhaps one of M K G s
    ipv4,           // looks like 1.2.3.4
    ipv6,           // looks like an address, without brackets; may end in %interface
    other,          // any other character
    word_too_long,  // more than 128 characters without a break
    quote_too_long, // more than 255 characters between quotes
    quote_open,     // the line ends inside a quoted string
};

struct token {
    token_kind kind = token_kind::end;
    std::string text;
    int line = 1;

    bool is(char punctuation) const {
        return kind == token_kind::punctuation && text[0] == punctuation;
    }
};

// Cuts one file. `input` must outlive the lexer. Never fails: what is no token has a kind of its
// own, and at the end `end` is returned for ever.
class lexer {
public:
    explicit lexer(std::string_view input) : input_(input) {}

    token next();
    int line() const { return line_; }

private:
    void skip_blank();
    token take(token_kind kind, std::size_t length);
    token quoted();

    std::string_view input_;
    std::size_t at_ = 0;
    int line_ = 1;
};

// How long an IPv6 address at the start of `text` is; 0 if there is none.
std::size_t ipv6_length(std::string_view text);

} // namespace lockstep::config
