#include "kernel/host/peer_link.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/random.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "kernel/base/check.hpp"

namespace lockstep::host {

using replica::channel;
using replica::log_level;

namespace {

// Linux' TC_PRIO_INTERACTIVE_BULK and TC_PRIO_INTERACTIVE, as the in-kernel DRBD sets them.
constexpr int bulk_priority = 4;
constexpr int interactive_priority = 6;

constexpr instant listen_again_after = 5 * second;

void set_option(int socket, int level, int name, int value) {
    ::setsockopt(socket, level, name, &value, sizeof value);
}

} // namespace

struct peer_link::listener : operation {
    explicit listener(peer_link& of_) : operation(of_, ended) {}

    void arm() {
        from_size = sizeof from;
        of.loop_.accept(*this, fd.get(), reinterpret_cast<sockaddr*>(&from), &from_size);
    }

    static void ended(completion& self, int result, unsigned /*flags*/) {
        auto& own = static_cast<listener&>(self);
        owned_fd socket(result >= 0 ? result : -1);
        if (own.closed) {
            own.fd.reset();
            return;
        }
        own.arm();
        if (socket.valid()) {
            own.of.accepted(std::move(socket), own.from);
        }
    }

    owned_fd fd;
    sockaddr_storage from = {};
    unsigned from_size = 0;
    bool closed = false;
};

struct peer_link::own_attempt : operation {
    explicit own_attempt(peer_link& of_) : operation(of_, ended) {}

    static void ended(completion& self, int result, unsigned /*flags*/) {
        auto& own = static_cast<own_attempt&>(self);
        peer_link& of = own.of;
        if (own.cancelled) {
            own.fd.reset();
            return;
        }
        own.cancelled = true;
        if (result < 0) {
            own.fd.reset();
            of.setup_.attempt_failed(-result);
        } else {
            of.setup_.attempt_succeeded(of.hold(std::move(own.fd)));
        }
    }

    owned_fd fd;
    bool cancelled = false;
};

struct peer_link::greeting : operation {
    greeting(peer_link& of_, socket_id id_, int fd_) : operation(of_, came), id(id_), fd(fd_) {}

    void arm() { of.loop_.recv(*this, fd, bytes.data() + filled, bytes.size() - filled); }

    static void came(completion& self, int result, unsigned /*flags*/) {
        auto& own = static_cast<greeting&>(self);
        if (own.closed) {
            own.kept.reset();
            return;
        }
        if (result <= 0) {
            own.over(-result);
            return;
        }
        own.filled += static_cast<std::size_t>(result);
        if (own.filled < own.bytes.size()) {
            own.arm();
            return;
        }
        own.closed = true;
        own.of.loop_.clear_timer(own.limit);
        own.of.setup_.first_packet_came(own.id, read_first_packet(own.bytes));
    }

    void over(int error) {
        closed = true;
        of.loop_.clear_timer(limit);
        of.setup_.first_packet_failed(id, error);
    }

    struct time_limit : timer {
        explicit time_limit(greeting& of_) : timer(fire), of(of_) {}
        static void fire(timer& self) { static_cast<time_limit&>(self).of.over(ETIMEDOUT); }
        greeting& of;
    };

    socket_id id;
    int fd;
    std::array<std::byte, first_packet_bytes> bytes = {};
    std::size_t filled = 0;
    bool closed = false;
    owned_fd kept; // closed by the setup, but the kernel still reads from it
    time_limit limit{*this};
};

peer_link::peer_link(event_loop& loop, link_user& user, on_log log)
    : loop_(loop), user_(user), log_(std::move(log)) {}

peer_link::~peer_link() {
    LOCKSTEP_CHECK(listeners_.empty() && attempts_.empty() && greetings_.empty() &&
                   retired_.empty() && !open_);
    loop_.remove(sweep_later_);
}

// --- addresses and listening ---

result<owned_fd> peer_link::listening_socket() const {
    owned_fd socket(::socket(local_->raw.ss_family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));
    if (!socket.valid()) {
        return fail_errno(errno, "cannot make a TCP socket");
    }
    set_option(socket.get(), SOL_SOCKET, SO_REUSEADDR, 1);
    prepare(socket.get());
    if (::bind(socket.get(), local_->get(), local_->size) != 0 || ::listen(socket.get(), 8) != 0) {
        const int error = errno;
        const std::string where = local_->text();
        auto failure =
            error == EADDRINUSE
                ? fail("the port " + std::to_string(local_->port) + " is in use by another program",
                       where, "find it with \"ss -ltnp\", or choose another port", 102)
                : fail_errno(error, "cannot listen", where,
                             "is this an address of this machine, and its interface up?");
        if (error != EADDRINUSE) {
            failure.value().code = 103;
        }
        return failure;
    }
    return socket;
}

result<> peer_link::set_addresses(const socket_address& local, const socket_address& peer) {
    close();
    if (local.raw.ss_family != peer.raw.ss_family) {
        return fail("the two addresses are of different families",
                    local.text() + ", " + peer.text(),
                    "give both nodes ipv4 or both ipv6 addresses", 103);
    }
    local_ = local;
    peer_ = peer;
    const auto probe = listening_socket();
    if (!probe && probe.error().code == 102) {
        clear_addresses();
        return tl::unexpected(probe.error());
    }
    return {};
}

void peer_link::clear_addresses() {
    local_.reset();
    peer_.reset();
}

void peer_link::prepare(int socket) const {
    // Before connect or listen: the window scale is settled with the first segment.
    if (net_.sndbuf_size != 0) {
        set_option(socket, SOL_SOCKET, SO_SNDBUF, static_cast<int>(net_.sndbuf_size));
    }
    if (net_.rcvbuf_size != 0) {
        set_option(socket, SOL_SOCKET, SO_RCVBUF, static_cast<int>(net_.rcvbuf_size));
    }
    set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1);
}

