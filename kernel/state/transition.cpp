// Which states and changes are allowed.
#include "kernel/state/transition.hpp"

#include <initializer_list>

namespace lockstep::state {

namespace {

bool is_starting_sync(connection value) {
    return value == connection::starting_sync_s || value == connection::starting_sync_t;
}

// The errors that end a connection, each followed by Unconnected or Disconnecting.
bool is_connection_error(connection value) {
    return value >= connection::timeout && value <= connection::tear_down;
}

verdict check_primary_alone(const volume_state& at, const transition_context& context) {
    if (at.role != role::primary || at.connection >= connection::connected) {
        return verdict::success;
    }
    if (at.disk < disk::up_to_date) {
        return verdict::no_up_to_date_disk;
    }
    const bool peer_is_there =
        context.peer_lacks_volume && at.connection == connection::wf_report_params;
    const bool fences = context.fencing != options::fencing::dont_care && !peer_is_there;
    return fences && at.peer_disk >= disk::unknown ? verdict::primary_needs_peer : verdict::success;
}

verdict check_roles(const volume_state& at, const transition_context& context) {
    if (at.role == role::primary && context.net_configured && !context.allow_two_primaries) {
        if (at.peer_role == role::primary) {
            return verdict::two_primaries;
        }
        if (context.other_volume_peer_primary) {
            return verdict::other_volume_peer_primary;
        }
    }
    if (at.role == role::secondary && context.device_in_use) {
        return verdict::device_in_use;
    }
    const verdict alone = check_primary_alone(at, context);
    if (alone != verdict::success) {
        return alone;
    }
    const bool no_data = at.role == role::primary && at.disk <= disk::inconsistent &&
                         at.peer_disk <= disk::inconsistent;
    return no_data ? verdict::no_up_to_date_disk : verdict::success;
}

// States beyond Connected are syncs and verifies of some kind: both disks take part.
verdict check_sync_disks(const volume_state& at) {
    if (at.connection <= connection::connected) {
        return verdict::success;
    }
    if (at.disk < disk::inconsistent) {
        return verdict::no_local_disk;
    }
    if (at.peer_disk < disk::inconsistent) {
        return verdict::no_remote_disk;
    }
    const bool none_good = at.disk < disk::up_to_date && at.peer_disk < disk::up_to_date;
    return none_good ? verdict::no_up_to_date_disk : verdict::success;
}

verdict check_outdated(const volume_state& at) {
    const bool has_good_data =
        at.connection == connection::connected || at.connection == connection::wf_bitmap_s ||
        at.connection == connection::sync_source || at.connection == connection::paused_sync_s;
    const bool beside_no_disk =
        at.connection == connection::connected && at.peer_disk < disk::inconsistent;
    return has_good_data && at.disk == disk::outdated && !beside_no_disk
               ? verdict::connected_outdates
               : verdict::success;
}

verdict check_verify(const volume_state& at, const transition_context& context) {
    if (!is_verify(at.connection)) {
        return verdict::success;
    }
    if (!context.verify_algorithm_set) {
        return verdict::no_verify_algorithm;
    }
    return context.protocol_version < 88 ? verdict::not_supported : verdict::success;
}

verdict check_unknown_peer_disk(const volume_state& at) {
    if (at.connection < connection::connected || at.peer_disk != disk::unknown) {
        return verdict::success;
    }
    return is_starting_sync(at.connection) ? verdict::need_connection : verdict::connected_outdates;
}

verdict first_refusal(std::initializer_list<verdict> verdicts) {
    for (const verdict one : verdicts) {
        if (one < verdict::success) {
            return one;
        }
    }
    return verdict::success;
}

// While the connection is being made only the connection may change; everything else waits.
bool disturbs_handshake(const volume_state& before, const volume_state& wanted) {
    const bool begins = before.connection == connection::wf_connection &&
                        wanted.connection == connection::wf_report_params;
    const bool ends = before.connection == connection::wf_report_params &&
                      wanted.connection >= connection::connected;
    return !begins && !ends;
}

// A promotion in the middle of the handshake that `primary --force` on the peer began.
bool promotes_during_forced_sync(const volume_state& before, const volume_state& wanted) {
    return before.role != role::primary && wanted.role == role::primary &&
           wanted.peer_disk == disk::up_to_date && wanted.disk != disk::up_to_date &&
           wanted.disk != disk::diskless &&
           (wanted.connection <= connection::wf_sync_uuid ||
            wanted.connection != before.connection);
}

verdict check_soft_sync(const volume_state& before, const volume_state& wanted) {
    const connection from = before.connection;
    const connection to = wanted.connection;
    const bool running = to == connection::sync_target || to == connection::sync_source;
    if (running && from < connection::wf_report_params) {
        return verdict::need_connection;
    }
    if ((is_starting_sync(to) || is_verify(to)) && from < connection::connected) {
        return verdict::need_connection;
    }
    if (!is_verify(to) || to == from) {
        return verdict::success;
    }
    if (from > connection::connected) {
        return verdict::resync_running;
    }
    // The state implies good disks, but does not make them good. (In the in-kernel DRBD it does.)
    const bool both_good = before.disk == disk::up_to_date && before.peer_disk == disk::up_to_date;
    return both_good ? verdict::success : verdict::no_up_to_date_disk;
}

// The diskless one of two nodes wants to become Primary on top of the other's Outdated disk. (Here
// with the diskless one as peer.)
bool promotes_outdated_data(const volume_state& before, const volume_state& wanted) {
    return before.connection >= connection::connected && before.disk == disk::outdated &&
           before.peer_role != role::primary && wanted.peer_role == role::primary &&
           wanted.peer_disk < disk::inconsistent;
}

verdict check_soft_disk(const volume_state& before, const volume_state& wanted) {
    if (promotes_outdated_data(before, wanted) ||
        promotes_outdated_data(mirrored(before), mirrored(wanted))) {
        return verdict::no_up_to_date_disk;
    }
    // The in-kernel DRBD excepts Attaching; here a disk is told what it is when it is attached.
    if (wanted.disk == disk::outdated && before.disk < disk::outdated) {
        return verdict::lower_than_outdated;
    }
    if (before.disk == disk::attaching && wanted.disk >= disk::inconsistent) {
        return verdict::in_transient_state;
    }
    return verdict::success;
}

verdict check_soft_connection(const volume_state& before, const volume_state& wanted) {
    const connection from = before.connection;
    const connection to = wanted.connection;
    if (to == connection::wf_connection && from < connection::unconnected) {
        return verdict::no_net_config;
    }
    if (wanted.disk > disk::attaching && before.disk == disk::diskless) {
        return verdict::is_diskless;
    }
    if (to == connection::disconnecting && from == connection::standalone) {
        return verdict::already_standalone;
    }
    return is_starting_sync(to) && from > connection::connected ? verdict::resync_running
                                                                : verdict::success;
}

verdict check_transience(const volume_state& before, const volume_state& wanted,
                         const transition_context& context) {
    const bool transient = promotes_during_forced_sync(before, wanted) ||
                           (context.handshake_state_sent && disturbs_handshake(before, wanted)) ||
                           (wanted.connection == connection::disconnecting &&
                            before.connection == connection::unconnected);
    return transient ? verdict::in_transient_state : verdict::success;
}

verdict check_soft_outdate(const volume_state& before, const volume_state& wanted) {
    const bool without_peer =
        wanted.connection == connection::disconnecting && wanted.peer_disk == disk::outdated &&
        before.connection < connection::connected && before.peer_disk > disk::outdated;
    return without_peer ? verdict::outdate_without_connection : verdict::success;
}

} // namespace

verdict check_state(const volume_state& wanted, const transition_context& context) {
    const bool without_data = wanted.primary_without_data();
    return first_refusal({
        check_roles(wanted, context),
        check_sync_disks(wanted),
        check_outdated(wanted),
        check_verify(wanted, context),
        without_data ? verdict::no_up_to_date_disk : verdict::success,
        check_unknown_peer_disk(wanted),
    });
}

// More than one reason may apply: the order decides which of them the user is told.
verdict check_soft_transition(const volume_state& before, const volume_state& wanted,
                              const transition_context& context) {
    return first_refusal({
        check_soft_outdate(before, wanted),
        check_soft_sync(before, wanted),
        check_transience(before, wanted, context),
        check_soft_disk(before, wanted),
        check_soft_connection(before, wanted),
    });
}

verdict check_connection(connection before, connection wanted) {
    if (before == wanted) {
        return verdict::nothing_to_do;
    }
    if (before == connection::standalone && wanted == connection::disconnecting) {
        return verdict::already_standalone;
    }
    if (before == connection::standalone && wanted != connection::unconnected) {
        return verdict::need_connection;
    }
    // Every connection is made by way of WFReportParams.
    if (before < connection::wf_report_params && wanted >= connection::connected) {
        return verdict::need_connection;
    }
    if (is_connection_error(before) && wanted != connection::unconnected &&
        wanted != connection::disconnecting) {
        return verdict::in_transient_state;
    }
    if (before == connection::disconnecting && wanted != connection::standalone) {
        return verdict::in_transient_state;
    }
    return verdict::success;
}

verdict check_transition(const volume_state& before, const volume_state& wanted) {
    if (wanted.disk == disk::failed && before.disk == disk::diskless) {
        return verdict::is_diskless;
    }
    return check_connection(before.connection, wanted.connection);
}

bool needs_cluster_wide(const volume_state& before, const volume_state& wanted) {
    if (before.connection < connection::connected) {
        return false;
    }
    if (wanted.connection == connection::disconnecting) {
        return true;
    }
    const bool from_connected = before.connection == connection::connected;
    if (from_connected && (wanted.connection == connection::verify_s ||
                           wanted.connection == connection::wf_report_params)) {
        return true;
    }
    if (wanted.connection < connection::connected) {
        return false;
    }
    const bool promotes = before.role != role::primary && wanted.role == role::primary;
    const bool starts_sync =
        is_starting_sync(wanted.connection) && wanted.connection != before.connection;
    const bool detaches = before.disk != disk::failed && wanted.disk == disk::failed;
    return promotes || starts_sync || detaches;
}

bool disconnect_needs_peer(connection before, connection wanted) {
    return before >= connection::wf_report_params && wanted == connection::disconnecting;
}

} // namespace lockstep::state
