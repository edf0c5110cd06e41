// Names, the packing of the STATE packet, and the sentences for refused state changes.
// The spellings and sentences are DRBD's (Linux 6.1, drivers/block/drbd/drbd_strings.c), since
// users and scripts look for them; the remedies are ours.
#include "kernel/state/types.hpp"

#include <array>

namespace lockstep::state {

namespace {

constexpr std::array<std::string_view, 3> role_names = {"Unknown", "Primary", "Secondary"};

constexpr std::array<std::string_view, 9> disk_names = {
    "Diskless", "Attaching", "Failed",     "Negotiating", "Inconsistent",
    "Outdated", "DUnknown",  "Consistent", "UpToDate",
};

constexpr std::array<std::string_view, 24> connection_names = {
    "StandAlone",     "Disconnecting", "Unconnected",   "Timeout",      "BrokenPipe",
    "NetworkFailure", "ProtocolError", "TearDown",      "WFConnection", "WFReportParams",
    "Connected",      "StartingSyncS", "StartingSyncT", "WFBitMapS",    "WFBitMapT",
    "WFSyncUUID",     "SyncSource",    "SyncTarget",    "VerifyS",      "VerifyT",
    "PausedSyncS",    "PausedSyncT",   "Ahead",         "Behind",
};

template <class Names, class Value>
std::string_view name_of(const Names& names, Value value) {
    const auto index = static_cast<std::size_t>(value);
    return index < names.size() ? names[index] : std::string_view("?");
}

struct verdict_line {
    verdict code;
    std::string_view text;
    std::string_view remedy;
};

constexpr std::array<verdict_line, 25> verdict_lines = {{
    {verdict::no_need, "No cluster-wide state change needed", ""},
    {verdict::cluster_wide_success, "Success, agreed with the peer", ""},
    {verdict::nothing_to_do, "Nothing to do", ""},
    {verdict::success, "Success", ""},
    {verdict::unknown_error, "Unknown error", "The log of this node says more."},
    {verdict::two_primaries, "Multiple primaries not allowed by config",
     "Demote the other node first (drbdadm secondary there), or set allow-two-primaries in the "
     "net section of both nodes if a cluster file system is used."},
    {verdict::no_up_to_date_disk, "Need access to UpToDate data",
     "Connect to the node that has the current data and let it sync. If this copy shall become "
     "the data, whatever the other node has: drbdadm primary --force."},
    {verdict::no_local_disk, "Can not resync without local disk",
     "Attach the disk of this node first (drbdadm attach)."},
    {verdict::no_remote_disk, "Can not resync without remote disk",
     "Attach the disk of the other node first (drbdadm attach there)."},
    {verdict::connected_outdates, "Refusing to be Outdated while Connected",
     "Disconnect first (drbdadm disconnect); a connected node follows every write and is not "
     "outdated."},
    {verdict::primary_needs_peer, "Refusing to be Primary while peer is not outdated",
     "Connect to the peer, or let the fence-peer handler outdate or fence it; see its exit code "
     "in the log."},
    {verdict::resync_running, "Can not start OV/resync since it is already active",
     "Wait for the running resync or verify to finish (drbdadm status shows how far it is)."},
    {verdict::already_standalone, "Can not disconnect a StandAlone device",
     "Nothing has to be done: it has no connection. drbdadm connect makes one."},
    {verdict::refused_by_peer, "State change was refused by peer node",
     "The log of the peer says why it refused."},
    {verdict::is_diskless, "Device is diskless, the requested operation requires a disk",
     "Attach the disk first (drbdadm attach)."},
    {verdict::device_in_use, "Device is held open by someone",
     "Unmount it or stop its user first: findmnt, fuser -v, lsof and swapon --show tell who has "
     "it open."},
    {verdict::no_net_config, "Have no net/connection configuration",
     "Configure the connection first (drbdadm connect, or drbdadm adjust)."},
    {verdict::no_verify_algorithm, "Need a verify algorithm to start online verify",
     "Set verify-alg in the net section on both nodes, for example verify-alg crc32c, then "
     "drbdadm adjust."},
    {verdict::need_connection, "Need a connection to start verify or resync",
     "Connect first (drbdadm connect), and wait until the state is Connected."},
    {verdict::lower_than_outdated, "Disk state is lower than outdated",
     "Nothing has to be done: the disk has no consistent data that could be taken as current."},
    {verdict::not_supported, "Peer does not support protocol",
     "Update the software of the peer, or do without this operation."},
    {verdict::in_transient_state, "In transient state, retry after next state change",
     "Try again in a moment."},
    {verdict::concurrent_change, "Concurrent state changes detected and aborted",
     "Both nodes changed their state at the same time: try again."},
    {verdict::other_volume_peer_primary, "Other vol primary on peer not allowed by config",
     "Demote every volume of the resource on the other node first."},
    {verdict::outdate_without_connection,
     "Need a connection for a graceful disconnect/outdate peer",
     "Connect first, or disconnect with --force."},
}};

const verdict_line* line_of(verdict value) {
    for (const verdict_line& line : verdict_lines) {
        if (line.code == value) {
            return &line;
        }
    }
    return nullptr;
}

template <class Value>
std::uint32_t at_shift(Value value, unsigned shift) {
    return static_cast<std::uint32_t>(value) << shift;
}

bool bit(std::uint32_t bits, unsigned shift) {
    return ((bits >> shift) & 1U) != 0;
}

} // namespace

std::string_view name(role value) {
    return name_of(role_names, value);
}

std::string_view name(disk value) {
    return name_of(disk_names, value);
}

std::string_view name(connection value) {
    return name_of(connection_names, value);
}

std::uint32_t pack(const volume_state& value) {
    return at_shift(value.role, 0) | at_shift(value.peer_role, 2) | at_shift(value.connection, 4) |
           at_shift(value.disk, 9) | at_shift(value.peer_disk, 13) |
           at_shift(value.suspended_user, 17) | at_shift(value.sync_paused_after, 18) |
           at_shift(value.sync_paused_peer, 19) | at_shift(value.sync_paused_user, 20) |
           at_shift(value.suspended_no_data, 21) | at_shift(value.suspended_fencing, 22);
}

volume_state unpack(std::uint32_t bits) {
    volume_state value;
    value.role = static_cast<role>(bits & 0x3U);
    value.peer_role = static_cast<role>((bits >> 2U) & 0x3U);
    value.connection = static_cast<connection>((bits >> 4U) & 0x1fU);
    value.disk = static_cast<disk>((bits >> 9U) & 0xfU);
    value.peer_disk = static_cast<disk>((bits >> 13U) & 0xfU);
    value.suspended_user = bit(bits, 17);
    value.sync_paused_after = bit(bits, 18);
    value.sync_paused_peer = bit(bits, 19);
    value.sync_paused_user = bit(bits, 20);
    value.suspended_no_data = bit(bits, 21);
    value.suspended_fencing = bit(bits, 22);
    return value;
}

bool well_formed(const volume_state& value) {
    return value.role <= role::secondary && value.peer_role <= role::secondary &&
           value.connection <= connection::behind && value.disk <= disk::up_to_date &&
           value.peer_disk <= disk::up_to_date;
}

bool well_formed(std::uint32_t bits) {
    return well_formed(unpack(bits));
}

volume_state mirrored(const volume_state& value) {
    volume_state ours = value;
    ours.role = value.peer_role;
    ours.peer_role = value.role;
    ours.disk = value.peer_disk;
    ours.peer_disk = value.disk;
    return ours;
}

std::string_view text(verdict value) {
    const verdict_line* line = line_of(value);
    return line == nullptr ? std::string_view("?") : line->text;
}

std::string_view remedy(verdict value) {
    const verdict_line* line = line_of(value);
    return line == nullptr ? std::string_view("") : line->remedy;
}

} // namespace lockstep::state
