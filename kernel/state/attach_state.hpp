// What a disk is when it is attached, judged by the flags that were stored with it, and which flags
// to store with a state. And which generation of the data this node has shown to its users, so that
// no other is put in its place under them.
//
// Source of the rules: Linux 6.1, drivers/block/drbd/drbd_nl.c (drbd_adm_attach), drbd_state.c
// (_drbd_set_state), drbd_receiver.c (receive_uuids).
#pragma once

#include "kernel/options/options.hpp"
#include "kernel/state/generation.hpp"
#include "kernel/state/types.hpp"

#include <cstdint>
#include <string_view>

namespace lockstep::state {

// The flags word of the v08 superblock, bits 0 to 8 in this order.
struct metadata_flags {
    bool consistent = false;      // disk better than Inconsistent
    bool primary = false;         // Primary, or the peer is and has no disk
    bool connected = false;       // beyond WFReportParams
    bool full_sync = false;       // every bit is to be taken as set
    bool was_up_to_date = false;  // disk better than Outdated
    bool peer_outdated = false;   // peer's disk Inconsistent or Outdated
    bool crashed_primary = false; // was Primary, crashed, has not been in sync with the peer since
    bool al_clean = false;        // the activity log was applied; an engine only ever clears it
    bool al_disabled = false;     // the activity log does not tell what may differ

    bool operator==(const metadata_flags&) const = default;
};
metadata_flags unpack_flags(std::uint32_t bits);
std::uint32_t pack(const metadata_flags& flags);

struct attached {
    // The disk's state, and the peer's as far as it was stored. While connected the state shown is
    // Negotiating instead, and these hold if the connection breaks before an agreement, or once
    // the handshake brings no sync.
    state::disk disk = disk::inconsistent;
    state::disk peer_disk = disk::unknown;
    bool negotiate = false;
    bool crashed_primary = false;
    bool set_all_bits = false; // the stored bitmap is not to be believed
    // It crashed while Primary without a peer: waiting at start follows degr-wfc-timeout.
    bool was_degraded = false;

    bool operator==(const attached&) const = default;
};

// `now` is the state before (disk Attaching).
attached state_on_attach(const metadata_flags& stored, const volume_state& now,
                         options::fencing fencing);

// The flags to store with a new state. Below Inconsistent nothing is recomputed: the stored flags
// outlive a detach.
metadata_flags flags_to_store(const volume_state& after, const metadata_flags& stored,
                              bool crashed_primary);

// Both disks have just become UpToDate: what the crash left behind is settled.
bool settles_crash(const volume_state& before, const volume_state& after);

// The generation that this node presents to its users (0: none yet). It must not change under a
// Primary's feet: a disk or a peer with another generation is refused while it is needed.
//
// Whether a disk of generation `disk_current` may be attached; else error 150.
bool may_attach_generation(const volume_state& now, std::uint64_t presented,
                           std::uint64_t disk_current);
// What a disk is as long as the peer can't be asked. Of another generation than this node presented
// while it had no disk it is not current, whatever its own flags say. (The in-kernel DRBD believes
// them, and could be promoted on old data.)
disk worth_alone(disk judged, std::uint64_t presented, std::uint64_t disk_current);
// Whether a peer of generation `peer_current` may be taken; else disconnect to StandAlone.
bool may_connect_generation(const volume_state& now, std::uint64_t presented,
                            std::uint64_t peer_current);
// The generation presented after the peer's UUIDS packet, and after a change of state.
std::uint64_t presented_after_uuids(const volume_state& now, std::uint64_t presented,
                                    std::uint64_t peer_current);
std::uint64_t presented_after_change(const volume_state& before, const volume_state& after,
                                     std::uint64_t presented, std::uint64_t own_current);
// And after a promotion without a disk: from now on it is the peer's. (The in-kernel DRBD remembers
// the one that it had before.)
std::uint64_t presented_after_promotion(const volume_state& before, const volume_state& after,
                                        std::uint64_t presented, std::uint64_t peer_current);

// The peer's current generation if it has made it upon that of our disk, for us as Primary; else 0.
std::uint64_t made_upon_ours(const volume_state& now, std::uint64_t own_current,
                             std::uint64_t peer_current, std::uint64_t peer_bitmap);

inline constexpr int error_wrong_generation = 150;

} // namespace lockstep::state
