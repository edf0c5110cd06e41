// What a STATE packet of the peer means: whether it ends a resync or a verify, whether the
// handshake has to be decided now, and which state to take afterwards.
//
// In this order: look_at_peer_state(); if it wants the handshake, decide() of handshake.hpp, and
// for a refusal on_refusal(); then adopt_peer_state() and change() of transition.hpp; then, if
// peer_must_hear(), UUIDS and STATE to the peer.
//
// Source of the rules: Linux 6.1, drivers/block/drbd/drbd_receiver.c (receive_state).
#pragma once

#include "kernel/state/handshake.hpp"
#include "kernel/state/transition.hpp"
#include "kernel/state/types.hpp"

#include <cstdint>
#include <optional>

namespace lockstep::state {

struct peer_state_facts {
    volume_state own;
    volume_state reported;          // as the peer sent it: its own view
    bool peer_uuids_known = false;  // UUIDS came before
    bool peer_inconsistent = false; // UUIDS flag 4
    // The peer was forced to UpToDate while both were Inconsistent (see forced_by_peer).
    bool consider_resync = false;
    // Its engine is known to be another one than that which we were connected with last.
    bool peer_restarted = false;
    std::uint64_t bits_left = 0;   // set bits in our bitmap
    std::uint64_t bits_failed = 0; // of the running resync: could not be copied
};

enum class peer_state_meaning : std::uint8_t {
    take,         // go on with adopt_peer_state()
    handshake,    // the same, after decide()
    closing,      // our connection is already on its way down: drop the packet and the connection
    resync_ended, // the peer finished: end the resync here too if `all_synced`; nothing to take
    verify_ended, // the peer reached its stop sector: end the verify here too; nothing to take
};

struct peer_state_view {
    peer_state_meaning meaning = peer_state_meaning::take;
    // The peer's disk as it is to be taken.
    state::disk peer_disk = disk::unknown;
    // What it acknowledged and did not flush may be lost.
    bool restarted = false;
    // The connection state that follows without a handshake.
    state::connection connection = connection::connected;
    bool all_synced = false;
};
peer_state_view look_at_peer_state(const peer_state_facts& facts);

enum class refusal_consequence : std::uint8_t {
    disconnect,          // to StandAlone
    drop,                // the peer's dry run: close the connection, wait for another
    fail_own_disk,       // our attach is given up: the disk goes to Failed, we stay Connected
    peer_attach_aborted, // the peer's attach is given up: its disk counts as Diskless, Connected
};
refusal_consequence on_refusal(const peer_state_facts& facts, bool peer_asked_dry_run);

struct adoption {
    state_change wanted;
    change_kind kind = change_kind::hard;
};
// `next`: view.connection, or what the handshake decided. `own_negotiated`: what our disk is once
// it is not Negotiating any more.
adoption adopt_peer_state(const peer_state_facts& facts, const peer_state_view& view,
                          connection next, disk own_negotiated);

// Frozen writes are sent again to a peer that was away for a moment, never to one that has been
// restarted meanwhile: it may have lost what it acknowledged. They are given up, and so in the
// bitmap that makes it a sync target. (DRBD knows such a peer by its disk, which is only
// Consistent, or Outdated by a fence-peer handler since; alone and without fencing it is UpToDate
// at once.)
bool restarted_while_frozen(const volume_state& own, const peer_state_view& view);

// Without such a resync a new generation is made, and the connection is dropped as a ProtocolError.
// generation_pending: see new_generation::when_resumed.
bool cannot_thaw(const volume_state& own, const peer_state_view& view, connection next,
                 bool generation_pending);

// Both were Inconsistent, and the peer has become Primary: it was forced, and a sync is due as soon
// as its UpToDate disk is known.
bool forced_by_peer(const volume_state& before, const volume_state& after);

// The peer has not decided for a sync yet, and needs our UUIDS and STATE for it.
bool peer_must_hear(const volume_state& before, const volume_state& after,
                    const volume_state& reported);

} // namespace lockstep::state
