// The two TCP connections to the peer: listens and connects by the rules of link_setup, then
// carries the bytes (link_stream). Nothing here waits.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "kernel/host/link_setup.hpp"
#include "kernel/host/link_stream.hpp"
#include "kernel/host/socket_address.hpp"

namespace lockstep::host {

class peer_link final : private link_setup::outside {
public:
    using on_log = std::function<void(replica::log_level, std::string_view)>;

    peer_link(event_loop& loop, link_user& user, on_log log);
    // After quiesce(), if it was ever open.
    ~peer_link() override;
    peer_link(const peer_link&) = delete;
    peer_link& operator=(const peer_link&) = delete;

    // Takes the addresses for open(). Fails (code 102) if another program has the port, so that
    // the user hears of it; an address that this machine does not have yet is only waited for.
    result<> set_addresses(const socket_address& local, const socket_address& peer);
    void clear_addresses();
    const std::optional<socket_address>& local() const { return local_; }
    const std::optional<socket_address>& peer() const { return peer_; }

    // As ports::open_link() and its companions.
    void open(const options::net_options& net);
    void close();
    void want_send(replica::channel which);
    void want_receive(replica::channel which);

    bool established() const { return streams_[0] != nullptr; }
    // Closes, and runs the loop until the kernel holds nothing of this any more.
    void quiesce();

private:
    struct operation : completion {
        operation(peer_link& of_, completion::function called) : completion(called), of(of_) {}
        peer_link& of;
    };
    struct clock : timer {
        clock(peer_link& of_, timer::function called) : timer(called), of(of_) {}
        peer_link& of;
    };
    struct later : deferred {
        later(peer_link& of_, deferred::function called) : deferred(called), of(of_) {}
        peer_link& of;
    };
    struct listener;
    struct own_attempt;
    struct greeting;
    struct held_socket {
        socket_id id;
        owned_fd fd;
    };

    // link_setup's effects.
    void start_attempt() override;
    void cancel_attempt() override;
    void read_first(socket_id socket, instant limit) override;
    void send_first(socket_id socket, replica::channel which) override;
    void close(socket_id socket) override;
    bool alive(socket_id socket) override;
    void set_timer(instant delay) override;
    std::uint64_t random_number() override;
    instant now() override { return loop_.now(); }
    void log(replica::log_level level, std::string_view text) override { log_(level, text); }
    void established(socket_id data, socket_id meta, bool resolve_conflicts) override;

    void listen();
    void stop_listening();
    result<owned_fd> listening_socket() const;
    void accepted(owned_fd socket, const sockaddr_storage& from);
    void prepare(int socket) const;
    socket_id hold(owned_fd socket);
    held_socket* find(socket_id socket);
    owned_fd take(socket_id socket);
    void sweep();

    event_loop& loop_;
    link_user& user_;
    on_log log_;
    std::optional<socket_address> local_;
    std::optional<socket_address> peer_;
    options::net_options net_;
    link_setup setup_{*this};
    bool open_ = false;

    socket_id last_id_ = no_socket;
    std::vector<held_socket> held_;
    // Those that wind down stay until the kernel has let go of them.
    std::vector<std::unique_ptr<listener>> listeners_;
    std::vector<std::unique_ptr<own_attempt>> attempts_;
    std::vector<std::unique_ptr<greeting>> greetings_;
    std::vector<std::unique_ptr<link_stream>> retired_;
    std::array<std::unique_ptr<link_stream>, 2> streams_;

    static void sweep_deferred(deferred& self);
    later sweep_later_{*this, sweep_deferred};
    static void setup_timer_fired(timer& self);
    static void listen_timer_fired(timer& self);
    clock setup_timer_{*this, setup_timer_fired};
    clock listen_timer_{*this, listen_timer_fired};
    int told_listen_error_ = 0;
    rate_limit strangers_;
};

} // namespace lockstep::host
