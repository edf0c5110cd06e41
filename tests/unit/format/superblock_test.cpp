#include "kernel/format/superblock.hpp"

#include <array>
#include <rapidcheck.h>

#include "kernel/format/bitmap.hpp"
#include "unit/cmocka.hpp"

namespace {

using namespace lockstep::format;
using lockstep::load_big;

constexpr std::uint64_t mib = std::uint64_t{1024} * 1024;
constexpr placement internal{placement_kind::internal, 0};
constexpr placement flexible{placement_kind::flex_external, 0};
constexpr placement slot_0{placement_kind::indexed, 0};

using block = std::array<std::byte, block_bytes>;

superblock fresh(placement where, std::uint64_t device) {
    return new_superblock(lay_out(where, device, 0).value());
}

void fields_lie_at_their_offsets_big_endian(void**) {
    superblock value = fresh(internal, 64 * mib);
    value.la_size_sectors = 0x0102030405060708;
    value.uuids = {0x11, 0x22, {0x33, 0x44}};
    value.device_uuid = 0x55;
    value.flags = md_flag::consistent | md_flag::al_clean;
    value.peer_max_bio_size = 0x100000;
    block bytes = {};
    encode(value, bytes);
    assert_int_equal(load_big<std::uint64_t>(bytes.data()), 0x0102030405060708);
    assert_int_equal(std::to_integer<int>(bytes[0]), 1);
    assert_int_equal(load_big<std::uint64_t>(bytes.data() + 8), 0x11);
    assert_int_equal(load_big<std::uint64_t>(bytes.data() + 16), 0x22);
    assert_int_equal(load_big<std::uint64_t>(bytes.data() + 24), 0x33);
    assert_int_equal(load_big<std::uint64_t>(bytes.data() + 32), 0x44);
    assert_int_equal(load_big<std::uint64_t>(bytes.data() + 40), 0x55);
    assert_int_equal(load_big<std::uint32_t>(bytes.data() + 56), 0x81);
    assert_int_equal(load_big<std::uint32_t>(bytes.data() + 60), 0x8374026b);
    assert_int_equal(load_big<std::uint32_t>(bytes.data() + 64), 80);
    assert_int_equal(static_cast<std::int32_t>(load_big<std::uint32_t>(bytes.data() + 68)), -64);
    assert_int_equal(load_big<std::uint32_t>(bytes.data() + 72), 257);
    assert_int_equal(static_cast<std::int32_t>(load_big<std::uint32_t>(bytes.data() + 76)), -72);
    assert_int_equal(load_big<std::uint32_t>(bytes.data() + 80), 4096);
    assert_int_equal(load_big<std::uint32_t>(bytes.data() + 84), 0x100000);
    assert_int_equal(load_big<std::uint32_t>(bytes.data() + 88), 1);
    assert_int_equal(load_big<std::uint32_t>(bytes.data() + 92), 8);
}

void all_that_matters_lies_in_the_first_sector(void**) {
    superblock value = fresh(internal, 64 * mib);
    value.uuids = {~0ULL, ~0ULL, {~0ULL, ~0ULL}};
    block bytes;
    bytes.fill(std::byte{0xee});
    encode(value, bytes);
    for (std::size_t i = superblock_used_bytes; i < bytes.size(); ++i) {
        assert_true(bytes[i] == std::byte{0});
    }
    assert_true(decode_superblock(lockstep::const_byte_span(bytes).first(sector_bytes)) == value);
}

void new_metadata_is_just_created_and_inconsistent(void**) {
    const superblock value = fresh(flexible, 8 * mib);
    assert_int_equal(value.uuids.current, 4);
    assert_int_equal(value.uuids.bitmap, 0);
    assert_int_equal(value.flags, md_flag::al_clean);
    assert_int_equal(value.la_size_sectors, 0);
    assert_false(value.has(md_flag::consistent));
    assert_true(check_attach(value, flexible, 8 * mib, 64 * mib).has_value());
}

void both_striping_fields_zero_mean_the_old_default(void**) {
    superblock value = fresh(internal, 64 * mib);
    value.al_stripes = 0;
    value.al_stripe_size_blocks = 0;
    assert_true(value.striping().is_default());
    assert_true(check_attach(value, internal, 64 * mib, 0).has_value());
}

void check_refusal(const superblock& value, placement where, std::uint64_t device, int code) {
    const auto layout = check_attach(value, where, device, 0);
    assert_false(layout.has_value());
    assert_int_equal(layout.error().code, code);
    assert_false(layout.error().remedy.empty());
}

void unclean_metadata_is_refused_with_165(void**) {
    superblock value = fresh(internal, 64 * mib);
    value.magic = magic_v84_unclean;
    check_refusal(value, internal, 64 * mib, 165);
    value.magic = magic_v08;
    value.flags = 0;
    check_refusal(value, internal, 64 * mib, 165);
    assert_true(check_layout(value, internal, 64 * mib, 0).has_value());
}

void no_or_foreign_magic_is_refused_with_119(void**) {
    superblock value = fresh(internal, 64 * mib);
    for (const std::uint32_t magic : {0U, magic_v07, magic_v09, 0xffffffffU}) {
        value.magic = magic;
        check_refusal(value, internal, 64 * mib, 119);
    }
}

void a_layout_that_makes_no_sense_is_refused_with_119(void**) {
    const superblock good = fresh(internal, 64 * mib);
    superblock value = good;
    value.bytes_per_bit = 8192;
    check_refusal(value, internal, 64 * mib, 119);
    value = good;
    value.al_offset_sectors = -72;
    check_refusal(value, internal, 64 * mib, 119);
    value = good;
    value.bm_offset_sectors = -71;
    check_refusal(value, internal, 64 * mib, 119);
    value = good;
    value.md_size_sectors = 88;
    check_refusal(value, internal, 64 * mib, 119);
    value = good;
    value.al_stripes = 0;
    check_refusal(value, internal, 64 * mib, 119);
    value = good;
    value.la_size_sectors = 300000; // the bitmap on disk covers 262144
    check_refusal(value, internal, 64 * mib, 119);
    value = fresh(slot_0, 128 * mib);
    value.md_size_sectors = 262136;
    check_refusal(value, slot_0, 128 * mib, 119);
    value = fresh(internal, 64 * mib);
    check_refusal(value, flexible, 64 * mib, 119);
}

void a_shrunk_metadata_device_is_refused_with_112(void**) {
    check_refusal(fresh(flexible, 8 * mib), flexible, 4 * mib, 112);
    check_refusal(fresh(slot_0, 128 * mib), slot_0, 128 * mib - 4096, 112);
}

void a_consistent_device_is_not_truncated(void**) {
    superblock value = fresh(flexible, 8 * mib);
    value.la_size_sectors = 64 * mib / 512;
    assert_true(check_attach(value, flexible, 8 * mib, 32 * mib).has_value());
    value.flags |= md_flag::consistent;
    const auto refused = check_attach(value, flexible, 8 * mib, 32 * mib);
    assert_false(refused.has_value());
    assert_int_equal(refused.error().code, 111);
}

void usable_size_is_the_smaller_of_bitmap_and_data_device(void**) {
    const superblock value = fresh(flexible, 8 * mib);
    assert_int_equal(check_attach(value, flexible, 8 * mib, 32 * mib)->data_sectors_max,
                     32 * mib / 512);
    const std::uint64_t covered = (8 * mib / 512 - 72) * 32768;
    assert_int_equal(check_attach(value, flexible, 8 * mib, 1ULL << 50U)->data_sectors_max,
                     covered);
}

void a_made_layout_is_read_back_as_the_same(void**) {
    const bool holds = rc::check("round trip", [] {
        const auto kind =
            *rc::gen::element(placement_kind::internal, placement_kind::flex_external);
        const al_striping striping{*rc::gen::inRange<std::uint32_t>(1, 9),
                                   *rc::gen::inRange<std::uint32_t>(8, 65)};
        const auto blocks = *rc::gen::inRange<std::uint64_t>(1024, std::uint64_t{1} << 30);
        const auto device = blocks * block_bytes;
        const auto layout = lay_out({kind, 0}, device, 0, striping);
        RC_PRE(layout.has_value());
        block bytes = {};
        superblock value = new_superblock(*layout);
        value.flags = *rc::gen::arbitrary<std::uint32_t>() | md_flag::al_clean;
        value.uuids.current = *rc::gen::arbitrary<std::uint64_t>();
        value.uuids.history[1] = *rc::gen::arbitrary<std::uint64_t>();
        encode(value, bytes);
        const superblock back = decode_superblock(bytes);
        RC_ASSERT(back == value);
        const auto seen = check_attach(back, {kind, 0}, device, 0);
        RC_ASSERT(seen.has_value());
        RC_ASSERT(*seen == *layout);
    });
    assert_true(holds);
}

void any_bytes_give_a_layout_inside_the_device_or_an_error(void**) {
    const bool holds = rc::check("arbitrary superblocks", [] {
        const auto kind = *rc::gen::element(placement_kind::internal, placement_kind::flex_external,
                                            placement_kind::indexed);
        const std::uint64_t device = *rc::gen::inRange<std::uint64_t>(1, 1ULL << 30U);
        superblock value;
        value.magic = *rc::gen::element(magic_v08, magic_v84_unclean);
        value.flags = md_flag::al_clean;
        value.md_size_sectors = *rc::gen::arbitrary<std::uint32_t>();
        value.al_offset_sectors = *rc::gen::element(8, -64, -512, 0x7fffffff, -2147483647 - 1);
        value.bm_offset_sectors = *rc::gen::arbitrary<std::int32_t>();
        value.la_size_sectors = *rc::gen::arbitrary<std::uint64_t>();
        value.al_stripes = *rc::gen::element(0U, 1U, 4U, 0xffffffffU);
        value.al_stripe_size_blocks = *rc::gen::element(0U, 8U, 16U, 0xffffffffU);
        const auto layout = check_attach(value, {kind, 1}, device, 0);
        if (layout) {
            RC_ASSERT(layout->superblock_offset + block_bytes <= device);
            RC_ASSERT(layout->bitmap_offset + layout->bitmap_bytes_max <= device);
            RC_ASSERT(layout->activity_log_offset + layout->activity_log_bytes <= device);
        }
    });
    assert_true(holds);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(fields_lie_at_their_offsets_big_endian),
        cmocka_unit_test(all_that_matters_lies_in_the_first_sector),
        cmocka_unit_test(new_metadata_is_just_created_and_inconsistent),
        cmocka_unit_test(both_striping_fields_zero_mean_the_old_default),
        cmocka_unit_test(unclean_metadata_is_refused_with_165),
        cmocka_unit_test(no_or_foreign_magic_is_refused_with_119),
        cmocka_unit_test(a_layout_that_makes_no_sense_is_refused_with_119),
        cmocka_unit_test(a_shrunk_metadata_device_is_refused_with_112),
        cmocka_unit_test(a_consistent_device_is_not_truncated),
        cmocka_unit_test(usable_size_is_the_smaller_of_bitmap_and_data_device),
        cmocka_unit_test(a_made_layout_is_read_back_as_the_same),
        cmocka_unit_test(any_bytes_give_a_layout_inside_the_device_or_an_error),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
