#include "kernel/device/nbd_session.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "kernel/base/check.hpp"

namespace lockstep::device {

namespace {

using operation = replica::io_request::operation;

// Only these make sense to a client; anything else is an I/O error.
nbd::failure failure_of(int error) {
    switch (error) {
    case 0:
        return nbd::failure::none;
    case EPERM:
    case EROFS:
        return nbd::failure::not_permitted;
    case ENOMEM:
        return nbd::failure::no_memory;
    case EINVAL:
        return nbd::failure::invalid;
    case ENOSPC:
        return nbd::failure::no_space;
    case EOPNOTSUPP:
        return nbd::failure::not_supported;
    case ESHUTDOWN:
        return nbd::failure::shutdown;
    default:
        return nbd::failure::input_output;
    }
}

bool has_data(nbd::command command) {
    return command == nbd::command::read || command == nbd::command::write;
}

bool changes_data(nbd::command command) {
    return command == nbd::command::write || command == nbd::command::trim ||
           command == nbd::command::write_zeroes;
}

bool known(nbd::command command) {
    return command == nbd::command::read || command == nbd::command::flush || changes_data(command);
}

operation operation_of(nbd::command command) {
    switch (command) {
    case nbd::command::read:
        return operation::read;
    case nbd::command::write:
        return operation::write;
    case nbd::command::trim:
        return operation::discard;
    case nbd::command::write_zeroes:
        return operation::write_zeroes;
    case nbd::command::flush:
    case nbd::command::disconnect:
        break;
    }
    return operation::flush;
}

nbd::failure check_range(const volume_properties& volume, nbd::command command,
                         std::uint64_t offset, std::uint32_t length) {
    const std::uint64_t block = volume.logical_block_bytes;
    if (length == 0 || offset % block != 0 || length % block != 0) {
        return nbd::failure::invalid;
    }
    if (offset > volume.size_bytes || length > volume.size_bytes - offset) {
        return changes_data(command) ? nbd::failure::no_space : nbd::failure::invalid;
    }
    if (has_data(command) && length > nbd::payload_bytes_max) {
        return nbd::failure::overflow;
    }
    return nbd::failure::none;
}

nbd::failure check_request(const nbd_export& target, nbd::command command, std::uint16_t flags,
                           std::uint64_t offset, std::uint32_t length) {
    std::uint16_t allowed = nbd::command_fua;
    if (command == nbd::command::write_zeroes) {
        allowed |= nbd::command_no_hole;
    }
    if (!known(command) || (flags & ~allowed) != 0) {
        return nbd::failure::invalid;
    }
    const volume_properties& volume = target.properties;
    if (changes_data(command) && volume.read_only) {
        return nbd::failure::not_permitted;
    }
    if (changes_data(command) && !has_data(command) && !volume.can_discard) {
        return nbd::failure::invalid;
    }
    if (command == nbd::command::flush) {
        return offset == 0 && length == 0 ? nbd::failure::none : nbd::failure::invalid;
    }
    return check_range(volume, command, offset, length);
}

} // namespace

nbd_session::nbd_session(nbd_exports& exports, replica::buffer_pool& buffers,
                         nbd_session_owner& owner)
    : buffers_(&buffers), owner_(&owner), negotiation_(std::make_unique<nbd_negotiation>(exports)),
      staging_(std::make_unique<std::byte[]>(staging_bytes)),
      slots_(std::make_unique<slot[]>(slots_max)) {
    for (std::size_t i = slots_max; i > 0; --i) {
        slot& one = slots_[i - 1];
        one.finished = slot_finished;
        one.owner = this;
        one.following = free_;
        free_ = &one;
    }
    waiter_.ready = buffer_ready;
    waiter_.owner = this;
}

nbd_session::~nbd_session() {
    LOCKSTEP_CHECK(idle());
    end();
}

std::array<byte_span, 2> nbd_session::receive_targets() {
    posted_in_place_ = 0;
    if (closing_) {
        return {};
    }
    std::array<byte_span, 2> targets;
    if (filling_ != nullptr && filling_->filled < filling_->size) {
        targets[0] = {filling_->buffer.data() + filling_->filled,
                      filling_->size - filling_->filled};
        posted_in_place_ = targets[0].size();
    }
    if (staged_begin_ > 0) {
        std::memmove(staging_.get(), staging_.get() + staged_begin_, staged());
        staged_end_ -= staged_begin_;
        staged_begin_ = 0;
    }
    targets[1] = {staging_.get() + staged_end_, staging_bytes - staged_end_};
    return targets;
}

void nbd_session::received(std::size_t count) {
    const std::size_t in_place = std::min(count, posted_in_place_);
    LOCKSTEP_CHECK(count - in_place <= staging_bytes - staged_end_);
    if (in_place > 0 && !ended_) {
        filling_->filled += static_cast<std::uint32_t>(in_place);
    }
    staged_end_ += count - in_place;
    posted_in_place_ = 0;
    work();
}

void nbd_session::resume() {
    work();
}

void nbd_session::work() {
    while (!ended_) {
        if (skip_ > 0) {
            skip_payload();
            if (skip_ > 0) {
                return;
            }
        }
        if (waiting_ != nullptr) {
            slot& one = *waiting_;
            if (!get_buffer(one)) {
                return;
            }
            waiting_ = nullptr;
            got_buffer(one);
        }
        if (filling_ != nullptr) {
            fill();
            if (filling_ != nullptr) {
                return;
            }
        }
        if (closing_ || !(export_ == nullptr ? take_negotiation() : take_request())) {
            return;
        }
    }
}

bool nbd_session::take_negotiation() {
    if (sending_) {
        return false; // the output must not move now
    }
    const std::size_t used = negotiation_->receive({staging_.get() + staged_begin_, staged()});
    staged_begin_ += used;
    if (negotiation_->now() == nbd_negotiation::phase::transmission) {
        export_ = negotiation_->chosen();
        ++export_->clients;
        return true;
    }
    if (negotiation_->now() == nbd_negotiation::phase::ended) {
        closing_ = true;
    }
    return false;
}

bool nbd_session::take_request() {
    if (staged() < nbd::request_bytes || free_ == nullptr) {
        return false;
    }
    byte_reader reader{{staging_.get() + staged_begin_, nbd::request_bytes}};
    const auto magic = reader.take<std::uint32_t>();
    parsed_request asked = {};
    asked.flags = reader.take<std::uint16_t>();
    asked.command = static_cast<nbd::command>(reader.take<std::uint16_t>());
    asked.cookie = reader.take<std::uint64_t>();
    asked.offset = reader.take<std::uint64_t>();
    asked.length = reader.take<std::uint32_t>();
    staged_begin_ += nbd::request_bytes;
    if (magic != nbd::request_magic || asked.command == nbd::command::disconnect) {
        closing_ = true;
        return false;
    }
    begin(asked);
    return true;
}

void nbd_session::begin(const parsed_request& asked) {
    slot& one = *free_;
    free_ = one.following;
    one.following = nullptr;
    one.command = asked.command;
    one.headed = false;
    one.ready = false;
    one.left = 0;
    byte_writer header{one.header};
    header.put(nbd::reply_magic);
    header.put(std::uint32_t{0});
    header.put(asked.cookie);

    const nbd::failure verdict =
        check_request(*export_, asked.command, asked.flags, asked.offset, asked.length);
    if (verdict != nbd::failure::none) {
        if (asked.command == nbd::command::write) {
            skip_ = asked.length;
        }
        reply(one, verdict);
        // Nobody means to send that much: it is not worth reading to its end.
        closing_ = closing_ || skip_ > nbd::payload_bytes_max;
        return;
    }
    one.op = operation_of(asked.command);
    one.fua = (asked.flags & nbd::command_fua) != 0 && changes_data(asked.command);
    one.may_unmap = (asked.flags & nbd::command_no_hole) == 0;
    one.volume = export_->properties.volume;
    one.offset = asked.offset;
    one.size = asked.length;
    if (!has_data(asked.command)) {
        submit(one);
        return;
    }
    one.size = std::min(asked.length, replica::max_io_bytes);
    one.left = asked.length - one.size;
    waiting_ = &one; // work() goes on with it at once
}

// The first come are served first: who finds others waiting waits behind them.
bool nbd_session::get_buffer(slot& one) {
    if (one.buffer) {
        return true;
    }
    if (queued_) {
        return false; // buffer_ready() will be called
    }
    if (held_bytes_ > 0 && held_bytes_ + one.size > owner_->buffer_quota()) {
        return false; // a reply that is sent makes room
    }
    if (!buffers_->anybody_waits()) {
        one.buffer = buffers_->allocate(one.size);
    }
    if (!one.buffer) {
        waiter_.size = one.size;
        queued_ = true;
        buffers_->wait(waiter_);
        return false;
    }
    held_bytes_ += one.buffer.capacity();
    return true;
}

void nbd_session::got_buffer(slot& one) {
    if (one.op == operation::read) {
        submit(one);
    } else {
        one.filled = 0;
        filling_ = &one;
    }
}

void nbd_session::fill() {
    slot& one = *filling_;
    if (one.in_engine) {
        return; // its next part comes when this one is written
    }
    const std::size_t count = std::min<std::size_t>(one.size - one.filled, staged());
    if (count > 0) {
        std::memcpy(one.buffer.data() + one.filled, staging_.get() + staged_begin_, count);
        one.filled += static_cast<std::uint32_t>(count);
        staged_begin_ += count;
    }
    if (one.filled == one.size) {
        if (one.left == 0) {
            filling_ = nullptr;
        }
        submit(one);
    }
}

void nbd_session::skip_payload() {
    const std::size_t count = std::min<std::size_t>(skip_, staged());
    skip_ -= static_cast<std::uint32_t>(count);
    staged_begin_ += count;
}

void nbd_session::submit(slot& one) {
    one.in_engine = true;
    ++in_engine_;
    export_->engine->submit(one);
}

void nbd_session::slot_finished(request& self, int error) {
    auto& one = static_cast<slot&>(self);
    static_cast<nbd_session*>(self.owner)->ended(one, error);
}

void nbd_session::ended(slot& one, int error) {
    one.in_engine = false;
    --in_engine_;
    if (ended_) {
        release(one);
        if (idle()) {
            want_turn();
        }
        return;
    }
    if (one.headed && error != 0) {
        // The reply has begun as a success: the protocol knows no other way to take that back.
        end();
        want_turn();
        return;
    }
    if (one.op == operation::write && one.left > 0) {
        if (error == 0) {
            next_part(one);
            one.filled = 0;
            want_turn();
            return;
        }
        filling_ = nullptr;
        skip_ = one.left;
    }
    if (one.headed) {
        one.ready = true;
        want_turn();
        return;
    }
    reply(one, failure_of(error));
}

void nbd_session::next_part(slot& one) {
    one.offset += one.size;
    one.size = std::min(one.left, replica::max_io_bytes);
    one.left -= one.size;
}

void nbd_session::reply(slot& one, nbd::failure verdict) {
    store_big(one.header.data() + 4, static_cast<std::uint32_t>(verdict));
    if (one.command != nbd::command::read || verdict != nbd::failure::none) {
        one.size = 0;
        one.left = 0;
        if (one.buffer) {
            held_bytes_ -= one.buffer.capacity();
            one.buffer.reset();
        }
    }
    one.ready = true;
    one.following = nullptr;
    (replies_last_ == nullptr ? replies_first_ : replies_last_->following) = &one;
    replies_last_ = &one;
    want_turn();
}

void nbd_session::release(slot& one) {
    if (one.buffer) {
        held_bytes_ -= one.buffer.capacity();
        one.buffer.reset();
    }
    one.following = free_;
    free_ = &one;
}

// Called from inside the release of somebody's buffer: takes the room before others can.
void nbd_session::buffer_ready(replica::buffer_pool::waiter& self) {
    auto& session = *static_cast<nbd_session*>(self.owner);
    slot& one = *session.waiting_;
    session.queued_ = false;
    one.buffer = session.buffers_->allocate(one.size);
    LOCKSTEP_CHECK(one.buffer);
    session.held_bytes_ += one.buffer.capacity();
    session.want_turn();
}

std::size_t nbd_session::reply_size(const slot& one) {
    return (one.headed ? 0 : nbd::reply_bytes) + one.size;
}

bool nbd_session::has_output() const {
    if (ended_) {
        return false;
    }
    return (negotiation_ != nullptr && control_sent_ < negotiation_->output().size()) ||
           (replies_first_ != nullptr && replies_first_->ready);
}

std::size_t nbd_session::gather(std::span<segment> segments) {
    std::size_t count = 0;
    const auto add = [&](const std::byte* bytes, std::size_t size, std::size_t& already_sent) {
        const std::size_t skipped = std::min(size, already_sent);
        already_sent -= skipped;
        if (size > skipped) {
            segments[count++] = {bytes + skipped, size - skipped};
        }
    };
    if (ended_) {
        return 0;
    }
    if (negotiation_ != nullptr && !segments.empty()) {
        std::size_t already_sent = control_sent_;
        add(negotiation_->output().data(), negotiation_->output().size(), already_sent);
    }
    std::size_t already_sent = reply_sent_;
    for (const slot* one = replies_first_; one != nullptr && one->ready; one = one->following) {
        if (segments.size() - count < 2) {
            break;
        }
        if (!one->headed) {
            add(one->header.data(), one->header.size(), already_sent);
        }
        add(one->buffer.data(), one->size, already_sent);
        if (one->left > 0) {
            break; // nothing may come between the parts of a reply
        }
    }
    sending_ = count > 0;
    return count;
}

void nbd_session::sent(std::size_t count) {
    sending_ = false;
    if (ended_) {
        return;
    }
    if (negotiation_ != nullptr) {
        std::vector<std::byte>& output = negotiation_->output();
        const std::size_t part = std::min(count, output.size() - control_sent_);
        control_sent_ += part;
        count -= part;
        if (control_sent_ == output.size()) {
            output.clear();
            control_sent_ = 0;
            if (export_ != nullptr) {
                negotiation_.reset();
            }
        }
    }
    while (replies_first_ != nullptr && replies_first_->ready) {
        slot& one = *replies_first_;
        const std::size_t part = std::min(count, reply_size(one) - reply_sent_);
        reply_sent_ += part;
        count -= part;
        if (reply_sent_ < reply_size(one)) {
            break;
        }
        reply_sent_ = 0;
        if (one.left > 0) {
            one.headed = true;
            one.ready = false;
            next_part(one);
            submit(one);
            break;
        }
        replies_first_ = one.following;
        if (replies_first_ == nullptr) {
            replies_last_ = nullptr;
        }
        release(one);
    }
    work();
}

void nbd_session::end() {
    if (ended_) {
        return;
    }
    ended_ = true;
    closing_ = true;
    buffers_->cancel(waiter_);
    if (export_ != nullptr) {
        --export_->clients;
        export_ = nullptr;
    }
}

} // namespace lockstep::device
