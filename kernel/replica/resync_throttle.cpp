#include "kernel/replica/resync_throttle.hpp"

namespace lockstep::replica {

bool resync_throttle::active(instant now) {
    if (used_ > used_sectors_ignored || waits_) {
        used_ = 0;
        waits_ = false;
        until_ = now + hold_time;
    }
    const bool limited = min_rate_kib_ != 0 && now < until_;
    if (limited && !active_) {
        meter_.restart(now);
    }
    active_ = limited;
    return limited;
}

std::uint64_t resync_throttle::sectors_now(instant now) {
    if (!active(now)) {
        return ~std::uint64_t{0};
    }
    meter_.accrue(now, min_rate_kib_);
    return meter_.credit() > 0 ? static_cast<std::uint64_t>(meter_.credit()) : 0;
}

bool resync_throttle::may_begin(instant now) {
    return sectors_now(now) > 0;
}

void resync_throttle::spend(std::uint64_t sectors) {
    if (active_) {
        meter_.spend(sectors);
    }
}

} // namespace lockstep::replica
