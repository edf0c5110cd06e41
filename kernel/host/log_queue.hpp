// The engine's way to its log: lines go to the log writer (a process of its own), and wait here, in
// a fixed ring, while it has no room. A frozen or full log therefore never holds up the engine;
// what the ring cannot hold either is dropped and counted, and the count is logged once there is
// room.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "kernel/host/event_loop.hpp"
#include "kernel/host/log_record.hpp"

namespace lockstep::host {

class log_queue {
public:
    // socket: keeper::log_socket(); stays the owner's.
    log_queue(event_loop& loop, int socket, std::size_t lines = 256);
    // Nothing of it may be pending in the loop any more: see close().
    ~log_queue();
    log_queue(const log_queue&) = delete;
    log_queue& operator=(const log_queue&) = delete;

    // Allocates nothing; never blocks.
    void put(log_severity severity, std::string_view text);
    // Lines above this severity's number are not logged.
    void set_level(log_severity level) { level_ = level; }

    std::uint64_t dropped() const { return dropped_total_; }
    std::size_t waiting() const { return count_; }
    // Cancels what is pending; runs passes of the loop until that is done.
    void close();

private:
    struct line {
        log_severity severity;
        std::uint16_t size;
        char text[log_text_max];
    };

    static void writable(completion& self, int result, unsigned flags);
    bool send_waiting();
    void wait_for_room();

    event_loop& loop_;
    int socket_;
    log_severity level_ = log_severity::info;
    std::vector<line> ring_;
    std::size_t first_ = 0;
    std::size_t count_ = 0;
    std::uint64_t dropped_ = 0; // since the last time that this was told
    std::uint64_t dropped_total_ = 0;
    bool closed_ = false;
    struct room : completion {
        explicit room(log_queue& queue_) : completion(writable), queue(queue_) {}
        log_queue& queue;
    } room_;
};

} // namespace lockstep::host
