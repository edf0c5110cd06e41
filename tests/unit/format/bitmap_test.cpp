#include "kernel/format/bitmap.hpp"

#include <rapidcheck.h>
#include <vector>

#include "unit/cmocka.hpp"

namespace {

using namespace lockstep::format;

void bit_n_is_bit_n_mod_8_of_byte_n_div_8(void**) {
    std::vector<std::byte> bytes(16);
    assert_int_equal(set_bits(bytes, 0, 9, 1), 1);
    assert_int_equal(std::to_integer<int>(bytes[1]), 2);
    std::vector<std::uint64_t> words(2);
    bitmap_from_disk(bytes, words);
    assert_int_equal(words[0], 1U << 9U);
    std::vector<std::byte> back(16);
    bitmap_to_disk(words, back);
    assert_true(back == bytes);
}

void sizes_round_up_as_on_disk(void**) {
    assert_int_equal(bitmap_bits(9), 2);
    assert_int_equal(bitmap_words(8 * 64 + 1), 2);
    assert_int_equal(bitmap_bytes_on_disk(262144), 4096);
    assert_int_equal(bitmap_bytes_on_disk(262145), 8192);
    assert_int_equal(bitmap_bytes_on_disk(std::uint64_t{16} << 31U), 512U << 20U);
    assert_int_equal(al_extents(8193), 2);
}

void setting_and_clearing_agree_with_a_vector_of_bools(void**) {
    const bool holds = rc::check("bits", [] {
        constexpr std::uint64_t window_bits = std::uint64_t{64} * 8;
        const auto start = *rc::gen::inRange<std::uint64_t>(0, 64) * 8;
        std::vector<std::byte> window(64);
        std::vector<bool> model(window_bits);
        for (int step = 0; step < 8; ++step) {
            const auto first = *rc::gen::inRange<std::uint64_t>(0, 1200);
            const auto count = *rc::gen::inRange<std::uint64_t>(0, 700);
            std::uint64_t expected = 0;
            for (std::uint64_t bit = first; bit < first + count; ++bit) {
                if (bit >= start && bit < start + window_bits && !model[bit - start]) {
                    model[bit - start] = true;
                    ++expected;
                }
            }
            RC_ASSERT(set_bits(window, start, first, count) == expected);
        }
        const auto end = *rc::gen::inRange<std::uint64_t>(0, 1200);
        clear_tail(window, start, end);
        std::uint64_t left = 0;
        for (std::uint64_t i = 0; i < window_bits; ++i) {
            const bool expected = model[i] && start + i < end;
            const bool got = (std::to_integer<unsigned>(window[i / 8]) >> (i % 8) & 1U) != 0;
            RC_ASSERT(got == expected);
            left += expected ? 1 : 0;
        }
        RC_ASSERT(count_bits(window) == left);
    });
    assert_true(holds);
}

void a_count_that_overflows_stops_at_the_window(void**) {
    std::vector<std::byte> window(8);
    assert_int_equal(set_bits(window, 0, 60, ~std::uint64_t{0}), 4);
    assert_int_equal(set_bits(window, 0, ~std::uint64_t{0}, 5), 0);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(bit_n_is_bit_n_mod_8_of_byte_n_div_8),
        cmocka_unit_test(sizes_round_up_as_on_disk),
        cmocka_unit_test(setting_and_clearing_agree_with_a_vector_of_bools),
        cmocka_unit_test(a_count_that_overflows_stops_at_the_window),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
