// Descriptors that a libqb main loop looks at.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include <qb/qbdefs.h>

#include <qb/qbloop.h>

namespace lockstep::daemon {

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

} // namespace lockstep::daemon
