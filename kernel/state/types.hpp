// The words of DRBD 8.4's states, with the numbers that they have on the wire. Numbers and names
// are contracts: wire-level STATE packets, drbdsetup's output and the handlers' environment use
// them. Source: Linux 6.1, include/linux/drbd.h (enum drbd_role, drbd_conns, drbd_disk_state).
#pragma once

#include <cstdint>
#include <string_view>

namespace lockstep::state {

enum class role : std::uint8_t { unknown = 0, primary = 1, secondary = 2 };

// Ordered: a greater value is a better disk. Code compares with < and >.
enum class disk : std::uint8_t {
    diskless = 0,
    attaching = 1,
    failed = 2,
    negotiating = 3,
    inconsistent = 4,
    outdated = 5,
    unknown = 6,
    consistent = 7,
    up_to_date = 8,
};

// Ordered: everything >= connected has exchanged states with the peer.
enum class connection : std::uint8_t {
    standalone = 0,
    disconnecting = 1,
    unconnected = 2,
    timeout = 3,
    broken_pipe = 4,
    network_failure = 5,
    protocol_error = 6,
    tear_down = 7,
    wf_connection = 8,
    wf_report_params = 9,
    connected = 10,
    starting_sync_s = 11,
    starting_sync_t = 12,
    wf_bitmap_s = 13,
    wf_bitmap_t = 14,
    wf_sync_uuid = 15,
    sync_source = 16,
    sync_target = 17,
    verify_s = 18,
    verify_t = 19,
    paused_sync_s = 20,
    paused_sync_t = 21,
    ahead = 22,
    behind = 23,
};

constexpr bool is_verify(connection value) {
    return value == connection::verify_s || value == connection::verify_t;
}

// DRBD's spellings: "Primary", "UpToDate", "WFBitMapS". Out of range: "?".
std::string_view name(role value);
std::string_view name(disk value);
std::string_view name(connection value);

// One volume's state as a node sees it; packs into the 32 bits of the STATE packet
// (wire-protocol.md, section 5). role, peer_role, and connections below `connected` are the same
// for all volumes of a resource.
struct volume_state {
    state::role role = role::secondary;
    state::role peer_role = role::unknown;
    state::connection connection = connection::standalone;
    state::disk disk = disk::diskless;
    state::disk peer_disk = disk::unknown;
    bool suspended_user = false;    // suspend-io
    bool suspended_no_data = false; // on-no-data-accessible suspend-io
    bool suspended_fencing = false; // fence-peer is being asked
    bool sync_paused_after = false; // resync-after: another resource syncs first
    bool sync_paused_peer = false;  // the peer paused it
    bool sync_paused_user = false;  // pause-sync here

    bool primary_without_data() const {
        return role == state::role::primary && disk < state::disk::up_to_date &&
               peer_disk < state::disk::up_to_date;
    }
    bool suspended() const { return suspended_user || suspended_no_data || suspended_fencing; }
    bool operator==(const volume_state&) const = default;
};

std::uint32_t pack(const volume_state& value);
volume_state unpack(std::uint32_t bits);
// Whether every field of a word from outside has a value that exists. Bits beyond the fields are
// ignored. A peer that sends anything else is not to be talked to (ProtocolError).
bool well_formed(std::uint32_t bits);
bool well_formed(const volume_state& value);

// The peer's view turned into ours: role and peer_role, disk and peer_disk exchanged.
volume_state mirrored(const volume_state& value);

// Codes of refused (or agreed) state changes, as STATE_CHG_REPLY carries them and drbdsetup
// reports them. >= success means yes.
enum class verdict : std::int32_t {
    no_need = 4,
    cluster_wide_success = 3,
    nothing_to_do = 2,
    success = 1,
    unknown_error = 0,
    two_primaries = -1,
    no_up_to_date_disk = -2,
    no_local_disk = -4,
    no_remote_disk = -5,
    connected_outdates = -6,
    primary_needs_peer = -7,
    resync_running = -8,
    already_standalone = -9,
    refused_by_peer = -10,
    is_diskless = -11,
    device_in_use = -12,
    no_net_config = -13,
    no_verify_algorithm = -14,
    need_connection = -15,
    lower_than_outdated = -16,
    not_supported = -17,
    in_transient_state = -18,
    concurrent_change = -19,
    other_volume_peer_primary = -20,
    outdate_without_connection = -21,
};

// DRBD's sentence for a code, as "State change failed: (-N) TEXT" shows it.
std::string_view text(verdict value);
// What the user can do about it (ours).
std::string_view remedy(verdict value);

} // namespace lockstep::state
