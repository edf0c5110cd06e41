// The control socket of an engine on its event loop: a unix stream socket, mode 0600, that only
// processes of root (or of the engine's own user) may talk to.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "kernel/base/error.hpp"
#include "kernel/base/owned_fd.hpp"
#include "kernel/control/server.hpp"
#include "kernel/host/event_loop.hpp"

namespace lockstep::control {

class socket_server final : public transport {
public:
    // Binds `path` (runtime_directory::prepare()) and listens. A socket that is left over from an
    // engine that has died is replaced; one that is answered is an error (code 161).
    static result<std::unique_ptr<socket_server>> create(host::event_loop& loop, target& engine,
                                                         const std::string& path, hello greeting);
    // The loop must not run any more, or close() must have ended.
    ~socket_server() override;
    socket_server(const socket_server&) = delete;
    socket_server& operator=(const socket_server&) = delete;

    server& clients() { return server_; }

    // Stops accepting, hangs up on everybody once their output is sent (at most
    // `linger_ms` later), and removes the socket. closed() tells when no operation is left.
    void close(std::uint32_t linger_ms);
    bool closed() const;

    void output_ready(client_id client) override;
    void hang_up(client_id client, bool at_once) override;
    std::int64_t wall_clock_us() override;

private:
    struct connection;

    socket_server(host::event_loop& loop, target& engine, owned_fd listening, std::string path,
                  hello greeting);
    void accept_next();
    void accepted(int result);
    void admit(owned_fd socket);
    void receive_next(connection& from);
    void received(connection& from, int result);
    void send_next(connection& to);
    void sent(connection& to, int result);
    void drop(connection& which);
    void sweep();
    void look_again();
    void drop_all();

    // Loop objects that know whom they belong to.
    template <class Kind>
    struct owned : Kind {
        using Kind::Kind;
        socket_server* owner = nullptr;
    };

    host::event_loop& loop_;
    owned_fd listening_;
    std::string path_;
    server server_;
    client_id next_id_ = 1;
    std::map<client_id, std::unique_ptr<connection>> connections_;
    owned<host::completion> accept_;
    owned<host::deferred> sweep_;
    owned<host::timer> linger_;
    owned<host::timer> accept_again_; // after a failure such as too many open files
    // Progress of a resync, and who has the device open, change without a word: watched for.
    owned<host::timer> look_;
    bool looking_ = false;
    bool closing_ = false;
};

} // namespace lockstep::control
