// The bitmap against the simplest thing that could be right: a vector of bools.
#include "kernel/replica/bitmap.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <rapidcheck.h>
#include <vector>

#include "unit/cmocka.hpp"

namespace {

using lockstep::replica::bitmap;

constexpr std::uint64_t page_sectors = 262144; // of data to one page of bitmap

// Says the same as bitmap, bit by bit.
struct model {
    std::uint64_t sectors;
    std::vector<bool> bits;

    explicit model(std::uint64_t device) : sectors(device), bits((device + 7) / 8) {}

    std::uint64_t count() const {
        return static_cast<std::uint64_t>(std::count(bits.begin(), bits.end(), true));
    }
    bool covered(std::uint64_t bit, std::uint64_t from, std::uint64_t end) const {
        const std::uint64_t bit_end = std::min((bit + 1) * 8, sectors);
        return bit * 8 >= from && bit_end <= end;
    }
    bool touched(std::uint64_t bit, std::uint64_t from, std::uint64_t end) const {
        return from < end && bit * 8 < end && std::min((bit + 1) * 8, sectors) > from;
    }
    std::uint64_t set(std::uint64_t from, std::uint64_t end) {
        std::uint64_t changed = 0;
        for (std::uint64_t bit = from / 8; bit < bits.size() && bit <= end / 8; ++bit) {
            if (touched(bit, from, end) && !bits[bit]) {
                bits[bit] = true;
                ++changed;
            }
        }
        return changed;
    }
    std::uint64_t clear(std::uint64_t from, std::uint64_t end) {
        std::uint64_t changed = 0;
        for (std::uint64_t bit = from / 8; bit < bits.size() && bit <= end / 8; ++bit) {
            if (covered(bit, from, end) && bits[bit]) {
                bits[bit] = false;
                ++changed;
            }
        }
        return changed;
    }
    std::uint64_t count_in(std::uint64_t from, std::uint64_t end) const {
        std::uint64_t found = 0;
        for (std::uint64_t bit = from / 8; bit < bits.size() && bit <= end / 8; ++bit) {
            found += touched(bit, from, end) && bits[bit] ? 1 : 0;
        }
        return found;
    }
    std::uint64_t next(std::uint64_t from, bool wanted) const {
        for (std::uint64_t bit = from; bit < bits.size(); ++bit) {
            if (bits[bit] == wanted) {
                return bit;
            }
        }
        return bitmap::none;
    }
};

std::uint64_t below(std::uint64_t limit) {
    return *rc::gen::inRange<std::uint64_t>(0, std::max<std::uint64_t>(limit, 1));
}

// Devices of one to three pages, odd ends included.
std::uint64_t any_device() {
    return *rc::gen::oneOf(rc::gen::inRange<std::uint64_t>(1, 2000),
                           rc::gen::inRange<std::uint64_t>(page_sectors - 20, page_sectors + 20),
                           rc::gen::inRange<std::uint64_t>(page_sectors, 3 * page_sectors));
}

// Lengths short and long, so that words, pages and the end of the device are all crossed.
std::uint64_t any_length(std::uint64_t device) {
    return *rc::gen::oneOf(rc::gen::inRange<std::uint64_t>(0, 40),
                           rc::gen::inRange<std::uint64_t>(0, 2000),
                           rc::gen::inRange<std::uint64_t>(0, device + 10));
}

void same(const bitmap& subject, const model& expected) {
    RC_ASSERT(subject.weight() == expected.count());
    RC_ASSERT(subject.consistent());
    for (std::uint64_t bit = 0; bit < expected.bits.size(); ++bit) {
        if (subject.test(bit) != expected.bits[bit]) {
            RC_FAIL("bit " + std::to_string(bit));
        }
    }
}

void step(bitmap& subject, model& expected) {
    const std::uint64_t sector = below(expected.sectors + 5);
    const std::uint64_t length = any_length(expected.sectors);
    const std::uint64_t end = std::min(sector + length, expected.sectors);
    const std::uint64_t bit = below(expected.bits.size());
    switch (below(7)) {
    case 0:
        RC_ASSERT(subject.set(sector, length) == expected.set(sector, end));
        break;
    case 1:
        RC_ASSERT(subject.clear(sector, length) == expected.clear(sector, end));
        break;
    case 2: {
        const std::uint64_t run_end =
            std::min<std::uint64_t>(bit + length, expected.bits.size()) * 8;
        RC_ASSERT(subject.set_run(bit, length) ==
                  (run_end > bit * 8 ? expected.set(bit * 8, run_end) : 0));
        break;
    }
    case 3: {
        const std::uint64_t run_end =
            std::min<std::uint64_t>(bit + length, expected.bits.size()) * 8;
        RC_ASSERT(subject.clear_run(bit, length) == expected.clear(bit * 8, run_end));
        break;
    }
    case 4:
        RC_ASSERT(subject.count_in(sector, length) == expected.count_in(sector, end));
        RC_ASSERT(subject.any_in(sector, length) == (expected.count_in(sector, end) != 0));
        break;
    case 5:
        RC_ASSERT(subject.find_next_set(bit) == expected.next(bit, true));
        break;
    default:
        RC_ASSERT(subject.find_next_clear(bit) == expected.next(bit, false));
        break;
    }
}

void behaves_as_a_vector_of_bits(void**) {
    assert_true(rc::check("bitmap = vector of bits", [] {
        const std::uint64_t device = any_device();
        bitmap subject(device);
        model expected(device);
        const std::uint64_t steps = 1 + below(30);
        for (std::uint64_t i = 0; i < steps; ++i) {
            step(subject, expected);
        }
        same(subject, expected);
    }));
}

void resize_keeps_shared_bits_and_fills_the_rest(void**) {
    assert_true(rc::check("resize", [] {
        const std::uint64_t before = any_device();
        const std::uint64_t after = any_device();
        const bool fill = *rc::gen::arbitrary<bool>();
        bitmap subject(before);
        model old_model(before);
        for (int i = 0; i < 5; ++i) {
            const std::uint64_t sector = below(before);
            const std::uint64_t length = any_length(before);
            subject.set(sector, length);
            old_model.set(sector, std::min(sector + length, before));
        }
        RC_ASSERT(subject.resize(after, fill ? bitmap::fill::set : bitmap::fill::clear));
        model expected(after);
        for (std::uint64_t bit = 0; bit < expected.bits.size(); ++bit) {
            expected.bits[bit] = bit < old_model.bits.size() ? old_model.bits[bit] : fill;
        }
        same(subject, expected);
    }));
}

void merged_words_are_ored_in(void**) {
    assert_true(rc::check("merge and copy words", [] {
        const std::uint64_t device = any_device();
        bitmap subject(device);
        bitmap other(device);
        model expected(device);
        for (int i = 0; i < 4; ++i) {
            const std::uint64_t sector = below(device);
            const std::uint64_t length = any_length(device);
            (i % 2 == 0 ? subject : other).set(sector, length);
            expected.set(sector, std::min(sector + length, device));
        }
        // In packets, as the peer sends them.
        const std::uint64_t per_packet = 1 + below(511);
        std::vector<std::byte> packet;
        for (std::uint64_t word = 0; word < other.words(); word += per_packet) {
            packet.resize(std::min(per_packet, other.words() - word) * 8);
            other.copy_words(word, packet);
            RC_ASSERT(subject.merge_words(word, packet));
        }
        same(subject, expected);
        const std::array<std::byte, 8> beyond{};
        RC_ASSERT(!subject.merge_words(subject.words(), beyond));
    }));
}

void words_received_past_the_end_are_dropped(void**) {
    bitmap subject(8 * 70 + 3); // 71 bits: the second word has 7
    std::array<std::byte, 16> all{};
    all.fill(std::byte{0xff});
    assert_true(subject.merge_words(0, all));
    assert_int_equal(subject.weight(), 71);
    assert_true(subject.consistent());
    assert_int_equal(subject.find_next_clear(0), bitmap::none);
    assert_false(subject.merge_words(2, all));
    assert_false(subject.merge_words(1, all));
    assert_false(subject.merge_words(0, std::span(all).first(12)));
    std::array<std::byte, 16> out{};
    subject.copy_words(0, out);
    assert_int_equal(static_cast<int>(out[8]), 0x7f);
    assert_int_equal(static_cast<int>(out[9]), 0);
}

void set_rounds_outward_and_clear_inward(void**) {
    bitmap subject(8 * 100 + 3);
    assert_int_equal(subject.set(7, 2), 2); // one sector of block 0, one of block 1
    assert_int_equal(subject.set(7, 2), 0);
    assert_int_equal(subject.clear(1, 15), 1); // block 0 is not wholly covered, block 1 is
    assert_true(subject.test(0));
    assert_false(subject.test(1));
    assert_int_equal(subject.clear(0, 7), 0);
    assert_int_equal(subject.clear(0, 8), 1);
    // The last block has three sectors.
    assert_int_equal(subject.set(802, 1), 1);
    assert_int_equal(subject.clear(800, 2), 0);
    assert_int_equal(subject.clear(800, 3), 1);
    assert_int_equal(subject.set(803, 1), 0);
    assert_int_equal(subject.set(800, 1000), 1);
}

void bytes_are_those_of_the_disk(void**) {
    bitmap subject(1048472); // metadata of 512 MiB: 131059 bits, 4 pages
    assert_int_equal(subject.bits(), 131059);
    assert_int_equal(subject.pages(), 4);
    subject.set_run(0, 1);
    subject.set_run(9, 1);
    subject.set_run(131058, 1);
    assert_int_equal(static_cast<int>(subject.page_bytes(0)[0]), 0x01);
    assert_int_equal(static_cast<int>(subject.page_bytes(0)[1]), 0x02);
    const std::uint64_t last = 131058 - 3 * 32768;
    assert_int_equal(static_cast<int>(subject.page_bytes(3)[last / 8]), 1 << (last % 8));
    assert_int_equal(subject.page_bytes(3).size(), 4096);
}

void loaded_pages_are_clean_and_lose_bits_past_the_end(void**) {
    bitmap subject(1048472);
    std::array<std::byte, 4096> page{};
    page.fill(std::byte{0xff});
    for (std::uint64_t at = 0; at < subject.pages(); ++at) {
        subject.load_page(at, page);
        assert_true(subject.page_stored(at));
    }
    assert_int_equal(subject.weight(), 131059);
    assert_int_equal(subject.dirty_pages(), 0);
    assert_true(subject.consistent());
    page.fill(std::byte{0});
    subject.load_page(1, page);
    assert_int_equal(subject.weight(), 131059 - 32768);
    assert_int_equal(subject.find_next_clear(0), 32768);
    assert_true(subject.consistent());
}

void only_changed_pages_are_dirty(void**) {
    bitmap subject;
    assert_true(subject.resize(10 * page_sectors, bitmap::fill::clear));
    assert_int_equal(subject.dirty_pages(), 10); // never written
    std::array<std::byte, 4096> out{};
    for (std::uint64_t page = subject.next_dirty_page(0); page != bitmap::none;
         page = subject.next_dirty_page(0)) {
        subject.begin_page_write(page, out);
        subject.end_page_write(page, true);
    }
    assert_int_equal(subject.dirty_pages(), 0);
    subject.clear(0, page_sectors * 10); // changes nothing
    assert_int_equal(subject.dirty_pages(), 0);
    subject.set(page_sectors * 4, 8);
    assert_int_equal(subject.next_dirty_page(0), 4);
    assert_int_equal(subject.next_dirty_page(5), bitmap::none);
    subject.set(page_sectors * 4, 8); // is set already
    assert_int_equal(subject.dirty_pages(), 1);
}

void a_page_changed_while_written_stays_dirty(void**) {
    bitmap subject(page_sectors * 2);
    std::array<std::byte, 4096> out{};
    subject.set(0, 8);
    subject.begin_page_write(0, out);
    assert_int_equal(static_cast<int>(out[0]), 1);
    assert_false(subject.page_dirty(0));
    assert_false(subject.page_stored(0));
    subject.set(8, 8);
    assert_true(subject.page_dirty(0));
    assert_int_equal(subject.next_dirty_page(0), 1); // 0 is still being written
    subject.end_page_write(0, true);
    assert_false(subject.page_stored(0));
    assert_int_equal(subject.next_dirty_page(0), 0);
    subject.begin_page_write(0, out);
    assert_int_equal(static_cast<int>(out[0]), 3);
    subject.end_page_write(0, true);
    assert_true(subject.page_stored(0));
}

void a_failed_page_write_leaves_it_dirty(void**) {
    bitmap subject(page_sectors);
    std::array<std::byte, 4096> out{};
    subject.begin_page_write(0, out);
    assert_int_equal(subject.writing_pages(), 1);
    subject.end_page_write(0, false);
    assert_true(subject.page_dirty(0));
    assert_int_equal(subject.writing_pages(), 0);
}

void all_bits_set_and_cleared(void**) {
    bitmap subject(3 * page_sectors + 5, bitmap::fill::set);
    assert_int_equal(subject.weight(), 3 * 32768 + 1);
    assert_true(subject.consistent());
    subject.clear_all();
    assert_int_equal(subject.weight(), 0);
    assert_true(subject.consistent());
    subject.set_all();
    assert_int_equal(subject.weight(), subject.bits());
    assert_true(subject.consistent());
}

void an_empty_device_has_no_bits(void**) {
    bitmap subject;
    assert_int_equal(subject.bits(), 0);
    assert_int_equal(subject.set(0, 8), 0);
    assert_int_equal(subject.find_next_set(0), bitmap::none);
    assert_false(subject.any_in(0, 100));
    assert_int_equal(subject.next_dirty_page(0), bitmap::none);
    assert_true(subject.resize(0, bitmap::fill::set));
    assert_int_equal(subject.weight(), 0);
}

// A bound that is a thousand times what it takes: what is tested is that the search does not read
// the 32 MiB of bits.
void a_sparse_terabyte_is_searched_in_microseconds(void**) {
    bitmap subject(std::uint64_t{1} << 31);
    assert_int_equal(subject.bits(), std::uint64_t{1} << 28);
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < 100; ++i) {
        assert_int_equal(subject.find_next_set(0), bitmap::none);
    }
    const auto spent = std::chrono::duration_cast<std::chrono::microseconds>(
                           std::chrono::steady_clock::now() - begin)
                           .count();
    print_message("# 100 searches of an empty 1 TiB bitmap: %ld us\n", static_cast<long>(spent));
    assert_true(spent < 100'000);
    subject.set((std::uint64_t{1} << 31) - 8, 8);
    assert_int_equal(subject.find_next_set(0), (std::uint64_t{1} << 28) - 1);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(behaves_as_a_vector_of_bits),
        cmocka_unit_test(resize_keeps_shared_bits_and_fills_the_rest),
        cmocka_unit_test(merged_words_are_ored_in),
        cmocka_unit_test(words_received_past_the_end_are_dropped),
        cmocka_unit_test(set_rounds_outward_and_clear_inward),
        cmocka_unit_test(bytes_are_those_of_the_disk),
        cmocka_unit_test(loaded_pages_are_clean_and_lose_bits_past_the_end),
        cmocka_unit_test(only_changed_pages_are_dirty),
        cmocka_unit_test(a_page_changed_while_written_stays_dirty),
        cmocka_unit_test(a_failed_page_write_leaves_it_dirty),
        cmocka_unit_test(all_bits_set_and_cleared),
        cmocka_unit_test(an_empty_device_has_no_bits),
        cmocka_unit_test(a_sparse_terabyte_is_searched_in_microseconds),
    };
    return cmocka_run_group_tests_name("bitmap", tests, nullptr, nullptr);
}
