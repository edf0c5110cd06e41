#include "kernel/wire/stream.hpp"

#include <algorithm>

namespace lockstep::wire {

namespace {

// Moves bytes from the front of `from` until `to` has `wanted`. True when it has; it may have more
// of a header that was longer under the rules of before.
bool collect(byte_span to, std::size_t& have, std::size_t wanted, const_byte_span& from) {
    const auto count = have < wanted ? std::min(wanted - have, from.size()) : 0;
    std::copy_n(from.begin(), count, to.subspan(have).begin());
    have += count;
    from = from.subspan(count);
    return have >= wanted;
}

} // namespace

void packet_stream::restart(socket_kind socket) {
    socket_ = socket;
    rules_ = {};
    state_ = state::header;
    skipping_ = false;
    refused_command_ = false;
    digest_bytes_ = 0;
    head_ = {};
    buffered_header_ = 0;
    buffered_ = 0;
    memory_ = {};
}

void packet_stream::set_rules(const protocol& rules) {
    rules_ = rules;
}

void packet_stream::set_digest_bytes(std::size_t bytes) {
    LOCKSTEP_CHECK(bytes <= digest_bytes_max);
    digest_bytes_ = bytes;
}

result<packet_stream::step> packet_stream::take(const_byte_span& bytes) {
    switch (state_) {
    case state::header:
        return take_header(bytes);
    case state::payload:
        return take_payload(bytes);
    case state::wait:
        return step::blocked;
    case state::fill:
        return take_data(bytes);
    case state::failed:
        return tl::unexpected(reason_);
    }
    LOCKSTEP_CHECK(!"a state");
}

result<packet_stream::step> packet_stream::take_header(const_byte_span& bytes) {
    const auto wanted = rules_.header_bytes();
    if (!collect(header_buffer_, buffered_header_, wanted, bytes)) {
        return step::more;
    }
    auto head = decode_header(const_byte_span(header_buffer_).first(wanted), rules_);
    if (!head) {
        return stop(std::move(head.error()));
    }
    head_ = *head;
    if (auto good = begin_packet(); !good) {
        return stop(std::move(good.error()));
    }
    return take_payload(bytes);
}

// Judges the header, and works out how much of the payload comes before the data.
result<> packet_stream::begin_packet() {
    if (auto good = check_command(head_.code, socket_, rules_); !good) {
        refused_command_ = true;
        return good;
    }
    if (auto good = check_length(head_.code, head_.length, rules_); !good) {
        return good;
    }
    buffered_ = 0;
    data_bytes_ = 0;
    data_taken_ = 0;
    wanted_ = head_.length;
    if (carries_data(head_.code)) {
        const auto data = data_part(head_.code, head_.length, digest_bytes_, rules_);
        if (!data) {
            return tl::unexpected(data.error());
        }
        data_bytes_ = *data;
        wanted_ = head_.length - data_bytes_;
    }
    LOCKSTEP_CHECK(wanted_ <= buffer_.size());
    state_ = state::payload;
    return {};
}

result<packet_stream::step> packet_stream::take_payload(const_byte_span& bytes) {
    if (!collect(buffer_, buffered_, wanted_, bytes)) {
        return step::more;
    }
    buffered_header_ = 0;
    if (!carries_data(head_.code)) {
        state_ = state::header;
        return step::packet;
    }
    state_ = state::wait;
    return step::data;
}

result<packet_stream::step> packet_stream::take_data(const_byte_span& bytes) {
    const std::size_t missing = data_bytes_ - data_taken_;
    const auto count = std::min(missing, bytes.size());
    if (!skipping_) {
        std::copy_n(bytes.begin(), count, memory_.subspan(data_taken_).begin());
    }
    data_taken_ += static_cast<std::uint32_t>(count);
    bytes = bytes.subspan(count);
    if (data_taken_ < data_bytes_) {
        return step::more;
    }
    state_ = state::header;
    memory_ = {};
    return step::filled;
}

tl::unexpected<error> packet_stream::stop(error reason) {
    state_ = state::failed;
    reason_ = std::move(reason);
    return tl::unexpected(reason_);
}

const_byte_span packet_stream::data_fixed_part() const {
    return payload().first(fixed_bytes(head_.code, rules_));
}

const_byte_span packet_stream::data_digest() const {
    return payload().subspan(fixed_bytes(head_.code, rules_));
}

void packet_stream::place_data(byte_span memory) {
    LOCKSTEP_CHECK(state_ == state::wait && memory.size() == data_bytes_);
    memory_ = memory;
    skipping_ = false;
    state_ = state::fill;
}

void packet_stream::skip_data() {
    LOCKSTEP_CHECK(state_ == state::wait);
    skipping_ = true;
    state_ = state::fill;
}

byte_span packet_stream::target() const {
    return state_ == state::fill && !skipping_ ? memory_.subspan(data_taken_) : byte_span{};
}

void packet_stream::put_in_place(std::size_t bytes) {
    LOCKSTEP_CHECK(bytes <= target().size());
    data_taken_ += static_cast<std::uint32_t>(bytes);
}

} // namespace lockstep::wire
