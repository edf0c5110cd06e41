// Timers and descriptors of a libqb main loop. They live as long as what they call: neither may be
// destroyed by its own callback.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>

#include <qb/qbloop.h>

namespace lockstep::corosync {

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
    static void expired(void* data);

    qb_loop_t* loop_;
    std::function<void()> due_;
    qb_loop_timer_handle handle_ = 0;
    bool set_ = false;
};

// Calls whenever a descriptor can be read or has hung up (poll(2)'s events). The descriptor stays
// its owner's, who says stop() before it closes it.
class loop_watch {
public:
    loop_watch(qb_loop_t* loop, std::function<void(int)> ready)
        : loop_(loop), ready_(std::move(ready)) {}
    ~loop_watch() { stop(); }
    loop_watch(const loop_watch&) = delete;
    loop_watch& operator=(const loop_watch&) = delete;

    bool start(int descriptor);
    void stop();

private:
    static std::int32_t polled(std::int32_t descriptor, std::int32_t events, void* data);

    qb_loop_t* loop_;
    std::function<void(int)> ready_;
    int descriptor_ = -1;
    bool within_ = false; // its callback
};

} // namespace lockstep::corosync
