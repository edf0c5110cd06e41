// From the activity log on disk to the extents that may differ from the peer's.
//
// A replay reads the ring, orders the valid transactions by number (wrap-safe) and plays them,
// oldest first, into a slot table; what is in the slots afterwards was active when the node
// stopped. It never refuses to go on over a damaged block: what can be known is reported, and an
// extent outside of the device is clamped to its end (to be marked, never to be trusted).
//
// Source: Linux 6.1 drivers/block/drbd/drbd_actlog.c and drbd-utils 9.22 drbdmeta (apply-al).
#pragma once

#include <cstdint>
#include <vector>

#include "kernel/base/bytes.hpp"
#include "kernel/base/error.hpp"
#include "kernel/format/geometry.hpp"
#include "kernel/format/superblock.hpp"

namespace lockstep::format {

enum class al_form : std::uint8_t { v83, v84 };

enum class al_outcome : std::uint8_t {
    nothing_to_do,  // a log that says so
    active_set,     // at least one transaction: `extents` counts
    no_valid_block, // not one block is valid: 8.4 form, an error if the node was Primary
    no_update,      // valid but empty blocks besides damaged ones: cannot be trusted
};

struct al_replay {
    al_form form = al_form::v84;
    al_outcome outcome = al_outcome::nothing_to_do;
    std::vector<std::uint32_t> extents; // sorted, each once, all below extent_count
    std::uint32_t blocks = 0;           // in the ring (8.3: sectors)
    std::uint32_t valid_blocks = 0;
    std::uint32_t updates = 0; // valid update transactions
    std::uint32_t slots_out_of_range = 0;
    std::uint32_t extents_out_of_range = 0; // each replaced by the last extent of the device
    bool order_broken = false; // numbers do not run on as the ring requires: trust less, mark more

    // More than the one block that a crash may tear is damaged, or fields made no sense.
    bool suspicious() const {
        return valid_blocks + 1 < blocks || slots_out_of_range != 0 || extents_out_of_range != 0 ||
               order_broken;
    }
};

// Number of sectors of 512 bytes that the 8.3 form uses: at most 64 are on disk.
std::uint32_t al83_sectors(std::uint32_t slots);

// Which form the area is in: the superblock's magic and striping, else a look at the first two
// blocks (kernels before 8.4 left no other mark).
al_form detect_al_form(const superblock& value, const_byte_span area);

// area: the whole activity log area, striping.total_blocks() * 4096 bytes. extent_count:
// al_extents(la_size_sectors); 0 = not known, then nothing is clamped.
al_replay replay_al84(const_byte_span area, al_striping striping, std::uint64_t extent_count);

// area: the first 32 KiB; slots: al_nr_extents of the superblock.
al_replay replay_al83(const_byte_span area, std::uint32_t slots, std::uint64_t extent_count);

// Both of the above as the superblock says.
al_replay replay_activity_log(const superblock& value, const_byte_span area);

// What an 8.3 log sector says; pair 0 is the update, 1..61 the context.
struct al83_sector {
    bool valid = false;
    std::uint32_t magic = 0;
    std::uint32_t number = 0;
    std::uint32_t xor_sum = 0;
    struct pair {
        std::uint32_t slot = 0;
        std::uint32_t extent = 0;
    };
    std::array<pair, 62> pairs = {};
};

inline constexpr std::uint32_t al83_magic = 0x83740267;
inline constexpr std::uint32_t al83_context = 61;
inline constexpr std::uint32_t al83_sectors_max = 64;
static_assert(8 + 62 * 8 + 8 == sector_bytes);

// sector.size() == 512.
al83_sector decode_al83_sector(const_byte_span sector);

} // namespace lockstep::format
