// Which structure a packet's payload has, for code that treats all packets alike.
#pragma once

#include "kernel/wire/payloads.hpp"

namespace lockstep::support {

template <class X>
struct payload_type {
    using type = X;
};

// PING, PING_ACK, UNPLUG_REMOTE, INITIAL_*: nothing.
struct no_payload {};
// BITMAP, COMPRESSED_BITMAP: see kernel/wire/bitmap_transfer.hpp.
struct bitmap_payload {};
// BECOME_SYNC_*, WSAME.
struct unused_payload {};

// Every command of DRBD 8.4, ascending.
inline constexpr wire::command all_commands[] = {
    wire::command::data,
    wire::command::data_reply,
    wire::command::rs_data_reply,
    wire::command::barrier,
    wire::command::bitmap,
    wire::command::become_sync_target,
    wire::command::become_sync_source,
    wire::command::unplug_remote,
    wire::command::data_request,
    wire::command::rs_data_request,
    wire::command::sync_param,
    wire::command::protocol,
    wire::command::uuids,
    wire::command::sizes,
    wire::command::state,
    wire::command::sync_uuid,
    wire::command::auth_challenge,
    wire::command::auth_response,
    wire::command::state_chg_req,
    wire::command::ping,
    wire::command::ping_ack,
    wire::command::recv_ack,
    wire::command::write_ack,
    wire::command::rs_write_ack,
    wire::command::superseded,
    wire::command::neg_ack,
    wire::command::neg_dreply,
    wire::command::neg_rs_dreply,
    wire::command::barrier_ack,
    wire::command::state_chg_reply,
    wire::command::ov_request,
    wire::command::ov_reply,
    wire::command::ov_result,
    wire::command::csum_rs_request,
    wire::command::rs_is_in_sync,
    wire::command::sync_param89,
    wire::command::compressed_bitmap,
    wire::command::delay_probe,
    wire::command::out_of_sync,
    wire::command::rs_cancel,
    wire::command::conn_st_chg_req,
    wire::command::conn_st_chg_reply,
    wire::command::retry_write,
    wire::command::protocol_update,
    wire::command::trim,
    wire::command::rs_thin_req,
    wire::command::rs_deallocated,
    wire::command::write_same,
    wire::command::zeroes,
    wire::command::initial_meta,
    wire::command::initial_data,
    wire::command::connection_features,
};

// Calls visit(payload_type<X>{}) with the structure of a known command.
template <class Visitor>
auto with_payload_type(wire::command code, Visitor&& visit) {
    using enum wire::command;
    switch (code) {
    case data:
    case data_reply:
    case rs_data_reply:
        return visit(payload_type<wire::data_header>{});
    case trim:
    case zeroes:
        return visit(payload_type<wire::discard>{});
    case data_request:
    case rs_data_request:
    case ov_request:
    case rs_thin_req:
        return visit(payload_type<wire::block_request>{});
    case csum_rs_request:
    case ov_reply:
        return visit(payload_type<wire::digest_request>{});
    case recv_ack:
    case write_ack:
    case rs_write_ack:
    case superseded:
    case neg_ack:
    case neg_dreply:
    case neg_rs_dreply:
    case ov_result:
    case rs_is_in_sync:
    case rs_cancel:
    case retry_write:
        return visit(payload_type<wire::block_ack>{});
    case out_of_sync:
    case rs_deallocated:
        return visit(payload_type<wire::block_range>{});
    case barrier:
        return visit(payload_type<wire::barrier>{});
    case barrier_ack:
        return visit(payload_type<wire::barrier_ack>{});
    case delay_probe:
        return visit(payload_type<wire::delay_probe>{});
    case sync_param:
    case sync_param89:
        return visit(payload_type<wire::sync_settings>{});
    case wire::command::protocol:
    case protocol_update:
        return visit(payload_type<wire::connection_settings>{});
    case wire::command::uuids:
        return visit(payload_type<wire::uuids>{});
    case wire::command::sizes:
        return visit(payload_type<wire::sizes>{});
    case state:
        return visit(payload_type<wire::state_word>{});
    case wire::command::sync_uuid:
        return visit(payload_type<wire::sync_uuid>{});
    case wire::command::auth_challenge:
        return visit(payload_type<wire::auth_challenge>{});
    case wire::command::auth_response:
        return visit(payload_type<wire::auth_response>{});
    case state_chg_req:
    case conn_st_chg_req:
        return visit(payload_type<wire::state_request>{});
    case state_chg_reply:
    case conn_st_chg_reply:
        return visit(payload_type<wire::state_reply>{});
    case wire::command::connection_features:
        return visit(payload_type<wire::connection_features>{});
    case bitmap:
    case compressed_bitmap:
        return visit(payload_type<bitmap_payload>{});
    case become_sync_target:
    case become_sync_source:
    case write_same:
        return visit(payload_type<unused_payload>{});
    case unplug_remote:
    case ping:
    case ping_ack:
    case initial_meta:
    case initial_data:
        return visit(payload_type<no_payload>{});
    }
    LOCKSTEP_CHECK(!"a command");
}

} // namespace lockstep::support
