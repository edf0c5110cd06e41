// Reads of the peer: its disk is gone, or was never good.
#include "kernel/replica/digests.hpp"
#include "kernel/replica/machinery.hpp"
#include "kernel/replica/peer_writes.hpp"

namespace lockstep::replica {

using state::disk;
using wire::command;

void peer_writes::read_requested(volume& target, const wire::block_request& request) {
    if (!check_range(target, command::data_request, request.sector, request.size_bytes)) {
        return;
    }
    peer_request* read = take(target, peer_request::kind::read);
    if (read == nullptr) {
        all_.states.drop_link(state::connection::network_failure, "too many requests of the peer");
        return;
    }
    read->op = disk_request::operation::read;
    read->sector = request.sector;
    read->size = request.size_bytes;
    read->block_id = request.block_id;
    ++target.counters.unacked;
    begin_read(*read);
}

void peer_writes::refuse_read(volume_number number, const wire::block_request& request) {
    wire::block_ack ack;
    ack.sector = request.sector;
    ack.block_id = request.block_id;
    ack.size_bytes = request.size_bytes;
    all_.link.send(channel::meta, number, command::neg_dreply, ack);
}

// The peer's application may have been told that an earlier write is done (protocols A and B): a
// read does not overtake it.
bool peer_writes::write_on_its_way(const volume& target, const peer_request& read) const {
    if (target.in_flight.overlaps(read.sector, read.sectors()) || waits_before(target, read)) {
        return true;
    }
    for (peer_epoch* each = epochs_.front(); each != nullptr && waiting_ > 0;
         each = epochs_.after(*each)) {
        for (peer_request* write = each->waiting.front(); write != nullptr;
             write = each->waiting.after(*write)) {
            if (write->target == &target && write->overlaps(read)) {
                return true;
            }
        }
    }
    return false;
}

void peer_writes::begin_read(peer_request& read) {
    volume& target = *read.target;
    if (target.state.disk != disk::up_to_date || target.disk == nullptr) {
        read_done(read, EIO);
        return;
    }
    if (write_on_its_way(target, read)) {
        target.peer_waiting_overlap.push_back(read);
        return;
    }
    if (!read.buffer && !find_buffer(read)) {
        target.reads_waiting.push_back(read);
        return;
    }
    all_.resync.submit_read(read, [](disk_request& done, int error) {
        auto& finished = *static_cast<peer_request*>(done.owner);
        --finished.target->counters.local_pending;
        finished.target->owner->peers.read_done(finished, error);
    });
}

bool peer_writes::find_buffer(peer_request& read) {
    // A third of the buffers stays free for what arrives, which alone makes progress certain.
    buffer_pool& pool = all_.memory.peer;
    if (pool.free_bytes() >= read.size + pool.capacity_bytes() / 3) {
        read.buffer = pool.allocate(read.size);
    }
    return static_cast<bool>(read.buffer);
}

void peer_writes::read_done(peer_request& read, int error) {
    volume& target = *read.target;
    if (error != 0 && read.disk.finished != nullptr) {
        if (target.disk != nullptr) {
            target.disk->bits.set(read.sector, read.sectors());
        }
        all_.disks.io_error(target, disk_management::failed_operation::read, read.sector, error);
    }
    if (current(read)) {
        --target.counters.unacked;
        if (error != 0) {
            send_ack(read, command::neg_dreply);
        } else {
            wire::data_header head;
            head.sector = read.sector;
            head.block_id = read.block_id;
            target.counters.sent_sectors += read.sectors();
            const auto digest =
                digest_of(all_.handshake.integrity_algorithm(), {read.buffer.data(), read.size});
            all_.link.send_data(target.number, command::data_reply, head, digest,
                                read.buffer.data(), read.size, read.buffer, nullptr, nullptr);
        }
    }
    release(read);
}

void peer_writes::out_of_sync_received(volume& target, const wire::block_range& range) {
    if (!check_range(target, command::out_of_sync, range.sector, range.size_bytes)) {
        return;
    }
    if (target.disk != nullptr) {
        target.disk->bits.set(range.sector, range.size_bytes / 512);
    }
}

void peer_writes::serve_waiting_reads() {
    for (auto& [number, target] : all_.volumes) {
        while (peer_request* read = target->reads_waiting.front()) {
            if (!find_buffer(*read)) {
                return;
            }
            target->reads_waiting.remove(*read);
            if (read->what == peer_request::kind::read) {
                begin_read(*read);
            } else {
                all_.resync.retry(*read);
            }
        }
    }
}

} // namespace lockstep::replica
