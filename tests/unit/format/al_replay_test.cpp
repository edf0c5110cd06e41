#include "kernel/format/al_replay.hpp"

#include <rapidcheck.h>

#include "unit/cmocka.hpp"
#include "unit/format/al_writer.hpp"

namespace {

using namespace lockstep::format;
using lockstep::store_big;
using lockstep::test::al_writer;
using extents = std::vector<std::uint32_t>;

bool contains(const extents& list, const extents& part) {
    return std::includes(list.begin(), list.end(), part.begin(), part.end());
}

void a_log_of_create_md_has_nothing_to_do(void**) {
    const al_writer log({}, 67, 0);
    const auto replay = replay_al84(log.area(), {}, 128);
    assert_true(replay.outcome == al_outcome::nothing_to_do);
    assert_int_equal(replay.valid_blocks, 8);
    assert_false(replay.suspicious());
}

void a_log_without_a_valid_block_says_so(void**) {
    const std::vector<std::byte> area(std::size_t{8} * block_bytes);
    const auto replay = replay_al84(area, {}, 128);
    assert_true(replay.outcome == al_outcome::no_valid_block);
    assert_true(replay.suspicious());
}

void random_workload(al_writer& log, std::size_t transactions, std::uint32_t extent_count) {
    for (std::size_t i = 0; i < transactions; ++i) {
        std::vector<al_update> updates(*rc::gen::inRange<std::size_t>(0, al_updates_max + 1));
        for (auto& update : updates) {
            update.slot =
                static_cast<std::uint16_t>(*rc::gen::inRange<std::size_t>(0, log.slots()));
            update.extent = *rc::gen::inRange(0, 8) == 0
                                ? al_free
                                : *rc::gen::inRange<std::uint32_t>(0, extent_count);
        }
        log.commit(updates);
    }
}

// A ring that has gone round often enough for every slot to be in some context still present.
void the_active_set_is_rebuilt_exactly(void**) {
    const bool holds = rc::check("replay", [] {
        const al_striping striping =
            *rc::gen::element(al_striping{1, 8}, al_striping{4, 16}, al_striping{3, 5});
        const auto slots = *rc::gen::element<std::uint16_t>(67, 257, 919, 920, 1237, 3000);
        // Also across the wrap of the transaction number, but not in a ring whose size is no power
        // of two: there the format itself overwrites the newest block but one, at 2^32.
        const bool wraps_well = striping.total_blocks() != 15;
        const auto start = *rc::gen::element(0U, 8U, 1000U, 0xfffffffaU, 0x7ffffffeU);
        const std::uint32_t number = wraps_well || start < 0xf0000000U ? start : 0;
        al_writer log(striping, slots, number);
        random_workload(log, *rc::gen::inRange<std::size_t>(1, 40), 100000);
        const auto replay = replay_al84(log.area(), striping, 100000);
        RC_ASSERT(replay.outcome == al_outcome::active_set);
        RC_ASSERT(replay.extents == log.active());
        RC_ASSERT(!replay.suspicious());
    });
    assert_true(holds);
}

void a_torn_newest_block_leaves_the_set_before_it(void**) {
    const bool holds = rc::check("torn", [] {
        al_writer log({}, 257, *rc::gen::arbitrary<std::uint32_t>());
        random_workload(log, *rc::gen::inRange<std::size_t>(2, 30), 5000);
        const extents before = log.active();
        random_workload(log, 1, 5000);
        const auto at = *rc::gen::inRange<std::size_t>(0, block_bytes);
        log.newest()[at] ^= std::byte{1};
        const auto replay = replay_al84(log.area(), {}, 5000);
        RC_ASSERT(replay.outcome == al_outcome::active_set);
        RC_ASSERT(replay.extents == before);
        RC_ASSERT(!replay.suspicious());
    });
    assert_true(holds);
}

void the_torn_first_transaction_of_a_fresh_ring_means_nothing_to_do(void**) {
    al_writer log({}, 67, 0);
    log.commit({{0, 5}});
    log.newest()[100] ^= std::byte{1};
    const auto replay = replay_al84(log.area(), {}, 128);
    assert_true(replay.outcome == al_outcome::nothing_to_do);
    assert_false(replay.suspicious());
}

void several_damaged_blocks_without_an_update_cannot_be_trusted(void**) {
    al_writer log({}, 67, 0);
    log.block_of(2)[0] ^= std::byte{1};
    log.block_of(5)[0] ^= std::byte{1};
    const auto replay = replay_al84(log.area(), {}, 128);
    assert_true(replay.outcome == al_outcome::no_update);
    assert_true(replay.suspicious());
}

void extents_beyond_the_device_are_clamped_and_counted(void**) {
    al_writer log({}, 67, 0);
    log.commit({{0, 5}, {1, 128}, {2, 0xfffffffe}});
    const auto replay = replay_al84(log.area(), {}, 128);
    assert_true(replay.extents == extents({5, 127}));
    assert_int_equal(replay.extents_out_of_range, 2);
    assert_true(replay.suspicious());
}

void slots_beyond_the_limit_are_counted_and_their_extents_kept(void**) {
    std::vector<std::byte> area(std::size_t{8} * block_bytes);
    const std::array<al_update, 2> updates = {{{65534, 9}, {3, 4}}};
    encode_al_update({0, 65535, 0, updates, {}}, lockstep::byte_span(area).first(block_bytes));
    const auto replay = replay_al84(area, {}, 128);
    assert_int_equal(replay.slots_out_of_range, 1);
    assert_true(contains(replay.extents, {4, 9}));
}

void a_broken_order_marks_all_that_is_mentioned(void**) {
    al_writer log({}, 67, 100);
    log.commit({{0, 1}});
    log.commit({{0, 2}});
    log.commit({{0, 3}});
    // The oldest transaction appears once more, where another number belongs.
    const auto oldest = log.block_of(100);
    std::copy(oldest.begin(), oldest.end(), log.block_of(103).begin());
    const auto replay = replay_al84(log.area(), {}, 128);
    assert_true(replay.order_broken);
    assert_true(contains(replay.extents, {1, 2, 3}));
}

void any_bytes_are_replayed_without_harm(void**) {
    const bool holds = rc::check("garbage", [] {
        al_writer log({}, *rc::gen::element<std::uint16_t>(67, 1237), 7);
        random_workload(log, 12, 5000);
        std::vector<std::byte> area(log.area().begin(), log.area().end());
        for (int i = 0; i < 20; ++i) {
            area[*rc::gen::inRange<std::size_t>(0, area.size())] =
                std::byte{*rc::gen::arbitrary<std::uint8_t>()};
        }
        for (const auto& replay : {replay_al84(area, {}, 5000), replay_al83(area, 257, 5000),
                                   replay_al83(area, ~0U, 1)}) {
            const bool inside = replay.extents.empty() || replay.extents.back() < 5000U;
            RC_ASSERT(inside);
            RC_ASSERT(std::is_sorted(replay.extents.begin(), replay.extents.end()));
        }
    });
    assert_true(holds);
}

// A log of 8.3: sectors with one update and 61 slots of context.
class al83_writer {
public:
    al83_writer(std::uint32_t slots, std::uint32_t first_number)
        : number_(first_number), ring_(al83_sectors(slots)), table_(slots, al_free), area_(32768) {}

