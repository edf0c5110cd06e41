#include "daemon/loop/timer.hpp"

#include "kernel/base/check.hpp"

namespace lockstep::daemon {

void loop_timer::set(std::chrono::nanoseconds after) {
    cancel();
    const auto duration = static_cast<std::uint64_t>(after.count());
    // It fails for want of memory only.
    LOCKSTEP_CHECK(qb_loop_timer_add(loop_, QB_LOOP_HIGH, duration, this, expired, &handle_) == 0);
    set_ = true;
}

void loop_timer::cancel() {
    if (std::exchange(set_, false)) {
        qb_loop_timer_del(loop_, handle_);
    }
}

void loop_timer::expired(void* self) {
    auto* const timer = static_cast<loop_timer*>(self);
    timer->set_ = false;
    // A copy: the function may end this object, and with it itself.
    const auto call = timer->due_;
    call();
}

} // namespace lockstep::daemon