void peer_link::listen() {
    auto socket = listening_socket();
    if (!socket) {
        const int code = socket.error().code;
        if (code != told_listen_error_) {
            told_listen_error_ = code;
            log_(log_level::error, socket.error().text());
        }
        loop_.set_timer(listen_timer_, loop_.now() + listen_again_after);
        return;
    }
    told_listen_error_ = 0;
    listeners_.push_back(std::make_unique<listener>(*this));
    listeners_.back()->fd = std::move(*socket);
    listeners_.back()->arm();
}

void peer_link::stop_listening() {
    loop_.clear_timer(listen_timer_);
    for (const auto& one : listeners_) {
        if (!one->closed) {
            one->closed = true;
            // Ends its listening at once: the next one may bind before this is closed.
            ::shutdown(one->fd.get(), SHUT_RDWR);
            loop_.cancel(*one);
        }
    }
}

void peer_link::listen_timer_fired(timer& self) {
    static_cast<clock&>(self).of.listen();
}

void peer_link::accepted(owned_fd socket, const sockaddr_storage& from) {
    if (!peer_ || !same_host(*peer_, from)) {
        if (strangers_.pass(loop_.now())) {
            std::string text = "refused a connection from " + host_text(from) + ": the peer is " +
                               (peer_ ? peer_->host : std::string("not configured"));
            if (const std::uint64_t more = strangers_.take_withheld(); more != 0) {
                text += " (and " + std::to_string(more) + " such lines before were not logged)";
            }
            log_(log_level::warning, text);
        }
        return;
    }
    setup_.accepted(hold(std::move(socket)));
}

// --- open and close ---

void peer_link::open(const options::net_options& net) {
    close();
    if (!local_ || !peer_) {
        log_(log_level::error, "there are no addresses to connect with");
        return;
    }
    net_ = net;
    open_ = true;
    listen();
    link_timing timing;
    timing.connect_interval = net.connect_int_s * second;
    timing.first_packet_limit = instant{4} * net.ping_timeout_ds * (second / 10);
    const std::uint32_t check_ds =
        net.socket_check_timeout_ds != 0 ? net.socket_check_timeout_ds : net.ping_timeout_ds;
    timing.check_delay = check_ds * (second / 10);
    timing.keeps_own = comes_before(*peer_, *local_);
    setup_.begin(timing);
}

void peer_link::close() {
    if (!open_) {
        return;
    }
    open_ = false;
    setup_.end();
    stop_listening();
    for (auto& one : streams_) {
        if (one != nullptr) {
            one->stop();
            retired_.push_back(std::move(one));
        }
    }
    loop_.defer(sweep_later_);
}

void peer_link::sweep_deferred(deferred& self) {
    static_cast<later&>(self).of.sweep();
}

// Forgets what the kernel has let go of. Never from inside a call of one of these.
void peer_link::sweep() {
    const auto over = [](const auto& one) { return !one->pending; };
    listeners_.erase(std::remove_if(listeners_.begin(), listeners_.end(), over), listeners_.end());
    attempts_.erase(std::remove_if(attempts_.begin(), attempts_.end(), over), attempts_.end());
    greetings_.erase(std::remove_if(greetings_.begin(), greetings_.end(), over), greetings_.end());
    retired_.erase(std::remove_if(retired_.begin(), retired_.end(),
                                  [](const auto& one) { return one->ended(); }),
                   retired_.end());
}

