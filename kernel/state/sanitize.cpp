// What completes a state: the consequences that a wanted change has by necessity.
#include "kernel/state/generation.hpp"
#include "kernel/state/transition.hpp"

#include <algorithm>

namespace lockstep::state {

namespace {

bool primary_alone_unfenced(const volume_state& at, const transition_context& context) {
    const bool peer_is_there =
        context.peer_lacks_volume && at.connection == connection::wf_report_params;
    return at.role == role::primary && at.connection < connection::connected && !peer_is_there &&
           at.peer_disk > disk::outdated;
}

// Which disk states each connection state allows.
struct disk_range {
    disk own_min = disk::diskless;
    disk own_max = disk::up_to_date;
    disk peer_min = disk::inconsistent;
    disk peer_max = disk::unknown;
};

disk_range range_of(connection value) {
    switch (value) {
    case connection::starting_sync_t:
    case connection::wf_bitmap_t:
    case connection::wf_sync_uuid:
    case connection::paused_sync_t:
    case connection::behind:
        return {disk::inconsistent, disk::outdated, disk::up_to_date, disk::up_to_date};
    case connection::sync_target:
        return {disk::inconsistent, disk::inconsistent, disk::up_to_date, disk::up_to_date};
    case connection::starting_sync_s:
    case connection::wf_bitmap_s:
    case connection::paused_sync_s:
    case connection::ahead:
        return {disk::up_to_date, disk::up_to_date, disk::inconsistent, disk::consistent};
    case connection::sync_source:
        return {disk::up_to_date, disk::up_to_date, disk::inconsistent, disk::inconsistent};
    case connection::verify_s:
    case connection::verify_t:
        return {disk::up_to_date, disk::up_to_date, disk::up_to_date, disk::up_to_date};
    case connection::connected:
        return {disk::diskless, disk::up_to_date, disk::diskless, disk::up_to_date};
    default: // not connected: the peer's disk is unknown, or what was last known to be worse
        return {};
    }
}

void forget_peer_without_connection(volume_state& at) {
    if (at.connection >= connection::connected) {
        return;
    }
    at.sync_paused_peer = false;
    at.peer_role = role::unknown;
    if (at.peer_disk > disk::unknown || at.peer_disk < disk::inconsistent) {
        at.peer_disk = disk::unknown;
    }
}

void forget_dependency_when_unconfigured(volume_state& at) {
    if (at.connection == connection::standalone && at.disk == disk::diskless &&
        at.role == role::secondary) {
        at.sync_paused_after = false;
    }
}

// A verify compares good data: a disk that fails meanwhile ends it, and is not made good by it.
sanitize_note abort_sync_without_disk(const volume_state& before, volume_state& at) {
    const bool verify = is_verify(at.connection);
    const bool running = verify && is_verify(before.connection);
    const disk least = running ? disk::consistent : disk::negotiating;
    if (at.connection <= connection::connected || (at.disk >= least && at.peer_disk >= least)) {
        return sanitize_note::none;
    }
    at.connection = connection::connected;
    return verify ? sanitize_note::verify_aborted : sanitize_note::resync_aborted;
}

sanitize_note end_negotiation(volume_state& at, const transition_context& context) {
    const bool goes_on =
        at.connection >= connection::connected ||
        (at.connection == connection::wf_report_params && context.negotiates_when_connected);
    if (goes_on || at.disk != disk::negotiating) {
        return sanitize_note::none;
    }
    if (context.negotiating) {
        at.disk = context.negotiating->disk;
        at.peer_disk = context.negotiating->peer_disk;
        return sanitize_note::none;
    }
    at.disk = disk::diskless;
    at.peer_disk = disk::unknown;
    return sanitize_note::connection_lost_while_negotiating;
}

// Connected nodes know each other's data: Consistent and Outdated are words of nodes apart. But a
// node without a disk cannot tell whether an Outdated one has become current, unless it is Primary:
// then it has compared the generation with the one in use. (The in-kernel DRBD believes it.)
disk known_when_connected(disk value, disk other, bool in_use_there) {
    const bool confirmed = other >= disk::inconsistent || in_use_there;
    if (value == disk::consistent || (value == disk::outdated && confirmed)) {
        return disk::up_to_date;
    }
    return value;
}

// What a sync target lacks it lacks still when its source has gone.
void remember_unfinished_sync(volume_state& at, const transition_context& context) {
    if (at.connection < connection::connected) {
        return;
    }
    if (context.own_behind && at.peer_disk < disk::inconsistent) {
        at.disk = std::min(at.disk, disk::outdated);
    }
    if (context.peer_behind && at.disk < disk::inconsistent) {
        at.peer_disk = std::min(at.peer_disk, disk::outdated);
    }
}

sanitize_note fit_disks(const volume_state& before, volume_state& at,
                        const transition_context& context) {
    if (at.connection >= connection::connected && at.connection < connection::ahead) {
        const volume_state told = at;
        const bool agreed = !context.primary_may_refuse && !diskless_primary_connects(before, told);
        at.disk = known_when_connected(told.disk, told.peer_disk,
                                       told.peer_role == role::primary && agreed);
        at.peer_disk = known_when_connected(told.peer_disk, told.disk, told.role == role::primary);
    }
    remember_unfinished_sync(at, context);
    const disk_range allowed = range_of(at.connection);
    sanitize_note note = sanitize_note::none;
    if (at.disk < allowed.own_min) {
        note = sanitize_note::disk_raised;
    }
    if (at.peer_disk < allowed.peer_min) {
        note = sanitize_note::peer_disk_raised;
    }
    at.disk = std::clamp(at.disk, allowed.own_min, allowed.own_max);
    at.peer_disk = std::clamp(at.peer_disk, allowed.peer_min, allowed.peer_max);
    return note;
}

void suspend_where_needed(const volume_state& before, volume_state& at,
                          const transition_context& context) {
    if (context.fencing == options::fencing::resource_and_stonith) {
        const bool alone =
            primary_alone_unfenced(at, context) && !primary_alone_unfenced(before, context);
        const bool halved = context.fence_disks && at.role == role::primary &&
                            (lost_peer_disk(before, at) || lost_own_disk(before, at));
        at.suspended_fencing |= alone || halved;
    }
    if (context.suspend_without_data && at.primary_without_data() &&
        !before.primary_without_data()) {
        at.suspended_no_data = true;
    }
}

connection with_pause(connection value, bool paused) {
    switch (value) {
    case connection::sync_source:
    case connection::paused_sync_s:
        return paused ? connection::paused_sync_s : connection::sync_source;
    case connection::sync_target:
    case connection::paused_sync_t:
        return paused ? connection::paused_sync_t : connection::sync_target;
    default:
        return value;
    }
}

sanitize_note later_of(sanitize_note a, sanitize_note b) {
    return b == sanitize_note::none ? a : b;
}

} // namespace

bool lost_peer_disk(const volume_state& before, const volume_state& after) {
    return before.connection >= connection::connected &&
           after.connection >= connection::connected && before.peer_disk == disk::up_to_date &&
           after.peer_disk < disk::up_to_date && after.disk == disk::up_to_date;
}

bool lost_own_disk(const volume_state& before, const volume_state& after) {
    return lost_peer_disk(mirrored(before), mirrored(after));
}

sanitized sanitize(const volume_state& before, const volume_state& wanted,
                   const transition_context& context) {
    sanitized result = {wanted, sanitize_note::none};
    volume_state& at = result.state;
    forget_peer_without_connection(at);
    forget_dependency_when_unconfigured(at);
    result.note = abort_sync_without_disk(before, at);
    result.note = later_of(result.note, end_negotiation(at, context));
    result.note = later_of(result.note, fit_disks(before, at, context));
    suspend_where_needed(before, at, context);
    at.connection = with_pause(at.connection,
                               at.sync_paused_after || at.sync_paused_peer || at.sync_paused_user);
    return result;
}

} // namespace lockstep::state
