// The second half of a write's way: the answers of disk and peer, and what is reported when.
#include <cerrno>

#include "kernel/replica/machinery.hpp"
#include "kernel/replica/write_path.hpp"

namespace lockstep::replica {

using wire::command;

namespace {

// Counted as pending (pe).
bool waits_for_ack(const app_request& write) {
    return write.net == net_part::queued ||
           (write.net == net_part::sent && write.ack != wanted_ack::none);
}

} // namespace

void write_path::finish_local(app_request& request, int error) {
    volume& target = *request.target;
    --target.counters.local_pending;
    request.on_disk = false;
    if (request.local != local_part::pending) {
        // Given up meanwhile (forced detach); only now may its memory be used again.
        request.left_to_disk.reset();
        if (request.completed && !request.kept) {
            request.buffer.reset();
        }
        retire(request);
        return;
    }
    request.local = error == 0 ? local_part::done : local_part::failed;
    if (error != 0) {
        if (request.op != io_request::operation::flush && target.disk != nullptr) {
            target.disk->bits.set(request.sector, request.sectors());
        }
        using failed_operation = disk_management::failed_operation;
        const auto what = request.op == io_request::operation::read    ? failed_operation::read
                          : request.op == io_request::operation::flush ? failed_operation::flush
                                                                       : failed_operation::write;
        all_.disks.io_error(target, what, request.sector, error);
    }
    if (request.op == io_request::operation::read) {
        all_.reads.local_done(request);
        return;
    }
    // An overlapping write of the peer may have waited for our disk, not for the peer's answer.
    target.retry_overlaps |= !target.peer_waiting_overlap.empty();
    if (request.postponed) {
        all_.peers.begin_behind(request);
        return;
    }
    const bool flushed = request.op == io_request::operation::flush && error == 0;
    if (flushed && request.net == net_part::none && !target.counts_here()) {
        lean_flush_on_peer(request);
        return;
    }
    check_complete(request);
}

// Our disk has ceased to count while it flushed, and the peer was not asked.
void write_path::lean_flush_on_peer(app_request& flush) {
    const volume& target = *flush.target;
    const bool reaches_peer = all_.link.up && sends_data(target.state);
    if (!reaches_peer && !target.has_disk(state::disk::up_to_date)) {
        begin_again(flush); // what was acknowledged may be gone with both
        return;
    }
    if (reaches_peer && all_.epochs.wait_for_all(flush)) {
        flush.net = net_part::sent;
        all_.epochs.hurry();
    }
    check_complete(flush);
}

void write_path::acknowledged(volume& target, command code, const wire::block_ack& ack) {
    app_request* write = find(ack.block_id);
    if (write == nullptr || write->target != &target || write->sector != ack.sector ||
        !write->is_write() || write->of == nullptr) {
        all_.states.drop_link(state::connection::protocol_error,
                              std::string(wire::name(code)) + " for a write that is not under way");
        return;
    }
    if (code == command::neg_ack && write->net == net_part::acknowledged) {
        // Received (RECV_ACK), but it could not be written after all.
        write->net = net_part::failed;
        mark_out_of_sync(*write);
        check_complete(*write);
        return;
    }
    if (write->net != net_part::sent && write->net != net_part::queued) {
        return; // a second answer says nothing new
    }
    if (write->ack != wanted_ack::none) {
        --target.counters.net_pending;
    }
    switch (code) {
    case command::neg_ack:
        write->net = net_part::failed;
        mark_out_of_sync(*write);
        all_.fencing.write_refused(target);
        break;
    case command::rs_write_ack:
        write->net = net_part::acknowledged;
        // Our disk may have failed it already: that block is still to be synced.
        if (target.disk != nullptr && write->local != local_part::failed) {
            target.disk->bits.clear(write->sector, write->sectors());
        }
        break;
    case command::retry_write:
        // The other Primary's overlapping write goes first; ours is sent again behind it.
        all_.peers.conflict_retry(*write);
        return;
    case command::superseded:
        if (!all_.link.rules.has_ack_flags()) {
            // Versions that know no RETRY_WRITE say this also of a write that overlaps in part.
            all_.peers.conflict_retry(*write);
            return;
        }
        write->net = net_part::acknowledged;
        write->of->conflicted = true;
        break;
    default:
        write->net = net_part::acknowledged;
        break;
    }
    if (write->local == local_part::none && write->net == net_part::acknowledged) {
        target.presented_before = 0; // the peer has stored what it made
    }
    check_complete(*write);
}

void write_path::covered_by_barrier(app_request& write) {
    write.net_done = true;
    congestion::left(write);
    if (write.net == net_part::queued || write.net == net_part::sent) {
        if (write.ack != wanted_ack::none) {
            --write.target->counters.net_pending;
        }
        write.net = net_part::acknowledged;
    }
    if (write.completed) {
        retire(write);
    } else {
        check_complete(write);
    }
}

void write_path::peer_lost(app_request& write) {
    write.net_done = true;
    congestion::left(write);
    if ((write.net == net_part::queued || write.net == net_part::sent)) {
        if (write.ack != wanted_ack::none || write.net == net_part::queued) {
            --write.target->counters.net_pending;
        }
        write.net = net_part::failed;
    }
    write.target->writes_lost |= may_be_lost(write);
    mark_out_of_sync(write);
    if (write.completed) {
        retire(write);
    } else {
        check_complete(write);
    }
}

void write_path::peer_will_not_answer(app_request& write) {
    if (write.net != net_part::queued && write.net != net_part::sent) {
        return;
    }
    if (waits_for_ack(write)) {
        --write.target->counters.net_pending;
    }
    write.net = net_part::failed;
    mark_out_of_sync(write);
    check_complete(write);
}

bool write_path::may_be_lost(const app_request& write) {
    return write.completed && !write.kept && !write.target->has_disk(state::disk::up_to_date);
}

void write_path::mark_if_peer_lacks(app_request& write) {
    // Under protocol A the link may have lost what was completed.
    const bool never_arrived = write.completed && write.net != net_part::acknowledged;
    if (!write.kept && (never_arrived || may_be_lost(write))) {
        mark_out_of_sync(write);
    }
}

void write_path::send_again(app_request& write) {
    volume& target = *write.target;
    if (target.peer_lacks_it()) {
        peer_lost(write);
        return;
    }
    write.net_done = true;
    congestion::left(write);
    if (write.net == net_part::acknowledged && target.has_disk(state::disk::up_to_date) &&
        target.state.peer_disk > state::disk::outdated) {
        // The peer has it: it was away for a moment only (cannot_thaw() sees to that), and has not
        // lost its disk.
        target.peer_may_cache = true;
        if (write.completed) {
            retire(write);
        } else {
            check_complete(write);
        }
        return;
    }
    if (waits_for_ack(write)) {
        --target.counters.net_pending;
    }
    if (target.state.peer_disk <= state::disk::outdated) {
        mark_out_of_sync(write);
    }
    const bool here = !write.completed || write.kept;
    if (here && peer_gets_writes(target)) {
        if (fits_link(write)) {
            send(write);
            return;
        }
        mark_out_of_sync(write); // the others were, before the handshake
        connect_again();
    }
    if (write.completed) {
        retire(write);
        return;
    }
    write.net = net_part::failed;
    mark_out_of_sync(write);
    check_complete(write);
}

// --- completion ---

bool write_path::gate_closed(const app_request& request) const {
    const volume& target = *request.target;
    const bool peer_lacks = request.peer_lacks || request.net == net_part::failed;
    const bool we_lack = request.is_write() && request.local != local_part::done;
    // What one of the two lacks is not reported while the question is open whether that one still
    // counts; what the peer lacks, not before our generation says so.
    return (peer_lacks && (target.generation_stores > 0 || target.new_generation_due)) ||
           ((peer_lacks || we_lack) && target.state.suspended_fencing);
}

// What was written, or flushed, is in no copy that will count. Our disk has failed, and the peer
// took it as sync target: a disk that is attached again may be the source, and would overwrite it
// there. Or the peer is lost, and our disk is the sync target, which the peer will overwrite. Or
// our disk alone has it, and was lost before it could say that it went on alone.
bool write_path::kept_nowhere(const app_request& write) {
    const volume& target = *write.target;
    const bool by_target = write.local == local_part::failed && write.net != net_part::failed &&
                           write.may_set_in_sync &&
                           target.state.peer_disk < state::disk::up_to_date;
    const bool here_only = write.local == local_part::done && write.peer_lacks;
    const bool by_own_target =
        here_only && target.has_disk() && !target.has_disk(state::disk::up_to_date);
    const bool generation_lacks =
        write.disk_was_lost || target.unstored.current != 0 || target.new_generation_due;
    const bool by_lost_disk = here_only && generation_lacks && !target.has_disk();
    return by_own_target || by_lost_disk || (write.is_write() && by_target);
}

// As if it had only now been asked for: it waits for good data, or fails for want of them.
void write_path::begin_again(app_request& write) {
    if (write.of != nullptr) {
        all_.epochs.completed(write);
        write.of->requests.remove(write);
        write.of = nullptr;
    }
    write.net = net_part::none;
    write.net_done = true;
    congestion::left(write);
    write.peer_lacks = false;
    write.disk_was_lost = false;
    write.started = false;
    write.local = local_part::none;
    hold(write);
    write.target->retry_data = true;
}

// Our disk does not count, and the peer was not asked (or, being of an old version, can't be) to
// acknowledge what is on its disk: it has the write for certain when it has flushed. (In the
// in-kernel DRBD such a write is lost under the protocols A and B if the link breaks.)
bool write_path::safe_by_barrier_only(const app_request& write) {
    const bool safe_here = write.local == local_part::done && write.target->counts_here();
    return write.is_write() && !write.net_done && write.ack != wanted_ack::write &&
           write.net != net_part::failed && !safe_here;
}

// What our own disk does not count for is only in the peer's cache, and goes if that node crashes.
// We have it until the peer has flushed.
bool write_path::is_kept(const app_request& write) const {
    return write.of != nullptr && write.is_write() && write.net != net_part::failed &&
           !write.target->counts_here() && !all_.net.allow_two_primaries;
}

void write_path::check_complete(app_request& request) {
    if (request.completed || request.local == local_part::pending ||
        (request.awaits_barrier && !request.net_done)) {
        return;
    }
    switch (request.net) {
    case net_part::queued:
        return;
    case net_part::sent:
        if (request.ack != wanted_ack::none || request.op == io_request::operation::flush) {
            return;
        }
        break;
    default:
        break;
    }
    if (safe_by_barrier_only(request)) {
        all_.epochs.hurry();
        return;
    }
    const bool nowhere = kept_nowhere(request);
    if (nowhere && request.is_write()) {
        begin_again(request);
        return;
    }
    // Demoted because its data does not count any more: an error says that it is not kept.
    const bool fails = all_.demoting && all_.fencing.superseded();
    if (!nowhere && gate_closed(request) && !fails) {
        // gate_moved() looks again. Disk and peer are done with it: a resync of these blocks, which
        // may be what opens the gate, does not wait for it.
        if (request.interval.linked()) {
            request.target->in_flight.erase(request.interval);
            request.target->retry_overlaps = true;
        }
        // Its epoch ends here as well, or the peer would seem to owe an answer.
        if (request.of != nullptr) {
            all_.epochs.completed(request);
        }
        return;
    }
    // What a flush was to cover has been acknowledged, and can't begin again.
    const bool good =
        !nowhere && (request.local == local_part::done || request.net == net_part::acknowledged ||
                     (request.op == io_request::operation::flush &&
                      request.local == local_part::none && request.net != net_part::failed));
    // The old data of a disk that comes back would not be what the users have seen.
    request.target->peer_is_ahead |=
        good && request.is_write() && request.local != local_part::done;
    complete(request, good && !fails ? 0 : EIO);
    if (request.net_done) {
        retire(request);
    }
}

void write_path::complete(app_request& request, int error) {
    LOCKSTEP_CHECK(!request.completed);
    request.completed = true;
    request.kept = error == 0 && is_kept(request);
    if (!request.kept && (!request.on_disk || request.left_to_disk)) {
        request.buffer.reset();
    }
    volume& target = *request.target;
    if (request.on_disk_only) {
        mark_out_of_sync(request);
    }
    if (request.interval.linked()) {
        target.in_flight.erase(request.interval);
    }
    io_request* parent = std::exchange(request.parent, nullptr);
    if (request.of != nullptr) {
        all_.epochs.completed(request);
        // Extents and parts come back when the peer has acknowledged the epoch.
        if (!target.waiting_slot.empty() || all_.application_pool.available() == 0) {
            all_.epochs.hurry();
        }
    }
    io_part_done(*parent, error);
    target.retry_overlaps = true;
}

void write_path::retire(app_request& request) {
    if (!request.completed || !request.net_done || request.on_disk || request.of != nullptr) {
        return;
    }
    volume& target = *request.target;
    if (request.extent_held) {
        request.extent_held = false;
        if (target.disk != nullptr && target.disk->log != nullptr) {
            const std::uint32_t extent = activity_log::extent_of_sector(request.sector);
            target.retry_slots |= target.disk->log->end(extent, extent);
        }
    }
    target.application_requests.remove(request);
    all_.application_pool.give_back(request);
    target.retry_pump = true;
}

void write_path::io_part_done(io_request& request, int error) {
    if (error != 0 && request.first_error == 0) {
        request.first_error = error;
    }
    LOCKSTEP_CHECK(request.parts_pending > 0);
    if (--request.parts_pending == 0) {
        if (volume* target = all_.find(request.volume)) {
            --target->counters.application;
        }
        all_.world.io_done(request, request.first_error);
    }
}

} // namespace lockstep::replica