void peer_link::quiesce() {
    close();
    for (;;) {
        sweep();
        if (listeners_.empty() && attempts_.empty() && greetings_.empty() && retired_.empty()) {
            return;
        }
        loop_.run_once(10 * millisecond);
    }
}

void peer_link::want_send(channel which) {
    if (auto& stream = streams_[static_cast<std::size_t>(which)]; stream != nullptr) {
        stream->want_send();
    }
}

void peer_link::want_receive(channel which) {
    if (auto& stream = streams_[static_cast<std::size_t>(which)]; stream != nullptr) {
        stream->want_receive();
    }
}

// --- what link_setup asks for ---

socket_id peer_link::hold(owned_fd socket) {
    held_.push_back({++last_id_, std::move(socket)});
    return last_id_;
}

peer_link::held_socket* peer_link::find(socket_id socket) {
    const auto found = std::find_if(held_.begin(), held_.end(),
                                    [socket](const held_socket& one) { return one.id == socket; });
    return found == held_.end() ? nullptr : &*found;
}

owned_fd peer_link::take(socket_id socket) {
    held_socket* const found = find(socket);
    LOCKSTEP_CHECK(found != nullptr);
    owned_fd fd = std::move(found->fd);
    held_.erase(held_.begin() + (found - held_.data()));
    return fd;
}

void peer_link::start_attempt() {
    attempts_.push_back(std::make_unique<own_attempt>(*this));
    own_attempt& made = *attempts_.back();
    made.fd.reset(::socket(peer_->raw.ss_family, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_TCP));
    if (made.fd.valid()) {
        prepare(made.fd.get());
        // The peer knows us by our configured address; the port is any free one.
        set_option(made.fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
        sockaddr_storage from = local_->raw;
        (from.ss_family == AF_INET ? reinterpret_cast<sockaddr_in&>(from).sin_port
                                   : reinterpret_cast<sockaddr_in6&>(from).sin6_port) = 0;
        // If the address is missing here, connect() says so, or the peer refuses the other one.
        (void)::bind(made.fd.get(), reinterpret_cast<const sockaddr*>(&from), local_->size);
    }
    loop_.connect(made, made.fd.get(), peer_->get(), peer_->size);
}

void peer_link::cancel_attempt() {
    for (const auto& one : attempts_) {
        if (!one->cancelled) {
            one->cancelled = true;
            loop_.cancel(*one);
        }
    }
}

void peer_link::read_first(socket_id socket, instant limit) {
    loop_.defer(sweep_later_);
    held_socket* const from = find(socket);
    LOCKSTEP_CHECK(from != nullptr);
    greetings_.push_back(std::make_unique<greeting>(*this, socket, from->fd.get()));
    greetings_.back()->arm();
    loop_.set_timer(greetings_.back()->limit, loop_.now() + limit);
}

void peer_link::send_first(socket_id socket, channel which) {
    const auto bytes = make_first_packet(which);
    // There is room in a new connection; if it has failed already, the check finds it dead.
    (void)::send(find(socket)->fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

void peer_link::close(socket_id socket) {
    owned_fd fd = take(socket);
    for (const auto& one : greetings_) {
        if (one->id == socket && one->pending) {
            one->closed = true;
            loop_.clear_timer(one->limit);
            ::shutdown(fd.get(), SHUT_RDWR);
            loop_.cancel(*one);
            one->kept = std::move(fd);
            return;
        }
    }
}

bool peer_link::alive(socket_id socket) {
    char byte = 0;
    const ssize_t count = ::recv(find(socket)->fd.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return count > 0 || (count < 0 && errno == EAGAIN);
}

void peer_link::set_timer(instant delay) {
    loop_.set_timer(setup_timer_, delay == never ? never : loop_.now() + delay);
}

void peer_link::setup_timer_fired(timer& self) {
    static_cast<clock&>(self).of.setup_.expired();
}

std::uint64_t peer_link::random_number() {
    std::uint64_t number = 0;
    (void)::getrandom(&number, sizeof number, 0);
    return number;
}

void peer_link::established(socket_id data, socket_id meta, bool resolve_conflicts) {
    stop_listening();
    loop_.defer(sweep_later_);
    const std::array<socket_id, 2> sockets = {data, meta};
    for (std::size_t i = 0; i < sockets.size(); ++i) {
        owned_fd fd = take(sockets[i]);
        prepare(fd.get());
        set_option(fd.get(), SOL_SOCKET, SO_PRIORITY,
                   i == 0 ? bulk_priority : interactive_priority);
        streams_[i] = std::make_unique<link_stream>(loop_, user_, static_cast<channel>(i));
        streams_[i]->start(std::move(fd), i == 0 && net_.tcp_cork);
    }
    user_.link_established(resolve_conflicts);
}

} // namespace lockstep::host
