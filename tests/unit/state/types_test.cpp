// Words, numbers and packing of the states.
#include "kernel/state/transition.hpp"
#include "kernel/state/types.hpp"

#include <array>
#include <set>
#include <string>

#include <rapidcheck.h>

#include "unit/cmocka.hpp"

using namespace lockstep::state;

namespace {

constexpr std::array<int, 25> verdict_codes = {4,   3,   2,   1,   0,   -1,  -2,  -4,  -5,
                                               -6,  -7,  -8,  -9,  -10, -11, -12, -13, -14,
                                               -15, -16, -17, -18, -19, -20, -21};

void expect_text(std::string_view found, const char* wanted) {
    assert_string_equal(std::string(found).c_str(), wanted);
}

void names_are_those_of_drbd(void**) {
    expect_text(name(role::unknown), "Unknown");
    expect_text(name(disk::unknown), "DUnknown");
    expect_text(name(disk::up_to_date), "UpToDate");
    expect_text(name(connection::standalone), "StandAlone");
    expect_text(name(connection::wf_report_params), "WFReportParams");
    expect_text(name(connection::wf_bitmap_s), "WFBitMapS");
    expect_text(name(connection::paused_sync_t), "PausedSyncT");
    expect_text(name(connection::behind), "Behind");
    expect_text(name(static_cast<role>(3)), "?");
    expect_text(name(static_cast<disk>(9)), "?");
    expect_text(name(static_cast<connection>(24)), "?");
}

void names_are_distinct(void**) {
    std::set<std::string_view> seen;
    for (int at = 0; at < 24; ++at) {
        seen.insert(name(static_cast<connection>(at)));
    }
    assert_int_equal(seen.size(), 24);
}

void every_verdict_has_a_sentence_and_every_refusal_a_remedy(void**) {
    std::set<std::string_view> sentences;
    for (const int code : verdict_codes) {
        const auto value = static_cast<verdict>(code);
        assert_string_not_equal(std::string(text(value)).c_str(), "?");
        assert_int_equal(remedy(value).empty(), code >= 1);
        sentences.insert(text(value));
    }
    assert_int_equal(sentences.size(), verdict_codes.size());
    expect_text(text(verdict::two_primaries), "Multiple primaries not allowed by config");
    expect_text(text(verdict::no_up_to_date_disk), "Need access to UpToDate data");
    expect_text(text(verdict::device_in_use), "Device is held open by someone");
    expect_text(text(static_cast<verdict>(-3)), "?");
    assert_true(remedy(static_cast<verdict>(-99)).empty());
}

// Words seen on the wire (captures role-state-changes and outdate-as-primary).
void requests_have_the_words_that_were_captured(void**) {
    const state_change primary = state_change().with(role::primary);
    assert_int_equal(primary.mask, 0x3);
    assert_int_equal(primary.value, 0x1);
    const state_change forced = primary.with(disk::up_to_date);
    assert_int_equal(forced.mask, 0x1e03);
    assert_int_equal(forced.value, 0x1001);
    const state_change detach = state_change().with(disk::failed);
    assert_int_equal(detach.mask, 0x1e00);
    assert_int_equal(detach.value, 0x400);
    const state_change fencing =
        state_change().with(connection::disconnecting).with_peer(disk::outdated);
    assert_int_equal(fencing.mask, 0x1e1f0);
    assert_int_equal(fencing.value, 0xa010);
    const state_change verify = state_change().with(connection::verify_s);
    assert_int_equal(verify.mask, 0x1f0);
    assert_int_equal(verify.value, 0x120);
    assert_int_equal(state_change().with(connection::starting_sync_t).value, 0xc0);
}

void a_packed_state_unpacks_to_itself(void**) {
    const bool passed = rc::check("pack and unpack", [](std::uint32_t word) {
        const std::uint32_t bits = word & 0x7fffffU;
        RC_ASSERT(pack(unpack(bits)) == bits);
        RC_ASSERT(unpack(word) == unpack(bits));
        const volume_state value = unpack(bits);
        RC_ASSERT(mirrored(mirrored(value)) == value);
    });
    assert_true(passed);
}

void words_with_values_that_do_not_exist_are_told_apart(void**) {
    assert_true(well_formed(0xff80'0000U));
    assert_true(well_formed(pack(volume_state())));
    assert_false(well_formed(0x3));        // role
    assert_false(well_formed(0xc));        // peer role
    assert_false(well_formed(24U << 4U));  // connection
    assert_false(well_formed(9U << 9U));   // disk
    assert_false(well_formed(15U << 13U)); // peer disk
}

void each_flag_has_its_bit(void**) {
    volume_state value = unpack(0);
    value.suspended_user = true;
    assert_int_equal(pack(value), 1U << 17U);
    assert_true(value.suspended());
    value = unpack(0);
    value.sync_paused_after = true;
    assert_int_equal(pack(value), 1U << 18U);
    assert_false(value.suspended());
    value = unpack(0);
    value.sync_paused_peer = true;
    assert_int_equal(pack(value), 1U << 19U);
    value = unpack(0);
    value.sync_paused_user = true;
    assert_int_equal(pack(value), 1U << 20U);
    value = unpack(0);
    value.suspended_no_data = true;
    assert_int_equal(pack(value), 1U << 21U);
    value = unpack(0);
    value.suspended_fencing = true;
    assert_int_equal(pack(value), 1U << 22U);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(names_are_those_of_drbd),
        cmocka_unit_test(names_are_distinct),
        cmocka_unit_test(every_verdict_has_a_sentence_and_every_refusal_a_remedy),
        cmocka_unit_test(requests_have_the_words_that_were_captured),
        cmocka_unit_test(a_packed_state_unpacks_to_itself),
        cmocka_unit_test(words_with_values_that_do_not_exist_are_told_apart),
        cmocka_unit_test(each_flag_has_its_bit),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
