#include "metadata_tools.hpp"

#include <vector>

#include "kernel/format/activity_log.hpp"
#include "kernel/format/al_replay.hpp"
#include "kernel/format/bitmap.hpp"

namespace lockstep::simulation {
namespace {

format::geometry layout_of(const metadata_place& at) {
    const bool internal = at.where.kind == format::placement_kind::internal;
    const std::uint64_t sectors = internal ? at.data_sectors : at.device->sectors();
    const auto made = format::lay_out(at.where, sectors * 512, at.data_sectors * 512);
    LOCKSTEP_CHECK(made.has_value());
    return *made;
}

void write_superblock(const metadata_place& at, const format::superblock& value) {
    std::array<std::byte, format::block_bytes> block{};
    format::encode(value, block);
    at.device->write_now(layout_of(at).superblock_offset, byte_span(block).first(512));
}

void write_empty_log(const metadata_place& at) {
    const auto layout = layout_of(at);
    std::array<std::byte, format::block_bytes> block{};
    format::encode_al_initialized(block);
    for (std::uint64_t done = 0; done < layout.activity_log_bytes; done += block.size()) {
        at.device->write_now(layout.activity_log_offset + done, block);
    }
}

void mark(const metadata_place& at, const format::superblock& value,
          const std::vector<std::uint32_t>& extents) {
    const auto layout = layout_of(at);
    const std::uint64_t bits = format::bitmap_bits(value.la_size_sectors);
    std::array<std::byte, format::block_bytes> block{};
    for (const std::uint32_t extent : extents) {
        const std::uint64_t first = extent * format::bits_per_al_extent;
        const std::uint64_t page = first / format::bits_per_bitmap_block;
        const std::uint64_t place = layout.bitmap_offset + page * format::block_bytes;
        at.device->read_now(place, block);
        const std::uint64_t window = page * format::bits_per_bitmap_block;
        format::set_bits(block, window, first, format::bits_per_al_extent);
        format::clear_tail(block, window, bits);
        at.device->write_now(place, block);
    }
}

} // namespace

format::superblock read_superblock(const metadata_place& at) {
    std::array<std::byte, format::block_bytes> block{};
    at.device->read_now(layout_of(at).superblock_offset, block);
    return format::decode_superblock(block);
}

void create_metadata(const metadata_place& at) {
    write_empty_log(at);
    write_superblock(at, format::new_superblock(layout_of(at)));
}

void create_metadata_in_sync(const metadata_place& at, std::uint64_t current_uuid,
                             std::uint64_t size_sectors) {
    const auto layout = layout_of(at);
    write_empty_log(at);
    auto value = format::new_superblock(layout);
    value.la_size_sectors = size_sectors != 0 ? size_sectors : layout.data_sectors_max;
    value.uuids.current = current_uuid;
    value.flags |= format::md_flag::consistent | format::md_flag::was_up_to_date;
    std::array<std::byte, format::block_bytes> zeroes{};
    const std::uint64_t bytes = format::bitmap_bytes_on_disk(value.la_size_sectors);
    for (std::uint64_t done = 0; done < bytes; done += zeroes.size()) {
        at.device->write_now(layout.bitmap_offset + done, zeroes);
    }
    write_superblock(at, value);
}

void apply_activity_log(const metadata_place& at) {
    auto value = read_superblock(at);
    if (value.magic == format::magic_v08 && value.has(format::md_flag::al_clean)) {
        return;
    }
    const auto layout = layout_of(at);
    std::vector<std::byte> area(layout.activity_log_bytes);
    at.device->read_now(layout.activity_log_offset, area);
    const auto replay = format::replay_activity_log(value, area);
    LOCKSTEP_CHECK(replay.outcome != format::al_outcome::no_valid_block &&
                   replay.outcome != format::al_outcome::no_update);
    if (replay.outcome == format::al_outcome::active_set) {
        if (value.has(format::md_flag::primary_ind)) {
            mark(at, value, replay.extents);
        }
        write_empty_log(at);
    }
    value.flags |= format::md_flag::al_clean;
    value.magic = format::magic_v08;
    write_superblock(at, value);
}

bool has_metadata(const metadata_place& at) {
    const auto magic = read_superblock(at).magic;
    return magic == format::magic_v08 || magic == format::magic_v84_unclean;
}

void follow_growth(const metadata_place& at, std::uint64_t sectors) {
    apply_activity_log(at);
    auto value = read_superblock(at);
    LOCKSTEP_CHECK(value.magic == format::magic_v08);
    std::vector<std::byte> bits(format::bitmap_bytes_on_disk(value.la_size_sectors));
    at.device->read_now(layout_of(at).bitmap_offset, bits);
    const metadata_place end{at.device, at.where, sectors};
    const auto layout = layout_of(end);
    write_empty_log(end);
    at.device->write_now(layout.bitmap_offset, bits);
    value.md_size_sectors = layout.md_size_sectors;
    value.al_offset_sectors = layout.al_offset_sectors;
    value.bm_offset_sectors = layout.bm_offset_sectors;
    write_superblock(end, value);
}

} // namespace lockstep::simulation
