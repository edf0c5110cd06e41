#include "kernel/control/socket_server.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "kernel/base/check.hpp"

namespace lockstep::control {

namespace {

constexpr std::size_t max_clients = 64;
constexpr std::size_t receive_bytes = 16U << 10;
constexpr int backlog = 16;
constexpr host::instant look_interval = 500 * host::millisecond;
constexpr host::instant accept_retry = 200 * host::millisecond;
constexpr int code_exists = 161;

result<sockaddr_un> address_of(const std::string& path) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof address.sun_path) {
        return fail("The path of the control socket is too long", path,
                    "Set LOCKSTEP_RUNTIME_DIRECTORY to a shorter directory, or use a shorter "
                    "resource name.");
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

// Does a living process answer there?
bool answered(const sockaddr_un& address) {
    const owned_fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!probe.valid()) {
        return false;
    }
    const auto* generic = reinterpret_cast<const sockaddr*>(&address);
    return ::connect(probe.get(), generic, sizeof address) == 0 || errno == EAGAIN;
}

result<owned_fd> listen_at(const std::string& path) {
    const result<sockaddr_un> address = address_of(path);
    if (!address) {
        return tl::unexpected<error>(address.error());
    }
    if (answered(*address)) {
        return fail("An engine is running for this resource already", path,
                    "drbdsetup status shows it; drbdsetup down ends it.", code_exists);
    }
    ::unlink(path.c_str());
    owned_fd listening(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!listening.valid()) {
        return fail_errno(errno, "Can not make a socket", path);
    }
    // The mode of the node is the umask's business, and must never be wide, not even for a moment.
    const mode_t before = ::umask(0177);
    const int bound =
        ::bind(listening.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address);
    const int bind_errno = errno;
    ::umask(before);
    if (bound != 0) {
        return fail_errno(bind_errno, "Can not bind the control socket", path);
    }
    if (::listen(listening.get(), backlog) != 0) {
        return fail_errno(errno, "Can not listen on the control socket", path);
    }
    return listening;
}

bool may_control(int socket) {
    ucred peer = {};
    socklen_t size = sizeof peer;
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
        return false;
    }
    return peer.uid == 0 || peer.uid == ::geteuid();
}

} // namespace

struct socket_server::connection {
    struct operation : host::completion {
        using completion::completion;
        connection* self = nullptr;
    };

    connection(socket_server& server, client_id number, owned_fd connected)
        : owner(server), id(number), socket(std::move(connected)) {
        receive.self = this;
        transmit.self = this;
        receive.done = [](host::completion& self, int result, unsigned) {
            connection& from = *static_cast<operation&>(self).self;
            from.owner.received(from, result);
        };
        transmit.done = [](host::completion& self, int result, unsigned) {
            connection& to = *static_cast<operation&>(self).self;
            to.owner.sent(to, result);
        };
    }

    socket_server& owner;
    client_id id;
    owned_fd socket;
    operation receive;
    operation transmit;
    std::array<char, receive_bytes> input;
    std::string output; // in the kernel's hands from `output_sent` on
    std::size_t output_sent = 0;
    bool ending = false;  // close when all is sent
    bool dropped = false; // shut down; freed when the kernel is done with it
};

result<std::unique_ptr<socket_server>> socket_server::create(host::event_loop& loop, target& engine,
                                                             const std::string& path,
                                                             hello greeting) {
    result<owned_fd> listening = listen_at(path);
    if (!listening) {
        return tl::unexpected<error>(listening.error());
    }
    std::unique_ptr<socket_server> made(
        new socket_server(loop, engine, std::move(*listening), path, std::move(greeting)));
    made->accept_next();
    return made;
}

socket_server::socket_server(host::event_loop& loop, target& engine, owned_fd listening,
                             std::string path, hello greeting)
    : loop_(loop), listening_(std::move(listening)), path_(std::move(path)),
      server_(engine, *this, std::move(greeting)) {
    accept_.owner = sweep_.owner = linger_.owner = accept_again_.owner = look_.owner = this;
    accept_.done = [](host::completion& self, int result, unsigned) {
        static_cast<owned<host::completion>&>(self).owner->accepted(result);
    };
    sweep_.run = [](host::deferred& self) {
        static_cast<owned<host::deferred>&>(self).owner->sweep();
    };
    linger_.fired = [](host::timer& self) {
        static_cast<owned<host::timer>&>(self).owner->drop_all();
    };
    look_.fired = [](host::timer& self) {
        socket_server& own = *static_cast<owned<host::timer>&>(self).owner;
        own.looking_ = false;
        own.server_.changed();
        own.look_again();
    };
    accept_again_.fired = [](host::timer& self) {
        static_cast<owned<host::timer>&>(self).owner->accept_next();
    };
}

