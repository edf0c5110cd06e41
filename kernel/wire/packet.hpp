// The packets: codes, names, sockets and lengths, as one table (packet.cpp), so that a receiver
// can judge a header before it takes a single byte of the payload.
//
// Source: Linux 6.1 drivers/block/drbd/drbd_protocol.h (enum drbd_packet) and the command tables
// of drbd_receiver.c.
#pragma once

#include <string_view>

#include "kernel/wire/protocol.hpp"

namespace lockstep::wire {

enum class command : std::uint16_t {
    data = 0x00,
    data_reply = 0x01,
    rs_data_reply = 0x02,
    barrier = 0x03,
    bitmap = 0x04,
    become_sync_target = 0x05,
    become_sync_source = 0x06,
    unplug_remote = 0x07,
    data_request = 0x08,
    rs_data_request = 0x09,
    sync_param = 0x0a,
    protocol = 0x0b,
    uuids = 0x0c,
    sizes = 0x0d,
    state = 0x0e,
    sync_uuid = 0x0f,
    auth_challenge = 0x10,
    auth_response = 0x11,
    state_chg_req = 0x12,
    ping = 0x13,
    ping_ack = 0x14,
    recv_ack = 0x15,
    write_ack = 0x16,
    rs_write_ack = 0x17,
    superseded = 0x18,
    neg_ack = 0x19,
    neg_dreply = 0x1a,
    neg_rs_dreply = 0x1b,
    barrier_ack = 0x1c,
    state_chg_reply = 0x1d,
    ov_request = 0x1e,
    ov_reply = 0x1f,
    ov_result = 0x20,
    csum_rs_request = 0x21,
    rs_is_in_sync = 0x22,
    sync_param89 = 0x23,
    compressed_bitmap = 0x24,
    delay_probe = 0x27,
    out_of_sync = 0x28,
    rs_cancel = 0x29,
    conn_st_chg_req = 0x2a,
    conn_st_chg_reply = 0x2b,
    retry_write = 0x2c,
    protocol_update = 0x2d,
    trim = 0x31,
    rs_thin_req = 0x32,
    rs_deallocated = 0x33,
    write_same = 0x34,
    zeroes = 0x36,
    initial_meta = 0xfff1,
    initial_data = 0xfff2,
    connection_features = 0xfffe,
};

// The two connections of a pair. `fresh` is one that has not yet said which it is: only
// INITIAL_DATA and INITIAL_META are expected there.
enum class socket_kind : std::uint8_t { data, meta, fresh };

// "data" and "meta", as logs call them.
std::string_view name(socket_kind socket);

// DRBD's name: "DATA", "RS_WRITE_ACK". "unknown packet" for a code that 8.4 does not have.
std::string_view name(command code);
bool is_known(command code);
bool belongs_on(command code, socket_kind socket);

// True for packets whose payload is application or resync data, which a receiver reads into
// aligned buffers apart from the fixed part: DATA, DATA_REPLY, RS_DATA_REPLY.
bool carries_data(command code);

// The least and the greatest length that the header may announce, digests included.
struct length_range {
    std::uint32_t minimum = 0;
    std::uint32_t maximum = 0;
};

// The bytes before data, digest, name or code: 24 for DATA, 28 for TRIM, 1 for COMPRESSED_BITMAP.
// In SYNC_PARAM89, SIZES and others without a variable part it is the whole payload.
std::uint32_t fixed_bytes(command code, const protocol& rules);
length_range lengths(command code, const protocol& rules);

// Is this a command that the agreed version knows, on a socket where it belongs? The error names
// the packet, "unknown packet 0x0025" if it has no name.
result<> check_command(command code, socket_kind socket, const protocol& rules);

// check_command() and check_length().
result<> check_packet(command code, std::uint32_t length, socket_kind socket,
                      const protocol& rules);

// Only the length.
result<> check_length(command code, std::uint64_t length, const protocol& rules);

// The data part of a DATA, DATA_REPLY or RS_DATA_REPLY of this length when a digest of
// `digest_bytes` (0: none) stands before the data. Refuses what is not whole sectors or too much.
// 0 is possible for DATA only: a flush without data, which a peer older than 8.4 could send.
result<std::uint32_t> data_part(command code, std::uint32_t length, std::size_t digest_bytes,
                                const protocol& rules);

} // namespace lockstep::wire
