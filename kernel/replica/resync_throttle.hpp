// c-min-rate: while the application uses the disk, resync and verify take no more than this, so
// that the application hardly notices them. Both ends apply it: the target to what it asks for (by
// way of resync_pace), the source to what it answers, since only it sees its own reads and writes.
//
// DRBD 8.4 looks at the average of the last seconds and then stops altogether for a while; here the
// rate is paid out evenly.
// Source: Linux 6.1 drivers/block/drbd/drbd_receiver.c (drbd_rs_c_min_rate_throttle).
#pragma once

#include <cstdint>

#include "kernel/replica/ports.hpp"
#include "kernel/replica/rate_meter.hpp"

namespace lockstep::replica {

class resync_throttle {
public:
    // KiB/s; 0: never throttle.
    void configure(std::uint32_t min_rate_kib) { min_rate_kib_ = min_rate_kib; }
    std::uint32_t min_rate_kib() const { return min_rate_kib_; }

    // The application read or wrote so many sectors of the local disk (a Secondary: the peer's
    // application did), or one of its writes waits for the activity log or for resync.
    void application_used(std::uint64_t sectors) { used_ += sectors; }
    void application_waits() { waits_ = true; }

    // Whether the limit holds now: after 64 sectors or a wait, for 0.3 s.
    bool active(instant now);
    // Whether one more resync request may begin; it is paid for with spend().
    bool may_begin(instant now);
    // Sectors that may begin now; all ones without limit.
    std::uint64_t sectors_now(instant now);
    void spend(std::uint64_t sectors);
    // When to ask again after may_begin() said no.
    instant next_at(instant now) const { return now + retry_time; }

private:
    static constexpr std::uint64_t used_sectors_ignored = 64;
    static constexpr instant hold_time = 3 * nanoseconds_per_second / 10;
    static constexpr instant retry_time = nanoseconds_per_second / 10;

    std::uint32_t min_rate_kib_ = 0;
    std::uint64_t used_ = 0;
    bool waits_ = false;
    bool active_ = false;
    instant until_ = 0;
    rate_meter meter_;
};

} // namespace lockstep::replica
