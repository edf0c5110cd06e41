// The v08 superblock: one block of 4096 bytes, big-endian. It carries no checksum; everything in
// use lies in the first 96 bytes, so one 512-byte sector, written whole, carries it.
//
//    0  la_size_sectors   u64     56  flags             u32     80  bytes_per_bit     u32
//    8  current           u64     60  magic             u32     84  peer_max_bio_size u32
//   16  bitmap            u64     64  md_size_sectors   u32     88  al_stripes        u32
//   24  history[0]        u64     68  al_offset         s32     92  al_stripe_size    u32
//   32  history[1]        u64     72  al_nr_extents     u32     96  zero to the end
//   40  device_uuid       u64     76  bm_offset         s32
//   48  zero              u64
//
// Source: Linux 6.1 drivers/block/drbd/drbd_main.c (struct meta_data_on_disk, drbd_md_read).
#pragma once

#include <array>
#include <cstdint>

#include "kernel/base/bytes.hpp"
#include "kernel/base/error.hpp"
#include "kernel/format/geometry.hpp"

namespace lockstep::format {

inline constexpr std::uint32_t magic_v07 = 0x8374026a;
inline constexpr std::uint32_t magic_v08 = 0x8374026b;
inline constexpr std::uint32_t magic_v84_unclean = 0x8374026c;
inline constexpr std::uint32_t magic_v09 = 0x8374026d;

// Current UUID of metadata that create-md has just made.
inline constexpr std::uint64_t uuid_just_created = 4;

namespace md_flag {
inline constexpr std::uint32_t consistent = 1U << 0U;  // disk better than Inconsistent
inline constexpr std::uint32_t primary_ind = 1U << 1U; // Primary (or the peer without a disk)
inline constexpr std::uint32_t connected_ind = 1U << 2U;
inline constexpr std::uint32_t full_sync = 1U << 3U;      // treat every bit as set
inline constexpr std::uint32_t was_up_to_date = 1U << 4U; // disk better than Outdated
inline constexpr std::uint32_t peer_out_dated = 1U << 5U;
inline constexpr std::uint32_t crashed_primary = 1U << 6U;
inline constexpr std::uint32_t al_clean = 1U << 7U; // the log was applied
inline constexpr std::uint32_t al_disabled = 1U << 8U;
inline constexpr std::uint32_t all = (1U << 9U) - 1U;
} // namespace md_flag

// Generation identifiers. Comparisons ignore bit 0 of each, which says "was Primary".
struct generation {
    std::uint64_t current = 0;
    std::uint64_t bitmap = 0; // 0: none
    std::array<std::uint64_t, 2> history = {};

    bool operator==(const generation&) const = default;
};

// All fields in host order; the layout in memory is not the layout on disk.
struct superblock {
    std::uint64_t la_size_sectors = 0; // last agreed device size; 0: never agreed
    generation uuids;
    std::uint64_t device_uuid = 0;
    std::uint32_t flags = 0;
    std::uint32_t magic = magic_v08;
    std::uint32_t md_size_sectors = 0;
    std::int32_t al_offset_sectors = 0; // relative to the superblock
    std::uint32_t al_nr_extents = 0;    // slots of the activity log
    std::int32_t bm_offset_sectors = 0; // relative to the superblock
    std::uint32_t bytes_per_bit = block_bytes;
    std::uint32_t peer_max_bio_size = 0; // bytes; 0: unknown
    // As on disk: both zero (8.3 and older) means the default of 1 x 8.
    std::uint32_t al_stripes = 1;
    std::uint32_t al_stripe_size_blocks = 8;

    bool has(std::uint32_t flag) const { return (flags & flag) != 0; }
    al_striping striping() const {
        return al_stripes == 0 && al_stripe_size_blocks == 0
                   ? al_striping{}
                   : al_striping{al_stripes, al_stripe_size_blocks};
    }
    bool operator==(const superblock&) const = default;
};

// The bytes of a superblock that carry information; the rest of its block is zero.
inline constexpr std::size_t superblock_used_bytes = 96;
static_assert(superblock_used_bytes <= sector_bytes);

// Fills a block of 4096 bytes; no allocation. The block reads back as the same value.
void encode(const superblock& value, byte_span block);

// Takes whatever the bytes say, checking nothing but the size: at least 96 bytes.
superblock decode_superblock(const_byte_span block);

// A superblock for a new device, as create-md writes it: just created, no flags but AL_CLEAN.
superblock new_superblock(const geometry& layout);

// What stands in the way of attaching, in the kernel's order: unclean (165), no or foreign magic,
// bits of another size or a layout that makes no sense (119), the metadata device (112) or the
// data device (111) too small for what the superblock promises. data_device_bytes is not used for
// internal metadata; 0 = not known, then not checked. On success the layout the superblock
// describes. Pure: reads nothing.
result<geometry> check_attach(const superblock& value, placement where,
                              std::uint64_t md_device_bytes, std::uint64_t data_device_bytes);

// The same without the questions of cleanliness: for tools, and for replaying the log before
// attach.
result<geometry> check_layout(const superblock& value, placement where,
                              std::uint64_t md_device_bytes, std::uint64_t data_device_bytes);

} // namespace lockstep::format
