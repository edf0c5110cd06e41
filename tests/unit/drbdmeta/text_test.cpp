// Small texts of drbdmeta: generation identifiers, sizes, the last known device, names of minors.
#include <getopt.h>

#include <array>
#include <chrono>
#include <string>

#include "agent/drbdmeta/command_line.hpp"
#include "agent/drbdmeta/console.hpp"
#include "agent/drbdmeta/generation_text.hpp"
#include "agent/drbdmeta/last_known.hpp"
#include "agent/drbdmeta/minor.hpp"
#include "unit/cmocka.hpp"

namespace {

using namespace lockstep;
using namespace lockstep::drbdmeta;
namespace flag = format::md_flag;

format::superblock secondary_in_sync() {
    format::superblock value;
    value.uuids = {0x19D1FE4951F2490A, 0, {0x0004000000000004, 0x0003000000000004}};
    value.flags = flag::consistent | flag::was_up_to_date | flag::connected_ind | flag::al_clean;
    return value;
}

// As in the logs of the era: drbdadm show-gi on the secondary.
void show_gi_draws_what_each_field_means(void**) {
    const std::string expected =
        "\n"
        "       +--<  Current data generation UUID  >-\n"
        "       |               +--<  Bitmap's base data generation UUID  >-\n"
        "       |               |                 +--<  younger history UUID  >-\n"
        "       |               |                 |         +-<  older history  >-\n"
        "       V               V                 V         V\n"
        "19D1FE4951F2490A:0000000000000000:0004000000000004:0003000000000004:1:1:0:1:0:0:0\n"
        "                                                                    ^ ^ ^ ^ ^ ^ ^\n"
        "                                      -<  Data consistency flag  >--+ | | | | | |\n"
        "                             -<  Data was/is currently up-to-date  >--+ | | | | |\n"
        "                                  -<  Node was/is currently primary  >--+ | | | |\n"
        "                                  -<  Node was/is currently connected  >--+ | | |\n"
        "         -<  Node was in the progress of setting all bits in the bitmap  >--+ | |\n"
        "                        -<  The peer's disk was out-dated or inconsistent  >--+ |\n"
        "      -<  This node was a crashed primary, and has not seen its peer since   >--+\n"
        "\n"
        "flags: Secondary, Connected, UpToDate\n"
        "meta-data: clean\n";
    assert_string_equal(generation_drawing(secondary_in_sync()).c_str(), expected.c_str());
}

void flags_are_named_below_the_drawing(void**) {
    format::superblock value = secondary_in_sync();
    value.flags = flag::consistent | flag::crashed_primary | flag::primary_ind | flag::full_sync |
                  flag::peer_out_dated;
    const std::string text = generation_drawing(value);
    assert_true(
        text.find("flags: crashed Primary, StandAlone, Outdated, need full sync, peer Outdated\n"
                  "meta-data: need apply-al\n") != std::string::npos);
}

void set_gi_changes_what_is_given_and_keeps_the_rest(void**) {
    const auto before = secondary_in_sync();
    const auto after = with_generation(before, "5::6:0x7::0:1");
    assert_true(after.has_value());
    assert_int_equal(after->uuids.current, 5);
    assert_int_equal(after->uuids.bitmap, before.uuids.bitmap);
    assert_int_equal(after->uuids.history[0], 6);
    assert_int_equal(after->uuids.history[1], 7);
    assert_int_equal(after->flags,
                     flag::consistent | flag::primary_ind | flag::connected_ind | flag::al_clean);
    assert_true(with_generation(before, "").value() == before);
    const auto line = generation_line(before);
    assert_true(with_generation({}, line)->uuids == before.uuids);
}

void set_gi_refuses_what_is_no_generation(void**) {
    for (const char* text :
         {"x", "1:2:3:4:2", "1:2:3:4:x", "11111111111111111", "-1", "1:2:3:4:0:0:0:0:0:0:0:0"}) {
        const auto refused = with_generation({}, text);
        assert_false(refused.has_value());
        assert_int_equal(refused.error().code, 10);
        assert_false(refused.error().what.empty());
    }
}

void sizes_are_shown_with_four_digits_at_most(void**) {
    assert_string_equal(pretty_size(0).c_str(), "0 KB");
    assert_string_equal(pretty_size(9999).c_str(), "9999 KB");
    assert_string_equal(pretty_size(10000).c_str(), "10 MB");
    assert_string_equal(pretty_size(524236).c_str(), "512 MB");
    assert_string_equal(pretty_size(~0ULL).c_str(), "16384 EB");
}

void long_work_tells_its_speed_and_what_is_left(void**) {
    using std::chrono::milliseconds;
    const unsigned long long mib = 1U << 20U;
    assert_string_equal(progress_text(0, 0, milliseconds(0)).c_str(), "0%");
    assert_string_equal(progress_text(16 * mib, 32 * mib, milliseconds(999)).c_str(), "50%");
    assert_string_equal(progress_text(0, 32 * mib, milliseconds(2000)).c_str(), "0%");
    assert_string_equal(progress_text(128 * mib, 512 * mib, milliseconds(2000)).c_str(),
                        "25%, 64 MB/s, 0:06 left");
    // The bitmap of 1 PiB at the pace of a slow disk.
    assert_string_equal(progress_text(1024 * mib, 32768 * mib, milliseconds(64000)).c_str(),
                        "3%, 16 MB/s, 33:04 left");
    assert_string_equal(progress_text(512 * mib, 512 * mib, milliseconds(8000)).c_str(),
                        "100%, 64 MB/s, 0:00 left");
}

void the_last_known_device_is_kept_as_drbd_utils_do(void**) {
    const last_known value{1073741824, "/dev/sdb1", 0xABCDEF0123456789};
    assert_string_equal(last_known_text(value).c_str(),
                        "1073741824\t/dev/sdb1\nuuid:\tABCDEF0123456789\n");
    const auto back = parse_last_known(last_known_text(value));
    assert_true(back.has_value());
    assert_int_equal(back->size, value.size);
    assert_string_equal(back->name.c_str(), "/dev/sdb1");
    assert_int_equal(back->device_uuid, value.device_uuid);
    assert_int_equal(parse_last_known("4096\t/dev/x\n")->device_uuid, 0);
    assert_true(parse_last_known("4096")->name.empty());
    assert_false(parse_last_known("nonsense").has_value());
    assert_false(parse_last_known("").has_value());
}

void minors_are_numbers_or_drbd_devices(void**) {
    assert_int_equal(minor_of("0").value(), 0);
    assert_int_equal(minor_of("/dev/drbd17").value(), 17);
    for (const char* name : {"", "x", "/dev/drbd", "/dev/drbdx", "-1", "99999999", "/dev/null"}) {
        assert_false(minor_of(name).has_value());
    }
}

template <std::size_t Count>
result<invocation> read(std::array<const char*, Count> words) {
    std::array<char*, Count + 1> argv = {};
    for (std::size_t i = 0; i < Count; ++i) {
        argv[i] = const_cast<char*>(words[i]);
    }
    // getopt keeps its place between calls; 0 makes it begin anew.
    optind = 0;
    return read_command_line(static_cast<int>(Count), argv.data());
}

void options_may_stand_anywhere(void**) {
    const auto call =
        read(std::array{"/sbin/drbdmeta", "0", "v08", "/dev/sdb1", "internal", "create-md",
                        "--force", "--al-stripes", "4", "--al-stripe-size-kB", "64", "-p", "4k"});
    assert_true(call.has_value());
    assert_true(call->force);
    assert_int_equal(call->striping.count, 4);
    assert_int_equal(call->striping.blocks, 16);
    assert_int_equal(call->peer_max_bio_size, 4096);
    assert_string_equal(call->program.c_str(), "drbdmeta");
    assert_string_equal(call->device.c_str(), "/dev/sdb1");
    assert_string_equal(call->command->name, "create-md");
    assert_true(call->where.kind == format::placement_kind::internal);
}

void indices_name_placements(void**) {
    const auto flexible =
        read(std::array{"drbdmeta", "-", "v08", "/dev/sdb1", "flex-external", "get-gi"});
    assert_true(flexible->where.kind == format::placement_kind::flex_external);
    const auto slot = read(std::array{"drbdmeta", "-", "v08", "/dev/sdb1", "7", "get-gi"});
    assert_true(slot->where.kind == format::placement_kind::indexed);
    assert_int_equal(slot->where.index, 7);
    const auto wrong = read(std::array{"drbdmeta", "-", "v08", "/dev/sdb1", "256", "get-gi"});
    assert_int_equal(wrong.error().code, 20);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(show_gi_draws_what_each_field_means),
        cmocka_unit_test(flags_are_named_below_the_drawing),
        cmocka_unit_test(set_gi_changes_what_is_given_and_keeps_the_rest),
        cmocka_unit_test(set_gi_refuses_what_is_no_generation),
        cmocka_unit_test(sizes_are_shown_with_four_digits_at_most),
        cmocka_unit_test(long_work_tells_its_speed_and_what_is_left),
        cmocka_unit_test(the_last_known_device_is_kept_as_drbd_utils_do),
        cmocka_unit_test(minors_are_numbers_or_drbd_devices),
        cmocka_unit_test(options_may_stand_anywhere),
        cmocka_unit_test(indices_name_placements),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
