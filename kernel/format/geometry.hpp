// Where the three areas of v08 metadata lie, and how much of the data device is left for data.
//
//   internal (all on the data device, found from its end; T is an unaligned tail below 4 KiB):
//
//     0                                bitmap        activity log   superblock    T
//     | data ............................|  1 bit / 4 KiB |  32 KiB *    |  4 KiB     |..|
//                                        ^bm_offset < 0   ^al_offset < 0 ^0
//
//   flexible external (one resource per metadata device), indexed (slots of 128 MiB):
//
//     superblock   activity log   bitmap
//     |  4 KiB     |  32 KiB *    |  1 bit / 4 KiB .......................|
//     ^0           ^al_offset = 8 ^bm_offset           to md_size_sectors ^
//
//   (*) al_stripes * al_stripe_size; indexed metadata has the default of 32 KiB always.
//
// The superblock stores both offsets in sectors of 512 bytes, signed, relative to itself.
// Source: Linux 6.1 drivers/block/drbd/drbd_int.h (drbd_md_ss, drbd_get_max_capacity) and
// drbd_main.c (check_offsets_and_sizes); drbd-utils 9.22 drbdmeta (re_initialize_md_offsets).
#pragma once

#include <cstdint>

#include "kernel/base/error.hpp"

namespace lockstep::format {

inline constexpr std::uint32_t sector_bytes = 512;
// The unit of all metadata I/O, and of data that one bitmap bit covers.
inline constexpr std::uint32_t block_bytes = 4096;
inline constexpr std::uint32_t block_sectors = block_bytes / sector_bytes;
inline constexpr std::uint32_t al_extent_sectors = 8192;      // 4 MiB: one activity log slot
inline constexpr std::uint32_t resync_extent_sectors = 32768; // 16 MiB: one sector of bitmap
inline constexpr std::uint32_t indexed_slot_sectors = 262144; // 128 MiB
// 1 PiB: what both the kernel's comments and drbdmeta announce as the limit.
inline constexpr std::uint64_t device_sectors_max = std::uint64_t{1} << 41;
inline constexpr std::uint32_t al_blocks_min = 8;       // 32 KiB
inline constexpr std::uint32_t al_blocks_max = 4194304; // 16 GiB

static_assert(block_sectors == 8);
static_assert(std::uint64_t{al_extent_sectors} * sector_bytes == 4U << 20U);
static_assert(std::uint64_t{resync_extent_sectors} * sector_bytes == 16U << 20U);
static_assert(resync_extent_sectors / block_sectors == sector_bytes * 8);
static_assert(std::uint64_t{indexed_slot_sectors} * sector_bytes == 128U << 20U);

enum class placement_kind : std::uint8_t { internal, flex_external, indexed };

// What the configuration says behind the metadata device: "internal", "flexible" or [N].
struct placement {
    placement_kind kind = placement_kind::internal;
    std::uint32_t index = 0; // indexed only

    bool operator==(const placement&) const = default;
};

// The activity log ring is spread over `count` stripes of `blocks` blocks (of 4 KiB) each.
struct al_striping {
    std::uint32_t count = 1;
    std::uint32_t blocks = 8;

    std::uint64_t total_blocks() const { return std::uint64_t{count} * blocks; }
    bool is_default() const { return count == 1 && blocks == 8; }
    bool operator==(const al_striping&) const = default;
};

// Offsets are bytes from the start of the metadata device (for internal metadata: the data
// device). Invariant of every value made by this header's functions: the three areas are aligned
// to 4 KiB, do not overlap and lie inside the metadata device; internal ones lie behind
// data_sectors_max.
struct geometry {
    placement where;
    al_striping striping;
    std::uint64_t superblock_offset = 0;
    std::uint64_t activity_log_offset = 0;
    std::uint64_t activity_log_bytes = 0;
    std::uint64_t bitmap_offset = 0;
    std::uint64_t bitmap_bytes_max = 0; // room for the bitmap on disk
    std::uint32_t md_size_sectors = 0;  // as the superblock stores it
    std::int32_t al_offset_sectors = 0; // relative to the superblock, as it stores it
    std::int32_t bm_offset_sectors = 0; // relative to the superblock, as it stores it
    std::uint64_t data_sectors_max = 0; // usable data size, sectors

    bool operator==(const geometry&) const = default;
};

// Codes of refused configuration that this room gives out (Linux 6.1 include/linux/drbd.h,
// enum drbd_ret_code).
namespace attach_error {
inline constexpr int disk_too_small = 111;
inline constexpr int md_disk_too_small = 112;
inline constexpr int md_index_invalid = 116;
inline constexpr int md_io = 118;
inline constexpr int md_invalid = 119;
inline constexpr int md_unclean = 165;
inline constexpr int md_layout_too_big = 167;
inline constexpr int md_layout_too_small = 168;
inline constexpr int md_layout_no_fit = 169;
inline constexpr int implicit_shrink = 170;
} // namespace attach_error

// Byte offset of the superblock. The metadata device must hold at least one block; `bytes` is its
// size. Errors: 112 when the block would lie outside.
result<std::uint64_t> superblock_offset(placement where, std::uint64_t md_device_bytes);

// Refuses what the kernel refuses: fewer than 8 blocks or more than 16 GiB in all, or a zero
// factor. Errors: 119 (the kernel's answer when it finds such a superblock).
result<> check_striping(al_striping striping);

// The layout that create-md makes. For internal metadata data_device_bytes is not used: both are
// the same device. For external metadata pass 0 when the data device is not known (as drbdmeta
// does not know it): then data_sectors_max is what the bitmap can cover.
// Errors: 112 too small for metadata, 111 nothing left for data or larger than 1 PiB, 167 the
// bitmap of a device that large has no room, 116 index or striping not possible with this kind.
result<geometry> lay_out(placement where, std::uint64_t md_device_bytes,
                         std::uint64_t data_device_bytes, al_striping striping = {});

} // namespace lockstep::format
