// What two nodes have agreed on, and what follows from it for the packets. Source of all numbers:
// Linux 6.1, drivers/block/drbd (drbd_protocol.h, drbd_int.h, drbd_main.c), and captures of it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernel/base/error.hpp"

namespace lockstep::wire {

inline constexpr std::uint32_t version_min = 86;
inline constexpr std::uint32_t version_max = 101;

// Before CONNECTION_FEATURES have crossed, packets have the form of the oldest version.
inline constexpr std::uint32_t version_unagreed = 80;

namespace feature {
inline constexpr std::uint32_t trim = 1;         // TRIM may be sent
inline constexpr std::uint32_t thin_resync = 2;  // RS_THIN_REQ, RS_DEALLOCATED
inline constexpr std::uint32_t write_same = 4;   // SIZES has queue limits; trims up to 128 MiB
inline constexpr std::uint32_t write_zeroes = 8; // ZEROES may be sent
inline constexpr std::uint32_t all = 15;
} // namespace feature

enum class header_kind : std::uint8_t { h80, h95, h100 };

constexpr std::size_t header_bytes(header_kind kind) {
    return kind == header_kind::h100 ? 16 : 8;
}

inline constexpr std::size_t header_bytes_max = 16;

// A bitmap packet together with its header fits this.
inline constexpr std::size_t bitmap_packet_bytes_max = 4096;

// Algorithm names on the wire, with their NUL.
inline constexpr std::size_t algorithm_bytes_max = 64;

// The longest digest that any algorithm of DRBD gives (SHA-512).
inline constexpr std::size_t digest_bytes_max = 64;

// The largest request that any version carries, and the largest TRIM or ZEROES.
inline constexpr std::uint32_t data_bytes_max = 1U << 20;
inline constexpr std::uint32_t trim_bytes_max = 128U << 20;

struct protocol {
    std::uint32_t version = version_unagreed;
    std::uint32_t features = 0; // feature::*, those of both sides

    bool operator==(const protocol&) const = default;

    bool has_trim() const { return (features & feature::trim) != 0; }
    bool has_thin_resync() const { return (features & feature::thin_resync) != 0; }
    // SIZES is 56 instead of 32 bytes.
    bool has_queue_limits() const { return (features & feature::write_same) != 0; }
    bool has_write_same() const { return (features & feature::write_same) != 0; }
    bool has_write_zeroes() const { return (features & feature::write_zeroes) != 0; }

    bool has_integrity_algorithm() const { return version >= 87; } // in PROTOCOL
    bool has_verify() const { return version >= 88; }
    bool has_checksum_resync() const { return version >= 89; } // and SYNC_PARAM89
    bool has_compressed_bitmap() const { return version >= 90; }
    bool has_resync_controller() const { return version >= 95; } // SYNC_PARAM89 of 148 bytes
    bool has_flush_flags() const { return version >= 95; }       // FUA, FLUSH, DISCARD in data
    bool has_ahead_behind() const { return version >= 96; }
    bool has_verify_stop_sector() const { return version >= 97 && version != 100; }
    bool has_volumes() const { return version >= 100; }
    // DATA says itself which acknowledgement it wants; CONN_ST_CHG_REQ, RETRY_WRITE and
    // PROTOCOL_UPDATE exist.
    bool has_ack_flags() const { return version >= 100; }

    // The header that a packet with this payload length is sent with.
    header_kind header_for(std::uint32_t payload_bytes) const;
    // How many bytes a receiver must have before it can decode a header.
    std::size_t header_bytes() const { return version >= 100 ? 16 : 8; }

    // Largest data part of DATA, DATA_REPLY and RS_DATA_REPLY, and so the largest block that can
    // be requested: 32 KiB, 128 KiB (from 95 on) or 1 MiB (from 100 on).
    std::uint32_t data_bytes() const;
    // Largest TRIM or ZEROES that may be sent. A receiver takes trim_bytes_max in any case.
    std::uint32_t trim_bytes() const;
    // Payload bytes of a full BITMAP packet: what fits 4096 with the header, in whole words.
    std::size_t bitmap_bytes() const;
};

// What one side offers: the content of CONNECTION_FEATURES (72 bytes).
struct connection_features {
    std::uint32_t version_min = wire::version_min;
    std::uint32_t version_max = wire::version_max; // 0 stands for version_min
    std::uint32_t features = feature::all;
};

// The version that both know, and the features of both. An error, which means StandAlone and not
// another attempt, if the ranges do not meet.
result<protocol> agree(const connection_features& own, const connection_features& peer);

} // namespace lockstep::wire
