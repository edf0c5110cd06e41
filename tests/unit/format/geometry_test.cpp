#include "kernel/format/geometry.hpp"

#include <rapidcheck.h>

#include "kernel/format/bitmap.hpp"
#include "unit/cmocka.hpp"

namespace {

using namespace lockstep::format;

constexpr std::uint64_t kib = 1024;
constexpr std::uint64_t mib = 1024 * kib;
constexpr std::uint64_t gib = 1024 * mib;
constexpr std::uint64_t tib = 1024 * gib;
constexpr placement internal{placement_kind::internal, 0};
constexpr placement flexible{placement_kind::flex_external, 0};

placement slot(std::uint32_t index) {
    return {placement_kind::indexed, index};
}

void check_internal(std::uint64_t device, std::uint64_t superblock, std::uint64_t log,
                    std::uint64_t bitmap, std::uint32_t md_size, std::uint64_t usable) {
    const auto layout = lay_out(internal, device, 0);
    assert_true(layout.has_value());
    assert_int_equal(layout->superblock_offset, superblock);
    assert_int_equal(layout->activity_log_offset, log);
    assert_int_equal(layout->bitmap_offset, bitmap);
    assert_int_equal(layout->md_size_sectors, md_size);
    assert_int_equal(layout->data_sectors_max, usable);
}

// The numbers are those that drbdmeta 9.22 and the kernel gave for devices of these sizes.
void internal_metadata_lies_where_drbd_puts_it(void**) {
    check_internal(64 * mib, 67104768, 67072000, 67067904, 80, 130992);
    check_internal(1280 * kib, 1280 * kib - 4096, 1280 * kib - 36864, 1280 * kib - 40960, 80, 2480);
    check_internal(512 * mib, 536866816, 536834048, 536817664, 104, 1048472);
}

void a_partition_of_20_970_496_kib_keeps_20_969_820_kib(void**) {
    const auto layout = lay_out(internal, 20970496 * kib, 0);
    assert_true(layout.has_value());
    assert_int_equal(layout->data_sectors_max / 2, 20969820);
    assert_int_equal(layout->md_size_sectors, 1352);
    assert_int_equal(layout->bitmap_bytes_max, 640 * kib);
}

void an_unaligned_tail_of_the_device_is_not_used(void**) {
    const auto aligned = lay_out(internal, 64 * mib, 0);
    const auto tail = lay_out(internal, 64 * mib + 3584, 0);
    assert_true(aligned.has_value() && tail.has_value());
    assert_int_equal(aligned->superblock_offset, tail->superblock_offset);
}

void stripes_move_the_log_and_the_bitmap(void**) {
    const auto layout = lay_out(internal, 64 * mib, 0, {4, 16});
    assert_true(layout.has_value());
    assert_int_equal(layout->al_offset_sectors, -512);
    assert_int_equal(layout->md_size_sectors, 528);
    const auto external = lay_out(flexible, 2 * mib, 0, {4, 16});
    assert_true(external.has_value());
    assert_int_equal(external->bm_offset_sectors, 8 + 512);
}

void flexible_external_metadata_starts_at_byte_0(void**) {
    const auto layout = lay_out(flexible, 1280 * kib, 64 * mib);
    assert_true(layout.has_value());
    assert_int_equal(layout->superblock_offset, 0);
    assert_int_equal(layout->activity_log_offset, 4096);
    assert_int_equal(layout->bitmap_offset, 36864);
    assert_int_equal(layout->md_size_sectors, 2560);
    assert_int_equal(layout->data_sectors_max, 131072);
}

void indexed_metadata_lies_at_multiples_of_128_mib(void**) {
    const auto layout = lay_out(slot(1), 272 * mib, 64 * mib);
    assert_true(layout.has_value());
    assert_int_equal(layout->superblock_offset, 134217728);
    assert_int_equal(layout->activity_log_offset, 134221824);
    assert_int_equal(layout->bitmap_offset, 134254592);
    assert_int_equal(layout->md_size_sectors, 262144);
}

void indexed_metadata_covers_just_below_4_tib(void**) {
    const auto layout = lay_out(slot(0), 128 * mib, 16 * tib);
    assert_true(layout.has_value());
    assert_int_equal(layout->data_sectors_max, (262144ULL - 72) * 32768);
}

void check_refused(const lockstep::result<geometry>& layout, int code) {
    assert_false(layout.has_value());
    assert_int_equal(layout.error().code, code);
    assert_false(layout.error().what.empty());
    assert_false(layout.error().remedy.empty());
}

void what_does_not_fit_is_refused_with_the_kernels_code(void**) {
    check_refused(lay_out(internal, 0, 0), attach_error::md_disk_too_small);
    check_refused(lay_out(internal, 36 * kib, 0), attach_error::md_disk_too_small);
    check_refused(lay_out(internal, 40 * kib, 0), attach_error::disk_too_small);
    check_refused(lay_out(flexible, 36 * kib, 0), attach_error::md_disk_too_small);
    check_refused(lay_out(slot(1), 256 * mib - 4096, 0), attach_error::md_disk_too_small);
    check_refused(lay_out(slot(0), 128 * mib, 0, {2, 8}), attach_error::md_index_invalid);
    check_refused(lay_out(internal, 1024 * tib + mib, 0), attach_error::md_layout_too_big);
    check_refused(lay_out(internal, 64 * mib, 0, {1, 7}), attach_error::md_invalid);
    check_refused(lay_out(internal, 64 * mib, 0, {0, 8}), attach_error::md_invalid);
    check_refused(lay_out(internal, 64 * mib, 0, {8, 524289}), attach_error::md_invalid);
}

void one_pebibyte_is_the_limit_and_works(void**) {
    const auto layout = lay_out(internal, 1024 * tib, 0);
    assert_true(layout.has_value());
    assert_true(layout->data_sectors_max < device_sectors_max);
    const auto external = lay_out(flexible, 64 * gib, 2048 * tib);
    assert_true(external.has_value());
    assert_int_equal(external->data_sectors_max, device_sectors_max);
}

void every_layout_has_room_for_its_bitmap_and_no_overlap(void**) {
    const bool holds = rc::check("layouts", [] {
        const auto kind = *rc::gen::element(placement_kind::internal, placement_kind::flex_external,
                                            placement_kind::indexed);
        const placement where{kind, *rc::gen::inRange<std::uint32_t>(0, 4)};
        const auto shift = *rc::gen::inRange(10, 50);
        const auto device = *rc::gen::inRange<std::uint64_t>(0, std::uint64_t{1} << shift) * 512;
        const auto data = *rc::gen::inRange<std::uint64_t>(0, std::uint64_t{1} << shift) * 512;
        const al_striping striping{*rc::gen::inRange<std::uint32_t>(1, 9),
                                   *rc::gen::inRange<std::uint32_t>(1, 65)};
        const auto layout = lay_out(where, device, data, striping);
        if (!layout) {
            RC_ASSERT(layout.error().code != 0);
            return;
        }
        const auto& l = *layout;
        RC_ASSERT(bitmap_bytes_on_disk(l.data_sectors_max) <= l.bitmap_bytes_max);
        RC_ASSERT(l.data_sectors_max > 0U);
        RC_ASSERT(l.superblock_offset + block_bytes <= device);
        RC_ASSERT(l.bitmap_offset + l.bitmap_bytes_max <= device);
        RC_ASSERT(l.activity_log_offset + l.activity_log_bytes <= device);
        if (kind == placement_kind::internal) {
            RC_ASSERT(l.data_sectors_max * 512 <= l.bitmap_offset);
            RC_ASSERT(l.bitmap_offset + l.bitmap_bytes_max <= l.activity_log_offset);
            RC_ASSERT(l.activity_log_offset + l.activity_log_bytes <= l.superblock_offset);
        } else {
            RC_ASSERT(l.superblock_offset + block_bytes <= l.activity_log_offset);
            RC_ASSERT(l.activity_log_offset + l.activity_log_bytes <= l.bitmap_offset);
        }
    });
    assert_true(holds);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(internal_metadata_lies_where_drbd_puts_it),
        cmocka_unit_test(a_partition_of_20_970_496_kib_keeps_20_969_820_kib),
        cmocka_unit_test(an_unaligned_tail_of_the_device_is_not_used),
        cmocka_unit_test(stripes_move_the_log_and_the_bitmap),
        cmocka_unit_test(flexible_external_metadata_starts_at_byte_0),
        cmocka_unit_test(indexed_metadata_lies_at_multiples_of_128_mib),
        cmocka_unit_test(indexed_metadata_covers_just_below_4_tib),
        cmocka_unit_test(what_does_not_fit_is_refused_with_the_kernels_code),
        cmocka_unit_test(one_pebibyte_is_the_limit_and_works),
        cmocka_unit_test(every_layout_has_room_for_its_bitmap_and_no_overlap),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
