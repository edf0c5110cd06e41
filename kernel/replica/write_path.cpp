#include "kernel/replica/write_path.hpp"

#include <algorithm>
#include <cerrno>

#include "kernel/replica/digests.hpp"
#include "kernel/replica/machinery.hpp"

namespace lockstep::replica {

using state::disk;
using state::role;
using wire::command;

namespace {

// Ids carry the index of the request in the pool and a number that never repeats, so that a
// foreign or late answer is recognised.
constexpr unsigned id_index_bits = 16;

} // namespace

void app_request::reset() {
    LOCKSTEP_CHECK(!interval.linked() && !extent_held && of == nullptr);
    target = nullptr;
    parent = nullptr;
    buffer.reset();
    left_to_disk.reset();
    memory = nullptr;
    fua = false;
    may_unmap = true;
    local = local_part::none;
    net = net_part::none;
    ack = wanted_ack::none;
    net_done = true;
    awaits_barrier = false;
    peer_lacks = false;
    disk_was_lost = false;
    may_set_in_sync = false;
    postponed = false;
    on_disk_only = false;
    started = false;
    on_disk = false;
    completed = false;
    kept = false;
    counted_in_flight = false;
    block_id = 0;
    ticket = 0;
    disk = {};
    begun = 0;
    sent_at = 0;
}

// --- entry ---

void write_path::reject(io_request& request, int error) {
    all_.world.io_done(request, error);
}

void write_path::submit(io_request& request) {
    volume* target = all_.find(request.volume);
    if (target == nullptr) {
        reject(request, ENODEV);
        return;
    }
    if (all_.common.role != role::primary || all_.demoting) {
        reject(request, request.op == io_request::operation::read ? EMEDIUMTYPE : EROFS);
        return;
    }
    const std::uint64_t end = request.offset + request.size;
    const std::uint64_t capacity = target->size_sectors * 512;
    if (end < request.offset || end > capacity) {
        reject(request, request.op == io_request::operation::read ? EIO : ENOSPC);
        return;
    }
    if (request.offset % target->logical_block_bytes != 0 ||
        request.size % target->logical_block_bytes != 0) {
        reject(request, EINVAL);
        return;
    }
    request.parts_pending = 0;
    request.first_error = 0;
    request.next = nullptr;
    if (target->io_last != nullptr) {
        target->io_last->next = &request;
    } else {
        target->io_first = &request;
        target->io_cut_bytes = 0;
    }
    target->io_last = &request;
    // Held by the cutting itself until all parts exist.
    request.parts_pending = 1;
    ++target->counters.application;
    pump(*target);
}

void write_path::pump(volume& target) {
    const std::uint32_t version = all_.link.rules.version;
    while (io_request* request = target.io_first) {
        if (all_.fails_all()) {
            target.io_first = request->next;
            target.io_last = target.io_first == nullptr ? nullptr : target.io_last;
            target.io_cut_bytes = 0;
            io_part_done(*request, EIO);
            continue;
        }
        // The other Primary goes on without a disk that is about to be detached: what it writes
        // is not to be missed by a read of ours.
        if (target.move != nullptr || target.state.suspended() ||
            all_.commands.asks_to_detach(target) || !takes_requests(target, version)) {
            return;
        }
        if (!cut_part(target, *request)) {
            // No part is free: retire() comes back. Epochs hold completed ones.
            all_.epochs.hurry();
            return;
        }
        if (target.io_cut_bytes < request->size) {
            continue;
        }
        target.io_first = request->next;
        target.io_cut_bytes = 0;
        if (target.io_first == nullptr) {
            target.io_last = nullptr;
        }
        io_part_done(*request, 0);
    }
}

bool write_path::cut_part(volume& target, io_request& from) {
    app_request* part = all_.application_pool.take();
    if (part == nullptr) {
        return false;
    }
    const std::uint64_t offset = from.offset + target.io_cut_bytes;
    std::uint32_t size = from.size - target.io_cut_bytes;
    if (from.op != io_request::operation::flush) {
        constexpr std::uint64_t extent_bytes = std::uint64_t{format::al_extent_sectors} * 512;
        const std::uint64_t left_in_extent = extent_bytes - offset % extent_bytes;
        size = static_cast<std::uint32_t>(std::min<std::uint64_t>(size, left_in_extent));
        const bool has_data =
            from.op == io_request::operation::read || from.op == io_request::operation::write;
        const bool zeroes_as_data = from.op == io_request::operation::write_zeroes &&
                                    all_.link.up && !all_.link.rules.has_write_zeroes();
        if (has_data || zeroes_as_data) {
            // Without a link as the last peer took it: it may come back before this is written.
            size = std::min({size, max_io_bytes,
                             all_.link.up && !all_.handshake.before_parameters()
                                 ? all_.link.rules.data_bytes()
                             : all_.has_net ? all_.link.last_data_bytes
                                            : max_io_bytes});
        }
    }
    part->target = &target;
    part->parent = &from;
    part->op = from.op;
    part->fua = from.fua;
    part->may_unmap = from.may_unmap;
    part->sector = offset / 512;
    part->size = size;
    if (from.buffer) {
        part->buffer = from.buffer;
        part->memory = from.buffer.data() + target.io_cut_bytes;
    }
    part->begun = all_.now();
    target.io_cut_bytes += size;
    ++from.parts_pending;
    target.application_requests.push_back(*part);
    start(*part);
    return true;
}

void write_path::start(app_request& request) {
    const volume& target = *request.target;
    const bool has_range = request.op != io_request::operation::flush;
    if (has_range && request.sector + request.sectors() > target.size_sectors) {
        // The device has shrunk since it was asked for.
        request.started = true;
        complete(request, request.op == io_request::operation::read ? EIO : ENOSPC);
        retire(request);
        return;
    }
    switch (request.op) {
    case io_request::operation::read:
        all_.reads.start(request);
        return;
    case io_request::operation::flush:
        start_flush(request);
        return;
    default:
        start_write(request);
        return;
    }
}

// --- flush ---

bool write_path::needs_peer_flush(const volume& target) const {
    return all_.net.protocol == options::protocol::c || !target.counts_here();
}

void write_path::start_flush(app_request& flush) {
    volume& target = *flush.target;
    if (!sends_data(target.state) && !target.has_disk(disk::up_to_date)) {
        // What was acknowledged before may be gone with the peer, so nothing is durable.
        target.waiting_data.push_back(flush);
        fail_waiting(target, EIO);
        return;
    }
    flush.started = true;
    if (std::exchange(target.writes_lost, false)) {
        complete(flush, EIO);
        retire(flush);
        return;
    }
    // With protocol C a flush covers the peer too: it waits until the peer has acknowledged (and
    // so, if it is one of ours, flushed) all epochs. Without a good disk of our own that is all
    // that counts, whatever the protocol.
    const bool has_disk = target.has_disk();
    // Alone it promises something once our generation says that we went on alone.
    flush.peer_lacks = !all_.link.up || !sends_data(target.state);
    const bool ask_peer = sends_data(target.state) && all_.link.up && needs_peer_flush(target);
    // Either can end at once; the count keeps the request alive until both were begun.
    flush.local = has_disk ? local_part::pending : local_part::none;
    flush.net = net_part::none;
    if (ask_peer && all_.epochs.wait_for_all(flush)) {
        flush.net = net_part::sent;
        all_.epochs.hurry();
    } else {
        all_.epochs.close_current();
    }
    if (has_disk) {
        submit_local(flush);
    } else {
        check_complete(flush);
    }
}

void write_path::flush_reached_peer(app_request& flush, bool reached) {
    flush.net = reached ? net_part::acknowledged : net_part::failed;
    if (!reached) {
        flush.peer_lacks = true;
        flush.disk_was_lost = !flush.target->has_disk();
    }
    check_complete(flush);
}

// --- writes: to the peer and to our disk ---

void write_path::mark_out_of_sync(app_request& write) {
    volume& target = *write.target;
    write.peer_lacks = true;
    write.disk_was_lost = !target.has_disk();
    if (target.disk != nullptr && target.state.disk > disk::failed) {
        target.disk->bits.set(write.sector, write.sectors());
    }
}

// Back to the beginning, until the state has moved.
void write_path::hold(app_request& write) {
    volume& target = *write.target;
    if (write.extent_held && !write.on_disk_only) {
        write.extent_held = false;
        if (target.disk != nullptr && target.disk->log != nullptr) {
            const std::uint32_t extent = activity_log::extent_of_sector(write.sector);
            target.retry_slots |= target.disk->log->end(extent, extent);
        }
    }
    if (write.interval.linked()) {
        target.in_flight.erase(write.interval);
        target.retry_overlaps = true;
    }
    target.waiting_data.push_back(write);
}

void write_path::go(app_request& write) {
    volume& target = *write.target;
    if (all_.fails_all()) {
        complete(write, EIO);
        retire(write);
        return;
    }
    if (target.move != nullptr || target.state.suspended() ||
        !takes_requests(target, all_.link.rules.version)) {
        // The state changed while the write waited. In the middle of a handshake it would be
        // neither in the bitmap that the peer was told of, nor sent.
        hold(write);
        return;
    }
    if (target.failing_handler) {
        hold(write); // the peer does not know yet that it has to note what our disk lacks
        return;
    }
    const bool local = target.has_disk();
    if (local && !target.disk->says_primary()) {
        hold(write); // the promotion is being stored
        return;
    }
    if (all_.link.up && sends_data(target.state)) {
        all_.congestion.check(target);
    }
    const bool reaches_peer = peer_gets_writes(target);
    const bool remote = reaches_peer && fits_link(write);
    // What only a disk that is not UpToDate has would be lost in the next resync.
    const bool kept = (local && target.state.disk == disk::up_to_date) ||
                      (remote && target.state.peer_disk == disk::up_to_date);
    if (!kept && reaches_peer && !remote) {
        complete(write, EIO);
        retire(write);
        return;
    }
    if (!kept) {
        hold(write);
        fail_waiting(target, EIO);
        return;
    }
    if (all_.peers.writes_over(write)) {
        // The other Primary's write came while ours waited: it goes first.
        target.in_flight.erase(write.interval);
        target.waiting_overlap.push_front(write);
        return;
    }
    if (reaches_peer && !remote) {
        connect_again();
    }
    write.started = true;
    write.on_disk_only = false;
    target.counters.written_sectors += write.sectors();
    if (local) {
        write.local = local_part::pending;
    }
    if (remote) {
        send(write);
    } else {
        mark_out_of_sync(write);
        if (all_.link.up && sends_out_of_sync(target.state)) {
            all_.link.send(channel::data, target.number, command::out_of_sync,
                           wire::block_range{write.sector, write.size, 0});
        }
    }
    if (local) {
        submit_local(write);
    }
}

void write_path::assign_block_id(app_request& request) {
    const auto index = all_.application_pool.index_of(request);
    request.block_id = (++next_id_ << id_index_bits) | index;
}

app_request* write_path::find(std::uint64_t block_id) const {
    app_request* request =
        all_.application_pool.at(block_id & ((std::uint64_t{1} << id_index_bits) - 1));
    return request != nullptr && request->block_id == block_id && block_id != 0 ? request : nullptr;
}

bool write_path::peer_gets_writes(const volume& target) const {
    return all_.link.up && sends_data(target.state);
}

// Not if it was cut for another peer, which took more at a time.
bool write_path::fits_link(const app_request& write) const {
    const auto& rules = all_.link.rules;
    const bool as_data =
        write.op == io_request::operation::write ||
        (write.op == io_request::operation::write_zeroes && !rules.has_write_zeroes());
    return !as_data || write.size <= rules.data_bytes();
}

// What is marked and was not sent is seen by the next handshake.
void write_path::connect_again() {
    all_.defer([this, serial = all_.link.serial] {
        if (all_.link.up && all_.link.serial == serial) {
            all_.states.drop_link(state::connection::network_failure,
                                  "a write is larger than the peer's protocol version allows");
        }
    });
}

wanted_ack write_path::wanted_ack_of(bool when_written) const {
    if (when_written || all_.net.protocol == options::protocol::c) {
        return wanted_ack::write;
    }
    return all_.net.protocol == options::protocol::b ? wanted_ack::receive : wanted_ack::none;
}

void write_path::send(app_request& write) {
    volume& target = *write.target;
    all_.epochs.add(write);
    all_.epochs.send_due_barriers(*write.of);
    if (!all_.link.up) {
        return; // the barrier could not be queued, and the connection was dropped
    }
    assign_block_id(write);
    congestion::entered(write);
    write.net = net_part::queued;
    write.sent_at = all_.now();
    const bool resyncing = target.state.connection >= state::connection::sync_source &&
                           target.state.connection <= state::connection::paused_sync_t;
    write.may_set_in_sync = resyncing;
    // Without a good disk here it is the peer's that counts, whatever the protocol.
    const bool leaning = !target.counts_here();
    write.ack = wanted_ack_of(resyncing || (leaning && all_.link.rules.has_ack_flags()));
    ++target.counters.net_pending;
    target.counters.sent_sectors += write.sectors();
    write.awaits_barrier =
        write.fua && !all_.link.rules.has_flush_flags() && needs_peer_flush(target);
    send_packet(write);
    if (write.awaits_barrier) {
        all_.epochs.hurry();
    }
}

void write_path::send_packet(app_request& write) {
    volume& target = *write.target;
    if (write.op == io_request::operation::write) {
        wire::data_header head;
        head.sector = write.sector;
        head.block_id = write.block_id;
        head.sequence = ++target.sequence;
        head.flags = all_.peers.data_flags(write);
        const auto digest =
            digest_of(all_.handshake.integrity_algorithm(), {write.memory, write.size});
        all_.link.send_data(
            target.number, command::data, head, digest, write.memory, write.size, write.buffer,
            [](void* who, bool sent) {
                auto& request = *static_cast<app_request*>(who);
                if (sent) {
                    request.target->owner->writes.handed_over(request);
                }
            },
            &write);
        return;
    }
    if (write.op == io_request::operation::discard || all_.link.rules.has_write_zeroes()) {
        send_discard(write);
    } else {
        send_zeroes_as_data(write);
    }
}

void write_path::send_discard(app_request& write) {
    wire::discard out;
    out.sector = write.sector;
    out.block_id = write.block_id;
    out.sequence = ++write.target->sequence;
    out.flags = all_.peers.data_flags(write);
    out.size_bytes = write.size;
    all_.link.send(channel::data, write.target->number,
                   write.op == io_request::operation::discard ? command::trim : command::zeroes,
                   out);
    handed_over(write);
}

void write_path::send_zeroes_as_data(app_request& write) {
    alignas(4096) static const std::array<std::byte, max_io_bytes> zeroes{};
    wire::data_header head;
    head.sector = write.sector;
    head.block_id = write.block_id;
    head.sequence = ++write.target->sequence;
    head.flags =
        all_.peers.data_flags(write) & ~(wire::data_flag::zeroes | wire::data_flag::discard);
    const auto digest =
        digest_of(all_.handshake.integrity_algorithm(), {zeroes.data(), write.size});
    all_.link.send_data(write.target->number, command::data, head, digest, zeroes.data(),
                        write.size, {}, nullptr, nullptr);
    handed_over(write);
}

void write_path::handed_over(app_request& write) {
    if (write.net != net_part::queued) {
        return;
    }
    write.net = net_part::sent;
    if (write.ack == wanted_ack::none) {
        --write.target->counters.net_pending;
        check_complete(write);
    }
}

void write_path::submit_local(app_request& request) {
    volume& target = *request.target;
    disk_request& out = request.disk;
    out = {};
    switch (request.op) {
    case io_request::operation::read:
        out.op = disk_request::operation::read;
        break;
    case io_request::operation::write:
        out.op = disk_request::operation::write;
        break;
    case io_request::operation::flush:
        out.op = disk_request::operation::flush;
        break;
    case io_request::operation::discard:
        out.op = disk_request::operation::discard;
        break;
    case io_request::operation::write_zeroes:
        out.op = disk_request::operation::write_zeroes;
        break;
    }
    out.device = backing::data;
    out.fua = request.fua;
    out.may_unmap = request.may_unmap;
    out.offset = request.sector * 512;
    out.size = request.size;
    out.memory = request.memory;
    out.owner = &request;
    out.finished = [](disk_request& done, int error) {
        auto& finished = *static_cast<app_request*>(done.owner);
        finished.target->owner->writes.finish_local(finished, error);
    };
    target.pace.throttle().application_used(request.sectors());
    ++target.counters.local_pending;
    request.on_disk = true;
    target.disk->submit(out);
}

} // namespace lockstep::replica
