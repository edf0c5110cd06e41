#include "kernel/host/log_queue.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "kernel/base/check.hpp"

namespace lockstep::host {

log_queue::log_queue(event_loop& loop, int socket, std::size_t lines)
    : loop_(loop), socket_(socket), ring_(lines), room_(*this) {}

log_queue::~log_queue() {
    LOCKSTEP_CHECK(!room_.pending);
}

void log_queue::put(log_severity severity, std::string_view text) {
    if (severity > level_) {
        return;
    }
    if (count_ == 0 && dropped_ == 0 && send_log_record(socket_, severity, text)) {
        return;
    }
    if (count_ == ring_.size()) {
        ++dropped_;
        ++dropped_total_;
    } else {
        line& to = ring_[(first_ + count_) % ring_.size()];
        to.severity = severity;
        to.size = static_cast<std::uint16_t>(std::min(text.size(), log_text_max));
        std::memcpy(to.text, text.data(), to.size);
        ++count_;
    }
    wait_for_room();
}

void log_queue::wait_for_room() {
    if (!room_.pending && !closed_) {
        loop_.poll(room_, socket_, POLLOUT);
    }
}

bool log_queue::send_waiting() {
    while (count_ != 0) {
        const line& next = ring_[first_];
        if (!send_log_record(socket_, next.severity, {next.text, next.size})) {
            return false;
        }
        first_ = (first_ + 1) % ring_.size();
        --count_;
    }
    if (dropped_ != 0) {
        char text[80];
        const int size = std::snprintf(text, sizeof text, "the log was full: %llu lines were lost",
                                       static_cast<unsigned long long>(dropped_));
        if (!send_log_record(socket_, log_severity::warning,
                             {text, static_cast<std::size_t>(size)})) {
            return false;
        }
        dropped_ = 0;
    }
    return true;
}

void log_queue::writable(completion& self, int result, unsigned /*flags*/) {
    log_queue& queue = static_cast<room&>(self).queue;
    // An error or a hang-up means that there is no log writer any more: nobody to wait for.
    if (result < 0 || (result & (POLLERR | POLLHUP)) != 0) {
        queue.closed_ = true;
        return;
    }
    if (!queue.send_waiting()) {
        queue.wait_for_room();
    }
}

void log_queue::close() {
    closed_ = true;
    if (room_.pending) {
        send_waiting();
        loop_.cancel(room_);
    }
    while (room_.pending) {
        loop_.run_once(10 * millisecond);
    }
}

} // namespace lockstep::host
