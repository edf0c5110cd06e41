// What a person reads when the peer's net options differ, and what is taken over from it.
#include "kernel/replica/peer_settings.hpp"

#include <string>

#include "kernel/options/table.hpp"

#include "unit/cmocka.hpp"

namespace {

using namespace lockstep;
using options::net_options;
using replica::first_difference;
using replica::taken_over;
using wire::connection_settings;

constexpr wire::protocol newest{wire::version_max, 0};

// As a node with these options tells them.
connection_settings told_by(const net_options& net) {
    connection_settings out;
    out.wire_protocol = static_cast<std::uint32_t>(net.protocol);
    out.after_sb_0pri = static_cast<std::uint32_t>(net.after_sb_0pri);
    out.after_sb_1pri = static_cast<std::uint32_t>(net.after_sb_1pri);
    out.after_sb_2pri = static_cast<std::uint32_t>(net.after_sb_2pri);
    out.two_primaries = net.allow_two_primaries ? 1 : 0;
    out.integrity = wire::make_algorithm_name(net.data_integrity_alg);
    return out;
}

struct pair {
    const char* option;
    const char* here;
    const char* there;
};

std::string between(const pair& two, const wire::protocol& rules = newest) {
    net_options here;
    net_options there;
    assert_true(options::set(here, two.option, two.here).has_value());
    assert_true(options::set(there, two.option, two.there).has_value());
    return first_difference(here, told_by(there), rules);
}

const std::string way_out =
    " Make them alike in the net sections, then on both nodes: drbdadm adjust.";

void a_difference_is_told_with_both_values_and_the_way_out(void**) {
    const pair rows[] = {
        {"protocol", "C", "A"},
        {"after-sb-0pri", "discard-zero-changes", "disconnect"},
        {"after-sb-1pri", "consensus", "violently-as0p"},
        {"after-sb-2pri", "disconnect", "call-pri-lost-after-sb"},
        {"allow-two-primaries", "no", "yes"},
        {"data-integrity-alg", "sha1", "md5"},
    };
    for (const pair& row : rows) {
        const std::string wanted = std::string("incompatible ") + row.option +
                                   " settings: " + row.here + " here, " + row.there +
                                   " on the peer." + way_out;
        assert_string_equal(between(row).c_str(), wanted.c_str());
    }
    assert_string_equal(
        between({"data-integrity-alg", "", "sha1"}).c_str(),
        ("incompatible data-integrity-alg settings: none here, sha1 on the peer." + way_out)
            .c_str());
}

void what_fits_is_no_difference(void**) {
    assert_string_equal(between({"protocol", "B", "B"}).c_str(), "");
    assert_string_equal(between({"after-sb-0pri", "discard-local", "discard-remote"}).c_str(), "");
    assert_string_equal(between({"after-sb-0pri", "discard-remote", "discard-local"}).c_str(), "");
    assert_string_equal(between({"after-sb-1pri", "consensus", "consensus"}).c_str(), "");
    // It is not told by so old a version.
    assert_string_equal(between({"data-integrity-alg", "sha1", ""}, {86, 0}).c_str(), "");
}

void both_may_not_discard_the_same_side(void**) {
    assert_string_equal(
        between({"after-sb-0pri", "discard-local", "discard-local"}).c_str(),
        ("incompatible after-sb-0pri settings: discard-local here, discard-local on the peer "
         "(discard-local on one node goes with discard-remote on the other)." +
         way_out)
            .c_str());
}

void a_policy_that_does_not_exist_is_told_and_not_taken_over(void**) {
    for (const std::uint32_t number : {1U, 11U, 256U, 0xffffffffU}) { // 1: of after-sb-0pri only
        connection_settings told = told_by({});
        told.after_sb_1pri = number;
        const std::string wanted =
            "incompatible after-sb-1pri settings: disconnect here, and on the peer number " +
            std::to_string(number) + ", which is no policy of after-sb-1pri." + way_out;
        assert_string_equal(first_difference({}, told, newest).c_str(), wanted.c_str());
        assert_false(taken_over({}, told).has_value());
    }
}

void what_is_taken_over_fits_from_then_on(void**) {
    for (const char* theirs : {"discard-local", "discard-remote", "discard-younger-primary"}) {
        net_options there;
        there.protocol = options::protocol::b;
        there.allow_two_primaries = true;
        there.data_integrity_alg = "sha1";
        assert_true(options::set(there, "after-sb-0pri", theirs).has_value());
        net_options here;
        here.ping_int_s = 7;
        const auto taken = taken_over(here, told_by(there));
        assert_true(taken.has_value());
        assert_string_equal(first_difference(*taken, told_by(there), newest).c_str(), "");
        assert_int_equal(taken->ping_int_s, 7); // not told
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_difference_is_told_with_both_values_and_the_way_out),
        cmocka_unit_test(what_fits_is_no_difference),
        cmocka_unit_test(both_may_not_discard_the_same_side),
        cmocka_unit_test(a_policy_that_does_not_exist_is_told_and_not_taken_over),
        cmocka_unit_test(what_is_taken_over_fits_from_then_on),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
