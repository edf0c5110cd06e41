// Generation identifiers: which version of the data a disk holds, and the rotations that each event
// makes. Pure values: random numbers come in as arguments, results go out by value, and the caller
// must have stored them on disk before anything depends on them.
//
// The lowest bit of an identifier says "made, or now held, by a Primary". It is no part of the
// identity (see `identity`), except that after-sb-0pri discard-younger/older-primary look at it
// in the bitmap slot.
//
// Source of the rules: Linux 6.1, drivers/block/drbd/drbd_main.c (drbd_uuid_*), drbd_worker.c
// (end of resync), drbd_nl.c (promotion), drbd_state.c (loss of the peer's data).
#pragma once

#include "kernel/state/types.hpp"

#include <array>
#include <cstdint>
#include <string_view>

namespace lockstep::state {

inline constexpr std::uint64_t uuid_just_created = 4;
inline constexpr std::uint64_t uuid_primary_bit = 1;
// A sync source makes the identifier of the sync by adding this to its bitmap identifier.
inline constexpr std::uint64_t uuid_sync_offset = 0x0001'0000'0000'0000;

constexpr std::uint64_t identity(std::uint64_t uuid) {
    return uuid & ~uuid_primary_bit;
}

// The four slots of the superblock and of the UUIDS packet.
struct generation {
    std::uint64_t current = uuid_just_created;
    std::uint64_t bitmap = 0;                  // since which generation the bitmap counts; 0: none
    std::array<std::uint64_t, 2> history = {}; // younger, older

    bool operator==(const generation&) const = default;
};

// A new current generation; the old one becomes the base of the bitmap. Used where this node goes
// on without the peer's data. If a bitmap identifier was still set (primary --force can do that),
// it moves into the history, so that a peer of that generation is still recognised as older.
generation new_current(const generation& own, std::uint64_t random, role own_role);

// `drbdadm new-current-uuid`: the bitmap identifier goes to the history first. Where it skips the
// initial sync (--clear-bitmap while Connected and just created) the new generation has no base,
// and the caller clears the bitmap. Otherwise the old generation is the base, also with
// --clear-bitmap: that is how a copy that was carried to the peer is taken as the start.
generation new_current_by_admin(const generation& own, std::uint64_t random, role own_role,
                                bool skip_initial_sync);

// The peer's UUIDS packet had flag 8 and may be accepted (see may_skip_initial_sync): the peer's
// new current generation is ours too; the caller clears the bitmap, both disks are UpToDate.
generation accept_skipped_sync(const generation& own, std::uint64_t peer_current, role own_role);
bool may_skip_initial_sync(const volume_state& now, const generation& own,
                           std::uint32_t protocol_version, bool peer_offers);

// Entering SyncSource: `sync_uuid` goes out in the SYNC_UUID packet and is the new bitmap
// identifier of `own`.
struct sync_start {
    generation own;
    std::uint64_t sync_uuid = 0;
};
sync_start start_sync_source(const generation& own, std::uint64_t random);

// SYNC_UUID received in WFSyncUUID: while the sync runs the target is of the sync's generation.
generation adopt_sync_uuid(const generation& own, std::uint64_t sync_uuid, role own_role);

// The end of a resync without failed blocks. `peer` is what the source sent in its last UUIDS
// packet (its state before the sync began). Afterwards both nodes have the same four slots.
// After failed blocks nothing is rotated.
generation finish_sync_source(const generation& own);
generation finish_sync_target(const generation& own, const generation& peer, role own_role);

// The lowest bit of the current identifier follows the role. On promotion this comes after
// new_current(), if that is due: the base then says that the two did not part under a Primary.
generation with_role(const generation& own, role own_role);

// The peer's data were there, and are not any more (DUnknown, Diskless, Failed or Outdated now).
bool lost_peer_data(disk before, disk after);

// A Primary without a disk connects. It may still refuse our data as not those that it presents;
// until it has agreed (its STATE says Connected) our disk is no better for it, and no new
// generation is due. (The in-kernel DRBD does not wait, and then both have gone on.)
bool diskless_primary_connects(const volume_state& before, const volume_state& after);

// Whether a state change makes a new current generation at once, or when I/O is resumed (if it is
// suspended), or not. Besides the loss of the peer's data: a diskless peer becomes Primary; or a
// disk is attached under a Primary while the other has none (the in-kernel DRBD lets that pass, and
// may later take two different copies for the same).
enum class new_generation : std::uint8_t { no, now, when_resumed };
new_generation generation_after(const volume_state& before, const volume_state& after,
                                const generation& own);

// The same for the diskless Primary that has agreed.
bool peer_begins_to_write(const volume_state& now, const generation& own);

// Promotion: a new generation is made if the peer does not follow (not connected, or without disk)
// and no base is set yet, and always where --force had to overrule the disk's state.
// `after` is the state with the role Primary.
bool promotion_makes_generation(const volume_state& after, const generation& own, bool forced);

// "CURRENT:BITMAP:HISTORY1:HISTORY2", 16 upper-case hex digits each, as DRBD logs them.
struct generation_text {
    std::array<char, 67> characters = {};

    std::string_view view() const { return {characters.data(), characters.size()}; }
};
generation_text text(const generation& value);

} // namespace lockstep::state
