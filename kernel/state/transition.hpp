// What may follow what: the states of a volume, as tables and short rules. Every change of state
// goes through `change`; nothing else decides about a state's validity.
//
// A change is wanted as mask and value. It is completed by `sanitize` (what follows from it by
// necessity), and then checked: hard changes are facts (a disk broke, the line is down) and only
// have to be possible; soft changes are requests and can be refused.
//
// The connection states and what happens to them: a Secondary with the best disks that the state
// allows. Requests: conn (for Unconnected), wait (WFConnection), met (WFReportParams), agree
// (Connected), disc (Disconnecting), inval (StartingSyncT), src (SyncSource), verif (VerifyS),
// pause (by the user). Facts: lost (NetworkFailure), left (TearDown), derr (a failed disk), end
// (StandAlone). A cell is the connection state that follows, "=" if only something else changes,
// "." if nothing does, or the verdict of the refusal. A test compares every cell with the code.
//
//                    conn wait met agree disc lost left inval src verif pause derr end
// SA StandAlone        UC  -15 -15   -15   -9  -15  -15   -15 -15   -15     =    =   .
// DG Disconnecting    -18  -18 -18   -15    .  -18  -18   -15 -15   -15     =    =  SA
// UC Unconnected        .   WC  WR   -15  -18   NF   TD   -15 -15   -15     =    =  SA
// TO Timeout           UC  -18 -18   -15   DG  -18  -18   -15 -15   -15     =    = -18
// BP BrokenPipe        UC  -18 -18   -15   DG  -18  -18   -15 -15   -15     =    = -18
// NF NetworkFailure    UC  -18 -18   -15   DG    .  -18   -15 -15   -15     =    = -18
// PE ProtocolError     UC  -18 -18   -15   DG  -18  -18   -15 -15   -15     =    = -18
// TD TearDown          UC  -18 -18   -15   DG  -18    .   -15 -15   -15     =    = -18
// WC WFConnection      UC    .  WR   -15   DG   NF   TD   -15 -15   -15     =    =  SA
// WR WFReportParams    UC   WC   .    CO   DG   NF   TD   -15  SS   -15     =    =  SA
// CO Connected         UC   WC  WR     .   DG   NF   TD    XT  SS    VS     =    =  SA
// XS StartingSyncS     UC   WC  WR    CO   DG   NF   TD    -8  SS    -8    -8   CO  SA
// XT StartingSyncT     UC   WC  WR    CO   DG   NF   TD     .  SS    -8    -8   CO  SA
// BS WFBitMapS         UC   WC  WR    CO   DG   NF   TD    -8  SS    -8     =   CO  SA
// BT WFBitMapT         UC   WC  WR    CO   DG   NF   TD    -8  SS    -8     =   CO  SA
// WU WFSyncUUID        UC   WC  WR    CO   DG   NF   TD    -8  SS    -8     =   CO  SA
// SS SyncSource        UC   WC  WR    CO   DG   NF   TD    -8   .    -8    PS   CO  SA
// ST SyncTarget        UC   WC  WR    CO   DG   NF   TD    -8  SS    -8    PT   CO  SA
// VS VerifyS           UC   WC  WR    CO   DG   NF   TD    -8  SS     .     =   CO  SA
// VT VerifyT           UC   WC  WR    CO   DG   NF   TD    -8  SS    -8     =   CO  SA
// PS PausedSyncS       UC   WC  WR    CO   DG   NF   TD    -8   =    -8     .   CO  SA
// PT PausedSyncT       UC   WC  WR    CO   DG   NF   TD    -8  PS    -8     .   CO  SA
// AH Ahead             UC   WC  WR    CO   DG   NF   TD    -8  SS    -8     =   CO  SA
// BH Behind            UC   WC  WR    CO   DG   NF   TD    -8  SS    -8     =   CO  SA
//
// Source of the rules: Linux 6.1, drivers/block/drbd/drbd_state.c.
#pragma once

#include "kernel/options/options.hpp"
#include "kernel/state/types.hpp"

#include <cstdint>
#include <optional>

