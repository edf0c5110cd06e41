#include "kernel/control/binding/resource_target.hpp"

namespace lockstep::control {

namespace {

progress_snapshot to_snapshot(const replica::progress_status& from) {
    progress_snapshot made;
    made.running = from.running;
    made.total_bits = from.total_bits;
    made.left_bits = from.left_bits;
    made.done_permille = from.done_permille;
    made.seconds_left = from.seconds_left;
    made.speed_kib = from.speed_kib;
    made.average_kib = from.average_kib;
    made.want_kib = from.want_kib;
    made.stalled = from.stalled;
    return made;
}

void copy_counters(const replica::volume_status& from, volume_snapshot& into) {
    into.sent_kib = from.sent_kib;
    into.received_kib = from.received_kib;
    into.written_kib = from.written_kib;
    into.read_kib = from.read_kib;
    into.al_writes = from.al_writes;
    into.bm_writes = from.bm_writes;
    into.lower_pending = from.lower_pending;
    into.pending = from.pending;
    into.unacked = from.unacked;
    into.upper_pending = from.upper_pending;
    into.application_in_flight_sectors = from.application_in_flight_sectors;
    into.resync_in_flight_sectors = from.resync_in_flight_sectors;
    into.epochs = from.epochs;
    into.was_degraded = from.was_degraded;
    into.write_ordering = from.write_ordering;
    into.out_of_sync_kib = from.out_of_sync_kib;
    into.al_suspended = from.al_suspended;
    into.congested = from.congested;
}

volume_snapshot to_snapshot(const replica::volume_status& from) {
    volume_snapshot made;
    made.volume = from.volume;
    made.minor = from.minor;
    made.state = from.state;
    made.attached = from.attached;
    made.disk = from.disk_options;
    made.size_sectors = from.size_sectors;
    made.current_uuid = from.current_uuid;
    made.bitmap_uuid = from.bitmap_uuid;
    made.history_uuid[0] = from.history_uuid[0];
    made.history_uuid[1] = from.history_uuid[1];
    made.metadata_flags = from.metadata_flags;
    copy_counters(from, made);
    made.progress = to_snapshot(from.progress);
    made.waiting_for = from.waiting_for;
    return made;
}

} // namespace

snapshot to_snapshot(const replica::resource_status& status,
                     const std::map<std::uint32_t, volume_place>& places,
                     const std::string& local_address, const std::string& peer_address) {
    snapshot made;
    made.resource = status.name;
    made.role = status.role;
    made.peer_role = status.peer_role;
    made.connection = status.connection;
    made.suspended_user = status.suspended_user;
    made.suspended_no_data = status.suspended_no_data;
    made.suspended_fencing = status.suspended_fencing;
    made.has_net = status.has_net;
    if (status.has_net) {
        made.local_address = local_address;
        made.peer_address = peer_address;
    }
    made.net = status.net;
    made.options = status.resource;
    made.wire_version = status.protocol_version;
    made.peer_is_lockstep = status.peer_is_lockstep;
    for (const replica::volume_status& volume : status.volumes) {
        volume_snapshot shown = to_snapshot(volume);
        const auto place = places.find(volume.volume);
        if (place != places.end() && volume.attached) {
            shown.backing_device = place->second.backing_device;
            shown.meta_device = place->second.meta_device;
            shown.meta_index = place->second.meta_index;
        }
        made.volumes.push_back(std::move(shown));
    }
    return made;
}

} // namespace lockstep::control
