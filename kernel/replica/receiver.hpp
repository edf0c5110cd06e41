// Gives each packet that arrives to the mechanism that it belongs to.
#pragma once

#include "kernel/base/error.hpp"
#include "kernel/replica/buffer_pool.hpp"
#include "kernel/replica/ports.hpp"
#include "kernel/wire/payloads.hpp"
#include "kernel/wire/stream.hpp"

namespace lockstep::replica {

class machinery;
struct volume;

class receiver {
public:
    explicit receiver(machinery& all) : all_(all) {}

    // Finds memory for the data of the packet under way; false: there is none now.
    bool place_data(wire::packet_stream& stream);
    // The data of that packet is complete.
    void data_packet(wire::packet_stream& stream);
    // A packet without data.
    void packet(channel which, const wire::header& head, const_byte_span payload);
    // The stream makes no sense: the connection is dropped by DRBD's rules.
    void malformed(channel which, const error& what);
    // The connection is gone: what was placed is given back.
    void stop();

private:
    // The volume that a packet is for; null, and logged, if there is none.
    volume* addressed(const wire::header& head, log_level severity);
    // Hands the payload to `use`, or drops the connection if it is malformed.
    template <class X, class Use>
    void with(const wire::header& head, const_byte_span payload, Use use);
    void data_channel(const wire::header& head, const_byte_span payload);
    void meta_channel(const wire::header& head, const_byte_span payload);
    void during_handshake(const wire::header& head, const_byte_span payload);
    void packet_for_missing(const wire::header& head, const_byte_span payload);
    void data_for_missing(const wire::packet_stream& stream);
    bool volume_packet(const wire::header& head, volume& target, const_byte_span payload);
    void acknowledgement(const wire::header& head, volume& target, const wire::block_ack& ack);
    bool data_intact(const wire::packet_stream& stream, const_byte_span data);

    machinery& all_;
    buffer_ref data_; // of the packet under way
    bool skipping_ = false;
};

} // namespace lockstep::replica
