// The activity log of 8.4: which 4 MiB extents of the data device may have writes in flight.
//
// A slot table (al-extents entries, in memory) is journalled in a ring of 4 KiB blocks. Each
// transaction holds up to 64 slot changes and a window of 919 slots as they were before it; the
// window moves on with each transaction, so the newest few rebuild the table.
//
//     0 magic u32 | number u32 | crc u32 | type u16 | updates u16 | slots u16 | first u16 | 16 x 0
//    36 slot of update i, 64 x u16
//   164 extent of update i, 64 x u32
//   420 context: extents of slots first.., 919 x u32
//
// The checksum is a raw CRC-32C (start 0, no inversion) of the block with its own field zero.
// Transaction t lies at ring position p = t mod N, N = stripes * blocks per stripe, and position p
// is block (p mod stripes) * blocks + p / stripes of the area.
// Source: Linux 6.1 drivers/block/drbd/drbd_actlog.c.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "kernel/base/bytes.hpp"
#include "kernel/format/geometry.hpp"

namespace lockstep::format {

inline constexpr std::uint32_t al_magic = 0x69cb65a2;
inline constexpr std::uint32_t al_updates_max = 64;
inline constexpr std::uint32_t al_context_max = 919;
inline constexpr std::uint32_t al_slots_min = 67;
inline constexpr std::uint32_t al_slots_max = 65534;
inline constexpr std::uint32_t al_free = 0xffffffff;    // extent: the slot is free
inline constexpr std::uint16_t al_slot_unused = 0xffff; // slot of an unused update
inline constexpr std::uint16_t al_type_update = 0;
inline constexpr std::uint16_t al_type_initialized = 0xffff; // no content

static_assert(36 + al_updates_max * 2 == 164);
static_assert(164 + al_updates_max * 4 == 420);
static_assert(420 + al_context_max * 4 == block_bytes);

struct al_update {
    std::uint16_t slot = al_slot_unused;
    std::uint32_t extent = al_free; // what the slot holds from now on

    bool operator==(const al_update&) const = default;
};

// What a writer says: views into its own tables, nothing is copied until encode.
struct al_transaction {
    std::uint32_t number = 0;
    std::uint16_t slots = 0;                // size of the slot table
    std::uint16_t context_first = 0;        // first slot of the context
    std::span<const al_update> updates;     // at most 64
    std::span<const std::uint32_t> context; // at most 919, before the updates
};

// Fills a block of 4096 bytes with an update transaction and its checksum; no allocation.
void encode_al_update(const al_transaction& transaction, byte_span block);

// Fills a block of 4096 bytes as create-md and apply-al do: number 0, no content.
void encode_al_initialized(byte_span block);

// Block of the activity log area (not a byte offset) in which a transaction lies.
std::uint64_t al_block_of(std::uint32_t number, al_striping striping);

// First slot of the context of the transaction that follows one that began at `first`.
std::uint16_t al_next_context(std::uint16_t first, std::uint16_t slots);

// A block that was read. Fields are as stored; only `valid` (magic and checksum) says whether
// they may be believed.
struct al_block {
    bool valid = false;
    std::uint32_t magic = 0;
    std::uint32_t number = 0;
    std::uint32_t checksum = 0;
    std::uint16_t type = 0;
    std::uint16_t update_count = 0;
    std::uint16_t slots = 0;
    std::uint16_t context_first = 0;
    std::array<al_update, al_updates_max> updates = {};
    std::array<std::uint32_t, al_context_max> context = {};
};

// block.size() == 4096.
al_block decode_al_block(const_byte_span block);

} // namespace lockstep::format
