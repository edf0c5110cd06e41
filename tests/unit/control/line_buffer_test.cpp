// Lines are the same however the stream was cut.
#include <algorithm>
#include <string>
#include <vector>

#include <rapidcheck.h>

#include "kernel/control/protocol/line_buffer.hpp"

#include "unit/cmocka.hpp"

using namespace lockstep::control;

namespace {

void lines_do_not_depend_on_how_the_stream_was_cut(void**) {
    const bool held = rc::check("lines are the same", [] {
        const auto alphabet = rc::gen::elementOf(std::string("ab\n"));
        const auto text = *rc::gen::container<std::string>(alphabet);
        const auto cuts = *rc::gen::container<std::vector<std::size_t>>(
            rc::gen::inRange<std::size_t>(0, text.size() + 1));
        std::vector<std::size_t> places = cuts;
        places.push_back(text.size());
        std::sort(places.begin(), places.end());
        line_buffer buffer(1000);
        std::string joined;
        std::size_t from = 0;
        for (const std::size_t to : places) {
            buffer.append(std::string_view(text).substr(from, to - from));
            from = to;
            while (const auto line = buffer.next_line()) {
                RC_ASSERT(line->find('\n') == std::string::npos);
                joined += *line + "\n";
            }
        }
        const std::size_t whole = text.rfind('\n') == std::string::npos ? 0 : text.rfind('\n') + 1;
        RC_ASSERT(joined == text.substr(0, whole));
        RC_ASSERT(buffer.pending() == text.size() - whole);
    });
    assert_true(held);
}

void a_line_of_the_limit_is_taken_and_one_byte_more_is_not(void**) {
    line_buffer good(8);
    good.append("12345678\n");
    assert_false(good.too_long());
    assert_string_equal(good.next_line()->c_str(), "12345678");
    line_buffer bad(8);
    bad.append("123456789");
    assert_true(bad.too_long());
}

void lines_before_a_too_long_one_are_still_there(void**) {
    line_buffer buffer(8);
    buffer.append("one\n123456789");
    assert_string_equal(buffer.next_line()->c_str(), "one");
    assert_false(buffer.next_line().has_value());
    assert_true(buffer.too_long());
}

void many_lines_leave_no_memory_behind(void**) {
    line_buffer buffer(100);
    for (int at = 0; at < 100000; ++at) {
        buffer.append("0123456789\n");
        assert_true(buffer.next_line().has_value());
    }
    assert_int_equal(buffer.pending(), 0);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(lines_do_not_depend_on_how_the_stream_was_cut),
        cmocka_unit_test(a_line_of_the_limit_is_taken_and_one_byte_more_is_not),
        cmocka_unit_test(lines_before_a_too_long_one_are_still_there),
        cmocka_unit_test(many_lines_leave_no_memory_behind),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
