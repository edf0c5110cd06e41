#include "daemon/engines/loop_parts.hpp"

#include <poll.h>
#include <unistd.h>

namespace lockstep::engines {

watched_descriptor::watched_descriptor(qb_loop_t* loop, int descriptor,
                                       std::function<void()> readable)
    : loop_(loop), descriptor_(descriptor), readable_(std::move(readable)) {
    const std::int32_t code =
        qb_loop_poll_add(loop_, QB_LOOP_MED, descriptor_, POLLIN, this, dispatch);
    watched_ = code == 0;
    refusal_ = -code;
}

watched_descriptor::~watched_descriptor() {
    ignore();
    ::close(descriptor_);
}

void watched_descriptor::ignore() {
    if (std::exchange(watched_, false)) {
        qb_loop_poll_del(loop_, descriptor_);
    }
}

std::int32_t watched_descriptor::dispatch(std::int32_t, std::int32_t, void* self) {
    // A copy: the function may end this object, and with it itself.
    const auto call = static_cast<watched_descriptor*>(self)->readable_;
    call();
    return 0;
}

void loop_timer::set(std::uint64_t nanoseconds_from_now) {
    clear();
    set_ =
        qb_loop_timer_add(loop_, QB_LOOP_MED, nanoseconds_from_now, this, dispatch, &handle_) == 0;
}

void loop_timer::clear() {
    if (std::exchange(set_, false)) {
        qb_loop_timer_del(loop_, handle_);
    }
}

void loop_timer::dispatch(void* self) {
    auto* const timer = static_cast<loop_timer*>(self);
    timer->set_ = false;
    const auto call = timer->due_;
    call();
}

} // namespace lockstep::engines
