// check-resize: internal metadata follows the end of a device that has grown.
//
//   |--- data ---[bitmap][log][superblock]                         before
//   |--- data ----------~~~~~~[ bitmap  ][log][superblock]         after, possibly overlapping
//
// The new superblock lies behind everything old, because it is found from the device's end. If
// the new areas do not touch the old ones they are filled first and the old superblock is valid
// until the new one is. If they overlap, the new superblock is written first, asking for a full
// sync and with an empty log, so that it is true whatever happens to the bitmap while it moves;
// when all is in place it is written again as it was.
#include <algorithm>

#include <fmt/format.h>

#include "agent/drbdmeta/commands.hpp"
#include "kernel/base/check.hpp"
#include "kernel/format/bitmap.hpp"

namespace lockstep::drbdmeta {

namespace {

namespace flag = format::md_flag;

constexpr std::uint64_t chunk_bytes = 4U << 20U;

// Copies towards the end of the device; the ranges may overlap, so the last piece goes first.
result<> move_up(metadata& target, std::uint64_t from, std::uint64_t to, std::uint64_t bytes,
                 const char* tag) {
    LOCKSTEP_CHECK(from <= to);
    aligned_buffer buffer(chunk_bytes);
    console::progress progress(target.out());
    for (std::uint64_t left = bytes; left != 0;) {
        const std::uint64_t chunk = std::min(left, chunk_bytes);
        left -= chunk;
        const auto piece = buffer.first(chunk);
        auto moved = target.device().read(from + left, piece, tag).and_then([&] {
            return target.device().write(to + left, piece, tag);
        });
        if (!moved) {
            return moved;
        }
        progress.show(bytes - left, bytes);
    }
    return {};
}

result<> write_forerunner(metadata& target) {
    const format::superblock final = target.block;
    target.block.flags |= flag::full_sync | flag::al_clean;
    target.block.magic = format::magic_v08;
    auto written = target.write_superblock();
    target.block = final;
    return written;
}

result<> move_areas(metadata& target, const md_offsets& old) {
    const md_offsets now = target.at();
    const std::uint64_t log_bytes = old.superblock - old.activity_log;
    const std::uint64_t old_bitmap_bytes = old.activity_log - old.bitmap;
    const std::uint64_t new_bitmap_bytes = now.activity_log - now.bitmap;
    LOCKSTEP_CHECK(now.superblock - now.activity_log == log_bytes);
    LOCKSTEP_CHECK(new_bitmap_bytes >= old_bitmap_bytes);
    return move_up(target, old.activity_log, now.activity_log, log_bytes, "move activity log")
        .and_then([&] {
            return move_up(target, old.bitmap, now.bitmap, old_bitmap_bytes, "move bitmap");
        })
        .and_then([&] {
            return target.device().zero(now.bitmap + old_bitmap_bytes,
                                        new_bitmap_bytes - old_bitmap_bytes,
                                        bitmap_mode::automatic);
        });
}

result<> wipe_old(metadata& target, std::uint64_t old_superblock) {
    const md_offsets now = target.at();
    if (old_superblock >= now.bitmap) {
        return {};
    }
    aligned_buffer zeros(format::block_bytes);
    target.device().allow_writes(old_superblock, old_superblock + format::block_bytes);
    return target.device()
        .write(old_superblock, zeros.all(), "wipe old superblock")
        .and_then([&target] { return target.device().flush(); });
}

} // namespace

result<> move_after_resize(metadata& target) {
    LOCKSTEP_CHECK(target.found() == md_found::at_last_known_place);
    const std::uint64_t old_size = target.known().value().size;
    LOCKSTEP_CHECK(old_size < target.device().size());
    const auto old_superblock = format::superblock_offset(target.call().where, old_size);
    LOCKSTEP_CHECK(old_superblock.has_value());
    const md_offsets old = offsets_of(target.block, *old_superblock);
    if (auto relocated = target.relocate(); !relocated) {
        return relocated;
    }
    LOCKSTEP_CHECK(target.superblock_offset() >= old.superblock);
    target.out().remark("Moving the internal meta data to its proper location\n");
    if (target.superblock_offset() == old.superblock) {
        // Grown by less than a block, yet the layout differs: nothing can be told from here.
        return stop(1, "The device has grown by less than 4096 bytes: nothing to move\n");
    }
    const bool overlaps = target.at().bitmap < old.superblock + format::block_bytes;
    const auto moved = (overlaps ? write_forerunner(target) : result<>())
                           .and_then([&] { return move_areas(target, old); })
                           .and_then([&] { return target.write_superblock(); })
                           .and_then([&] {
                               target.out().print("Internal drbd meta data successfully moved.\n");
                               return wipe_old(target, old.superblock);
                           });
    if (!moved) {
        return stop(moved.error().code, moved.error().what + "operation failed\n");
    }
    target.settle();
    target.record_device();
    return {};
}

outcome check_resize(const session& with) {
    auto opened = metadata::open(with.call, with.out, with.minor);
    if (!opened) {
        return tl::unexpected(opened.error());
    }
    const bool internal = with.call.where.kind == format::placement_kind::internal;
    if (opened->found() == md_found::here) {
        // Silent on purpose: init scripts run it on every start.
        opened->record_device();
        return 0;
    }
    if (opened->found() == md_found::nowhere) {
        return stop(1, internal ? "no suitable meta data found :(\n"
                                : "Operation only supported for >= v8 internal meta data\n");
    }
    if (auto moved = move_after_resize(*opened); !moved) {
        return tl::unexpected(moved.error());
    }
    return 0;
}

} // namespace lockstep::drbdmeta