socket_server::~socket_server() {
    loop_.remove(sweep_);
    loop_.clear_timer(linger_);
    loop_.clear_timer(accept_again_);
    loop_.clear_timer(look_);
    if (!closing_) {
        ::unlink(path_.c_str());
    }
}

void socket_server::accept_next() {
    if (!closing_ && !accept_.pending) {
        loop_.accept(accept_, listening_.get());
    }
}

void socket_server::accepted(int result) {
    if (result >= 0) {
        admit(owned_fd(result));
        accept_next();
    } else if (!closing_) {
        loop_.set_timer(accept_again_, loop_.now() + accept_retry);
    }
}

void socket_server::admit(owned_fd socket) {
    if (closing_ || connections_.size() >= max_clients || !may_control(socket.get())) {
        return;
    }
    const client_id id = next_id_++;
    connection& made =
        *connections_.emplace(id, std::make_unique<connection>(*this, id, std::move(socket)))
             .first->second;
    receive_next(made);
    server_.connected(id);
}

void socket_server::receive_next(connection& from) {
    loop_.recv(from.receive, from.socket.get(), from.input.data(), from.input.size());
}

void socket_server::received(connection& from, int result) {
    if (result <= 0 || from.dropped) {
        drop(from);
        return;
    }
    if (!from.ending) {
        server_.received(from.id,
                         std::string_view(from.input.data(), static_cast<std::size_t>(result)));
        look_again();
    }
    if (!from.dropped) {
        receive_next(from);
    }
}

void socket_server::output_ready(client_id client) {
    const auto found = connections_.find(client);
    if (found != connections_.end()) {
        send_next(*found->second);
    }
}

void socket_server::send_next(connection& to) {
    if (to.transmit.pending || to.dropped) {
        return;
    }
    if (to.output_sent == to.output.size()) {
        to.output = server_.take_output(to.id);
        to.output_sent = 0;
    }
    if (to.output.empty()) {
        if (to.ending) {
            drop(to);
        }
        return;
    }
    loop_.send(to.transmit, to.socket.get(), to.output.data() + to.output_sent,
               to.output.size() - to.output_sent, MSG_NOSIGNAL);
}

void socket_server::sent(connection& to, int result) {
    if (result < 0) {
        drop(to);
        return;
    }
    to.output_sent += static_cast<std::size_t>(result);
    send_next(to);
    if (to.dropped) {
        loop_.defer(sweep_);
    }
}

void socket_server::hang_up(client_id client, bool at_once) {
    const auto found = connections_.find(client);
    if (found == connections_.end()) {
        return;
    }
    found->second->ending = true;
    if (at_once) {
        drop(*found->second);
    } else {
        send_next(*found->second);
    }
}

void socket_server::look_again() {
    if (!looking_ && !closing_ && server_.watchers() > 0) {
        looking_ = true;
        loop_.set_timer(look_, loop_.now() + look_interval);
    }
}

// Shutting the socket down ends whatever the kernel still holds of it; the connection and its
// session are freed from the loop, since the server may be in the middle of using them.
void socket_server::drop(connection& which) {
    if (!which.dropped) {
        which.dropped = true;
        ::shutdown(which.socket.get(), SHUT_RDWR);
    }
    loop_.defer(sweep_);
}

void socket_server::sweep() {
    for (auto at = connections_.begin(); at != connections_.end();) {
        const connection& each = *at->second;
        if (each.dropped && !each.receive.pending && !each.transmit.pending) {
            server_.gone(each.id);
            at = connections_.erase(at);
        } else {
            ++at;
        }
    }
}

void socket_server::drop_all() {
    for (const auto& [id, each] : connections_) {
        drop(*each);
    }
}

void socket_server::close(std::uint32_t linger_ms) {
    if (closing_) {
        return;
    }
    closing_ = true;
    ::unlink(path_.c_str());
    loop_.clear_timer(accept_again_);
    loop_.clear_timer(look_);
    if (accept_.pending) {
        loop_.cancel(accept_);
    }
    for (const auto& [id, each] : connections_) {
        each->ending = true;
        send_next(*each);
    }
    loop_.set_timer(linger_, loop_.now() + linger_ms * host::millisecond);
}

bool socket_server::closed() const {
    return closing_ && connections_.empty() && !accept_.pending;
}

std::int64_t socket_server::wall_clock_us() {
    const auto since = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::microseconds>(since).count();
}

} // namespace lockstep::control
