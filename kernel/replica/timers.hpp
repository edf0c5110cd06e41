// The deadlines of a resource. There are few of them, so the next one is found by looking at all.
#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "kernel/replica/ports.hpp"

namespace lockstep::replica {

class timers;

// A deadline and what to do then. Registered for as long as it lives; armed anew after each run if
// it is to run again.
class timer {
public:
    timer(timers& owner, std::function<void()> action);
    ~timer();
    timer(const timer&) = delete;
    timer& operator=(const timer&) = delete;

    void arm(instant at) { at_ = at; }
    // Not later than `at`.
    void arm_earlier(instant at) { at_ = at < at_ ? at : at_; }
    void cancel() { at_ = never; }
    bool armed() const { return at_ != never; }
    instant at() const { return at_; }

private:
    friend class timers;
    timers& owner_;
    std::function<void()> action_;
    instant at_ = never;
};

class timers {
public:
    instant next() const {
        instant earliest = never;
        for (const timer* each : all_) {
            earliest = each->at_ < earliest ? each->at_ : earliest;
        }
        return earliest;
    }

    // Runs the one that has been due longest; false if none is due.
    bool run_one(instant now) {
        timer* due = nullptr;
        for (timer* each : all_) {
            if (each->at_ <= now && (due == nullptr || each->at_ < due->at_)) {
                due = each;
            }
        }
        if (due == nullptr) {
            return false;
        }
        due->cancel();
        due->action_();
        return true;
    }

private:
    friend class timer;
    std::vector<timer*> all_;
};

inline timer::timer(timers& owner, std::function<void()> action)
    : owner_(owner), action_(std::move(action)) {
    owner_.all_.push_back(this);
}

inline timer::~timer() {
    std::erase(owner_.all_, this);
}

constexpr instant deciseconds(std::uint64_t count) {
    return count * (nanoseconds_per_second / 10);
}
constexpr instant seconds(std::uint64_t count) {
    return count * nanoseconds_per_second;
}
constexpr instant milliseconds(std::uint64_t count) {
    return count * 1'000'000;
}

} // namespace lockstep::replica
