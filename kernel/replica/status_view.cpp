#include "kernel/replica/status_view.hpp"

#include <fmt/format.h>

#include "kernel/replica/machinery.hpp"

namespace lockstep::replica {
namespace {

// Earlier writes are waited for whatever disk-drain says.
char write_ordering_of(const volume& target) {
    return target.options.disk_flushes ? 'f' : 'd';
}

bool has_progress(state::connection value) {
    using state::connection;
    return value == connection::sync_source || value == connection::sync_target ||
           value == connection::paused_sync_s || value == connection::paused_sync_t ||
           is_verify(value);
}

progress_status progress_of(const machinery& all, const volume& target) {
    using state::connection;
    progress_status out;
    const auto now = target.state.connection;
    if (!has_progress(now) || target.disk == nullptr) {
        return out;
    }
    const bool verify = is_verify(now);
    const std::uint64_t left = verify ? target.run.left_bits : target.disk->bits.weight();
    const auto progress =
        target.marks.progress(all.now(), std::min(left, target.marks.total_bits()));
    out.running = true;
    out.total_bits = target.marks.total_bits();
    out.left_bits = progress.left_bits;
    out.failed_bits = target.run.failed_bits;
    out.done_permille = progress.done_permille;
    out.seconds_left = progress.seconds_left;
    out.speed_kib = progress.speed_kib;
    out.average_kib = progress.average_kib;
    out.want_kib =
        now == connection::sync_target || now == connection::verify_s ? target.pace.want_kib() : 0;
    out.stalled = progress.stalled;
    out.seconds_running = progress.seconds_running;
    out.seconds_paused = progress.seconds_paused;
    return out;
}

std::string waiting_for(const machinery& all, const volume& target) {
    if (target.state.suspended_fencing && all.fencing.superseded()) {
        return "frozen: this node's data does not count any more; stop what uses the device and "
               "demote this node";
    }
    if (target.state.suspended_fencing) {
        return all.fencing.asking() ? "waiting for the fence-peer handler"
                                    : "frozen: the fence-peer handler gave no usable answer; "
                                      "connect the peer or use resume-io";
    }
    if (target.state.suspended_no_data) {
        return "frozen: no good copy of the data is reachable; attach a disk, connect the peer or "
               "use resume-io";
    }
    if (target.state.suspended_user) {
        return "frozen by suspend-io; use resume-io";
    }
    if (target.failing_handler) {
        return "waiting for the local-io-error handler";
    }
    if (target.run.helper_running) {
        return "waiting for the before-resync handler";
    }
    if (target.state.sync_paused_after) {
        return fmt::format("the resync of minor {} goes first (resync-after)",
                           target.options.resync_after);
    }
    if (target.attaching != nullptr) {
        return "reading the metadata";
    }
    if (target.move != nullptr) {
        return target.move->now == metadata_move_job::phase::draining
                   ? "a change of the size waits for the requests under way"
                   : "the size is changing";
    }
    if (target.state.disk == state::disk::failed && target.disk != nullptr) {
        return fmt::format("waiting for {} requests of the failed disk",
                           target.disk->outstanding());
    }
    if (!target.waiting_written.empty()) {
        return "waiting for the disk to have what the peer has sent";
    }
    if (target.leaving) {
        return "a detach waits for the peer's disk to have all that was written";
    }
    if (all.commands.waiting()) {
        return "waiting for the peer to answer a state change";
    }
    if (target.bitmap_out || target.bitmap_in) {
        return "exchanging bitmaps";
    }
    return {};
}

volume_status view_volume(const machinery& all, const volume& target) {
    volume_status out;
    out.volume = target.number;
    out.minor = target.minor;
    out.state = target.state;
    out.disk_options = target.options;
    out.was_degraded = target.was_degraded;
    out.attached = target.disk != nullptr && target.attaching == nullptr;
    out.size_sectors = target.size_sectors;
    out.logical_block_bytes = target.logical_block_bytes;
    out.write_ordering = write_ordering_of(target);
    out.al_suspended = target.log_suspended;
    if (target.disk != nullptr) {
        const auto& super = target.disk->super;
        out.current_uuid = super.uuids.current;
        out.bitmap_uuid = super.uuids.bitmap;
        out.history_uuid[0] = super.uuids.history[0];
        out.history_uuid[1] = super.uuids.history[1];
        out.device_uuid = super.device_uuid;
        out.metadata_flags = super.flags;
        out.al_writes = target.disk->log_writes;
        out.bm_writes = target.disk->bitmap_writes;
        out.out_of_sync_kib = target.disk->bits.weight() * 4;
    }
    out.sent_kib = target.counters.sent_sectors / 2;
    out.received_kib = target.counters.received_sectors / 2;
    out.written_kib = target.counters.written_sectors / 2;
    out.read_kib = target.counters.read_sectors / 2;
    out.lower_pending = target.counters.local_pending;
    out.pending = target.counters.net_pending + target.run.in_flight;
    out.unacked = target.counters.unacked;
    out.upper_pending = target.counters.application;
    out.application_in_flight_sectors = target.application_in_flight_sectors;
    out.resync_in_flight_sectors = target.run.in_flight_sectors;
    out.epochs = std::max<std::uint32_t>(1, all.peers.epochs());
    out.congested = all.link.queued_bytes(channel::data) > (1U << 20);
    out.progress = progress_of(all, target);
    out.waiting_for = waiting_for(all, target);
    return out;
}

} // namespace

resource_status view_status(const machinery& all) {
    resource_status out;
    out.name = all.name;
    out.role = all.common.role;
    out.peer_role = all.common.peer_role;
    out.connection = all.common.connection;
    out.suspended = all.common.suspended();
    out.suspended_user = all.common.suspended_user;
    out.suspended_no_data = all.common.suspended_no_data;
    out.suspended_fencing = all.common.suspended_fencing;
    out.has_net = all.has_net;
    out.net = all.net;
    out.resource = all.resource_options;
    if (all.link.up && all.link.rules.version >= wire::version_min) {
        out.protocol_version = all.link.rules.version;
        out.features = all.link.rules.features;
        out.peer_is_lockstep = all.handshake.peer_is_lockstep();
    }
    for (const auto& [number, each] : all.volumes) {
        out.volumes.push_back(view_volume(all, *each));
    }
    return out;
}

} // namespace lockstep::replica
