// Virtual time. Events run in the order of (time, sequence of being scheduled).
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "kernel/replica/ports.hpp"

namespace lockstep::simulation {

using replica::instant;

class event_queue {
public:
    instant now() const { return now_; }

    void at(instant when, std::function<void()> action) {
        events_.push_back({std::max(when, now_), next_++, std::move(action)});
        std::push_heap(events_.begin(), events_.end(), later);
    }
    void after(instant delay, std::function<void()> action) { at(now_ + delay, std::move(action)); }

    instant next_time() const { return events_.empty() ? replica::never : events_.front().when; }

    // Runs the first event; there must be one.
    void run_one() {
        std::pop_heap(events_.begin(), events_.end(), later);
        event first = std::move(events_.back());
        events_.pop_back();
        now_ = first.when;
        first.action();
    }
    void advance_to(instant when) { now_ = std::max(now_, when); }

private:
    struct event {
        instant when;
        std::uint64_t sequence;
        std::function<void()> action;
    };
    static bool later(const event& a, const event& b) {
        return a.when != b.when ? a.when > b.when : a.sequence > b.sequence;
    }

    std::vector<event> events_;
    instant now_ = replica::nanoseconds_per_second;
    std::uint64_t next_ = 0;
};

} // namespace lockstep::simulation
