// Numbers of the NBD protocol that the server uses, from the protocol's specification
// (https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md). All integers are
// big-endian on the link.
#pragma once

#include <cstdint>

namespace lockstep::device::nbd {

// Greeting of the server: server_magic, option_magic, handshake flags (16 bits).
constexpr std::uint64_t server_magic = 0x4e42444d41474943; // "NBDMAGIC"
constexpr std::uint64_t option_magic = 0x49484156454f5054; // "IHAVEOPT"
constexpr std::uint64_t option_reply_magic = 0x0003e889045565a9;
constexpr std::uint32_t request_magic = 0x25609513;
constexpr std::uint32_t reply_magic = 0x67446698;

constexpr std::uint16_t flag_fixed_newstyle = 1U << 0;
constexpr std::uint16_t flag_no_zeroes = 1U << 1;

// Transmission flags of an export.
constexpr std::uint16_t flag_has_flags = 1U << 0;
constexpr std::uint16_t flag_read_only = 1U << 1;
constexpr std::uint16_t flag_send_flush = 1U << 2;
constexpr std::uint16_t flag_send_fua = 1U << 3;
constexpr std::uint16_t flag_send_trim = 1U << 5;
constexpr std::uint16_t flag_send_write_zeroes = 1U << 6;
constexpr std::uint16_t flag_can_multi_conn = 1U << 8;

enum class option : std::uint32_t {
    export_name = 1,
    abort = 2,
    list = 3,
    starttls = 5,
    info = 6,
    go = 7,
};

enum class option_reply : std::uint32_t {
    ack = 1,
    server = 2,
    info = 3,
    error_unsupported = 0x80000001,
    error_invalid = 0x80000003,
    error_unknown = 0x80000006,
    error_too_big = 0x80000009,
};

enum class information : std::uint16_t {
    export_size = 0,
    name = 1,
    description = 2,
    block_size = 3,
};

enum class command : std::uint16_t {
    read = 0,
    write = 1,
    disconnect = 2,
    flush = 3,
    trim = 4,
    write_zeroes = 6,
};

constexpr std::uint16_t command_fua = 1U << 0;
constexpr std::uint16_t command_no_hole = 1U << 1;

// Errors on the link have numbers of their own, which are Linux's.
enum class failure : std::uint32_t {
    none = 0,
    not_permitted = 1,
    input_output = 5,
    no_memory = 12,
    invalid = 22,
    no_space = 28,
    overflow = 75,
    not_supported = 95,
    shutdown = 108,
};

constexpr std::uint32_t request_bytes = 28;       // magic, flags, type, cookie, offset, length
constexpr std::uint32_t reply_bytes = 16;         // magic, error, cookie
constexpr std::uint32_t option_header_bytes = 16; // magic, option, length
constexpr std::uint32_t option_reply_header_bytes = 20; // magic, option, type, length
constexpr std::uint32_t name_bytes_max = 4096;
// What a client may assume that a server takes if it was told no other limit.
constexpr std::uint32_t payload_bytes_max = 32U << 20;

} // namespace lockstep::device::nbd
