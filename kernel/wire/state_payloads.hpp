// Payloads about a volume's size, generations and state.
//
//   SIZES   0 d_size u64   8 u_size u64   16 c_size u64   24 max bio u32   28 queue order u16
//           30 flags u16; with feature::write_same 32 physical block u32   36 logical block u32
//           40 alignment offset u32   44 io_min u32   48 io_opt u32   52 discard u8
//           53 discard zeroes u8   54 write same u8   55 pad u8
//   UUIDS   0 current u64   8 bitmap   16 history 1   24 history 2   32 bits set   40 flags
//
// Source: Linux 6.1 drivers/block/drbd/drbd_protocol.h (p_sizes, o_qlim, p_uuids, p_req_state).
#pragma once

#include "kernel/wire/payload.hpp"

namespace lockstep::wire {

namespace uuid_flag {
inline constexpr std::uint64_t discard_my_data = 1;
inline constexpr std::uint64_t crashed_primary = 2;
inline constexpr std::uint64_t inconsistent = 4;      // the sender's disk, while negotiating
inline constexpr std::uint64_t skip_initial_sync = 8; // take the new current, clear the bitmap
} // namespace uuid_flag

// UUIDS.
struct uuids {
    std::uint64_t current = 0;
    std::uint64_t bitmap = 0;
    std::uint64_t history1 = 0;
    std::uint64_t history2 = 0;
    std::uint64_t bits_set = 0; // in the sender's bitmap
    std::uint64_t flags = 0;    // uuid_flag::*

    bool operator==(const uuids&) const = default;
};

// SYNC_UUID.
struct sync_uuid {
    std::uint64_t value = 0;

    bool operator==(const sync_uuid&) const = default;
};

namespace size_flag {
inline constexpr std::uint16_t forced = 1;
inline constexpr std::uint16_t no_resync = 2; // of the part that is new
} // namespace size_flag

// The limits of the sender's queue, in bytes.
struct queue_limits {
    std::uint32_t physical_block = 512;
    std::uint32_t logical_block = 512;
    std::uint32_t alignment_offset = 0;
    std::uint32_t io_min = 512;
    std::uint32_t io_opt = 0;
    std::uint8_t discard_enabled = 0;
    std::uint8_t discard_zeroes = 0;
    std::uint8_t write_same = 0;
    std::uint8_t pad = 0;

    bool operator==(const queue_limits&) const = default;
};

// SIZES. Sizes are sectors.
struct sizes {
    std::uint64_t disk = 0;    // d_size: the largest that the disk can carry; 0 diskless
    std::uint64_t user = 0;    // u_size: as configured; 0 as large as possible
    std::uint64_t current = 0; // c_size; 0 asks for an answer
    std::uint32_t max_request_bytes = 0;
    std::uint16_t queue_order = 0;
    std::uint16_t flags = 0; // size_flag::*
    queue_limits limits;     // default values unless has_queue_limits()

    bool operator==(const sizes&) const = default;
};

// STATE: one volume's state as the sender sees it, in the 32 bits of kernel/state.
struct state_word {
    std::uint32_t bits = 0;

    bool operator==(const state_word&) const = default;
};

// STATE_CHG_REQ, CONN_ST_CHG_REQ.
struct state_request {
    std::uint32_t mask = 0;
    std::uint32_t value = 0;

    bool operator==(const state_request&) const = default;
};

// STATE_CHG_REPLY, CONN_ST_CHG_REPLY. 1 and above is yes.
struct state_reply {
    std::int32_t code = 0;

    bool operator==(const state_reply&) const = default;
};

std::size_t encoded_bytes(const uuids& value, const protocol& rules);
std::size_t encoded_bytes(const sync_uuid& value, const protocol& rules);
std::size_t encoded_bytes(const sizes& value, const protocol& rules);
std::size_t encoded_bytes(const state_word& value, const protocol& rules);
std::size_t encoded_bytes(const state_request& value, const protocol& rules);
std::size_t encoded_bytes(const state_reply& value, const protocol& rules);

void encode(byte_writer& to, const uuids& value, const protocol& rules);
void encode(byte_writer& to, const sync_uuid& value, const protocol& rules);
void encode(byte_writer& to, const sizes& value, const protocol& rules);
void encode(byte_writer& to, const state_word& value, const protocol& rules);
void encode(byte_writer& to, const state_request& value, const protocol& rules);
void encode(byte_writer& to, const state_reply& value, const protocol& rules);

template <>
result<uuids> decode(command code, const_byte_span payload, const protocol& rules);
template <>
result<sync_uuid> decode(command code, const_byte_span payload, const protocol& rules);
template <>
result<sizes> decode(command code, const_byte_span payload, const protocol& rules);
template <>
result<state_word> decode(command code, const_byte_span payload, const protocol& rules);
template <>
result<state_request> decode(command code, const_byte_span payload, const protocol& rules);
template <>
result<state_reply> decode(command code, const_byte_span payload, const protocol& rules);

} // namespace lockstep::wire