namespace lockstep::state {

// Facts around a volume on which the rules depend.
struct transition_context {
    options::fencing fencing = options::fencing::dont_care; // dont_care without a disk
    bool net_configured = false; // a net section exists; else two Primaries are not checked
    bool allow_two_primaries = false;
    bool verify_algorithm_set = false;
    std::uint32_t protocol_version = 101;   // agreed, or the last one that was
    bool device_in_use = false;             // held open: mounted, an NBD client
    bool other_volume_peer_primary = false; // the peer is Primary in any volume of the resource
    bool suspend_without_data = false;      // on-no-data-accessible suspend-io
    // Ours: under resource-and-stonith a Primary freezes, too, when one of the two disks is lost
    // while the connection stands (kernel/replica/fencing.hpp). The in-kernel DRBD does not.
    bool fence_disks = false;
    // Our STATE of the handshake is out, and the connection is not yet made: role and disk changes
    // have to wait.
    bool handshake_state_sent = false;
    // The disk is Negotiating: what it and the peer's disk become if the connection breaks. Not set
    // if its generation is not the one that a Primary presents (the disk is given up then).
    struct negotiated_disks {
        state::disk disk = disk::inconsistent;
        state::disk peer_disk = disk::unknown;
    };
    std::optional<negotiated_disks> negotiating;
    // It became so after our STATE of the handshake, which said Diskless: negotiated once we are
    // connected.
    bool negotiates_when_connected = false;
    // While the connection stands the peer does not have this volume: it is there, and no danger to
    // the data, so nobody has to be fenced for that.
    bool peer_lacks_volume = false;
    // The peer is a Primary without a disk which has not agreed yet: see generation.hpp.
    bool primary_may_refuse = false;
    // The handshake has made this disk, or the peer's, a sync target, and the resync has not ended:
    // without the other disk it is not current. (The in-kernel DRBD takes it for UpToDate if the
    // source's disk fails before the first block was copied.)
    bool own_behind = false;
    bool peer_behind = false;
};

// Mask and value of a wanted change, in the bits of the STATE packet.
struct state_change {
    std::uint32_t mask = 0;
    std::uint32_t value = 0;

    bool operator==(const state_change&) const = default;

    // The same change with one more field: state_change().with(role::primary).
    state_change with(role wanted) const;
    state_change with(connection wanted) const;
    state_change with(disk wanted) const;
    state_change with_peer(role wanted) const;
    state_change with_peer(disk wanted) const;
    state_change with_suspended_user(bool wanted) const;
    state_change with_suspended_no_data(bool wanted) const;
    state_change with_suspended_fencing(bool wanted) const;
    state_change with_paused_after(bool wanted) const;
    state_change with_paused_peer(bool wanted) const;
    state_change with_paused_user(bool wanted) const;
};

volume_state apply(const volume_state& now, const state_change& wanted);

// The change that makes `wanted` of any state: every field is named.
state_change whole(const volume_state& wanted);

// What a node that was asked by STATE_CHG_REQ or CONN_ST_CHG_REQ tries: the asking node's change
// seen from here. Empty (answer: not_supported) if it names anything that cannot be asked for:
// connection states other than those that a node requests, values out of range, a field in part,
// suspended I/O, or a paused sync.
std::optional<state_change> to_peer_view(const state_change& asked);

// What `sanitize` had to do beyond the wish, for the log; the last one wins.
enum class sanitize_note : std::uint8_t {
    none,
    verify_aborted,
    resync_aborted,
    connection_lost_while_negotiating, // no data
    disk_raised,                       // a connection state implies a better disk
    peer_disk_raised,
};

struct sanitized {
    volume_state state;
    sanitize_note note = sanitize_note::none;
};

sanitized sanitize(const volume_state& before, const volume_state& wanted,
                   const transition_context& context);

// While the connection stands, one of two UpToDate disks is not so any more, and the other still
// is: from now on writes reach that one only.
bool lost_peer_disk(const volume_state& before, const volume_state& after);
bool lost_own_disk(const volume_state& before, const volume_state& after);

// Whether a state is allowed to stand.
verdict check_state(const volume_state& wanted, const transition_context& context);
// Whether a request may lead from one to the other.
verdict check_soft_transition(const volume_state& before, const volume_state& wanted,
                              const transition_context& context);
// Whether even a fact can lead from one to the other.
verdict check_transition(const volume_state& before, const volume_state& wanted);
// The part of it that looks at the connection only; nothing_to_do if it stays.
verdict check_connection(connection before, connection wanted);

// The peer has to be asked before such a change is made.
bool needs_cluster_wide(const volume_state& before, const volume_state& wanted);
// The same question for a disconnect of the whole resource, which is asked from WFReportParams on.
bool disconnect_needs_peer(connection before, connection wanted);

enum class change_kind : std::uint8_t {
    soft,
    hard,
    // The peer asked for it by CONN_ST_CHG_REQ: soft, and "become Outdated" leaves a disk alone
    // that is worse than that.
    asked_for_connection,
};

struct change_result {
    verdict code = verdict::unknown_error; // >= success: `state` holds
    volume_state state;                    // the new state, or what was refused
    sanitize_note note = sanitize_note::none;

    bool accepted() const { return code >= verdict::success; }
};

// Completes and checks a change. A soft change from a state that is itself not allowed, to one
// that is refused for the same reason, is let through: it makes nothing worse.
// nothing_to_do: the state stays as it is.
change_result change(const volume_state& now, const state_change& wanted, change_kind kind,
                     const transition_context& context);

} // namespace lockstep::state
