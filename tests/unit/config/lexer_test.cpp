#include <string>
#include <vector>

#include "agent/config/lexer.hpp"
#include "agent/config/words.hpp"
#include "unit/cmocka.hpp"

using namespace lockstep::config;

namespace {

std::vector<token> all(std::string_view text) {
    lexer input(text);
    std::vector<token> out;
    for (token one = input.next(); one.kind != token_kind::end; one = input.next()) {
        out.push_back(one);
    }
    return out;
}

void expect_one(std::string_view text, token_kind kind, std::string_view value) {
    const auto found = all(text);
    assert_int_equal(found.size(), 1);
    assert_int_equal(found[0].kind, kind);
    assert_string_equal(found[0].text.c_str(), std::string(value).c_str());
}

void words_numbers_and_addresses_are_told_apart(void**) {
    expect_one("drbd0", token_kind::word, "drbd0");
    expect_one("/dev/vg0/lv-1_x.y", token_kind::word, "/dev/vg0/lv-1_x.y");
    expect_one("50M", token_kind::number, "50M");
    expect_one("12345678", token_kind::number, "12345678");
    expect_one("123456789", token_kind::word, "123456789");
    expect_one("50m", token_kind::word, "50m");
    expect_one("-1", token_kind::word, "-1");
    expect_one("10.0.0.1", token_kind::ipv4, "10.0.0.1");
    expect_one("10.0.0.1234", token_kind::word, "10.0.0.1234");
    expect_one("10.0.0", token_kind::word, "10.0.0");
    expect_one("@", token_kind::other, "@");
}

void ipv6_addresses_are_one_token(void**) {
    for (const char* text : {"::1", "::", "fe80::1%eth0", "fd00:0:0:1::2", "1:2:3:4:5:6:7:8",
                             "::ffff:10.0.0.1", "2001:db8::"}) {
        expect_one(text, token_kind::ipv6, text);
    }
    assert_int_equal(all("a:b")[0].kind, token_kind::word);
    assert_int_equal(all("7789:")[0].kind, token_kind::number);
    assert_int_equal(ipv6_length("12345::1"), 0);
    assert_int_equal(ipv6_length(":"), 0);
    assert_int_equal(ipv6_length(""), 0);
}

void comments_and_blanks_are_skipped_and_lines_counted(void**) {
    const auto found = all("# first\n a # rest { ;\n\t\r b;");
    assert_int_equal(found.size(), 3);
    assert_int_equal(found[0].line, 2);
    assert_int_equal(found[1].line, 3);
    assert_true(found[2].is(';'));
}

void quoted_strings_know_two_escapes(void**) {
    expect_one("\"a b\"", token_kind::quoted, "a b");
    expect_one("\"\"", token_kind::quoted, "");
    expect_one(R"("say \"no\" \\ \n")", token_kind::quoted, R"(say "no" \ n)");
}

void broken_strings_have_their_own_kinds(void**) {
    assert_int_equal(all("\"open\nx")[0].kind, token_kind::quote_open);
    assert_int_equal(all("\"open")[0].kind, token_kind::quote_open);
    assert_int_equal(all("\"ends in \\")[0].kind, token_kind::quote_open);
    assert_int_equal(all("\"" + std::string(256, 'x') + "\"")[0].kind, token_kind::quote_too_long);
    assert_int_equal(all("\"" + std::string(255, 'x') + "\"")[0].kind, token_kind::quoted);
    assert_int_equal(all(std::string(129, 'x'))[0].kind, token_kind::word_too_long);
    assert_int_equal(all(std::string(128, 'x'))[0].kind, token_kind::word);
}

void the_end_stays_the_end(void**) {
    lexer input("a");
    input.next();
    assert_int_equal(input.next().kind, token_kind::end);
    assert_int_equal(input.next().kind, token_kind::end);
}

void reserved_words_are_found_by_their_text(void**) {
    assert_int_equal(find_word("resource")->id, key::resource);
    assert_int_equal(find_word("after-sb-1pri")->id, key::net_option);
    assert_true(find_word("rate")->in_syncer);
    assert_null(find_word("resourc"));
    assert_null(find_word("quorum"));
    assert_non_null(find_word_of_9(section_9::resource_options, "quorum"));
    assert_null(find_word_of_9(section_9::net, "quorum"));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(words_numbers_and_addresses_are_told_apart),
        cmocka_unit_test(ipv6_addresses_are_one_token),
        cmocka_unit_test(comments_and_blanks_are_skipped_and_lines_counted),
        cmocka_unit_test(quoted_strings_know_two_escapes),
        cmocka_unit_test(broken_strings_have_their_own_kinds),
        cmocka_unit_test(the_end_stays_the_end),
        cmocka_unit_test(reserved_words_are_found_by_their_text),
    };
    return cmocka_run_group_tests_name("config lexer", tests, nullptr, nullptr);
}
