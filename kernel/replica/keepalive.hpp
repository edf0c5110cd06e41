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
    // PING now; `done` when this very one was answered: the peer has then received what was sent
    // before on meta, and we have what it had sent there. False if the connection broke.
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
    // PINGs are answered in their order.
    std::uint64_t sent_ = 0;
    std::uint64_t answered_ = 0;
    struct waiter {
        std::uint64_t ping = 0; // as sent_ counted it
        std::function<void(bool)> done;
    };
    std::vector<waiter> waiting_;
};

} // namespace lockstep::replica
