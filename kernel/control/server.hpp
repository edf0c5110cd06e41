// Answers the clients of one engine: greets, takes requests, hands them to the target, and feeds
// events to those who asked for them. Sans I/O: socket_server.hpp carries the bytes; tests feed
// them by hand.
//
// A client can neither delay the engine nor disturb another. What it does not read is queued up to
// a limit. Events beyond it are left out: once the client has read what it was sent, it is told all
// that exists, as at first, and what it missed is the difference. Answers beyond it end the
// connection; so do a line that is too long, a greeting of another version, or too many unanswered
// requests, after a reply that says so. A line that is no valid request is answered with an error,
// and the connection goes on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "kernel/control/event_stream.hpp"
#include "kernel/control/protocol/line_buffer.hpp"
#include "kernel/control/protocol/reply.hpp"
#include "kernel/control/target.hpp"

namespace lockstep::control {

using client_id = std::uint64_t;

constexpr std::size_t max_queued_bytes = 8U << 20;
constexpr std::size_t max_queued_event_bytes = 1U << 20;
constexpr std::size_t max_unanswered_requests = 64;

// What the server asks of whoever has the sockets. Never calls back into the server from inside
// one of these.
class transport {
public:
    virtual ~transport() = default;
    // server::take_output(client) has something to give.
    virtual void output_ready(client_id client) = 0;
    // Send what server::take_output(client) gives, then close and say server::gone(). `at_once`: do
    // not send any more.
    virtual void hang_up(client_id client, bool at_once) = 0;
    // Microseconds since 1970.
    virtual std::int64_t wall_clock_us() = 0;
};

class server {
public:
    // greeting.resource names the resource in events.
    server(target& engine, transport& sockets, hello greeting);
    ~server();
    server(const server&) = delete;
    server& operator=(const server&) = delete;

    void connected(client_id client);
    void received(client_id client, std::string_view bytes);
    void gone(client_id client);

    // All bytes that wait to be sent; to be asked for when all that was taken before has been sent.
    // The limit of a client's queue counts what was not yet taken.
    std::string take_output(client_id client);

    // To be called from ports::changed(), and when something that only the engine knows (a device
    // name, an address) has changed. Costs nothing while nobody watches.
    void changed();
    // A handler was started, or ended with `status` (its exit code; 0..255). For a volume's
    // handler volume and minor are given.
    void helper_called(std::string_view name, std::optional<std::uint32_t> volume,
                       std::optional<std::uint32_t> minor);
    void helper_ended(std::string_view name, std::optional<std::uint32_t> volume,
                      std::optional<std::uint32_t> minor, int status);

    std::size_t clients() const { return sessions_.size(); }
    std::size_t watchers() const { return watchers_; }
    // Is any reply still to come or not yet sent? An engine that leaves waits for false.
    bool busy() const;

private:
    struct session;

    session* find(client_id client) const;
    void take_line(session& from, const std::string& line);
    void greeted(session& from, const std::string& line);
    void begin(session& from, const request& what);
    void subscribe(session& from, std::uint64_t request_id);
    void answer(client_id to, std::uint64_t id, reply text);
    void refuse(session& to, std::uint64_t id, std::string text, std::string remedy);
    void send(session& to, std::string_view line);
    // As `exists` events, and the "exists -" that ends them.
    std::string all_that_exists();
    void publish(const event& what);
    void publish_helper(event what);

    target& engine_;
    transport& sockets_;
    hello greeting_;
    event_stream stream_;
    std::size_t watchers_ = 0;
    std::map<client_id, std::unique_ptr<session>> sessions_;
    // Outlives the server in the callbacks of requests under way, and tells them so.
    std::shared_ptr<bool> alive_;
};

} // namespace lockstep::control
