// Credit that grows with time at a given rate and is spent by what is begun: a token bucket that
// may be overdrawn, so that a request larger than the credit is paid for afterwards.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernel/replica/ports.hpp"

namespace lockstep::replica {

class rate_meter {
public:
    // Forgets what was saved and what was owed.
    void restart(instant now) {
        last_ = now;
        credit_ = 0;
        fraction_ = 0;
    }

    // Adds what the time since the last call is worth. No more is saved than a fifth of a second's
    // worth, or two blocks of 4 KiB.
    void accrue(instant now, std::uint32_t rate_kib) {
        const instant elapsed = std::min(now - last_, elapsed_max);
        last_ = now;
        const std::uint64_t worth = elapsed * rate_kib * sectors_per_kib + fraction_;
        const auto most =
            static_cast<std::int64_t>(std::max(rate_kib * sectors_per_kib / 5, saved_min_sectors));
        fraction_ = worth % nanoseconds_per_second;
        credit_ =
            std::min(credit_ + static_cast<std::int64_t>(worth / nanoseconds_per_second), most);
    }

    void spend(std::uint64_t sectors) { credit_ -= static_cast<std::int64_t>(sectors); }
    // Sectors; negative: owed.
    std::int64_t credit() const { return credit_; }

private:
    static constexpr std::uint64_t sectors_per_kib = 2;
    static constexpr std::uint64_t saved_min_sectors = 16;
    // Keeps the product within 64 bits for any rate that can be configured.
    static constexpr instant elapsed_max = 10 * nanoseconds_per_second;

    instant last_ = 0;
    std::int64_t credit_ = 0;
    std::uint64_t fraction_ = 0; // of a sector, in 1 / nanoseconds_per_second
};

} // namespace lockstep::replica
