// Lets the first few of many equal events through, so that a stranger cannot fill the log.
#pragma once

#include <cstdint>

#include "kernel/host/event_loop.hpp"

namespace lockstep::host {

class rate_limit {
public:
    explicit rate_limit(unsigned per_interval = 6, instant interval = 60 * second)
        : per_interval_(per_interval), interval_(interval) {}

    // Whether this one may pass.
    bool pass(instant now) {
        if (now - start_ >= interval_ || !started_) {
            start_ = now;
            started_ = true;
            count_ = 0;
        }
        if (count_ < per_interval_) {
            ++count_;
            return true;
        }
        ++withheld_;
        return false;
    }

    // How many did not pass since this was last asked.
    std::uint64_t take_withheld() {
        const std::uint64_t count = withheld_;
        withheld_ = 0;
        return count;
    }

private:
    unsigned per_interval_;
    instant interval_;
    instant start_ = 0;
    bool started_ = false;
    unsigned count_ = 0;
    std::uint64_t withheld_ = 0;
};

} // namespace lockstep::host
