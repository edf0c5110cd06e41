// Payloads of reads, writes, resync and verify. Numbers are big-endian. Drawings give offsets.
//
//   data      0 sector u64   8 block id u64   16 sequence u32   20 flags u32
//   discard   0 as data                       24 size u32
//   request   0 sector u64   8 block id u64   16 size u32       20 pad u32 (24 digest)
//   ack       0 sector u64   8 block id u64   16 size u32       20 sequence u32
//   range     0 sector u64   8 size u32       12 pad u32
//
// Source: Linux 6.1 drivers/block/drbd/drbd_protocol.h (p_data, p_trim, p_block_req, p_block_ack,
// p_block_desc).
#pragma once

#include "kernel/wire/payload.hpp"

namespace lockstep::wire {

// A block id is the requester's private handle, echoed byte for byte. These have a meaning:
inline constexpr std::uint64_t block_id_resync = ~std::uint64_t{0}; // all resync traffic
inline constexpr std::uint64_t block_id_in_sync = 4711;             // OV_RESULT
inline constexpr std::uint64_t block_id_out_of_sync = 4712;         // OV_RESULT

// Sectors (512 bytes) are numbered below this, so that byte offsets fit a signed 64-bit number.
inline constexpr std::uint64_t sectors_max = std::uint64_t{1} << 54;

namespace data_flag {
inline constexpr std::uint32_t hard_barrier = 1;
inline constexpr std::uint32_t sync = 2;
inline constexpr std::uint32_t may_set_in_sync = 4; // answer RS_WRITE_ACK and clear the bits
inline constexpr std::uint32_t unplug = 8;
inline constexpr std::uint32_t fua = 16;
inline constexpr std::uint32_t flush = 32;
inline constexpr std::uint32_t discard = 64;
inline constexpr std::uint32_t send_receive_ack = 128; // protocol B, from version 100 on
inline constexpr std::uint32_t send_write_ack = 256;   // protocol C, from version 100 on
inline constexpr std::uint32_t write_same = 512;
inline constexpr std::uint32_t zeroes = 1024;
} // namespace data_flag

// DATA, DATA_REPLY, RS_DATA_REPLY: what stands before the digest and the data.
struct data_header {
    std::uint64_t sector = 0;
    std::uint64_t block_id = 0;
    std::uint32_t sequence = 0; // 0 in replies
    std::uint32_t flags = 0;    // data_flag::*; 0 in replies

    bool operator==(const data_header&) const = default;
};

// TRIM, ZEROES.
struct discard {
    std::uint64_t sector = 0;
    std::uint64_t block_id = 0;
    std::uint32_t sequence = 0;
    std::uint32_t flags = 0;
    std::uint32_t size_bytes = 0; // whole sectors, at most trim_bytes_max

    bool operator==(const discard&) const = default;
};

// DATA_REQUEST, RS_DATA_REQUEST, OV_REQUEST, RS_THIN_REQ.
struct block_request {
    std::uint64_t sector = 0;
    std::uint64_t block_id = 0;
    std::uint32_t size_bytes = 0; // whole sectors, 512 to protocol::data_bytes()
    std::uint32_t pad = 0;

    bool operator==(const block_request&) const = default;
};

// CSUM_RS_REQUEST, OV_REPLY.
struct digest_request {
    block_request block;
    digest of_block; // at least a byte; whether it suits the algorithm is the receiver's business

    bool operator==(const digest_request&) const = default;
};

// RECV_ACK, WRITE_ACK, RS_WRITE_ACK, SUPERSEDED, RETRY_WRITE, NEG_ACK, NEG_DREPLY, NEG_RS_DREPLY,
// OV_RESULT, RS_IS_IN_SYNC, RS_CANCEL.
//
// size_bytes is whole sectors, at most trim_bytes_max, except in a NEG_ACK for a write (its block
// id is not block_id_resync), where it says nothing: a diskless 8.4 answers TRIM and ZEROES with
// what was left of the payload, 0, and with a data-integrity-alg subtracts the length of the digest
// from that (Linux 6.1 drbd_receiver.c, receive_Data()).
struct block_ack {
    std::uint64_t sector = 0;
    std::uint64_t block_id = 0; // meaningless in RS_IS_IN_SYNC
    std::uint32_t size_bytes = 0;
    std::uint32_t sequence = 0;

    bool operator==(const block_ack&) const = default;
};

// OUT_OF_SYNC, RS_DEALLOCATED.
struct block_range {
    std::uint64_t sector = 0;
    std::uint32_t size_bytes = 0;
    std::uint32_t pad = 0;

    bool operator==(const block_range&) const = default;
};

// BARRIER. The number belongs to the sender, in its own byte order, and is echoed as bytes.
struct barrier {
    std::array<std::byte, 4> number{};
    std::uint32_t pad = 0;

    bool operator==(const barrier&) const = default;
};

struct barrier_ack {
    std::array<std::byte, 4> number{};
    std::uint32_t set_size = 0; // DATA, TRIM and ZEROES packets in the epoch

    bool operator==(const barrier_ack&) const = default;
};

struct delay_probe {
    std::uint32_t sequence = 0;
    std::uint32_t offset = 0;

    bool operator==(const delay_probe&) const = default;
};

std::size_t encoded_bytes(const data_header& value, const protocol& rules);
std::size_t encoded_bytes(const discard& value, const protocol& rules);
std::size_t encoded_bytes(const block_request& value, const protocol& rules);
std::size_t encoded_bytes(const digest_request& value, const protocol& rules);
std::size_t encoded_bytes(const block_ack& value, const protocol& rules);
std::size_t encoded_bytes(const block_range& value, const protocol& rules);
std::size_t encoded_bytes(const barrier& value, const protocol& rules);
std::size_t encoded_bytes(const barrier_ack& value, const protocol& rules);
std::size_t encoded_bytes(const delay_probe& value, const protocol& rules);

void encode(byte_writer& to, const data_header& value, const protocol& rules);
void encode(byte_writer& to, const discard& value, const protocol& rules);
void encode(byte_writer& to, const block_request& value, const protocol& rules);
void encode(byte_writer& to, const digest_request& value, const protocol& rules);
void encode(byte_writer& to, const block_ack& value, const protocol& rules);
void encode(byte_writer& to, const block_range& value, const protocol& rules);
void encode(byte_writer& to, const barrier& value, const protocol& rules);
void encode(byte_writer& to, const barrier_ack& value, const protocol& rules);
void encode(byte_writer& to, const delay_probe& value, const protocol& rules);

template <>
result<data_header> decode(command code, const_byte_span fixed_part, const protocol& rules);
template <>
result<discard> decode(command code, const_byte_span payload, const protocol& rules);
template <>
result<block_request> decode(command code, const_byte_span payload, const protocol& rules);
template <>
result<digest_request> decode(command code, const_byte_span payload, const protocol& rules);
template <>
result<block_ack> decode(command code, const_byte_span payload, const protocol& rules);
template <>
result<block_range> decode(command code, const_byte_span payload, const protocol& rules);
template <>
result<barrier> decode(command code, const_byte_span payload, const protocol& rules);
template <>
result<barrier_ack> decode(command code, const_byte_span payload, const protocol& rules);
template <>
result<delay_probe> decode(command code, const_byte_span payload, const protocol& rules);

} // namespace lockstep::wire
