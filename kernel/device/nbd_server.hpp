// The NBD server of a resource: listens while at least one volume is published.
#pragma once

#include <sys/socket.h>

#include <memory>
#include <string>
#include <vector>

#include "kernel/base/error.hpp"
#include "kernel/device/nbd_connection.hpp"
#include "kernel/device/nbd_export.hpp"
#include "kernel/host/event_loop.hpp"

namespace lockstep::device {

struct nbd_server_settings {
    std::string resource;
    std::string socket; // path of the unix socket; empty: none
    std::string listen; // "ADDRESS:PORT" or "[ADDRESS]:PORT"; empty: none
};

class nbd_server : private nbd_connection_owner {
public:
    // buffers: at least 2 MiB. Three quarters of it at most are held by clients, so that one that
    // does not read its replies leaves room for everybody else.
    nbd_server(host::event_loop& loop, volume_io& engine, replica::buffer_pool& buffers,
               nbd_server_settings settings);
    // idle() is true.
    ~nbd_server() override;
    nbd_server(const nbd_server&) = delete;
    nbd_server& operator=(const nbd_server&) = delete;

    // Begins to listen with the first volume. Fails if a listener cannot be made; the volume is
    // not published then.
    result<> publish(const volume_properties& properties);
    // Clients that are connected keep the size that they were told.
    void grow(volume_number volume, std::uint64_t size_bytes);
    // Disconnects the volume's clients; with the last volume, stops listening and disconnects all.
    void withdraw(volume_number volume);

    unsigned clients(volume_number volume);
    // Nothing is published, and nothing is left of what was.
    bool idle() const {
        return connections_ == nullptr && dead_ == nullptr && listeners_.empty() &&
               closing_.empty();
    }

private:
    struct listener;
    struct retry : host::timer {
        listener* on = nullptr;
    };
    struct listener : host::completion {
        nbd_server* server = nullptr;
        owned_fd fd;
        std::string path; // of a unix socket
        retry later;      // after an accept that failed for want of descriptors or memory
    };
    struct sweep : host::deferred {
        nbd_server* server = nullptr;
    };

    result<> listen();
    void add_listener(owned_fd socket, std::string path);
    void stop_listening();
    void accepted(listener& on, int result);
    void take_out_the_dead();
    void connection_closed(nbd_connection& connection) override;
    std::size_t buffer_quota() const override;
    std::size_t connections_max() const;

    host::event_loop& loop_;
    replica::buffer_pool& buffers_;
    nbd_server_settings settings_;
    nbd_exports exports_;
    std::vector<std::unique_ptr<listener>> listeners_;
    std::vector<std::unique_ptr<listener>> closing_; // their accept has not ended yet
    nbd_connection* connections_ = nullptr;
    nbd_connection* dead_ = nullptr;
    std::size_t connection_count_ = 0;
    sweep sweep_;
};

} // namespace lockstep::device
