// One connection to an engine. Blocking, with a deadline for everything: whatever an engine does
// or does not do, the caller gets an answer.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "kernel/base/error.hpp"
#include "kernel/control/protocol/line_buffer.hpp"
#include "kernel/control/protocol/reply.hpp"
#include "kernel/control/protocol/request.hpp"
#include "kernel/control/protocol/runtime_directory.hpp"

namespace lockstep::drbdsetup {

// Codes of client errors, in error::code.
constexpr int error_no_engine = 1; // nobody answers at the socket
constexpr int error_timed_out = 2;
constexpr int error_engine_gone = 3; // it ended while we were talking
constexpr int error_pending = 4;     // the engine has accepted it, and can't tell when it ends

// Milliseconds of CLOCK_MONOTONIC.
std::int64_t now_ms();
constexpr std::int64_t no_deadline = -1;

// Why a command is not done yet.
struct pending_work {
    std::string reason;  // in words; may be empty
    bool no_end = false; // a disk does not answer
};

class engine_client {
public:
    // Connects and exchanges greetings, within two seconds.
    static result<std::unique_ptr<engine_client>> open(const control::runtime_directory& where,
                                                       const std::string& resource);
    // The same in two steps, for many engines at a time: greeted() is due before anything is asked.
    static result<std::unique_ptr<engine_client>> begin(const control::runtime_directory& where,
                                                        const std::string& resource,
                                                        std::int64_t deadline_ms);
    result<> greeted(std::int64_t deadline_ms);
    ~engine_client();
    engine_client(const engine_client&) = delete;
    engine_client& operator=(const engine_client&) = delete;

    const control::hello& engine() const { return engine_; }
    // To wait for input together with something else.
    int descriptor() const { return socket_; }

    result<> send(const control::request& what);
    // The next message, at deadline_ms at the latest.
    result<control::server_message> receive(std::int64_t deadline_ms);
    // A message that was read whole already, without looking at the socket.
    result<std::optional<control::server_message>> take_arrived();
    // Reads what the socket has, without waiting; then as take_arrived().
    result<std::optional<control::server_message>> take_available();

    // Asks and waits for the answer; events that come in between are dropped. With `pending` the
    // engine is asked within two seconds what it waits for, and again as long as it takes: each new
    // reason is told. If a disk does not answer there is nothing to wait for: error_pending.
    using on_pending = std::function<void(const std::string& waiting_for)>;
    result<control::reply> ask(control::request what, std::int64_t deadline_ms,
                               const on_pending& pending = {});
    // A fresh look, within two seconds.
    result<control::snapshot> look();

private:
    explicit engine_client(int socket, std::string resource);
    result<> greet();
    result<control::server_message> decode(const std::string& line);
    result<> fill(std::int64_t deadline_ms);
    result<control::reply> await(std::uint64_t id, std::int64_t deadline_ms);
    pending_work what_is_pending(std::optional<control::reply>& early, std::uint64_t id);

    int socket_;
    std::string resource_;
    control::hello engine_;
    control::line_buffer input_;
    std::uint64_t last_id_ = 0;
};

pending_work pending_in(const control::snapshot& state);

} // namespace lockstep::drbdsetup
