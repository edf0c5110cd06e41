#include "kernel/device/nbd_connection.hpp"

#include <poll.h>

#include <cerrno>
#include <span>

#include "kernel/base/check.hpp"

namespace lockstep::device {

namespace {

constexpr host::instant negotiation_limit = 10 * host::second;
// System calls of one turn, so that a fast client does not starve the others.
constexpr int sends_in_a_row = 8;

} // namespace

nbd_connection::nbd_connection(host::event_loop& loop, owned_fd socket, nbd_exports& exports,
                               replica::buffer_pool& buffers, nbd_connection_owner& owner)
    : loop_(loop), socket_(std::move(socket)), owner_(&owner), session_(exports, buffers, *this) {
    receive_.connection = this;
    receive_.done = [](host::completion& self, int result, unsigned) {
        static_cast<operation&>(self).connection->receive_ended(result);
    };
    writable_.connection = this;
    writable_.done = [](host::completion& self, int, unsigned) {
        nbd_connection& connection = *static_cast<operation&>(self).connection;
        connection.loop_.defer(connection.turn_);
    };
    turn_.connection = this;
    turn_.run = [](host::deferred& self) { static_cast<turn&>(self).connection->take_turn(); };
    negotiated_by_.connection = this;
    negotiated_by_.fired = [](host::timer& self) {
        nbd_connection& late = *static_cast<deadline&>(self).connection;
        if (late.chosen() == nullptr) {
            late.disconnect();
        }
    };
    loop_.set_timer(negotiated_by_, host::event_loop::clock() + negotiation_limit);
    loop_.defer(turn_);
}

nbd_connection::~nbd_connection() {
    LOCKSTEP_CHECK(quiet());
    loop_.clear_timer(negotiated_by_);
    loop_.remove(turn_);
}

bool nbd_connection::quiet() const {
    return !receive_.pending && !writable_.pending && session_.idle();
}

void nbd_connection::wants_turn(nbd_session&) {
    loop_.defer(turn_);
}

void nbd_connection::disconnect() {
    session_.end();
    loop_.defer(turn_);
}

void nbd_connection::take_turn() {
    if (closed_) {
        return;
    }
    session_.resume();
    send();
    if (session_.finished()) {
        if (!shut_down_) {
            // Ends what waits in the kernel.
            shut_down_ = true;
            ::shutdown(socket_.get(), SHUT_RDWR);
        }
        session_.end();
        if (quiet()) {
            closed_ = true;
            socket_.reset();
            owner_->connection_closed(*this);
        }
        return;
    }
    start_receive();
}

void nbd_connection::start_receive() {
    if (receive_.pending) {
        return;
    }
    const std::array<byte_span, 2> targets = session_.receive_targets();
    std::size_t count = 0;
    for (const byte_span& target : targets) {
        if (!target.empty()) {
            receive_parts_[count++] = {target.data(), target.size()};
        }
    }
    if (count == 0) {
        return;
    }
    receive_message_.msg_iov = receive_parts_.data();
    receive_message_.msg_iovlen = count;
    loop_.recvmsg(receive_, socket_.get(), &receive_message_);
}

// At once: the client can go on while the disks are told what to do next.
void nbd_connection::send() {
    for (int i = 0; i < sends_in_a_row; ++i) {
        if (writable_.pending || !session_.has_output()) {
            return;
        }
        std::array<nbd_session::segment, segments_max> segments;
        std::array<iovec, segments_max> parts;
        const std::size_t count = session_.gather(segments);
        for (std::size_t at = 0; at < count; ++at) {
            parts[at] = {const_cast<std::byte*>(segments[at].bytes), segments[at].size};
        }
        msghdr message = {};
        message.msg_iov = parts.data();
        message.msg_iovlen = count;
        const ssize_t size = ::sendmsg(socket_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
        const int error = size < 0 ? errno : 0;
        session_.sent(size < 0 ? 0 : static_cast<std::size_t>(size));
        if (error == EAGAIN) {
            loop_.poll(writable_, socket_.get(), POLLOUT);
        } else if (error != 0 && error != EINTR) {
            session_.end();
        }
    }
    loop_.defer(turn_);
}

void nbd_connection::receive_ended(int result) {
    if (result == -EINTR || result == -EAGAIN) {
        result = 0;
    } else if (result <= 0) {
        session_.end();
        result = 0;
    }
    session_.received(static_cast<std::size_t>(result));
    loop_.defer(turn_);
}

} // namespace lockstep::device
