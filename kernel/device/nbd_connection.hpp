// An NBD session on a socket. Everything that ended in one turn of the loop is answered by one
// sendmsg, and everything that has come is taken by one recvmsg.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>

#include "kernel/base/owned_fd.hpp"
#include "kernel/device/nbd_session.hpp"
#include "kernel/host/event_loop.hpp"

namespace lockstep::device {

class nbd_connection;

class nbd_connection_owner {
public:
    virtual ~nbd_connection_owner() = default;
    // Nothing refers to the connection any more; it may be destroyed, later.
    virtual void connection_closed(nbd_connection& connection) = 0;
    virtual std::size_t buffer_quota() const = 0;
};

class nbd_connection : private nbd_session_owner {
public:
    nbd_connection(host::event_loop& loop, owned_fd socket, nbd_exports& exports,
                   replica::buffer_pool& buffers, nbd_connection_owner& owner);
    // Only once connection_closed() was called, or the loop has ended.
    ~nbd_connection() override;
    nbd_connection(const nbd_connection&) = delete;
    nbd_connection& operator=(const nbd_connection&) = delete;

    // Ends the connection at once; connection_closed() follows when the engine has finished what
    // was under way.
    void disconnect();
    const nbd_export* chosen() const { return session_.chosen(); }
    nbd_connection* next = nullptr; // the owner's list

private:
    static constexpr std::size_t segments_max = 128;

    struct operation : host::completion {
        nbd_connection* connection = nullptr;
    };
    struct turn : host::deferred {
        nbd_connection* connection = nullptr;
    };
    struct deadline : host::timer {
        nbd_connection* connection = nullptr;
    };

    void wants_turn(nbd_session& session) override;
    std::size_t buffer_quota() const override { return owner_->buffer_quota(); }
    void take_turn();
    void start_receive();
    void send();
    void receive_ended(int result);
    bool quiet() const;

    host::event_loop& loop_;
    owned_fd socket_;
    nbd_connection_owner* owner_;
    nbd_session session_;
    operation receive_;
    operation writable_; // the socket was full
    turn turn_;
    deadline negotiated_by_; // silent connections do not keep clients out for long
    msghdr receive_message_ = {};
    std::array<iovec, 2> receive_parts_ = {};
    bool shut_down_ = false;
    bool closed_ = false;
};

} // namespace lockstep::device
