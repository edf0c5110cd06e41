// apply-al: what the activity log says may differ is marked in the bitmap, then the log is made
// empty and the superblock says so. Every step may be repeated: a crash in between leaves a log
// that is applied again, or an empty one whose extents are in the bitmap already.
#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "agent/drbdmeta/commands.hpp"
#include "kernel/format/al_replay.hpp"
#include "kernel/format/bitmap.hpp"

namespace lockstep::drbdmeta {

namespace {

namespace flag = format::md_flag;

constexpr std::uint64_t extent_bitmap_bytes = format::bits_per_al_extent / 8;
constexpr std::uint64_t bitmap_window_bytes = 1U << 20U;

void report(const session& with, const format::al_replay& replay) {
    const std::uint32_t damaged = replay.blocks - replay.valid_blocks;
    const bool v83 = replay.form == format::al_form::v83;
    if (replay.valid_blocks == 0) {
        with.out.remark(v83 ? "No usable activity log found.\n"
                            : "No usable activity log found. Do you need to create-md?\n");
        return;
    }
    if (damaged != 0) {
        with.out.remark(
            v83 ? fmt::format("{} corrupt or uninitialized AL transactions found\nYou can safely "
                              "ignore this if this node was cleanly stopped (no crash).\n",
                              damaged)
                : fmt::format("{} corrupt AL transactions found\n", damaged));
    }
    if (replay.outcome == format::al_outcome::no_update) {
        with.out.remark("No valid AL update transaction found.\n");
    }
    if (replay.slots_out_of_range != 0) {
        with.out.remark(fmt::format("{} slot numbers out of range\n", replay.slots_out_of_range));
    }
    if (replay.extents_out_of_range != 0) {
        with.out.remark(fmt::format("{} extents beyond end of bitmap! The last extent of the "
                                    "device is marked instead.\n",
                                    replay.extents_out_of_range));
    }
    if (replay.order_broken) {
        with.out.remark("The transactions do not follow each other: every extent that any of them "
                        "mentions is marked.\n");
    }
}

// Marks sorted extents window by window, so that neighbours share one read and one write.
result<std::uint64_t> mark(metadata& target, const std::vector<std::uint32_t>& extents) {
    const std::uint64_t bitmap_bytes = target.bitmap_bytes();
    aligned_buffer buffer(bitmap_window_bytes);
    std::uint64_t newly = 0;
    auto next = extents.begin();
    while (next != extents.end() && *next * extent_bitmap_bytes < bitmap_bytes) {
        const std::uint64_t from =
            *next * extent_bitmap_bytes / format::block_bytes * format::block_bytes;
        const auto window = buffer.first(std::min(bitmap_window_bytes, bitmap_bytes - from));
        const std::uint64_t at = target.at().bitmap + from;
        if (auto read = target.device().read(at, window, "apply_al"); !read) {
            return tl::unexpected(read.error());
        }
        while (next != extents.end() && *next * extent_bitmap_bytes < from + window.size()) {
            newly += format::set_bits(window, from * 8, *next * format::bits_per_al_extent,
                                      format::bits_per_al_extent);
            ++next;
        }
        if (auto written = target.device().write(at, window, "apply_al"); !written) {
            return tl::unexpected(written.error());
        }
    }
    return newly;
}

result<> mark_and_report(const session& with, metadata& target,
                         const std::vector<std::uint32_t>& extents) {
    if (extents.empty()) {
        with.out.remark("Nothing to do.\n");
        return {};
    }
    const auto newly = mark(target, extents);
    if (!newly) {
        return tl::unexpected(newly.error());
    }
    with.out.remark(fmt::format("Marked additional {} as out-of-sync based on AL.\n",
                                pretty_size(*newly * format::block_bytes / 1024)));
    return {};
}

bool unusable(const format::al_replay& replay) {
    return replay.form == format::al_form::v84 &&
           (replay.outcome == format::al_outcome::no_valid_block ||
            replay.outcome == format::al_outcome::no_update);
}

// A Primary whose log is lost may differ anywhere. Only a full sync is safe, and only the user can
// decide for it.
result<> give_up_log(const session& with, metadata& target) {
    if (!target.block.has(flag::primary_ind)) {
        with.out.remark("Error ignored, no need to apply the AL\n");
        return {};
    }
    if (!with.call.force) {
        return stop(1, "This node was Primary, so any block may differ from the peer's. With "
                       "--force, the whole device is marked for a full sync.\n");
    }
    with.out.remark("You --force'ed me: the whole device is marked for a full sync.\n");
    target.block.flags |= flag::full_sync;
    return {};
}

result<> apply(const session& with, metadata& target, const format::al_replay& replay) {
    bool changed = false;
    bool rewrite_log =
        replay.form == format::al_form::v83 || replay.outcome == format::al_outcome::active_set;
    if (unusable(replay)) {
        if (auto given_up = give_up_log(with, target); !given_up) {
            return given_up;
        }
        rewrite_log = true;
        changed = target.block.has(flag::full_sync);
    } else if (replay.outcome == format::al_outcome::active_set &&
               target.block.has(flag::primary_ind)) {
        if (auto marked = mark_and_report(with, target, replay.extents); !marked) {
            return marked;
        }
        changed = true;
    }
    if (rewrite_log) {
        if (auto written = target.write_empty_activity_log(); !written) {
            return written;
        }
    }
    if (!changed && target.al_clean()) {
        return {};
    }
    // PRIMARY_IND stays: at attach it tells that this node was a Primary that crashed.
    target.block.flags |= flag::al_clean;
    target.block.magic = format::magic_v08;
    if (auto written = target.write_superblock(); !written) {
        return stop(written.error().code,
                    written.error().what + "update of super block flags failed\n");
    }
    target.record_device();
    return {};
}

} // namespace

outcome apply_al(const session& with) {
    with.expect_arguments(0);
    auto opened = metadata::open(with.call, with.out, with.minor);
    if (!opened) {
        return tl::unexpected(opened.error());
    }
    if (opened->found() == md_found::at_last_known_place) {
        if (auto moved = move_after_resize(*opened); !moved) {
            return tl::unexpected(moved.error());
        }
    }
    if (opened->found() != md_found::here) {
        return stop_without_metadata(*opened);
    }
    const auto area = opened->read_activity_log();
    if (!area) {
        return tl::unexpected(area.error());
    }
    const auto replay = format::replay_activity_log(opened->block, *area);
    report(with, replay);
    if (auto applied = apply(with, *opened, replay); !applied) {
        return tl::unexpected(applied.error());
    }
    return 0;
}

} // namespace lockstep::drbdmeta
