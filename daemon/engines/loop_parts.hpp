// What belongs to a main loop of libqb, and leaves it again by itself.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include <qb/qbdefs.h>

#include <qb/qbloop.h>

namespace lockstep::engines {

// A descriptor of ours that is read from when the loop says so. `readable` may destroy this object.
class watched_descriptor {
public:
    // Owns `descriptor`, also if the loop does not take it.
    watched_descriptor(qb_loop_t* loop, int descriptor, std::function<void()> readable);
    ~watched_descriptor();
    watched_descriptor(const watched_descriptor&) = delete;
    watched_descriptor& operator=(const watched_descriptor&) = delete;

    // 0, or the errno value with which the loop refused it.
    int refusal() const { return refusal_; }
    int descriptor() const { return descriptor_; }
    // What is at its end would be readable for ever.
    void ignore();

private:
    static std::int32_t dispatch(std::int32_t descriptor, std::int32_t events, void* self);

    qb_loop_t* const loop_;
    const int descriptor_;
    const std::function<void()> readable_;
    bool watched_ = false;
    int refusal_ = 0;
};

// One point in time. `due` may destroy this object.
class loop_timer {
public:
    loop_timer(qb_loop_t* loop, std::function<void()> due) : loop_(loop), due_(std::move(due)) {}
    ~loop_timer() { clear(); }
    loop_timer(const loop_timer&) = delete;
    loop_timer& operator=(const loop_timer&) = delete;

    // Instead of what was set before.
    void set(std::uint64_t nanoseconds_from_now);
    void clear();
    bool is_set() const { return set_; }

private:
    static void dispatch(void* self);

    qb_loop_t* const loop_;
    const std::function<void()> due_;
    qb_loop_timer_handle handle_ = 0;
    bool set_ = false;
};

} // namespace lockstep::engines
