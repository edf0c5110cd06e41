// Snapshots that the tests of control and drbdsetup start from.
#pragma once

#include "kernel/control/protocol/snapshot.hpp"

namespace lockstep::control::samples {

// Volume 0, minor 0, 1 GiB, attached, in sync, connected.
inline volume_snapshot volume_in_sync() {
    volume_snapshot volume;
    volume.state.role = state::role::secondary;
    volume.state.peer_role = state::role::secondary;
    volume.state.connection = state::connection::connected;
    volume.state.disk = state::disk::up_to_date;
    volume.state.peer_disk = state::disk::up_to_date;
    volume.attached = true;
    volume.backing_device = "/dev/sdb1";
    volume.meta_device = "/dev/sdb1";
    volume.meta_index = "internal";
    volume.size_sectors = 2097152;
    volume.current_uuid = 0x8D3BC7A2C3E5F490;
    volume.history_uuid[0] = 0x0004000000000004;
    volume.epochs = 1;
    return volume;
}

inline snapshot resource_in_sync() {
    snapshot made;
    made.resource = "r0";
    made.role = state::role::secondary;
    made.peer_role = state::role::secondary;
    made.connection = state::connection::connected;
    made.has_net = true;
    made.local_address = "ipv4:10.0.0.1:7789";
    made.peer_address = "ipv4:10.0.0.2:7789";
    made.wire_version = 101;
    made.volumes.push_back(volume_in_sync());
    return made;
}

inline void set_connection(snapshot& in, state::connection value) {
    in.connection = value;
    for (volume_snapshot& each : in.volumes) {
        each.state.connection = value;
    }
}

inline void set_role(snapshot& in, state::role value) {
    in.role = value;
    for (volume_snapshot& each : in.volumes) {
        each.state.role = value;
    }
}

inline void set_peer_role(snapshot& in, state::role value) {
    in.peer_role = value;
    for (volume_snapshot& each : in.volumes) {
        each.state.peer_role = value;
    }
}

// A sync of 20 969 820 KiB at its begin, 1 328 KiB/s (the numbers of a published session).
inline progress_snapshot sync_begun() {
    progress_snapshot made;
    made.running = true;
    made.total_bits = 20969820 / 4;
    made.left_bits = 20935388 / 4;
    made.seconds_left = 15623;
    made.speed_kib = 1328;
    made.average_kib = 1324;
    return made;
}

} // namespace lockstep::control::samples
