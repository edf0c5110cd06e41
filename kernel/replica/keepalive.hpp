// Finds out that the peer is dead, stuck, or unreachable.
//
//   nothing received for ping-int                   PING
//   no answer and no data within ping-timeout       NetworkFailure
//   the data socket takes nothing for timeout       PING; ko-count times: Timeout
//   the meta socket takes nothing for timeout       NetworkFailure
//   a write unanswered for timeout x ko-count       Timeout
#pragma once

#include <functional>
#include <vector>

#include "kernel/replica/timers.hpp"

namespace lockstep::replica {

class machinery;

class keepalive {
public:
    explicit keepalive(machinery& all);

    void start();
    void stop();
    void meta_received();
    void ping_answered();
    void data_sent() { stalled_for_ = 0; }
    // PING now; `done` when it was answered (everything that the peer had sent before has then
    // been received on meta), false if the connection broke.
    void ping(std::function<void(bool)> done);

private:
    void check();
    void check_stalled();
    void send_ping();
    instant last_received() const;

    machinery& all_;
    timer ping_timer_;
    timer stall_timer_;
    instant ping_sent_ = never;
    std::uint32_t stalled_for_ = 0; // timeouts in a row without progress
    std::vector<std::function<void(bool)>> waiting_;
};

} // namespace lockstep::replica
