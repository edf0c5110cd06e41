#include "agent/drbdmeta/dump_parser.hpp"

#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "agent/drbdmeta/console.hpp"
#include "agent/drbdmeta/dump_lexer.hpp"

namespace lockstep::drbdmeta {

namespace {

// Reads tokens in the fixed order of a dump. After the first failure everything does nothing, so
// that the order can be written down as a list.
class dump_parser {
public:
    dump_parser(std::FILE* file, dump_receiver& receiver) : lexer_(file), receiver_(receiver) {}

    result<> run() {
        dump_head head;
        read_version();
        read_uuids(head);
        read_fields(head);
        if (!failure_) {
            hand_over(receiver_.head(head));
        }
        read_bitmap();
        check(token::end, "end of file");
        return failure_ ? result<>(tl::unexpected(*failure_)) : result<>();
    }

private:
    void fail_here(std::string_view expected) {
        std::string found;
        if (last_ == token::invalid) {
            found = "\n";
        } else if (last_ == token::end) {
            found = ", but end of file encountered\n";
        } else if (last_ == token::number || last_ == token::hex32 || last_ == token::hex64) {
            found = ", not some number\n";
        } else {
            found = fmt::format(", not '{}'\n", lexer_.text());
        }
        refuse(lexer_.complaint() + fmt::format("Parse error in line {}: {} expected{}",
                                                lexer_.line(), expected, found));
    }

    void refuse(std::string text) {
        if (!failure_) {
            failure_ = stop(10, std::move(text)).value();
        }
    }

    void hand_over(const result<>& taken) {
        if (!taken && !failure_) {
            failure_ = taken.error();
        }
    }

    void advance() {
        if (!failure_) {
            last_ = lexer_.next();
        }
    }

    bool expect(token wanted, std::string_view name) {
        advance();
        return check(wanted, name);
    }

    bool check(token wanted, std::string_view name) {
        if (!failure_ && last_ != wanted) {
            fail_here(name);
        }
        return !failure_;
    }

    bool expect_keyword(std::string_view word) {
        advance();
        return check_keyword(word);
    }

    bool check_keyword(std::string_view word) {
        if (!failure_ && (last_ != token::word || lexer_.text() != word)) {
            fail_here(fmt::format("keyword '{}'", word));
        }
        return !failure_;
    }

    void expect_semicolon() { expect(token::semicolon, "semicolon (;)"); }

    std::uint64_t expect_number() {
        const bool good = expect(token::number, "number ([0-9], up to 19 digits)");
        const std::uint64_t value = good ? lexer_.value() : 0;
        expect_semicolon();
        return value;
    }

    std::uint32_t expect_small_number(std::string_view field) {
        const std::uint64_t value = expect_number();
        if (value > 0xffffffffU) {
            refuse(
                fmt::format("Invalid value for {} in line {}: {}\n", field, lexer_.line(), value));
            return 0;
        }
        return static_cast<std::uint32_t>(value);
    }

    std::uint64_t expect_hex64() {
        const bool good = expect(token::hex64, "a 16-digit hex number");
        const std::uint64_t value = good ? lexer_.value() : 0;
        expect_semicolon();
        return value;
    }

    void read_version() {
        expect_keyword("version");
        if (expect(token::string,
                   "short quoted string (\"..up to 20 characters, no newline..\")") &&
            lexer_.text() != "v08") {
            refuse(fmt::format("dump is '{}' you requested 'v08'.\n", lexer_.text()));
        }
        expect_semicolon();
    }

    void read_uuids(dump_head& head) {
        expect_keyword("uuid");
        expect(token::open, "opening brace ({)");
        head.uuids.current = expect_hex64();
        head.uuids.bitmap = expect_hex64();
        head.uuids.history[0] = expect_hex64();
        head.uuids.history[1] = expect_hex64();
        expect_keyword("flags");
        if (expect(token::hex32, "an 8-digit hex number")) {
            head.flags = static_cast<std::uint32_t>(lexer_.value());
        }
        expect_semicolon();
        expect(token::close, "closing brace (})");
    }

    void read_fields(dump_head& head) {
        expect_keyword("la-size-sect");
        head.la_size_sectors = expect_number();
        expect_keyword("bm-byte-per-bit");
        const std::uint64_t bytes_per_bit = expect_number();
        if (!failure_ && bytes_per_bit != format::block_bytes) {
            refuse(fmt::format("Invalid value for bm-byte-per-bit in line {}: {}, only 4096 is "
                               "supported\n",
                               lexer_.line(), bytes_per_bit));
        }
        expect_keyword("device-uuid");
        head.device_uuid = expect_hex64();
        expect_keyword("la-peer-max-bio-size");
        head.peer_max_bio_size = expect_small_number("la-peer-max-bio-size");
        advance();
        // Dumps of 8.3 know no striping and go on with the bitmap.
        if (!failure_ && last_ == token::word && lexer_.text() == "bm") {
            return;
        }
        check_keyword("al-stripes");
        head.striping.count = expect_small_number("al-stripes");
        expect_keyword("al-stripe-size-4k");
        head.striping.blocks = expect_small_number("al-stripe-size-4k");
        if (const auto good = format::check_striping(head.striping); !failure_ && !good) {
            refuse(fmt::format("Invalid activity log in line {}: {}\n", lexer_.line(),
                               good.error().what));
        }
        expect_keyword("bm");
    }

    void read_bitmap() {
        expect(token::open, "opening brace ({)");
        while (!failure_) {
            advance();
            if (last_ == token::close) {
                advance();
                return;
            }
            std::uint64_t count = 1;
            if (last_ == token::number) {
                count = lexer_.value();
                expect_keyword("times");
                advance();
                check(token::hex64, "a 16-digit hex number");
            }
            check(token::hex64, "repeat count, 16-digit hex number, or closing brace (})");
            const std::uint64_t word = lexer_.value();
            expect_semicolon();
            if (!failure_) {
                hand_over(receiver_.words(count, word));
            }
        }
    }

    dump_lexer lexer_;
    dump_receiver& receiver_;
    token last_ = token::end;
    std::optional<error> failure_;
};

} // namespace

result<> parse_dump(std::FILE* file, dump_receiver& receiver) {
    return dump_parser(file, receiver).run();
}

} // namespace lockstep::drbdmeta
