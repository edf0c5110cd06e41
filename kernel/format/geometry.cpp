#include "kernel/format/geometry.hpp"

#include <fmt/format.h>

#include "kernel/base/check.hpp"
#include "kernel/format/bitmap.hpp"

namespace lockstep::format {

namespace {

constexpr std::uint64_t align_down(std::uint64_t value) {
    return value / block_bytes * block_bytes;
}

// The pair to the promise in the header: every layout that leaves this room keeps it.
void check_invariant(const geometry& layout, std::uint64_t md_device_bytes) {
    LOCKSTEP_CHECK(layout.superblock_offset % block_bytes == 0);
    LOCKSTEP_CHECK(layout.activity_log_offset % block_bytes == 0);
    LOCKSTEP_CHECK(layout.bitmap_offset % block_bytes == 0);
    LOCKSTEP_CHECK(layout.activity_log_bytes == layout.striping.total_blocks() * block_bytes);
    LOCKSTEP_CHECK(layout.superblock_offset + block_bytes <= md_device_bytes);
    if (layout.where.kind == placement_kind::internal) {
        LOCKSTEP_CHECK(layout.data_sectors_max * sector_bytes <= layout.bitmap_offset);
        LOCKSTEP_CHECK(layout.bitmap_offset + layout.bitmap_bytes_max ==
                       layout.activity_log_offset);
        LOCKSTEP_CHECK(layout.activity_log_offset + layout.activity_log_bytes ==
                       layout.superblock_offset);
    } else {
        LOCKSTEP_CHECK(layout.superblock_offset + block_bytes == layout.activity_log_offset);
        LOCKSTEP_CHECK(layout.activity_log_offset + layout.activity_log_bytes <=
                       layout.bitmap_offset);
        LOCKSTEP_CHECK(layout.bitmap_offset + layout.bitmap_bytes_max <= md_device_bytes);
    }
    LOCKSTEP_CHECK(bitmap_bytes_on_disk(layout.data_sectors_max) <= layout.bitmap_bytes_max);
}

result<geometry> lay_out_internal(geometry layout, std::uint64_t device_bytes) {
    const std::uint64_t al_sectors = layout.striping.total_blocks() * block_sectors;
    const std::uint64_t bitmap_bytes = bitmap_bytes_on_disk(device_bytes / sector_bytes);
    const std::uint64_t before = bitmap_bytes + layout.activity_log_bytes;
    if (before > layout.superblock_offset) {
        return fail(fmt::format("a device of {} bytes is too small for its own metadata: {} bytes "
                                "are needed",
                                device_bytes, before + block_bytes),
                    {}, "use a larger device or external metadata",
                    attach_error::md_disk_too_small);
    }
    layout.bitmap_offset = layout.superblock_offset - before;
    layout.activity_log_offset = layout.bitmap_offset + bitmap_bytes;
    layout.bitmap_bytes_max = bitmap_bytes;
    layout.al_offset_sectors = -static_cast<std::int32_t>(al_sectors);
    layout.md_size_sectors = static_cast<std::uint32_t>((before + block_bytes) / sector_bytes);
    layout.bm_offset_sectors = -static_cast<std::int32_t>(before / sector_bytes);
    layout.data_sectors_max = layout.bitmap_offset / sector_bytes;
    return layout;
}

result<geometry> lay_out_external(geometry layout, std::uint64_t md_device_bytes,
                                  std::uint64_t data_device_bytes) {
    const std::uint64_t al_sectors = layout.striping.total_blocks() * block_sectors;
    std::uint64_t size = md_device_bytes / sector_bytes;
    if (layout.where.kind == placement_kind::indexed) {
        size = indexed_slot_sectors;
    } else if (size > 0xffffffffU) {
        // The field has 32 bits; a bitmap for 1 PiB takes 32 GiB of the 2 TiB that it can say.
        size = 0xffffffffU;
    }
    const std::uint64_t bitmap_from = block_sectors + al_sectors;
    // Only whole blocks of bitmap can be used.
    if (size < bitmap_from + block_sectors) {
        return fail(fmt::format("a metadata device of {} bytes has no room for a bitmap: at least "
                                "{} bytes are needed",
                                md_device_bytes, (bitmap_from + block_sectors) * sector_bytes),
                    {}, "use a larger metadata device", attach_error::md_disk_too_small);
    }
    layout.activity_log_offset = layout.superblock_offset + block_bytes;
    layout.bitmap_offset = layout.activity_log_offset + layout.activity_log_bytes;
    layout.al_offset_sectors = block_sectors;
    layout.bm_offset_sectors = static_cast<std::int32_t>(bitmap_from);
    layout.md_size_sectors = static_cast<std::uint32_t>(size);
    layout.bitmap_bytes_max = align_down((size - bitmap_from) * sector_bytes);
    layout.data_sectors_max = layout.bitmap_bytes_max * 8 * block_sectors;
    if (layout.data_sectors_max > device_sectors_max) {
        layout.data_sectors_max = device_sectors_max;
    }
    const std::uint64_t data_sectors = data_device_bytes / sector_bytes;
    if (data_device_bytes != 0 && data_sectors < layout.data_sectors_max) {
        layout.data_sectors_max = data_sectors;
    }
    return layout;
}

} // namespace

result<std::uint64_t> superblock_offset(placement where, std::uint64_t md_device_bytes) {
    std::uint64_t offset = 0;
    if (where.kind == placement_kind::internal && md_device_bytes >= block_bytes) {
        offset = align_down(md_device_bytes - block_bytes);
    } else if (where.kind == placement_kind::indexed) {
        offset = std::uint64_t{where.index} * indexed_slot_sectors * sector_bytes;
    }
    const std::uint64_t needed = where.kind == placement_kind::indexed
                                     ? offset + indexed_slot_sectors * std::uint64_t{sector_bytes}
                                     : offset + block_bytes;
    if (needed > md_device_bytes) {
        return fail(fmt::format("the metadata device has {} bytes, the metadata would end at byte "
                                "{}",
                                md_device_bytes, needed),
                    {}, "use a larger metadata device or a smaller index",
                    attach_error::md_disk_too_small);
    }
    return offset;
}

result<> check_striping(al_striping striping) {
    const std::uint64_t blocks = striping.total_blocks();
    if (blocks < al_blocks_min || blocks > al_blocks_max) {
        return fail(fmt::format("an activity log of {} stripes of {} blocks is outside of {}..{} "
                                "blocks of 4 KiB",
                                striping.count, striping.blocks, al_blocks_min, al_blocks_max),
                    {}, "choose al-stripes and al-stripe-size-kB between 32 KiB and 16 GiB in all",
                    attach_error::md_invalid);
    }
    return {};
}

result<geometry> lay_out(placement where, std::uint64_t md_device_bytes,
                         std::uint64_t data_device_bytes, al_striping striping) {
    const auto striping_ok = check_striping(striping);
    if (!striping_ok) {
        return tl::unexpected(striping_ok.error());
    }
    if (where.kind == placement_kind::indexed && !striping.is_default()) {
        return fail("indexed metadata has a fixed layout: the activity log cannot be striped", {},
                    "use flexible external or internal metadata", attach_error::md_index_invalid);
    }
    const auto offset = superblock_offset(where, md_device_bytes);
    if (!offset) {
        return tl::unexpected(offset.error());
    }
    if (where.kind == placement_kind::internal &&
        md_device_bytes / sector_bytes > device_sectors_max) {
        return fail(fmt::format("a device of {} bytes is larger than 1 PiB", md_device_bytes), {},
                    "use a smaller device", attach_error::md_layout_too_big);
    }
    geometry layout;
    layout.where = where;
    layout.striping = striping;
    layout.superblock_offset = *offset;
    layout.activity_log_bytes = striping.total_blocks() * block_bytes;
    auto complete = where.kind == placement_kind::internal
                        ? lay_out_internal(layout, md_device_bytes)
                        : lay_out_external(layout, md_device_bytes, data_device_bytes);
    if (complete && complete->data_sectors_max == 0) {
        return fail("the metadata leaves no room for data", {}, "use a larger device",
                    attach_error::disk_too_small);
    }
    if (complete) {
        check_invariant(*complete, md_device_bytes);
    }
    return complete;
}

} // namespace lockstep::format
