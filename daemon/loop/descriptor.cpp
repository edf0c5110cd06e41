#include "daemon/loop/descriptor.hpp"

#include <poll.h>
#include <unistd.h>

namespace lockstep::daemon {

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

} // namespace lockstep::daemon
