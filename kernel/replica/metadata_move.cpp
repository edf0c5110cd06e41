#include "kernel/replica/metadata_move.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "kernel/replica/machinery.hpp"

namespace lockstep::replica {
namespace {

// How long what has begun may take to end: more than a peer that falls silent takes to be noticed.
constexpr std::uint64_t drain_seconds_max = 30;

constexpr int error_io = format::attach_error::md_io;

bool areas_overlap(const format::geometry& a, const format::geometry& b) {
    const auto first = [](const format::geometry& of) {
        return std::min(of.superblock_offset, of.bitmap_offset);
    };
    const auto end = [](const format::geometry& of) {
        return std::max(of.superblock_offset + format::block_bytes,
                        of.bitmap_offset + of.bitmap_bytes_max);
    };
    return first(a) < end(b) && first(b) < end(a);
}

bool same_places(const format::geometry& a, const format::geometry& b) {
    return a.superblock_offset == b.superblock_offset &&
           a.activity_log_offset == b.activity_log_offset && a.bitmap_offset == b.bitmap_offset &&
           a.striping == b.striping && a.md_size_sectors == b.md_size_sectors;
}

void describe(format::superblock& super, const format::geometry& layout) {
    super.md_size_sectors = layout.md_size_sectors;
    super.al_offset_sectors = layout.al_offset_sectors;
    super.bm_offset_sectors = layout.bm_offset_sectors;
    super.al_stripes = layout.striping.count;
    super.al_stripe_size_blocks = layout.striping.blocks;
}

} // namespace

result<format::geometry> layout_on(const volume& target, const disk_properties& properties,
                                   format::al_striping striping) {
    const local_disk& own = *target.disk;
    const bool same_devices = properties.data_sectors == own.properties.data_sectors &&
                              properties.metadata_sectors == own.properties.metadata_sectors;
    if (same_devices && striping == own.layout.striping) {
        return own.layout;
    }
    return format::lay_out(own.layout.where, properties.metadata_sectors * format::sector_bytes,
                           properties.data_sectors * format::sector_bytes, striping);
}

volume* metadata_moves::find(volume_number number, std::uint64_t serial) const {
    volume* found = all_.find(number);
    const bool still = found != nullptr && found->disk != nullptr && found->move != nullptr &&
                       found->move->serial == serial;
    return still ? found : nullptr;
}

std::function<void(bool)> metadata_moves::then(const volume& target,
                                               void (metadata_moves::*step)(volume&)) {
    return [this, number = target.number, serial = target.move->serial, step](bool stored) {
        volume* found = find(number, serial);
        if (found == nullptr || found->move->now != metadata_move_job::phase::moving) {
            return;
        }
        if (!stored) {
            fail(*found, {"the metadata could not be moved: I/O error",
                          {},
                          "look at the log; the next attach asks for a full sync",
                          error_io});
            return;
        }
        (this->*step)(*found);
    };
}

void metadata_moves::begin(volume& target, const disk_properties& properties,
                           const format::geometry& layout, std::function<void(result<>)> done) {
    LOCKSTEP_CHECK(target.move == nullptr && target.disk != nullptr);
    const std::uint64_t serial = next_serial_++;
    target.move = std::make_unique<metadata_move_job>(all_.clock, [this, number = target.number,
                                                                   serial] {
        volume* found = find(number, serial);
        if (found != nullptr && found->move->now == metadata_move_job::phase::draining) {
            fail(*found, {fmt::format("requests are still under way after {} s", drain_seconds_max),
                          {},
                          "see what the volume waits for (drbdsetup status --verbose), then "
                          "resize again",
                          error_io});
        }
    });
    metadata_move_job& job = *target.move;
    job.serial = serial;
    job.properties = properties;
    job.layout = layout;
    job.done = std::move(done);
    job.deadline.arm(all_.now() + seconds(drain_seconds_max));
    all_.link.hold_data();
    // The activity log is held until the peer has acknowledged the epochs.
    all_.epochs.close_current();
    all_.defer([] {}); // proceed() is due even if nothing else happens
}

void metadata_moves::end(volume& target) {
    LOCKSTEP_CHECK(target.move != nullptr);
    const auto late = target.move->late_sizes;
    target.move.reset();
    all_.link.release_data();
    all_.writes.state_moved(target);
    all_.defer([this, number = target.number, late, serial = all_.link.serial] {
        volume* found = all_.find(number);
        if (late && found != nullptr && all_.link.up && all_.link.serial == serial) {
            all_.sizes.received(*found, *late);
        }
    });
}

void metadata_moves::proceed(volume& target) {
    if (target.move == nullptr || target.disk == nullptr ||
        target.move->now != metadata_move_job::phase::draining || !target.disk->quiet()) {
        return;
    }
    target.move->deadline.cancel();
    target.move->now = metadata_move_job::phase::moving;
    start(target);
}

void metadata_moves::disk_failed(volume& target) {
    if (target.move != nullptr && target.move->now != metadata_move_job::phase::moved) {
        fail(target, {"the disk has failed", {}, "mend it and attach again", error_io});
    }
}

void metadata_moves::fail(volume& target, const error& why) {
    metadata_move_job& job = *target.move;
    local_disk& own = *target.disk;
    if (job.now == metadata_move_job::phase::moving) {
        // Memory still has everything; the disk perhaps neither log nor bitmap.
        own.set_flags(own.super.flags | format::md_flag::full_sync | format::md_flag::al_clean);
        own.super.magic = format::magic_v08;
        own.hold_superblock(false);
    }
    job.now = metadata_move_job::phase::moved;
    job.deadline.cancel();
    all_.log(log_level::error, target, why.text());
    auto done = std::move(job.done);
    done(tl::unexpected(why));
}

// --- the steps ---

void metadata_moves::start(volume& target) {
    local_disk& own = *target.disk;
    metadata_move_job& job = *target.move;
    if (same_places(job.layout, own.layout)) {
        own.properties = job.properties;
        own.layout = job.layout;
        job.now = metadata_move_job::phase::moved;
        auto done = std::move(job.done);
        done({});
        return;
    }
    all_.log(log_level::notice, target,
             fmt::format("the metadata moves: superblock from byte {} to byte {}",
                         own.layout.superblock_offset, job.layout.superblock_offset));
    job.old_superblock = own.layout.superblock_offset;
    const bool overlap = areas_overlap(own.layout, job.layout);
    own.hold_superblock(true);
    own.properties = job.properties;
    own.layout = job.layout;
    describe(own.super, job.layout);
    if (overlap) {
        write_forerunner(target);
    } else {
        write_areas(target);
    }
}

void metadata_moves::write_forerunner(volume& target) {
    local_disk& own = *target.disk;
    format::superblock ahead = own.super;
    ahead.flags |= format::md_flag::full_sync | format::md_flag::al_clean;
    ahead.magic = format::magic_v08;
    own.write_ahead(ahead, then(target, &metadata_moves::write_areas));
}

void metadata_moves::write_areas(volume& target) {
    local_disk& own = *target.disk;
    const auto ring = target.move->layout.striping;
    own.log = std::make_unique<activity_log>(
        activity_log::slots_for(target.options.al_extents, ring), ring);
    own.super.al_nr_extents = own.log->slots();
    own.initialise_log(then(target, &metadata_moves::write_bitmap));
}

void metadata_moves::write_bitmap(volume& target) {
    target.disk->bits.mark_all_dirty();
    target.disk->store_bitmap(then(target, &metadata_moves::write_superblock));
}

void metadata_moves::write_superblock(volume& target) {
    local_disk& own = *target.disk;
    own.mark_superblock();
    own.hold_superblock(false);
    own.store_superblock(then(target, &metadata_moves::wipe_old));
}

// A device that shrinks back must not find what was true once.
void metadata_moves::wipe_old(volume& target) {
    local_disk& own = *target.disk;
    metadata_move_job& job = *target.move;
    const std::uint64_t device_bytes = own.properties.metadata_sectors * format::sector_bytes;
    const bool inside = job.old_superblock + format::block_bytes <= device_bytes;
    const bool in_use = job.old_superblock + format::block_bytes >
                        std::min(own.layout.bitmap_offset, own.layout.superblock_offset);
    if (!own.properties.internal_metadata || !inside || in_use) {
        finish(target);
        return;
    }
    own.wipe_block(job.old_superblock, then(target, &metadata_moves::finish));
}

void metadata_moves::finish(volume& target) {
    metadata_move_job& job = *target.move;
    job.now = metadata_move_job::phase::moved;
    auto done = std::move(job.done);
    done({});
}

} // namespace lockstep::replica
