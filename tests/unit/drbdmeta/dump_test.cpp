// The text of dumps: the tokens, the grammar, the bitmap's runs, and what was written read back.
#include <cstdio>
#include <fmt/format.h>
#include <memory>
#include <rapidcheck.h>
#include <string>
#include <vector>

#include "agent/drbdmeta/dump_lexer.hpp"
#include "agent/drbdmeta/dump_parser.hpp"
#include "agent/drbdmeta/dump_writer.hpp"
#include "unit/cmocka.hpp"

namespace {

using namespace lockstep;
using namespace lockstep::drbdmeta;

using file_handle = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

file_handle file_of(std::string& text) {
    // fmemopen knows no empty files.
    std::FILE* file = text.empty() ? std::tmpfile() : ::fmemopen(text.data(), text.size(), "r");
    return {file, std::fclose};
}

class collector : public dump_receiver {
public:
    result<> head(const dump_head& value) override {
        head_ = value;
        return {};
    }
    result<> words(std::uint64_t count, std::uint64_t word) override {
        words_.insert(words_.end(), count, word);
        return {};
    }
    const dump_head& seen() const { return head_; }
    const std::vector<std::uint64_t>& all() const { return words_; }

private:
    dump_head head_;
    std::vector<std::uint64_t> words_;
};

std::string dump(const std::string& bitmap,
                 const std::string& striping = "al-stripes 2;\n"
                                               "al-stripe-size-4k 8;\n") {
    return "version \"v08\";\nuuid {\n 0x0000000000000001; 0x0000000000000002;\n"
           " 0x0000000000000003; 0x0000000000000004;\n flags 0x00000091;\n}\n"
           "# al-extents 257;\nla-size-sect 1024;\nbm-byte-per-bit 4096;\n"
           "device-uuid 0xFEDCBA9876543210;\nla-peer-max-bio-size 4096;\n" +
           striping + "bm {" + bitmap + "}\n";
}

void check_error(std::string text, const char* part) {
    collector taken;
    const auto file = file_of(text);
    const auto parsed = parse_dump(file.get(), taken);
    assert_false(parsed.has_value());
    assert_int_equal(parsed.error().code, 10);
    if (parsed.error().what.find(part) == std::string::npos) {
        fail_msg("expected '%s' in '%s'", part, parsed.error().what.c_str());
    }
}

void tokens_are_told_apart(void**) {
    std::string text =
        "{ } ; 12 0x12345678 0x0123456789abcdef \"v08\" al-stripes # skipped ; {\nbm";
    const auto file = file_of(text);
    dump_lexer lexer(file.get());
    for (const token expected :
         {token::open, token::close, token::semicolon, token::number, token::hex32, token::hex64,
          token::string, token::word, token::word, token::end, token::end}) {
        assert_int_equal(static_cast<int>(lexer.next()), static_cast<int>(expected));
    }
    assert_int_equal(lexer.line(), 2);
}

void wrong_tokens_are_refused_with_their_line(void**) {
    for (const char* wrong :
         {"0x1234567", "0x12345678901234567", "12345678901234567890", "\"", "\"\"",
          "\"a string that is too long\"", "12abc", "-5", "%", "\x01"}) {
        std::string text = std::string("\n\n") + wrong;
        const auto file = file_of(text);
        dump_lexer lexer(file.get());
        assert_int_equal(static_cast<int>(lexer.next()), static_cast<int>(token::invalid));
        assert_true(lexer.complaint().find("line 3: ") == 0);
    }
}

void a_dump_is_read(void**) {
    std::string text = dump("\n # at 0kB\n 0x0000000000000005; 3 times 0xFFFFFFFFFFFFFFFF;\n");
    collector taken;
    const auto file = file_of(text);
    assert_true(parse_dump(file.get(), taken).has_value());
    assert_int_equal(taken.seen().uuids.current, 1);
    assert_int_equal(taken.seen().uuids.history[1], 4);
    assert_int_equal(taken.seen().flags, 0x91);
    assert_int_equal(taken.seen().la_size_sectors, 1024);
    assert_int_equal(taken.seen().device_uuid, 0xFEDCBA9876543210);
    assert_int_equal(taken.seen().striping.count, 2);
    assert_true(taken.all() == std::vector<std::uint64_t>({5, ~0ULL, ~0ULL, ~0ULL}));
}

void a_dump_of_83_has_no_striping(void**) {
    std::string text = dump("", "");
    collector taken;
    const auto file = file_of(text);
    assert_true(parse_dump(file.get(), taken).has_value());
    assert_true(taken.seen().striping.is_default());
}

void a_wrong_dump_is_refused_with_line_and_expectation(void**) {
    check_error("", "Parse error in line 1: keyword 'version' expected, but end of file");
    check_error("version v08;", "short quoted string");
    check_error("version \"v09\";", "dump is 'v09' you requested 'v08'");
    check_error("version \"v08\";\nuuid { 0x00000001;", "Parse error in line 2: a 16-digit hex");
    check_error(dump("") + "x", "end of file expected, not 'x'");
    check_error(dump("12 0x0000000000000000;"), "keyword 'times' expected");
    check_error(dump("0x00000000;"), "repeat count, 16-digit hex number, or closing brace");
    check_error(dump("", "al-stripes 0;\nal-stripe-size-4k 8;\n"), "Invalid activity log");
    check_error(dump("", "al-stripes 4294967296;\n"), "Invalid value for al-stripes");
    check_error(dump("").substr(0, 250), "expected");
}

void an_unclean_dump_cannot_be_restored(void**) {
    check_error("version \"v08\";\n\nThis_is_an_unclean_meta_data_dump._Don't_trust_the_bitmap.\n" +
                    dump("").substr(16),
                "keyword 'uuid' expected");
}

std::string written(const std::vector<std::byte>& bitmap, std::uint64_t& bits,
                    std::size_t piece = bitmap_writer::piece_bytes) {
    std::string text;
    bitmap_writer writer(bitmap.size(), [&text](std::string_view part) { text += part; });
    for (std::size_t at = 0; at < bitmap.size(); at += piece) {
        writer.feed(const_byte_span(bitmap).subspan(at, std::min(piece, bitmap.size() - at)));
    }
    writer.finish();
    bits = writer.bits_set();
    return text;
}

void runs_are_counted_by_whole_lines(void**) {
    std::vector<std::byte> bitmap(4096);
    bitmap[64] = std::byte{1};
    std::uint64_t bits = 0;
    const std::string text = written(bitmap, bits);
    assert_string_equal(text.c_str(),
                        "{\n   # at 0kB\n    8 times 0x0000000000000000;\n"
                        "    0x0000000000000001; 0x0000000000000000; 0x0000000000000000; "
                        "0x0000000000000000;\n    500 times 0x0000000000000000;\n}\n");
    assert_int_equal(bits, 1);
}

void an_empty_bitmap_is_two_braces(void**) {
    std::uint64_t bits = 1;
    assert_string_equal(written({}, bits).c_str(), "{\n}\n");
    assert_int_equal(bits, 0);
}

void what_is_written_is_read_back(void**) {
    const bool holds = rc::check("bitmaps", [] {
        std::vector<std::uint64_t> words;
        const auto blocks = *rc::gen::inRange<std::size_t>(0, 5);
        while (words.size() < blocks * 512) {
            const auto run = *rc::gen::element<std::size_t>(1, 2, 4, 7, 8, 12, 100, 600);
            const auto half = *rc::gen::element<std::uint64_t>(0, 0xffffffff, 0x12345678);
            const bool equal_halves = *rc::gen::arbitrary<bool>();
            words.insert(words.end(), run, equal_halves ? half << 32U | half : half);
        }
        words.resize(blocks * 512);
        std::vector<std::byte> bitmap(words.size() * 8);
        std::uint64_t expected_bits = 0;
        for (std::size_t i = 0; i < words.size(); ++i) {
            store_little(bitmap.data() + i * 8, words[i]);
            expected_bits += static_cast<std::uint64_t>(std::popcount(words[i]));
        }
        std::uint64_t bits = 0;
        // Pieces of any size give a text that means the same.
        std::string text =
            written(bitmap, bits, *rc::gen::element<std::size_t>(4096, 8192, 1 << 25));
        text = dump(text.substr(1, text.rfind('}') - 1));
        collector taken;
        const auto file = file_of(text);
        RC_ASSERT(parse_dump(file.get(), taken).has_value());
        RC_ASSERT(taken.all() == words);
        RC_ASSERT(bits == expected_bits);
    });
    assert_true(holds);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(tokens_are_told_apart),
        cmocka_unit_test(wrong_tokens_are_refused_with_their_line),
        cmocka_unit_test(a_dump_is_read),
        cmocka_unit_test(a_dump_of_83_has_no_striping),
        cmocka_unit_test(a_wrong_dump_is_refused_with_line_and_expectation),
        cmocka_unit_test(an_unclean_dump_cannot_be_restored),
        cmocka_unit_test(runs_are_counted_by_whole_lines),
        cmocka_unit_test(an_empty_bitmap_is_two_braces),
        cmocka_unit_test(what_is_written_is_read_back),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
