// Every image of tests/fixtures/metadata against what drbdmeta 9.22 and the kernel said about it.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <regex>
#include <set>
#include <string>

#include "kernel/format/activity_log.hpp"
#include "kernel/format/al_replay.hpp"
#include "kernel/format/bitmap.hpp"
#include "kernel/format/superblock.hpp"
#include "unit/cmocka.hpp"
#include "unit/format/image.hpp"

namespace {

using namespace lockstep::format;
using lockstep::const_byte_span;
using lockstep::test::fixture_text;
using lockstep::test::image;

constexpr placement internal{placement_kind::internal, 0};
constexpr placement flexible{placement_kind::flex_external, 0};
constexpr placement slot_1{placement_kind::indexed, 1};

struct opened {
    opened(const std::string& name, placement where)
        : disk(name), at(superblock_offset(where, disk.size()).value()),
          block(decode_superblock(disk.read(at, block_bytes))),
          layout(check_layout(block, where, disk.size(), 0).value()) {}

    std::vector<std::byte> log() const {
        return disk.read(layout.activity_log_offset, layout.activity_log_bytes);
    }
    std::vector<std::byte> bitmap() const {
        return disk.read(layout.bitmap_offset, bitmap_bytes_on_disk(block.la_size_sectors));
    }

    image disk;
    std::uint64_t at;
    superblock block;
    geometry layout;
};

// The first match of a pattern with one group, as a number in that base.
std::uint64_t number_in(const std::string& text, const std::string& pattern, int base = 10) {
    std::smatch found;
    if (!std::regex_search(text, found, std::regex(pattern))) {
        fail_msg("the dump has no %s", pattern.c_str());
    }
    return std::strtoull(found[1].str().c_str(), nullptr, base);
}

std::vector<std::uint64_t> bitmap_in(const std::string& text) {
    const auto from = text.find("bm {");
    const std::string part = text.substr(from, text.find("# bits-set") - from);
    static const std::regex entry("(?:([0-9]+) times )?0x([0-9A-F]{16});");
    std::vector<std::uint64_t> words;
    for (std::sregex_iterator at(part.begin(), part.end(), entry), end; at != end; ++at) {
        const std::size_t count = (*at)[1].matched ? std::stoull((*at)[1]) : 1;
        words.insert(words.end(), count, std::stoull((*at)[2], nullptr, 16));
    }
    return words;
}

void check_against_dump(const std::string& name, placement where) {
    const opened it(name, where);
    const std::string text = fixture_text(name + ".dump.txt");
    assert_int_equal(it.at, number_in(text, "# md_offset (\\d+)"));
    assert_int_equal(it.layout.activity_log_offset, number_in(text, "# al_offset (\\d+)"));
    assert_int_equal(it.layout.bitmap_offset, number_in(text, "# bm_offset (\\d+)"));
    assert_int_equal(it.block.md_size_sectors, number_in(text, "# md_size_sect (\\d+)"));
    assert_int_equal(it.block.la_size_sectors, number_in(text, "la-size-sect (\\d+)"));
    assert_int_equal(it.block.al_nr_extents, number_in(text, "# al-extents (\\d+)"));
    assert_int_equal(it.block.peer_max_bio_size, number_in(text, "la-peer-max-bio-size (\\d+)"));
    assert_int_equal(it.block.device_uuid, number_in(text, "device-uuid 0x(\\w+)", 16));
    assert_int_equal(it.block.uuids.current, number_in(text, "uuid \\{\\s+0x(\\w+);", 16));
    assert_int_equal(it.block.striping().count, number_in(text, "al-stripes (\\d+)"));
    assert_int_equal(it.block.striping().blocks, number_in(text, "al-stripe-size-4k (\\d+)"));
    const auto bytes = it.bitmap();
    std::vector<std::uint64_t> words(bytes.size() / 8);
    bitmap_from_disk(bytes, words);
    assert_true(words == bitmap_in(text));
    assert_int_equal(count_bits(bytes), number_in(text, "# bits-set (\\d+)"));
}

void internal_images_read_as_their_dumps_say(void**) {
    for (const char* name :
         {"internal-64m-fresh", "internal-1280k-fresh", "internal-64m-alstripes4x64k",
          "internal-512m-clean-down", "internal-512m-dirty-crashed", "internal-512m-dirty-applied",
          "internal-64m-al83-synthetic", "internal-64m-al83-applied"}) {
        check_against_dump(name, internal);
    }
}

void external_images_read_as_their_dumps_say(void**) {
    check_against_dump("flex-external-1280k-fresh", flexible);
    check_against_dump("flex-external-1280k-used", flexible);
    check_against_dump("external-indexed-272m-used", slot_1);
    check_against_dump("external-indexed-272m-idx0and1", slot_1);
}

void encoding_what_was_read_gives_the_same_bytes(void**) {
    for (const char* name : {"internal-64m-fresh", "internal-512m-dirty-crashed",
                             "internal-512m-dirty-applied", "internal-64m-alstripes4x64k"}) {
        const opened it(name, internal);
        std::vector<std::byte> bytes(block_bytes);
        encode(it.block, bytes);
        assert_true(bytes == it.disk.read(it.at, block_bytes));
    }
}

void new_metadata_is_byte_for_byte_that_of_create_md(void**) {
    const struct {
        const char* name;
        placement where;
        al_striping striping;
    } made[] = {{"internal-64m-fresh", internal, {}},
                {"internal-1280k-fresh", internal, {}},
                {"internal-64m-alstripes4x64k", internal, {4, 16}},
                {"flex-external-1280k-fresh", flexible, {}}};
    for (const auto& entry : made) {
        const opened it(entry.name, entry.where);
        const auto layout = lay_out(entry.where, it.disk.size(), 0, entry.striping);
        assert_true(layout.has_value());
        std::vector<std::byte> bytes(block_bytes);
        encode(new_superblock(*layout), bytes);
        assert_true(bytes == it.disk.read(layout->superblock_offset, block_bytes));
        encode_al_initialized(bytes);
        for (std::uint64_t i = 0; i < entry.striping.total_blocks(); ++i) {
            assert_true(bytes ==
                        it.disk.read(layout->activity_log_offset + i * block_bytes, block_bytes));
        }
    }
}

void every_log_block_of_the_kernel_encodes_back_to_its_bytes(void**) {
    const struct {
        const char* name;
        placement where;
    } used[] = {{"internal-512m-dirty-crashed", internal},
                {"internal-512m-clean-down", internal},
                {"flex-external-1280k-used", flexible},
                {"external-indexed-272m-used", slot_1}};
    for (const auto& entry : used) {
        const opened it(entry.name, entry.where);
        const auto log = it.log();
        for (std::size_t i = 0; i < log.size(); i += block_bytes) {
            const auto bytes = const_byte_span(log).subspan(i, block_bytes);
            const al_block read = decode_al_block(bytes);
            assert_true(read.valid);
            const auto context =
                std::min<std::size_t>(al_context_max, std::size_t{read.slots} - read.context_first);
            std::vector<std::byte> again(block_bytes);
            encode_al_update({read.number, read.slots, read.context_first,
                              std::span(read.updates).first(read.update_count),
                              std::span(read.context).first(context)},
                             again);
            assert_true(std::equal(bytes.begin(), bytes.end(), again.begin(), again.end()));
        }
    }
}

// The kernel's own listing: "slot: extent", for the slots in use.
std::vector<std::uint32_t> kernels_active_set() {
    const std::string text = fixture_text("internal-512m-dirty-crashed.act_log.txt");
    static const std::regex line("\n\\s+\\d+:\\s+(\\d+) ");
    std::set<std::uint32_t> found;
    for (std::sregex_iterator at(text.begin(), text.end(), line), end; at != end; ++at) {
        found.insert(static_cast<std::uint32_t>(std::stoul((*at)[1])));
    }
    return {found.begin(), found.end()};
}

void the_active_set_of_the_crashed_kernel_is_found(void**) {
    const opened it("internal-512m-dirty-crashed", internal);
    const auto replay = replay_activity_log(it.block, it.log());
    assert_true(replay.form == al_form::v84);
    assert_true(replay.outcome == al_outcome::active_set);
    assert_int_equal(replay.extents.size(), 67);
    assert_int_equal(replay.extents.front(), 53);
    assert_int_equal(replay.extents.back(), 119);
    assert_true(replay.extents == kernels_active_set());
    assert_false(replay.suspicious());
}

void check_applied(const char* before, const char* after) {
    const opened from(before, internal);
    const opened to(after, internal);
    const auto replay = replay_activity_log(from.block, from.log());
    auto bits = from.bitmap();
    for (const std::uint32_t extent : replay.extents) {
        set_bits(bits, 0, extent * bits_per_al_extent, bits_per_al_extent);
    }
    assert_true(bits == to.bitmap());
    superblock expected = from.block;
    expected.flags |= md_flag::al_clean;
    expected.magic = magic_v08;
    // Metadata of 8.3 leaves the striping out; the tool writes the default that this means.
    expected.al_stripes = from.block.striping().count;
    expected.al_stripe_size_blocks = from.block.striping().blocks;
    assert_true(expected == to.block);
    assert_true(replay_activity_log(to.block, to.log()).outcome == al_outcome::nothing_to_do);
}

void applying_the_crashed_log_gives_the_applied_image(void**) {
    check_applied("internal-512m-dirty-crashed", "internal-512m-dirty-applied");
}

void applying_an_83_log_gives_the_applied_image(void**) {
    const opened it("internal-64m-al83-synthetic", internal);
    const auto replay = replay_activity_log(it.block, it.log());
    assert_true(replay.form == al_form::v83);
    assert_true(replay.extents == std::vector<std::uint32_t>({1, 2, 5, 7, 9, 11}));
    check_applied("internal-64m-al83-synthetic", "internal-64m-al83-applied");
}

void the_kernel_would_refuse_just_the_unclean_images(void**) {
    const struct {
        const char* name;
        int code;
    } images[] = {{"internal-64m-fresh", 0},         {"internal-512m-dirty-applied", 0},
                  {"internal-64m-al83-applied", 0},  {"internal-512m-dirty-crashed", 165},
                  {"internal-512m-clean-down", 165}, {"internal-64m-al83-synthetic", 165}};
    for (const auto& entry : images) {
        const opened it(entry.name, internal);
        const auto checked = check_attach(it.block, internal, it.disk.size(), 0);
        assert_int_equal(checked ? 0 : checked.error().code, entry.code);
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(internal_images_read_as_their_dumps_say),
        cmocka_unit_test(external_images_read_as_their_dumps_say),
        cmocka_unit_test(encoding_what_was_read_gives_the_same_bytes),
        cmocka_unit_test(new_metadata_is_byte_for_byte_that_of_create_md),
        cmocka_unit_test(every_log_block_of_the_kernel_encodes_back_to_its_bytes),
        cmocka_unit_test(the_active_set_of_the_crashed_kernel_is_found),
        cmocka_unit_test(applying_the_crashed_log_gives_the_applied_image),
        cmocka_unit_test(applying_an_83_log_gives_the_applied_image),
        cmocka_unit_test(the_kernel_would_refuse_just_the_unclean_images),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
