#include "kernel/replica/keepalive.hpp"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "kernel/replica/machinery.hpp"

namespace lockstep::replica {

keepalive::keepalive(machinery& all)
    : all_(all), ping_timer_(all.clock, [this] { check(); }),
      stall_timer_(all.clock, [this] { check_stalled(); }) {}

void keepalive::start() {
    ping_sent_ = never;
    stalled_for_ = 0;
    ping_timer_.arm(all_.now() + seconds(all_.net.ping_int_s));
    stall_timer_.arm(all_.now() + deciseconds(all_.net.timeout_ds));
}

void keepalive::stop() {
    ping_timer_.cancel();
    stall_timer_.cancel();
    ping_sent_ = never;
    sent_ = 0;
    answered_ = 0;
    auto waiting = std::move(waiting_);
    waiting_.clear();
    for (auto& each : waiting) {
        each.done(false);
    }
}

instant keepalive::last_received() const {
    return std::max(all_.link.last_received[0], all_.link.last_received[1]);
}

void keepalive::send_ping() {
    ++sent_;
    ping_sent_ = all_.now();
    all_.link.send_empty(channel::meta, 0, wire::command::ping);
    ping_timer_.arm(all_.now() + deciseconds(all_.net.ping_timeout_ds));
}

void keepalive::ping(std::function<void(bool)> done) {
    if (!all_.link.up || !all_.is_connected()) {
        done(false);
        return;
    }
    // The connection can break while it is sent.
    waiting_.push_back({sent_ + 1, std::move(done)});
    send_ping();
}

void keepalive::meta_received() {
    if (ping_sent_ == never) {
        ping_timer_.arm(all_.now() + seconds(all_.net.ping_int_s));
    }
}

void keepalive::ping_answered() {
    ping_sent_ = never;
    ping_timer_.arm(all_.now() + seconds(all_.net.ping_int_s));
    answered_ = std::min(answered_ + 1, sent_);
    const auto open = std::ranges::find_if(
        waiting_, [this](const waiter& each) { return each.ping > answered_; });
    std::vector<waiter> heard(std::make_move_iterator(waiting_.begin()),
                              std::make_move_iterator(open));
    waiting_.erase(waiting_.begin(), open);
    for (auto& each : heard) {
        each.done(true);
    }
}

void keepalive::check() {
    if (!all_.link.up) {
        return;
    }
    const instant now = all_.now();
    if (ping_sent_ != never) {
        if (last_received() > ping_sent_) {
            // Data came instead of the answer: the peer lives, and is asked again.
            send_ping();
            return;
        }
        all_.states.drop_link(state::connection::network_failure,
                              "PingAck did not arrive in time.");
        return;
    }
    const instant due = last_received() + seconds(all_.net.ping_int_s);
    if (due > now) {
        ping_timer_.arm(due);
        return;
    }
    send_ping();
}

void keepalive::check_stalled() {
    if (!all_.link.up) {
        return;
    }
    const instant now = all_.now();
    const instant limit = deciseconds(all_.net.timeout_ds);
    const auto blocked_for = [&](channel which) {
        const instant since = all_.link.send_blocked_since[static_cast<std::size_t>(which)];
        return since == never ? instant{0} : now - since;
    };
    if (blocked_for(channel::meta) >= limit) {
        all_.states.drop_link(state::connection::network_failure,
                              "the peer takes nothing on the meta connection");
        return;
    }
    if (blocked_for(channel::data) >= limit) {
        ++stalled_for_;
        if (all_.net.ko_count > 0 && stalled_for_ >= all_.net.ko_count) {
            all_.states.drop_link(state::connection::timeout, "the peer takes no data (ko-count)");
            return;
        }
        send_ping();
    } else {
        stalled_for_ = 0;
    }
    const instant oldest = all_.epochs.oldest_sent();
    if (all_.net.ko_count > 0 && oldest != never && oldest + limit * all_.net.ko_count <= now) {
        all_.states.drop_link(
            state::connection::timeout,
            fmt::format("the peer did not answer a write for {} s (timeout x ko-count)",
                        limit * all_.net.ko_count / nanoseconds_per_second));
        return;
    }
    stall_timer_.arm(now + limit);
}

} // namespace lockstep::replica
