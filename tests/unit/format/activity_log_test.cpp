#include "kernel/format/activity_log.hpp"

#include <array>
#include <rapidcheck.h>
#include <set>
#include <vector>

#include "unit/cmocka.hpp"

namespace {

using namespace lockstep::format;
using lockstep::load_big;

using block = std::array<std::byte, block_bytes>;

void an_update_is_laid_out_as_the_kernel_does(void**) {
    const std::array<al_update, 2> updates = {{{3, 77}, {5, al_free}}};
    const std::array<std::uint32_t, 3> context = {10, al_free, 12};
    block bytes = {};
    encode_al_update({9, 67, 1, updates, context}, bytes);
    assert_int_equal(load_big<std::uint32_t>(bytes.data()), 0x69cb65a2);
    assert_int_equal(load_big<std::uint32_t>(bytes.data() + 4), 9);
    assert_int_equal(load_big<std::uint16_t>(bytes.data() + 12), 0);
    assert_int_equal(load_big<std::uint16_t>(bytes.data() + 14), 2);
    assert_int_equal(load_big<std::uint16_t>(bytes.data() + 16), 67);
    assert_int_equal(load_big<std::uint16_t>(bytes.data() + 18), 1);
    assert_int_equal(load_big<std::uint16_t>(bytes.data() + 36), 3);
    assert_int_equal(load_big<std::uint16_t>(bytes.data() + 40), 0xffff);
    assert_int_equal(load_big<std::uint32_t>(bytes.data() + 164), 77);
    assert_int_equal(load_big<std::uint32_t>(bytes.data() + 172), 0xffffffff);
    assert_int_equal(load_big<std::uint32_t>(bytes.data() + 420), 10);
    assert_int_equal(load_big<std::uint32_t>(bytes.data() + 432), 0xffffffff);
}

void every_changed_byte_makes_a_block_invalid(void**) {
    const bool holds = rc::check("torn blocks", [] {
        const std::array<al_update, 1> updates = {{{1, 2}}};
        block bytes = {};
        encode_al_update({*rc::gen::arbitrary<std::uint32_t>(), 67, 0, updates, {}}, bytes);
        RC_ASSERT(decode_al_block(bytes).valid);
        const auto at = *rc::gen::inRange<std::size_t>(0, bytes.size());
        bytes[at] ^= std::byte{*rc::gen::inRange<std::uint8_t>(1, 255)};
        RC_ASSERT(!decode_al_block(bytes).valid);
    });
    assert_true(holds);
}

void what_is_written_is_read_back(void**) {
    const bool holds = rc::check("round trip", [] {
        const auto slots = *rc::gen::inRange<std::uint16_t>(67, al_slots_max);
        std::vector<al_update> updates(*rc::gen::inRange<std::size_t>(0, al_updates_max + 1));
        for (auto& update : updates) {
            update.slot = *rc::gen::inRange<std::uint16_t>(0, slots);
            update.extent = *rc::gen::arbitrary<std::uint32_t>();
        }
        std::vector<std::uint32_t> context(*rc::gen::inRange<std::size_t>(0, al_context_max + 1),
                                           7);
        const auto first = *rc::gen::inRange<std::uint16_t>(0, slots);
        const auto number = *rc::gen::arbitrary<std::uint32_t>();
        block bytes = {};
        encode_al_update({number, slots, first, updates, context}, bytes);
        const al_block back = decode_al_block(bytes);
        RC_ASSERT(back.valid);
        RC_ASSERT(back.number == number);
        RC_ASSERT(back.slots == slots);
        RC_ASSERT(back.context_first == first);
        RC_ASSERT(back.update_count == updates.size());
        for (std::size_t i = 0; i < al_updates_max; ++i) {
            RC_ASSERT(back.updates[i] == (i < updates.size() ? updates[i] : al_update{}));
        }
        for (std::size_t i = 0; i < al_context_max; ++i) {
            RC_ASSERT(back.context[i] == (i < context.size() ? context[i] : al_free));
        }
    });
    assert_true(holds);
}

void an_initialized_block_is_valid_and_empty(void**) {
    block bytes;
    bytes.fill(std::byte{0xaa});
    encode_al_initialized(bytes);
    const al_block back = decode_al_block(bytes);
    assert_true(back.valid);
    assert_int_equal(back.type, al_type_initialized);
    assert_int_equal(back.number, 0);
    assert_int_equal(load_big<std::uint32_t>(bytes.data() + 420), 0);
}

void transactions_go_round_the_stripes(void**) {
    assert_int_equal(al_block_of(0, {}), 0);
    assert_int_equal(al_block_of(9, {}), 1);
    const al_striping striped{4, 16};
    assert_int_equal(al_block_of(0, striped), 0);
    assert_int_equal(al_block_of(1, striped), 16);
    assert_int_equal(al_block_of(3, striped), 48);
    assert_int_equal(al_block_of(4, striped), 1);
    assert_int_equal(al_block_of(63, striped), 63);
    assert_int_equal(al_block_of(64, striped), 0);
    std::set<std::uint64_t> used;
    for (std::uint32_t number = 1000; number < 1064; ++number) {
        used.insert(al_block_of(number, striped));
    }
    assert_int_equal(used.size(), 64);
}

void the_context_moves_by_919_and_starts_over(void**) {
    assert_int_equal(al_next_context(0, 67), 0);
    assert_int_equal(al_next_context(0, 919), 0);
    assert_int_equal(al_next_context(0, 1237), 919);
    assert_int_equal(al_next_context(919, 1237), 0);
    assert_int_equal(al_next_context(64330, 65534), 65249);
    assert_int_equal(al_next_context(65249, 65534), 0);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(an_update_is_laid_out_as_the_kernel_does),
        cmocka_unit_test(every_changed_byte_makes_a_block_invalid),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(an_initialized_block_is_valid_and_empty),
        cmocka_unit_test(transactions_go_round_the_stripes),
        cmocka_unit_test(the_context_moves_by_919_and_starts_over),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
