// Another layout of the metadata of an attached disk: after its device has grown (internal metadata
// is found from the device's end), or with another activity log.
//
// While it lasts nothing is in flight: new requests of the application wait, the data connection is
// not read, and what has begun ends first, so that the activity log is empty and the bitmap in
// memory tells everything.
//
//     areas apart:    log, bitmap, then the superblock at the new place; the old one is true
//                     until the new one is
//     areas overlap:  a forerunner of the new superblock first, which asks for a full sync and
//                     says that the log is clean: true whatever becomes of the rest; then log,
//                     bitmap, and the superblock as it shall be
//
// So at each moment one superblock that can be found (at the device's end, or where the file of the
// last known size says) describes what is there.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "kernel/base/error.hpp"
#include "kernel/format/geometry.hpp"
#include "kernel/replica/ports.hpp"
#include "kernel/replica/resource.hpp"
#include "kernel/replica/timers.hpp"
#include "kernel/wire/payloads.hpp"

namespace lockstep::replica {

class machinery;
struct volume;

// A move under way, of one volume.
struct metadata_move_job {
    enum class phase : std::uint8_t { draining, moving, moved };

    metadata_move_job(timers& clock, std::function<void()> too_late)
        : deadline(clock, std::move(too_late)) {}

    std::uint64_t serial = 0;
    phase now = phase::draining;
    disk_properties properties;
    format::geometry layout;
    std::uint64_t old_superblock = 0;
    bool marked_full_sync = false; // by the forerunner
    std::function<void(result<>)> done;
    // A SIZES that was half here when the data connection was held.
    std::optional<wire::sizes> late_sizes;
    timer deadline;
};

// The layout that the metadata of this disk has to have on these devices; that of now if nothing
// moves.
result<format::geometry> layout_on(const volume& target, const disk_properties& properties,
                                   format::al_striping striping);

class metadata_moves {
public:
    explicit metadata_moves(machinery& all) : all_(all) {}

    // Drains, and moves if the layout is another one. `done` hears of it with everything still
    // held; whoever called begin() calls end() after that. A job is under way until then.
    void begin(volume& target, const disk_properties& properties, const format::geometry& layout,
               std::function<void(result<>)> done);
    void end(volume& target);
    // Called at the end of each event: it may be quiet now.
    void proceed(volume& target);
    // The disk fails: whatever is on it, a full sync will do.
    void disk_failed(volume& target);

private:
    volume* find(volume_number number, std::uint64_t serial) const;
    // A callback for the next step, which finds the volume again.
    std::function<void(bool)> then(const volume& target, void (metadata_moves::*step)(volume&));
    void fail(volume& target, const error& why);
    void start(volume& target);
    void write_forerunner(volume& target);
    void write_areas(volume& target);
    void write_bitmap(volume& target);
    void write_superblock(volume& target);
    void wipe_old(volume& target);
    void finish(volume& target);

    machinery& all_;
    std::uint64_t next_serial_ = 1;
};

} // namespace lockstep::replica
