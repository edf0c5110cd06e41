// A point in time of a libqb main loop.
#pragma once

#include <chrono>
#include <functional>
#include <utility>

#include <qb/qbdefs.h>

#include <qb/qbloop.h>

namespace lockstep::daemon {

// `due` may destroy this object.
class loop_timer {
public:
    loop_timer(qb_loop_t* loop, std::function<void()> due) : loop_(loop), due_(std::move(due)) {}
    ~loop_timer() { cancel(); }
    loop_timer(const loop_timer&) = delete;
    loop_timer& operator=(const loop_timer&) = delete;

    // Once, from now; in place of an earlier time.
    void set(std::chrono::nanoseconds after);
    void cancel();
    bool is_set() const { return set_; }

private:
    static void expired(void* self);

    qb_loop_t* const loop_;
    const std::function<void()> due_;
    qb_loop_timer_handle handle_ = 0;
    bool set_ = false;
};

} // namespace lockstep::daemon
