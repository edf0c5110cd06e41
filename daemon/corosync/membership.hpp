// Who is in corosync's membership, and whether corosync counts that as a quorum. For the status
// only: what may be decided is the arbiter's matter. Connects by itself, and again.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "daemon/arbiter/record.hpp"
#include "daemon/loop/descriptor.hpp"
#include "daemon/loop/timer.hpp"

namespace lockstep::corosync {

struct membership_view {
    bool quorate = false;
    arbiter::node_set nodes;

    friend bool operator==(const membership_view&, const membership_view&) = default;
};

class membership_user {
public:
    virtual ~membership_user() = default;
    // None: corosync is gone.
    virtual void membership(const std::optional<membership_view>& now) = 0;
    virtual void problem(const std::string& what) = 0;
};

class membership {
public:
    // The user is called by the loop only.
    membership(qb_loop_t* loop, membership_user& user);
    ~membership();
    membership(const membership&) = delete;
    membership& operator=(const membership&) = delete;

    const std::optional<membership_view>& now() const { return now_; }

private:
    struct callbacks;

    void connect();
    int track(const char*& at);
    void ready(int events);
    void changed(membership_view to);
    void lose();
    void disconnect();

    membership_user& user_;
    std::uint64_t handle_ = 0; // quorum_handle_t; 0: none
    std::optional<membership_view> now_;
    bool told_ = false; // that it can't be connected
    daemon::loop_watch watch_;
    daemon::loop_timer connect_timer_;
};

} // namespace lockstep::corosync
