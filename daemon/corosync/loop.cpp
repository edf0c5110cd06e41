#include "daemon/corosync/loop.hpp"

#include <poll.h>

#include "kernel/base/check.hpp"

namespace lockstep::corosync {

void loop_timer::set(std::chrono::nanoseconds after) {
    cancel();
    const auto duration = static_cast<std::uint64_t>(after.count());
    // It fails for want of memory only.
    LOCKSTEP_CHECK(qb_loop_timer_add(loop_, QB_LOOP_HIGH, duration, this, expired, &handle_) == 0);
    set_ = true;
}

void loop_timer::cancel() {
    if (set_) {
        qb_loop_timer_del(loop_, handle_);
        set_ = false;
    }
}

void loop_timer::expired(void* data) {
    auto& self = *static_cast<loop_timer*>(data);
    self.set_ = false;
    self.due_();
}

bool loop_watch::start(int descriptor) {
    stop();
    if (qb_loop_poll_add(loop_, QB_LOOP_HIGH, descriptor, POLLIN, this, polled) != 0) {
        return false;
    }
    descriptor_ = descriptor;
    return true;
}

// Within the callback the loop is told by what that returns: its own book is not in order there.
void loop_watch::stop() {
    if (descriptor_ >= 0 && !within_) {
        qb_loop_poll_del(loop_, descriptor_);
    }
    descriptor_ = -1;
}

std::int32_t loop_watch::polled(std::int32_t descriptor, std::int32_t events, void* data) {
    auto& self = *static_cast<loop_watch*>(data);
    self.within_ = true;
    self.ready_(events);
    self.within_ = false;
    return self.descriptor_ == descriptor ? 0 : -1;
}

} // namespace lockstep::corosync
