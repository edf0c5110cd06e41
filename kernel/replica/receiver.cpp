#include "kernel/replica/receiver.hpp"

#include "kernel/replica/digests.hpp"
#include "kernel/replica/machinery.hpp"

namespace lockstep::replica {

using wire::command;

void receiver::malformed(channel which, const error& what) {
    all_.log(log_level::error, "the peer sent something unusable: " + what.text());
    // DRBD goes to StandAlone for a packet unknown on the meta connection, else connects again
    // (drbd_receiver.c, drbdd() and drbd_ack_receiver()).
    const bool unknown = what.what.find("unknown packet") != std::string::npos;
    if (which == channel::meta && unknown) {
        all_.states.disconnect_at_once("the peer speaks another language");
        return;
    }
    all_.states.drop_link(state::connection::protocol_error, what.what);
}

void receiver::stop() {
    data_.reset();
    skipping_ = false;
}

volume* receiver::addressed(const wire::header& head, log_level severity) {
    volume* const found = all_.find(head.volume);
    if (found == nullptr) {
        all_.log(severity, std::string(wire::name(head.code)) + " for volume " +
                               std::to_string(head.volume) +
                               ", which is not configured here; ignored");
    }
    return found;
}

bool receiver::place_data(wire::packet_stream& stream) {
    const std::uint32_t size = stream.data_bytes();
    volume* target = all_.find(stream.head().volume);
    if (target == nullptr && size > 0) {
        skipping_ = true;
        stream.skip_data();
        return true;
    }
    if (target != nullptr && !all_.peers.can_take()) {
        return false;
    }
    if (size == 0) {
        skipping_ = false;
        stream.place_data({});
        return true;
    }
    data_ = all_.memory.peer.allocate(size);
    if (!data_) {
        return false;
    }
    stream.place_data(data_.bytes().first(size));
    return true;
}

bool receiver::data_intact(const wire::packet_stream& stream, const_byte_span data) {
    const const_byte_span given = stream.data_digest();
    if (given.empty()) {
        return true;
    }
    const wire::digest own = digest_of(all_.handshake.integrity_algorithm(), data);
    return wire::make_digest(given) == own;
}

void receiver::data_packet(wire::packet_stream& stream) {
    const wire::header head = stream.head();
    buffer_ref data = std::move(data_);
    data_.reset();
    volume* const target = addressed(head, log_level::warning);
    const bool skipped = std::exchange(skipping_, false);
    if (target == nullptr) {
        data_for_missing(stream);
        return;
    }
    if (skipped) {
        return;
    }
    const auto fixed =
        wire::decode<wire::data_header>(head.code, stream.data_fixed_part(), all_.link.rules);
    if (!fixed) {
        malformed(channel::data, fixed.error());
        return;
    }
    const std::uint32_t size = stream.data_bytes();
    if (!data_intact(stream, const_byte_span(data.bytes()).first(size))) {
        all_.log(log_level::error, *target,
                 "digest mismatch in " + std::string(wire::name(head.code)) + " at sector " +
                     std::to_string(fixed->sector));
        all_.states.drop_link(state::connection::protocol_error,
                              "data was damaged on its way (data-integrity-alg)");
        return;
    }
    if (target->peer_lacks_it()) {
        return; // an answer from before it removed its volume
    }
    target->counters.received_sectors += size / 512;
    switch (head.code) {
    case command::data:
        all_.peers.write_received(*target, *fixed, size, std::move(data));
        break;
    case command::data_reply:
        all_.reads.reply_received(*target, *fixed, size, data);
        break;
    default:
        all_.resync.reply_received(*target, *fixed, size, std::move(data));
        break;
    }
}

template <class X, class Use>
void receiver::with(const wire::header& head, const_byte_span payload, Use use) {
    const auto value = wire::decode<X>(head.code, payload, all_.link.rules);
    if (!value) {
        malformed(wire::belongs_on(head.code, wire::socket_kind::meta) ? channel::meta
                                                                       : channel::data,
                  value.error());
        return;
    }
    use(*value);
}

void receiver::packet(channel which, const wire::header& head, const_byte_span payload) {
    if (which == channel::meta) {
        meta_channel(head, payload);
    } else if (all_.handshake.before_parameters()) {
        during_handshake(head, payload);
    } else {
        data_channel(head, payload);
    }
}

void receiver::during_handshake(const wire::header& head, const_byte_span payload) {
    switch (head.code) {
    case command::connection_features:
        with<wire::connection_features>(head, payload, [&](const auto& features) {
            all_.handshake.features_received(features, payload);
        });
        return;
    case command::auth_challenge:
        with<wire::auth_challenge>(head, payload, [&](const auto& challenge) {
            all_.handshake.challenge_received(challenge);
        });
        return;
    case command::auth_response:
        with<wire::auth_response>(head, payload, [&](const auto& response) {
            all_.handshake.response_received(response);
        });
        return;
    default:
        all_.handshake.unexpected(head.code);
    }
}

void receiver::data_channel(const wire::header& head, const_byte_span payload) {
    switch (head.code) {
    case command::protocol:
    case command::protocol_update:
        with<wire::connection_settings>(head, payload, [&](const auto& settings) {
            if (head.code == command::protocol) {
                all_.handshake.protocol_received(settings);
            } else {
                all_.handshake.protocol_update_received(settings);
            }
        });
        return;
    case command::barrier:
        with<wire::barrier>(head, payload,
                            [&](const auto& barrier) { all_.peers.barrier_received(barrier); });
        return;
    case command::conn_st_chg_req:
        with<wire::state_request>(head, payload, [&](const auto& request) {
            all_.commands.connection_request_received(request);
        });
        return;
    case command::unplug_remote:
        all_.peers.hurry();
        return;
    case command::delay_probe:
        return;
    case command::connection_features:
    case command::auth_challenge:
    case command::auth_response:
        all_.handshake.unexpected(head.code);
        return;
    default:
        break;
    }
    volume* const target = addressed(head, log_level::info);
    if (target == nullptr) {
        packet_for_missing(head, payload);
        return;
    }
    if (!volume_packet(head, *target, payload)) {
        all_.states.drop_link(state::connection::protocol_error,
                              std::string(wire::name(head.code)) + " was not expected now");
    }
}

// The peer has not heard yet that the volume is gone, and waits for an answer.
void receiver::packet_for_missing(const wire::header& head, const_byte_span payload) {
    switch (head.code) {
    case command::trim:
    case command::zeroes:
        with<wire::discard>(head, payload, [&](const auto& discard) {
            all_.peers.refuse_write(head.volume, discard.sector, discard.size_bytes,
                                    discard.block_id);
        });
        return;
    case command::data_request:
        with<wire::block_request>(head, payload, [&](const auto& request) {
            all_.peers.refuse_read(head.volume, request);
        });
        return;
    case command::state_chg_req:
        with<wire::state_request>(head, payload, [&](const auto& request) {
            all_.commands.request_for_missing(head.volume, request);
        });
        return;
    default:
        return;
    }
}

void receiver::data_for_missing(const wire::packet_stream& stream) {
    const wire::header& head = stream.head();
    if (head.code != command::data) {
        return;
    }
    const auto fixed =
        wire::decode<wire::data_header>(head.code, stream.data_fixed_part(), all_.link.rules);
    if (fixed) {
        all_.peers.refuse_write(head.volume, fixed->sector, stream.data_bytes(), fixed->block_id);
    }
}

bool receiver::volume_packet(const wire::header& head, volume& target, const_byte_span payload) {
    switch (head.code) {
    case command::sync_param:
    case command::sync_param89:
        with<wire::sync_settings>(head, payload, [&](const auto& settings) {
            all_.handshake.sync_settings_received(target, settings);
        });
        return true;
    case command::sizes:
        with<wire::sizes>(head, payload, [&](const auto& sizes) {
            all_.handshake.peer_has(target);
            all_.sizes.received(target, sizes);
        });
        return true;
    case command::uuids:
        with<wire::uuids>(head, payload,
                          [&](const auto& uuids) { all_.handshake.uuids_received(target, uuids); });
        return true;
    case command::state:
        with<wire::state_word>(
            head, payload, [&](const auto& word) { all_.handshake.state_received(target, word); });
        return true;
    case command::sync_uuid:
        with<wire::sync_uuid>(head, payload, [&](const auto& uuid) {
            all_.resync.sync_uuid_received(target, uuid.value);
        });
        return true;
    case command::state_chg_req:
        with<wire::state_request>(head, payload, [&](const auto& request) {
            all_.commands.request_received(target, request);
        });
        return true;
    case command::trim:
    case command::zeroes:
        with<wire::discard>(head, payload, [&](const auto& discard) {
            all_.peers.discard_received(target, head.code, discard);
        });
        return true;
    case command::data_request:
        with<wire::block_request>(head, payload, [&](const auto& request) {
            all_.peers.read_requested(target, request);
        });
        return true;
    case command::rs_data_request:
    case command::rs_thin_req:
        with<wire::block_request>(head, payload, [&](const auto& request) {
            all_.resync.block_requested(target, request, head.code == command::rs_thin_req);
        });
        return true;
    case command::csum_rs_request:
        with<wire::digest_request>(head, payload, [&](const auto& request) {
            all_.resync.checksum_received(target, request);
        });
        return true;
    case command::ov_request:
        with<wire::block_request>(
            head, payload, [&](const auto& request) { all_.verify.requested(target, request); });
        return true;
    case command::ov_reply:
        with<wire::digest_request>(
            head, payload, [&](const auto& reply) { all_.verify.reply_received(target, reply); });
        return true;
    case command::bitmap:
    case command::compressed_bitmap:
        all_.exchange.packet_received(target, head.code, payload);
        return true;
    case command::out_of_sync:
        with<wire::block_range>(head, payload, [&](const auto& range) {
            all_.peers.out_of_sync_received(target, range);
        });
        return true;
    case command::rs_deallocated:
        with<wire::block_range>(head, payload, [&](const auto& range) {
            all_.resync.deallocated_received(target, range);
        });
        return true;
    default:
        return false;
    }
}

void receiver::meta_channel(const wire::header& head, const_byte_span payload) {
    all_.keepalive.meta_received();
    switch (head.code) {
    case command::ping:
        all_.link.send_empty(channel::meta, 0, command::ping_ack);
        return;
    case command::ping_ack:
        all_.keepalive.ping_answered();
        return;
    case command::delay_probe:
        return;
    case command::barrier_ack:
        with<wire::barrier_ack>(head, payload,
                                [&](const auto& ack) { all_.epochs.barrier_acknowledged(ack); });
        return;
    case command::state_chg_reply:
    case command::conn_st_chg_reply:
        with<wire::state_reply>(
            head, payload, [&](const auto& reply) { all_.commands.reply_received(reply.code); });
        return;
    default:
        break;
    }
    volume* const target = addressed(head, log_level::info);
    // What the peer had sent before it removed its volume answers nothing any more.
    if (target == nullptr || target->peer_lacks_it()) {
        return;
    }
    with<wire::block_ack>(head, payload,
                          [&](const auto& ack) { acknowledgement(head, *target, ack); });
}

void receiver::acknowledgement(const wire::header& head, volume& target,
                               const wire::block_ack& ack) {
    all_.peers.sequence_seen(target, ack.sequence);
    switch (head.code) {
    case command::recv_ack:
    case command::write_ack:
    case command::superseded:
    case command::retry_write:
        all_.writes.acknowledged(target, head.code, ack);
        return;
    case command::rs_write_ack:
    case command::neg_ack:
        if (ack.block_id == wire::block_id_resync) {
            all_.resync.write_acknowledged(target, ack, head.code == command::rs_write_ack);
        } else {
            all_.writes.acknowledged(target, head.code, ack);
        }
        return;
    case command::neg_dreply:
        all_.reads.refused(target, ack);
        return;
    case command::neg_rs_dreply:
    case command::rs_cancel:
        all_.resync.refused(target, ack, head.code == command::rs_cancel);
        return;
    case command::rs_is_in_sync:
        all_.resync.in_sync_received(target, ack);
        return;
    case command::ov_result:
        all_.verify.result_received(target, ack);
        return;
    default:
        all_.states.drop_link(state::connection::protocol_error,
                              std::string(wire::name(head.code)) + " was not expected now");
    }
}

} // namespace lockstep::replica
