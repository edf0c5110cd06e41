#include "kernel/host/link_stream.hpp"

#include <poll.h>

#include <algorithm>
#include <cerrno>

#include "kernel/base/check.hpp"

namespace lockstep::host {

namespace {

// System calls of one wake-up, so that a fast peer does not starve disks and clients.
constexpr int reads_in_a_row = 8;

} // namespace

link_stream::link_stream(event_loop& loop, link_user& user, replica::channel which)
    : loop_(loop), user_(user), which_(which), staging_(staging_bytes) {}

link_stream::~link_stream() {
    stop();
    LOCKSTEP_CHECK(ended());
}

void link_stream::start(owned_fd socket, bool cork) {
    LOCKSTEP_CHECK(!running_ && ended());
    socket_ = std::move(socket);
    cork_ = cork;
    running_ = true;
    lost_ = false;
    stalled_ = false;
    begin_ = 0;
    end_ = 0;
    wait_for_bytes();
}

void link_stream::stop() {
    if (!running_) {
        return;
    }
    running_ = false;
    loop_.remove(send_later_);
    loop_.remove(offer_later_);
    // Before any memory is given back: a send that waits for room fails from now on instead of
    // sending what the memory holds by then.
    ::shutdown(socket_.get(), SHUT_RDWR);
    loop_.cancel(receiving_);
    loop_.cancel(sending_);
    close_when_ended();
}

void link_stream::close_when_ended() {
    if (!running_ && ended()) {
        socket_.reset();
    }
}

void link_stream::lost(int error) {
    if (!lost_) {
        lost_ = true;
        user_.link_lost(which_, error);
    }
}

void link_stream::want_send() {
    if (running_ && !sending_.pending) {
        loop_.defer(send_later_);
    }
}

void link_stream::send_deferred(deferred& self) {
    static_cast<later&>(self).of.send_now();
}

// At once what the socket takes at once: the peer is at work before this loop has handed its next
// operations to the kernel. The rest when there is room.
void link_stream::send_now() {
    if (!running_ || lost_ || sending_.pending) {
        return;
    }
    const std::size_t count = user_.gather(which_, segments_);
    if (count == 0) {
        return;
    }
    for (std::size_t i = 0; i < count; ++i) {
        parts_[i] = {const_cast<std::byte*>(segments_[i].bytes), segments_[i].size};
    }
    header_ = {};
    header_.msg_iov = parts_.data();
    header_.msg_iovlen = count;
    const int more = cork_ && count == segments_max ? MSG_MORE : 0;
    const ssize_t took = ::sendmsg(socket_.get(), &header_, more | MSG_DONTWAIT | MSG_NOSIGNAL);
    if (took > 0) {
        user_.sent(which_, static_cast<std::size_t>(took));
        want_send();
    } else if (errno == EAGAIN || errno == EINTR) {
        loop_.sendmsg(sending_, socket_.get(), &header_, more);
    } else {
        lost(errno);
    }
}

void link_stream::sent(completion& self, int result, unsigned /*flags*/) {
    link_stream& of = static_cast<operation&>(self).of;
    if (!of.running_) {
        of.close_when_ended();
        return;
    }
    if (result < 0) {
        of.lost(-result);
        return;
    }
    of.user_.sent(of.which_, static_cast<std::size_t>(result));
    of.send_now();
}

void link_stream::wait_for_bytes() {
    if (!running_ || lost_ || receiving_.pending || stalled_) {
        return;
    }
    // Where the next bytes belong is asked again when they are there.
    polling_ = !user_.receive_target(which_).empty();
    if (polling_) {
        loop_.poll(receiving_, socket_.get(), POLLIN);
    } else {
        loop_.recv(receiving_, socket_.get(), staging_.data(), staging_.size());
    }
}

void link_stream::received(completion& self, int result, unsigned /*flags*/) {
    link_stream& of = static_cast<operation&>(self).of;
    if (!of.running_) {
        of.close_when_ended();
        return;
    }
    of.came(result);
}

void link_stream::came(int result) {
    if (result < 0 || (result == 0 && !polling_)) {
        lost(-result);
        return;
    }
    if (!polling_) {
        begin_ = 0;
        end_ = static_cast<std::size_t>(result);
        offer();
    }
    for (int i = 0; i < reads_in_a_row && read_in_place(); ++i) {
    }
    wait_for_bytes();
}

void link_stream::offer() {
    while (running_ && begin_ < end_) {
        const const_byte_span rest(staging_.data() + begin_, end_ - begin_);
        const std::size_t taken = user_.receive(which_, rest);
        if (!running_) {
            return;
        }
        LOCKSTEP_CHECK(taken <= rest.size());
        begin_ += taken;
        if (taken < rest.size()) {
            stalled_ = true;
            return;
        }
    }
}

bool link_stream::read_in_place() {
    if (!running_ || lost_ || stalled_) {
        return false;
    }
    const byte_span target = user_.receive_target(which_);
    if (target.empty() && !polling_) {
        return false;
    }
    polling_ = false;
    iovec parts[2] = {{target.data(), target.size()}, {staging_.data(), staging_.size()}};
    msghdr header = {};
    header.msg_iov = target.empty() ? parts + 1 : parts;
    header.msg_iovlen = target.empty() ? 1 : 2;
    const ssize_t count = ::recvmsg(socket_.get(), &header, MSG_DONTWAIT);
    if (count <= 0) {
        if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
            lost(count == 0 ? 0 : errno);
        }
        return false;
    }
    const auto size = static_cast<std::size_t>(count);
    const std::size_t in_place = std::min(size, target.size());
    begin_ = 0;
    end_ = size - in_place;
    if (in_place != 0) {
        user_.received_in_place(which_, in_place);
    }
    offer();
    // Less than asked for: the socket is empty.
    return running_ && size == target.size() + staging_.size();
}

// Also from inside receive(), before it is known here that it took less than it was offered:
// therefore whether there is anything to offer is looked at later.
void link_stream::want_receive() {
    if (running_) {
        loop_.defer(offer_later_);
    }
}

void link_stream::offer_deferred(deferred& self) {
    link_stream& of = static_cast<later&>(self).of;
    if (!of.running_ || !of.stalled_) {
        return;
    }
    of.stalled_ = false;
    of.offer();
    of.wait_for_bytes();
}

} // namespace lockstep::host
