#include "daemon/corosync/membership.hpp"

#include <corosync/quorum.h>
#include <fmt/format.h>
#include <poll.h>

#include "daemon/corosync/outcome.hpp"
#include "kernel/base/check.hpp"

namespace lockstep::corosync {

namespace {

constexpr std::chrono::seconds connect_again{1};

} // namespace

struct membership::callbacks {
    static void notify(quorum_handle_t handle, std::uint32_t quorate, std::uint64_t,
                       std::uint32_t count, std::uint32_t* nodes) {
        const void* context = nullptr;
        LOCKSTEP_CHECK(quorum_context_get(handle, &context) == CS_OK);
        // The library keeps what it was given by connect().
        auto& self = *static_cast<membership*>(const_cast<void*>(context));
        self.changed({quorate != 0, {nodes, nodes + count}});
    }
};

membership::membership(qb_loop_t* loop, membership_user& user)
    : user_(user), watch_(loop, [this](int events) { ready(events); }),
      connect_timer_(loop, [this] { connect(); }) {
    connect_timer_.set(std::chrono::nanoseconds(0));
}

membership::~membership() {
    disconnect();
}

void membership::connect() {
    const char* at = "";
    const int code = track(at);
    if (code == CS_OK) {
        told_ = false;
        return;
    }
    disconnect();
    connect_timer_.set(connect_again);
    if (code != CS_ERR_TRY_AGAIN && !told_) {
        told_ = true;
        user_.problem(fmt::format("can't follow corosync's membership: {} ({}); tried again each "
                                  "second",
                                  outcome_text(code), at));
    }
}

int membership::track(const char*& at) {
    quorum_callbacks_t calls{};
    calls.quorum_notify_fn = callbacks::notify;
    std::uint32_t type = QUORUM_FREE;
    at = "quorum_initialize";
    int code = quorum_initialize(&handle_, &calls, &type);
    if (code != CS_OK) {
        handle_ = 0;
        return code;
    }
    at = "quorum_context_set";
    code = quorum_context_set(handle_, this);
    if (code != CS_OK) {
        return code;
    }
    at = "quorum_fd_get";
    int descriptor = -1;
    code = quorum_fd_get(handle_, &descriptor);
    if (code == CS_OK && !watch_.start(descriptor)) {
        code = CS_ERR_NO_RESOURCES;
    }
    if (code != CS_OK) {
        return code;
    }
    at = "quorum_trackstart";
    return quorum_trackstart(handle_, CS_TRACK_CURRENT | CS_TRACK_CHANGES);
}

void membership::ready(int events) {
    const int code = quorum_dispatch(handle_, CS_DISPATCH_ALL);
    const bool ended = (events & (POLLHUP | POLLERR | POLLNVAL)) != 0;
    if (ended || (code != CS_OK && code != CS_ERR_TRY_AGAIN)) {
        lose();
    }
}

void membership::changed(membership_view to) {
    if (now_ != to) {
        now_ = std::move(to);
        user_.membership(now_);
    }
}

void membership::lose() {
    disconnect();
    connect_timer_.set(std::chrono::nanoseconds(0));
    if (now_) {
        now_.reset();
        user_.membership(now_);
    }
}

void membership::disconnect() {
    watch_.stop();
    if (handle_ != 0) {
        quorum_finalize(handle_);
        handle_ = 0;
    }
}

} // namespace lockstep::corosync
