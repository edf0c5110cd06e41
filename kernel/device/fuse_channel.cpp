#include "kernel/device/fuse_channel.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/uio.h>

#include <cerrno>

#include "kernel/base/check.hpp"

namespace lockstep::device {

namespace {

// Messages taken before others get their turn.
constexpr int messages_per_turn = 64;

} // namespace

fuse_channel::fuse_channel(host::event_loop& loop, owned_fd fuse, std::string file_name,
                           const volume_properties& properties, volume_io& engine,
                           replica::buffer_pool& buffers, fuse_channel_owner& owner)
    : loop_(loop), fuse_(std::move(fuse)), owner_(&owner),
      session_(std::move(file_name), properties, engine, buffers, *this) {
    ::fcntl(fuse_.get(), F_SETFL, ::fcntl(fuse_.get(), F_GETFL) | O_NONBLOCK);
    poll_.channel = this;
    poll_.done = [](host::completion& self, int result, unsigned) {
        auto& channel = *static_cast<operation&>(self).channel;
        channel.readable_ = result != -ECANCELED;
        channel.loop_.defer(channel.turn_);
    };
    turn_.channel = this;
    turn_.run = [](host::deferred& self) { static_cast<turn&>(self).channel->take_turn(); };
    loop_.defer(turn_);
}

fuse_channel::~fuse_channel() {
    LOCKSTEP_CHECK(!poll_.pending && session_.idle());
    loop_.remove(turn_);
}

void fuse_channel::close() {
    closing_ = true;
    session_.end();
    loop_.cancel(poll_);
    loop_.defer(turn_);
}

void fuse_channel::wants_turn() {
    loop_.defer(turn_);
}

void fuse_channel::released() {
    if (!closing_) {
        owner_->channel_released(*this);
    }
}

void fuse_channel::take_turn() {
    if (closed_) {
        return;
    }
    if (closing_) {
        // A descriptor that is polled would only be closed when the poll ends.
        if (!poll_.pending) {
            fuse_.reset();
            if (session_.idle()) {
                closed_ = true;
                owner_->channel_closed(*this);
            }
        }
        return;
    }
    for (int i = 0; readable_ && i < messages_per_turn; ++i) {
        if (!read_message()) {
            return;
        }
    }
    if (readable_) {
        loop_.defer(turn_);
    } else if (!poll_.pending) {
        loop_.poll(poll_, fuse_.get(), POLLIN);
    }
}

// False: no message can be taken now, or ever again.
bool fuse_channel::read_message() {
    const std::array<byte_span, 3> targets = session_.receive_targets();
    if (targets[0].empty()) {
        return false;
    }
    std::array<iovec, 3> parts;
    for (std::size_t i = 0; i < parts.size(); ++i) {
        parts[i] = {targets[i].data(), targets[i].size()};
    }
    const ssize_t size = ::readv(fuse_.get(), parts.data(), static_cast<int>(parts.size()));
    if (size >= 0) {
        session_.received(static_cast<std::size_t>(size));
        return !closing_;
    }
    if (errno == ENODEV) {
        owner_->channel_released(*this);
        return false;
    }
    // ENOENT: the request was interrupted meanwhile. Others do not happen to a valid descriptor;
    // the poll tells when to look again.
    if (errno != EINTR && errno != ENOENT) {
        readable_ = false;
    }
    return true;
}

void fuse_channel::send(const_byte_span header, const_byte_span body) {
    const std::array<iovec, 2> parts = {{
        {const_cast<std::byte*>(header.data()), header.size()},
        {const_cast<std::byte*>(body.data()), body.size()},
    }};
    // An error means that nobody waits for the answer any more.
    [[maybe_unused]] const ssize_t written =
        ::writev(fuse_.get(), parts.data(), body.empty() ? 1 : 2);
}

} // namespace lockstep::device
