// The dirty bitmap as it lies on disk: bit n says that the 4 KiB block n of the data device may
// differ from the peer's. Bit n is bit n%8 (lowest first) of byte n/8, in other words a
// little-endian bit stream, so it can be read as little-endian words of any width.
//
//   block    0 1 2 3 4 5 6 7 | 8 ...          4 KiB of bitmap  = 32768 bits = 128 MiB of data
//   byte     0               | 1              one sector       =  4096 bits =  16 MiB
//   bit      0 1 2 3 4 5 6 7 | 0 ...          128 bytes        =  1024 bits =   4 MiB (AL extent)
//
// Bits past the end of the device are zero, on disk too.
#pragma once

#include <cstdint>

#include "kernel/base/bytes.hpp"
#include "kernel/format/geometry.hpp"

namespace lockstep::format {

inline constexpr std::uint64_t bits_per_al_extent = al_extent_sectors / block_sectors;
inline constexpr std::uint64_t bits_per_resync_extent = resync_extent_sectors / block_sectors;
inline constexpr std::uint64_t bits_per_bitmap_block = std::uint64_t{block_bytes} * 8;

static_assert(bits_per_al_extent == 1024);
static_assert(bits_per_resync_extent == 4096);

// Number of bits that a device of that many sectors has: its last block may be partial.
constexpr std::uint64_t bitmap_bits(std::uint64_t device_sectors) {
    return device_sectors / block_sectors + (device_sectors % block_sectors != 0 ? 1 : 0);
}

// 64-bit words, the unit in which bitmaps are kept in memory and exchanged.
constexpr std::uint64_t bitmap_words(std::uint64_t device_sectors) {
    return (bitmap_bits(device_sectors) + 63) / 64;
}

// Bytes on disk: whole 4 KiB blocks.
constexpr std::uint64_t bitmap_bytes_on_disk(std::uint64_t device_sectors) {
    return (bitmap_words(device_sectors) * 8 + block_bytes - 1) / block_bytes * block_bytes;
}

// Number of activity log extents, the last one possibly partial.
constexpr std::uint64_t al_extents(std::uint64_t device_sectors) {
    return (device_sectors + al_extent_sectors - 1) / al_extent_sectors;
}

static_assert(bitmap_bits(1048472) == 131059);
static_assert(bitmap_bytes_on_disk(1048472) == 16384);
static_assert(bitmap_bytes_on_disk(0) == 0);
static_assert(bitmap_bytes_on_disk(1) == 4096);
static_assert(al_extents(1048472) == 128);

// Words in host order from and to bytes on disk. bytes.size() == words.size() * 8.
void bitmap_from_disk(const_byte_span bytes, std::span<std::uint64_t> words);
void bitmap_to_disk(std::span<const std::uint64_t> words, byte_span bytes);

std::uint64_t count_bits(const_byte_span bytes);

// Sets bits [first, first + count) in a window of the bitmap whose byte 0 holds bit
// `window_first_bit` (a multiple of 8); bits outside of the window are left alone. Returns how
// many were newly set.
std::uint64_t set_bits(byte_span window, std::uint64_t window_first_bit, std::uint64_t first,
                       std::uint64_t count);

// Clears every bit at or past `bits` in the window: the invariant of the last block.
void clear_tail(byte_span window, std::uint64_t window_first_bit, std::uint64_t bits);

} // namespace lockstep::format
