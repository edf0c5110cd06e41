#include "kernel/device/nbd_server.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "kernel/base/check.hpp"
#include "kernel/device/nbd_listen.hpp"

namespace lockstep::device {

namespace {

constexpr host::instant accept_pause = 100 * host::millisecond;

// Without delay; and a client whose machine is gone does not count as one for long. All of this
// fails on a unix socket, which needs none of it.
void tune(int socket) {
    const struct {
        int level;
        int name;
        int value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},   {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, 10}, {IPPROTO_TCP, TCP_KEEPINTVL, 5},
        {IPPROTO_TCP, TCP_KEEPCNT, 3},   {IPPROTO_TCP, TCP_USER_TIMEOUT, 30'000},
    };
    for (const auto& option : options) {
        ::setsockopt(socket, option.level, option.name, &option.value, sizeof option.value);
    }
}

} // namespace

nbd_server::nbd_server(host::event_loop& loop, volume_io& engine, replica::buffer_pool& buffers,
                       nbd_server_settings settings)
    : loop_(loop), buffers_(buffers), settings_(std::move(settings)),
      exports_(settings_.resource, engine) {
    LOCKSTEP_CHECK(connections_max() > 0);
    sweep_.server = this;
    sweep_.run = [](host::deferred& self) {
        static_cast<sweep&>(self).server->take_out_the_dead();
    };
}

nbd_server::~nbd_server() {
    LOCKSTEP_CHECK(idle());
    loop_.remove(sweep_);
}

result<> nbd_server::publish(const volume_properties& properties) {
    if (exports_.count() == 0) {
        if (auto listening = listen(); !listening) {
            stop_listening();
            return listening;
        }
    }
    exports_.add(properties);
    return {};
}

void nbd_server::grow(volume_number volume, std::uint64_t size_bytes) {
    if (nbd_export* found = exports_.find(volume); found != nullptr) {
        found->properties.size_bytes = size_bytes;
    }
}

void nbd_server::withdraw(volume_number volume) {
    const nbd_export* gone = exports_.find(volume);
    if (gone == nullptr) {
        return;
    }
    const bool last = exports_.count() == 1;
    for (nbd_connection* one = connections_; one != nullptr; one = one->next) {
        if (last || one->chosen() == gone) {
            one->disconnect();
        }
    }
    exports_.remove(volume);
    if (last) {
        stop_listening();
    }
}

unsigned nbd_server::clients(volume_number volume) {
    const nbd_export* found = exports_.find(volume);
    return found == nullptr ? 0 : found->clients;
}

result<> nbd_server::listen() {
    if (!settings_.socket.empty()) {
        auto socket = listen_unix(settings_.socket);
        if (!socket) {
            return tl::unexpected(socket.error());
        }
        add_listener(std::move(*socket), settings_.socket);
    }
    if (!settings_.listen.empty()) {
        auto socket = listen_tcp(settings_.listen);
        if (!socket) {
            return tl::unexpected(socket.error());
        }
        add_listener(std::move(*socket), {});
    }
    return {};
}

void nbd_server::add_listener(owned_fd socket, std::string path) {
    auto made = std::make_unique<listener>();
    made->server = this;
    made->fd = std::move(socket);
    made->path = std::move(path);
    made->done = [](host::completion& self, int result, unsigned) {
        auto& on = static_cast<listener&>(self);
        on.server->accepted(on, result);
    };
    made->later.on = made.get();
    made->later.fired = [](host::timer& self) {
        listener& on = *static_cast<retry&>(self).on;
        on.server->loop_.accept(on, on.fd.get());
    };
    loop_.accept(*made, made->fd.get());
    listeners_.push_back(std::move(made));
}

void nbd_server::stop_listening() {
    for (auto& one : listeners_) {
        if (!one->path.empty()) {
            ::unlink(one->path.c_str());
        }
        // Nobody can connect from now on, even if the accept is cancelled later.
        ::shutdown(one->fd.get(), SHUT_RDWR);
        loop_.clear_timer(one->later);
        loop_.cancel(*one);
        if (one->pending) {
            closing_.push_back(std::move(one));
        }
    }
    listeners_.clear();
}

void nbd_server::accepted(listener& on, int result) {
    owned_fd socket{result >= 0 ? result : -1};
    const bool listening = std::any_of(listeners_.begin(), listeners_.end(),
                                       [&](const auto& one) { return one.get() == &on; });
    if (!listening) {
        const auto ended = std::find_if(closing_.begin(), closing_.end(),
                                        [&](const auto& one) { return one.get() == &on; });
        LOCKSTEP_CHECK(ended != closing_.end());
        closing_.erase(ended);
        return;
    }
    if (socket.valid() && connection_count_ < connections_max()) {
        tune(socket.get());
        auto* made = new nbd_connection(loop_, std::move(socket), exports_, buffers_, *this);
        made->next = connections_;
        connections_ = made;
        ++connection_count_;
    }
    if (result == -EMFILE || result == -ENFILE || result == -ENOMEM || result == -ENOBUFS) {
        loop_.set_timer(on.later, host::event_loop::clock() + accept_pause);
    } else {
        loop_.accept(on, on.fd.get());
    }
}

void nbd_server::connection_closed(nbd_connection& connection) {
    nbd_connection** link = &connections_;
    while (*link != &connection) {
        link = &(*link)->next;
    }
    *link = connection.next;
    --connection_count_;
    connection.next = dead_;
    dead_ = &connection;
    loop_.defer(sweep_);
}

void nbd_server::take_out_the_dead() {
    while (dead_ != nullptr) {
        const std::unique_ptr<nbd_connection> one{dead_};
        dead_ = one->next;
    }
}

std::size_t nbd_server::connections_max() const {
    return std::min<std::size_t>(buffers_.capacity_bytes() / 4 * 3 / replica::max_io_bytes, 16);
}

std::size_t nbd_server::buffer_quota() const {
    return std::max<std::size_t>(buffers_.capacity_bytes() / 4 * 3 / connection_count_,
                                 replica::max_io_bytes);
}

} // namespace lockstep::device
