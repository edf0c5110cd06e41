#include "kernel/replica/read_path.hpp"

#include <cerrno>
#include <cstring>

#include "kernel/replica/machinery.hpp"

namespace lockstep::replica {

using state::disk;
using wire::command;

bool read_path::good_here(const volume& target, const app_request& read) const {
    if (!target.has_disk() || read.local == local_part::failed) {
        return false;
    }
    if (target.state.disk == disk::up_to_date) {
        return true;
    }
    // A disk on its way to UpToDate is good where nothing is out of sync.
    return target.state.disk == disk::inconsistent && (peer_can(target) || target.errors_noted)
               ? !target.disk->bits.any_in(read.sector, read.sectors())
               : target.state.disk != disk::inconsistent;
}

bool read_path::peer_can(const volume& target) const {
    return all_.link.up && target.connected() && target.state.peer_disk == disk::up_to_date;
}

bool read_path::prefer_peer(volume& target, const app_request& read) {
    if (!peer_can(target)) {
        return false;
    }
    using options::read_balancing;
    const auto striped = [&](unsigned shift) { return ((read.sector * 512) >> shift & 1U) != 0; };
    switch (target.options.read_balancing) {
    case read_balancing::prefer_local:
        return false;
    case read_balancing::prefer_remote:
        return true;
    case read_balancing::round_robin:
        round_robin_ = !round_robin_;
        return round_robin_;
    case read_balancing::least_pending:
        return target.counters.local_pending > target.counters.pending_reads;
    case read_balancing::when_congested_remote:
        return target.counters.local_pending > 32;
    case read_balancing::striping_32k:
        return striped(15);
    case read_balancing::striping_64k:
        return striped(16);
    case read_balancing::striping_128k:
        return striped(17);
    case read_balancing::striping_256k:
        return striped(18);
    case read_balancing::striping_512k:
        return striped(19);
    case read_balancing::striping_1m:
        return striped(20);
    }
    return false;
}

void read_path::start(app_request& read) {
    volume& target = *read.target;
    if (good_here(target, read) && !prefer_peer(target, read)) {
        from_disk(read);
    } else if (peer_can(target)) {
        from_peer(read);
    } else {
        target.waiting_data.push_back(read);
        all_.writes.fail_waiting(target, EIO);
    }
}

void read_path::from_disk(app_request& read) {
    read.started = true;
    read.local = local_part::pending;
    read.target->counters.read_sectors += read.sectors();
    all_.writes.submit_local(read);
}

void read_path::from_peer(app_request& read) {
    volume& target = *read.target;
    read.started = true;
    read.net = net_part::sent;
    all_.writes.assign_block_id(read);
    ++target.counters.net_pending;
    ++target.counters.pending_reads;
    all_.link.send(channel::data, target.number, command::data_request,
                   wire::block_request{read.sector, read.block_id, read.size, 0});
}

void read_path::local_done(app_request& read) {
    if (read.local == local_part::done) {
        finish(read, 0);
        return;
    }
    // Whatever the policy did with the disk: the peer may have the data.
    volume& target = *read.target;
    if (peer_can(target)) {
        from_peer(read);
    } else {
        finish(read, EIO);
    }
}

// The device may write into the read's memory whenever it likes, so the reader gets other memory.
void read_path::disk_given_up(app_request& read) {
    if (!read.left_to_disk && !leave_memory_to_disk(read)) {
        finish(read, EIO);
        return;
    }
    local_done(read);
}

bool read_path::leave_memory_to_disk(app_request& read) {
    io_request& parent = *read.parent;
    buffer_ref other = all_.memory.peer.allocate(parent.buffer.size());
    if (!other) {
        return false;
    }
    const buffer_ref old = parent.buffer;
    std::memcpy(other.data(), old.data(), parent.buffer.size());
    volume& target = *read.target;
    for (app_request* each = target.application_requests.front(); each != nullptr;
         each = target.application_requests.after(*each)) {
        if (each->parent == &parent) {
            each->memory = other.data() + (each->memory - old.data());
            each->buffer = other;
            each->left_to_disk = each->on_disk ? old : buffer_ref{};
        }
    }
    parent.buffer = std::move(other);
    return true;
}

void read_path::reply_received(volume& target, const wire::data_header& head, std::uint32_t size,
                               const buffer_ref& data) {
    app_request* read = all_.writes.find(head.block_id);
    if (read == nullptr || read->target != &target || read->net != net_part::sent ||
        read->op != io_request::operation::read || read->sector != head.sector ||
        read->size != size) {
        all_.states.drop_link(state::connection::protocol_error,
                              "DATA_REPLY for a read that is not under way");
        return;
    }
    std::memcpy(read->memory, data.data(), size);
    --target.counters.net_pending;
    --target.counters.pending_reads;
    read->net = net_part::acknowledged;
    finish(*read, 0);
}

void read_path::refused(volume& target, const wire::block_ack& ack) {
    app_request* read = all_.writes.find(ack.block_id);
    if (read == nullptr || read->target != &target || read->net != net_part::sent ||
        read->op != io_request::operation::read) {
        all_.states.drop_link(state::connection::protocol_error,
                              "NEG_DREPLY for a read that is not under way");
        return;
    }
    --target.counters.net_pending;
    --target.counters.pending_reads;
    read->net = net_part::failed;
    if (read->local != local_part::failed && good_here(target, *read)) {
        from_disk(*read);
    } else {
        finish(*read, EIO);
    }
}

void read_path::link_lost() {
    for (auto& [number, target] : all_.volumes) {
        peer_lost(*target);
    }
}

void read_path::peer_lost(volume& target) {
    for (app_request* each = target.application_requests.front(); each != nullptr;) {
        app_request* following = target.application_requests.after(*each);
        if (each->op == io_request::operation::read && each->net == net_part::sent) {
            each->net = net_part::none;
            each->block_id = 0;
            each->started = false; // it begins anew
            --target.counters.net_pending;
            --target.counters.pending_reads;
            target.waiting_data.push_back(*each);
            target.retry_data = true;
        }
        each = following;
    }
}

void read_path::finish(app_request& read, int error) {
    all_.writes.complete(read, error);
    all_.writes.retire(read);
}

} // namespace lockstep::replica
