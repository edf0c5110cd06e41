// Payloads that two nodes exchange before, or about, their settings: features, authentication,
// PROTOCOL, SYNC_PARAM.
//
//   features      0 min u32   4 flags u32   8 max u32   12 zero u32   16 zero 7 x u64       (72)
//   PROTOCOL      0 protocol   4 after-sb-0pri   8 -1pri   12 -2pri   16 flags   20 two primaries,
//                 each u32; from version 87 on 24 integrity-alg with its NUL
//   SYNC_PARAM    0 rate u32; in version 88 4 verify-alg with its NUL
//   SYNC_PARAM89  0 rate u32   4 verify-alg[64]   68 csums-alg[64]; from version 95 on
//                 132 plan-ahead   136 delay-target   140 fill-target   144 max-rate, each u32
//
// Source: Linux 6.1 drivers/block/drbd/drbd_protocol.h (p_connection_features, p_protocol,
// p_rs_param, p_rs_param_89, p_rs_param_95).
#pragma once

#include "kernel/wire/payload.hpp"

namespace lockstep::wire {

// AUTH_CHALLENGE: 64 bytes are sent, 64 to 128 taken.
struct auth_challenge {
    std::array<std::byte, 128> bytes{};
    std::uint8_t size = 64;

    bool operator==(const auth_challenge& other) const;
    const_byte_span view() const { return const_byte_span(bytes).first(size); }
};

// AUTH_RESPONSE.
struct auth_response {
    digest hmac;

    bool operator==(const auth_response&) const = default;
};

namespace protocol_flag {
inline constexpr std::uint32_t discard_my_data = 1;
inline constexpr std::uint32_t dry_run = 2; // from version 92 on
} // namespace protocol_flag

// PROTOCOL, PROTOCOL_UPDATE. The after-sb codes are DRBD's numbers of the policies; they are not
// judged here, because a code that this node does not have is a difference in configuration.
struct connection_settings {
    std::uint32_t wire_protocol = 3; // 1 A, 2 B, 3 C; nothing else decodes
    std::uint32_t after_sb_0pri = 0;
    std::uint32_t after_sb_1pri = 0;
    std::uint32_t after_sb_2pri = 0;
    std::uint32_t flags = 0; // protocol_flag::*
    std::uint32_t two_primaries = 0;
    algorithm_name integrity; // empty below version 87

    bool operator==(const connection_settings&) const = default;
};

// SYNC_PARAM below version 89, SYNC_PARAM89 from there on (sync_settings_command()). What a
// version does not carry reads as the default that DRBD has for it, and is not written.
struct sync_settings {
    std::uint32_t rate_kib = 250;       // KiB/s
    algorithm_name verify;              // from version 88 on
    algorithm_name checksum;            // from version 89 on
    std::uint32_t plan_ahead_ds = 20;   // tenths of a second; these from version 95 on
    std::uint32_t delay_target_ds = 10; // tenths of a second
    std::uint32_t fill_target_sectors = 100;
    std::uint32_t max_rate_kib = 102400; // KiB/s

    bool operator==(const sync_settings&) const = default;
};

command sync_settings_command(const protocol& rules);

std::size_t encoded_bytes(const connection_features& value, const protocol& rules);
std::size_t encoded_bytes(const auth_challenge& value, const protocol& rules);
std::size_t encoded_bytes(const auth_response& value, const protocol& rules);
std::size_t encoded_bytes(const connection_settings& value, const protocol& rules);
std::size_t encoded_bytes(const sync_settings& value, const protocol& rules);

void encode(byte_writer& to, const connection_features& value, const protocol& rules);
void encode(byte_writer& to, const auth_challenge& value, const protocol& rules);
void encode(byte_writer& to, const auth_response& value, const protocol& rules);
void encode(byte_writer& to, const connection_settings& value, const protocol& rules);
void encode(byte_writer& to, const sync_settings& value, const protocol& rules);

template <>
result<connection_features> decode(command code, const_byte_span payload, const protocol& rules);
template <>
result<auth_challenge> decode(command code, const_byte_span payload, const protocol& rules);
template <>
result<auth_response> decode(command code, const_byte_span payload, const protocol& rules);
template <>
result<connection_settings> decode(command code, const_byte_span payload, const protocol& rules);
template <>
result<sync_settings> decode(command code, const_byte_span payload, const protocol& rules);

} // namespace lockstep::wire
