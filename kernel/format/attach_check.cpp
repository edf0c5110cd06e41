// Whether a superblock and the devices around it make sense together, as the kernel asks at
// attach (Linux 6.1 drbd_md_read, check_offsets_and_sizes, check_activity_log_stripe_size,
// drbd_adm_attach).
#include <algorithm>
#include <string>

#include <fmt/format.h>

#include "kernel/base/check.hpp"
#include "kernel/format/bitmap.hpp"
#include "kernel/format/superblock.hpp"

namespace lockstep::format {

namespace {

constexpr const char* recreate =
    "if this is the right device, its metadata is damaged: restore a dump or run create-md, "
    "followed by a full sync";

tl::unexpected<error> nonsense(std::string what) {
    return fail("metadata offsets do not make sense: " + std::move(what), "superblock", recreate,
                attach_error::md_invalid);
}

result<> check_magic(const superblock& value) {
    if (value.magic == magic_v08 || value.magic == magic_v84_unclean) {
        return {};
    }
    const char* text = "no valid metadata signature found";
    const char* remedy = "check the device and the index; new metadata is made by create-md";
    if (value.magic == magic_v07) {
        text = "metadata of DRBD 0.7 found";
        remedy = "convert it with the drbdmeta of DRBD 8.4 (create-md offers it)";
    } else if (value.magic == magic_v09) {
        text = "metadata of DRBD 9 found";
        remedy = "convert it to v08 with the drbdmeta of DRBD 9 (v08 ... create-md offers it)";
    }
    return fail(fmt::format("{} (magic 0x{:08x})", text, value.magic), "superblock", remedy,
                attach_error::md_invalid);
}

// Sectors of bitmap between the areas; also checks that the areas follow each other.
result<std::uint64_t> bitmap_sectors(const superblock& value, placement where) {
    const std::int64_t al = value.al_offset_sectors;
    const std::int64_t bm = value.bm_offset_sectors;
    const auto al_sectors =
        static_cast<std::int64_t>(value.striping().total_blocks()) * block_sectors;
    if (bm % block_sectors != 0) {
        return nonsense(fmt::format("bitmap offset {} is not a multiple of 8 sectors", bm));
    }
    if (where.kind == placement_kind::internal) {
        if (al != -al_sectors || bm > al) {
            return nonsense(
                fmt::format("activity log at {} (expected {}), bitmap at {}", al, -al_sectors, bm));
        }
        if (std::int64_t{value.md_size_sectors} != block_sectors - bm) {
            return nonsense(fmt::format("metadata size {} (expected {})", value.md_size_sectors,
                                        block_sectors - bm));
        }
        return static_cast<std::uint64_t>(al - bm);
    }
    if (al != block_sectors || bm != block_sectors + al_sectors) {
        return nonsense(fmt::format("activity log at {} (expected 8), bitmap at {} (expected {})",
                                    al, bm, block_sectors + al_sectors));
    }
    if (bm > std::int64_t{value.md_size_sectors}) {
        return nonsense(
            fmt::format("bitmap at {} in metadata of {} sectors", bm, value.md_size_sectors));
    }
    return (std::uint64_t{value.md_size_sectors} - static_cast<std::uint64_t>(bm)) / block_sectors *
           block_sectors;
}

result<> check_fields(const superblock& value, placement where) {
    if (value.bytes_per_bit != block_bytes) {
        return fail(fmt::format("one bitmap bit covers {} bytes, only 4096 is supported",
                                value.bytes_per_bit),
                    "superblock", recreate, attach_error::md_invalid);
    }
    if (where.kind == placement_kind::indexed &&
        (value.md_size_sectors != indexed_slot_sectors || !value.striping().is_default())) {
        return nonsense("indexed metadata has a fixed layout, this one differs");
    }
    return check_striping(value.striping());
}

geometry described(const superblock& value, placement where, std::uint64_t at,
                   std::uint64_t bitmap_room_sectors) {
    geometry layout;
    layout.where = where;
    layout.striping = value.striping();
    layout.superblock_offset = at;
    layout.activity_log_bytes = layout.striping.total_blocks() * block_bytes;
    layout.activity_log_offset =
        at + static_cast<std::uint64_t>(std::int64_t{value.al_offset_sectors} * sector_bytes);
    layout.bitmap_offset =
        at + static_cast<std::uint64_t>(std::int64_t{value.bm_offset_sectors} * sector_bytes);
    layout.bitmap_bytes_max = bitmap_room_sectors * sector_bytes;
    layout.md_size_sectors = value.md_size_sectors;
    layout.al_offset_sectors = value.al_offset_sectors;
    layout.bm_offset_sectors = value.bm_offset_sectors;
    return layout;
}

result<> check_devices(const geometry& layout, std::uint64_t md_device_bytes) {
    const std::uint64_t md_bytes = std::uint64_t{layout.md_size_sectors} * sector_bytes;
    if (layout.where.kind == placement_kind::internal) {
        // Both offsets are negative and at most the superblock's own offset away.
        const std::uint64_t before = md_bytes - block_bytes;
        if (before > layout.superblock_offset) {
            return nonsense(fmt::format("{} bytes of metadata before byte {} of the device", before,
                                        layout.superblock_offset));
        }
        return {};
    }
    if (layout.superblock_offset + md_bytes > md_device_bytes) {
        return fail(fmt::format("the metadata ends at byte {}, the metadata device has {}",
                                layout.superblock_offset + md_bytes, md_device_bytes),
                    "superblock", "use the original metadata device, or one of its size",
                    attach_error::md_disk_too_small);
    }
    return {};
}

} // namespace

result<geometry> check_layout(const superblock& value, placement where,
                              std::uint64_t md_device_bytes, std::uint64_t data_device_bytes) {
    const auto at = superblock_offset(where, md_device_bytes);
    if (!at) {
        return tl::unexpected(at.error());
    }
    if (auto good = check_magic(value).and_then([&] { return check_fields(value, where); });
        !good) {
        return tl::unexpected(good.error());
    }
    const auto room = bitmap_sectors(value, where);
    if (!room) {
        return tl::unexpected(room.error());
    }
    geometry layout = described(value, where, *at, *room);
    if (auto good = check_devices(layout, md_device_bytes); !good) {
        return tl::unexpected(good.error());
    }
    std::uint64_t usable =
        std::min(layout.bitmap_bytes_max * 8 * block_sectors, device_sectors_max);
    if (where.kind == placement_kind::internal) {
        usable = std::min(usable, layout.bitmap_offset / sector_bytes);
    } else if (data_device_bytes != 0) {
        usable = std::min(usable, data_device_bytes / sector_bytes);
    }
    layout.data_sectors_max = usable;
    if (bitmap_bytes_on_disk(value.la_size_sectors) > layout.bitmap_bytes_max) {
        return nonsense(fmt::format("the bitmap has room for {} bytes, a device of {} sectors "
                                    "needs {}",
                                    layout.bitmap_bytes_max, value.la_size_sectors,
                                    bitmap_bytes_on_disk(value.la_size_sectors)));
    }
    return layout;
}

result<geometry> check_attach(const superblock& value, placement where,
                              std::uint64_t md_device_bytes, std::uint64_t data_device_bytes) {
    if (value.magic == magic_v84_unclean ||
        (value.magic == magic_v08 && !value.has(md_flag::al_clean))) {
        return fail("found unclean metadata: the activity log was not applied", "superblock",
                    "run apply-al first (drbdadm attach and up do)", attach_error::md_unclean);
    }
    auto layout = check_layout(value, where, md_device_bytes, data_device_bytes);
    if (!layout) {
        return layout;
    }
    if (layout->data_sectors_max == 0) {
        return fail("there is no room for data", {}, "use a larger device",
                    attach_error::disk_too_small);
    }
    if (value.has(md_flag::consistent) && layout->data_sectors_max < value.la_size_sectors) {
        return fail(fmt::format("refusing to truncate a consistent device: {} sectors were agreed "
                                "upon, {} are left",
                                value.la_size_sectors, layout->data_sectors_max),
                    {}, "give the device its former size back", attach_error::disk_too_small);
    }
    return layout;
}

} // namespace lockstep::format