    void commit(std::uint32_t slot, std::uint32_t extent) {
        auto* sector = area_.data() + std::size_t{position_} * sector_bytes;
        std::uint32_t sum = extent;
        store_big(sector, al83_magic);
        store_big(sector + 4, number_++);
        store_big(sector + 8, slot);
        store_big(sector + 12, extent);
        for (std::size_t i = 0; i < al83_context; ++i) {
            const auto at = static_cast<std::uint32_t>(cycle_ + i);
            const std::uint32_t held = at < table_.size() ? table_[at] : al_free;
            store_big(sector + 16 + i * 8, at < table_.size() ? at : al_free);
            store_big(sector + 20 + i * 8, held);
            sum ^= held;
        }
        store_big(sector + 504, sum);
        cycle_ = cycle_ + al83_context >= table_.size() ? 0 : cycle_ + al83_context;
        position_ = (position_ + 1) % ring_;
        table_[slot] = extent;
    }

    lockstep::const_byte_span area() const { return area_; }
    extents active() const {
        std::set<std::uint32_t> found(table_.begin(), table_.end());
        found.erase(al_free);
        return {found.begin(), found.end()};
    }

private:
    std::uint32_t number_;
    std::uint32_t ring_;
    std::uint32_t position_ = 0;
    std::uint32_t cycle_ = 0;
    std::vector<std::uint32_t> table_;
    std::vector<std::byte> area_;
};

void an_83_log_is_replayed(void**) {
    const bool holds = rc::check("8.3", [] {
        const auto slots = *rc::gen::element(67U, 127U, 257U, 3833U);
        al83_writer log(slots, *rc::gen::arbitrary<std::uint32_t>());
        const auto count = *rc::gen::inRange(1, 300);
        for (int i = 0; i < count; ++i) {
            // 8.3 never frees a slot in the log, it only reuses it.
            log.commit(*rc::gen::inRange<std::uint32_t>(0, slots),
                       *rc::gen::inRange<std::uint32_t>(0, 9000));
        }
        const auto replay = replay_al83(log.area(), slots, 9000);
        RC_ASSERT(replay.extents == log.active());
        RC_ASSERT(!replay.order_broken);
    });
    assert_true(holds);
}

void the_form_is_told_by_magic_striping_or_blocks(void**) {
    const al_writer log84({}, 67, 0);
    al83_writer log83(127, 1);
    log83.commit(0, 1);
    superblock value;
    assert_true(detect_al_form(value, log84.area()) == al_form::v84);
    assert_true(detect_al_form(value, log83.area()) == al_form::v83);
    value.magic = magic_v84_unclean;
    assert_true(detect_al_form(value, log83.area()) == al_form::v84);
    value.magic = magic_v08;
    value.al_stripes = 2;
    assert_true(detect_al_form(value, log83.area()) == al_form::v84);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_log_of_create_md_has_nothing_to_do),
        cmocka_unit_test(a_log_without_a_valid_block_says_so),
        cmocka_unit_test(the_active_set_is_rebuilt_exactly),
        cmocka_unit_test(a_torn_newest_block_leaves_the_set_before_it),
        cmocka_unit_test(the_torn_first_transaction_of_a_fresh_ring_means_nothing_to_do),
        cmocka_unit_test(several_damaged_blocks_without_an_update_cannot_be_trusted),
        cmocka_unit_test(extents_beyond_the_device_are_clamped_and_counted),
        cmocka_unit_test(slots_beyond_the_limit_are_counted_and_their_extents_kept),
        cmocka_unit_test(a_broken_order_marks_all_that_is_mentioned),
        cmocka_unit_test(any_bytes_are_replayed_without_harm),
        cmocka_unit_test(an_83_log_is_replayed),
        cmocka_unit_test(the_form_is_told_by_magic_striping_or_blocks),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
