// Resync and application keep out of each other's way by extents: while a resync request is in
// flight in a resync extent (16 MiB), the application begins no write in it, and while the
// application has a reference in the activity log on one of its four extents (4 MiB), resync
// begins nothing there. Otherwise an old block, read before a write, could arrive at the peer
// behind that write.
//
// Nobody starves, because each side that finds the door closed leaves a note, and notes are
// honoured in turn:
//
//     door of the extent    application_may_begin              begin_resync
//     open, idle            yes                                go
//     open, in use by       yes, unless resync's turn has      wait: resync is next; new writes
//     the application       come: then wait                    wait until those under way ended
//     resync in flight      wait: application is next; no      go, unless the application waits:
//                           new resync request begins here     then wait until its turn is over
//
// A turn of resync ends when its requests in flight have ended; a turn of the application ends when
// a waiting resync request asks again. So the caller, whenever end_resync() or activity_log::end()
// says that something may go on, first lets waiting writes try, in their order, and then the
// waiting resync requests.
//
// Whoever was told to wait must ask again later or, giving up, say so with cancel_resync(): an
// extent noted for resync stays closed to new writes until then.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernel/format/geometry.hpp"
#include "kernel/replica/activity_log.hpp"

namespace lockstep::replica {

class resync_extents {
public:
    // `capacity`: how many extents resync may be in, or wait for, at the same time; DRBD has 61.
    explicit resync_extents(std::size_t capacity = 61);

    static std::uint32_t extent_of_sector(std::uint64_t sector) {
        return static_cast<std::uint32_t>(sector / format::resync_extent_sectors);
    }

    // One resync request wants to begin. `log` is null if this node keeps no activity log (a
    // Secondary). True: it is in flight until end_resync(). False: ask again; also when all
    // entries are taken.
    [[nodiscard]] bool begin_resync(std::uint32_t extent, const activity_log* log);
    // One has ended. True if it was the last one and somebody may wait for that.
    bool end_resync(std::uint32_t extent);
    // Resync no longer waits for this extent. True if a write waits and may try now.
    bool cancel_resync(std::uint32_t extent);
    // Nor for any: the resync was paused or ended. Requests in flight stay.
    bool cancel_all();

    // May a write begin in these activity log extents (then activity_log::begin() is next)?
    [[nodiscard]] bool application_may_begin(std::uint32_t first, std::uint32_t last);

    // Whether a resync request is in flight in the extent.
    bool held(std::uint32_t extent) const;
    // Writes were told to wait for this extent: resync should get through with it soon.
    bool application_waits(std::uint32_t extent) const;
    std::size_t extents_held() const;

private:
    static constexpr std::uint32_t al_extents_per_extent =
        format::resync_extent_sectors / format::al_extent_sectors;

    // Exists while resync is in the extent or waits for it.
    struct entry {
        std::uint32_t extent = 0;
        std::uint32_t in_flight = 0;
        bool resync_waits = false;
        bool application_waits = false;
        bool application_turn = false;
    };

    entry* find(std::uint32_t extent);
    const entry* find(std::uint32_t extent) const;
    bool cancel(entry& item);
    void drop_if_idle(entry& item);
    static bool application_in(std::uint32_t extent, const activity_log* log);

    std::vector<entry> entries_; // never grows past its first capacity
    std::size_t capacity_;
};

} // namespace lockstep::replica
