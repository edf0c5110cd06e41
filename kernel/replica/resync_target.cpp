// The target of a resync: it asks for what it lacks, writes what comes, and says so.
#include "kernel/replica/digests.hpp"
#include "kernel/replica/machinery.hpp"
#include "kernel/replica/resync.hpp"

namespace lockstep::replica {

using state::connection;

void resync_runner::tick(volume& target) {
    if (target.state.connection == connection::sync_source ||
        target.state.connection == connection::paused_sync_s) {
        // Paused, too: what was asked before holds up the target's own writes to these blocks.
        serve_throttled(target);
        return;
    }
    if (target.state.connection != connection::sync_target || target.run.helper_running ||
        target.disk == nullptr || !all_.link.up) {
        return;
    }
    const instant now = all_.now();
    target.marks.advance(now, target.disk->bits.weight());
    std::uint32_t allowed = target.pace.blocks_now(now, target.run.in_flight_sectors);
    while (allowed > 0) {
        std::uint32_t blocks = 0;
        if (!request_next(target, allowed, blocks)) {
            break;
        }
        target.pace.requested(now, blocks);
        allowed -= std::min(allowed, blocks);
    }
    target.resync_timer.arm(target.pace.next_at(now));
    check_finished(target);
}

// rs-discard-granularity in blocks; 0: zeroes are copied like everything else, because that is
// wanted or because the disk or the link can do no other.
std::uint64_t resync_runner::thin_blocks(const volume& target) const {
    const bool possible = target.disk->properties.can_discard && all_.link.rules.has_thin_resync();
    return possible ? (std::uint64_t{target.options.rs_discard_granularity} + 4095) / 4096 : 0;
}

bool resync_runner::request_next(volume& target, std::uint32_t blocks_max, std::uint32_t& blocks) {
    const bitmap& bits = target.disk->bits;
    const std::uint64_t first = bits.find_next_set(target.run.position);
    if (first == bitmap::none) {
        // At the end: what was set behind our back is found by another round, when all answers
        // are in.
        if (target.run.in_flight > 0 || target.run.position == 0) {
            return false;
        }
        if (bits.weight() <= target.run.failed_bits) {
            return false;
        }
        target.run.position = 0;
        return false;
    }
    // Adjacent bits go together: naturally aligned, as large as the link and a buffer carry, and
    // not across a border of 16 MiB.
    // Zeroes are found only in a request as large as rs-discard-granularity, so that may be a
    // little more than what is left of this step.
    std::uint64_t count = 1;
    const std::uint64_t thin = thin_blocks(target);
    const std::uint64_t most = std::min<std::uint64_t>(std::max<std::uint64_t>(blocks_max, thin),
                                                       all_.link.rules.data_bytes() / 4096);
    if (!target.run.use_checksums || most == 1) {
        const std::uint64_t clear = bits.find_next_clear(first);
        const std::uint64_t run = (clear == bitmap::none ? bits.bits() : clear) - first;
        while (count * 2 <= most && count * 2 <= run && first % (count * 2) == 0 &&
               (thin == 0 || count < thin)) {
            count *= 2;
        }
    }
    std::uint32_t size = static_cast<std::uint32_t>(count) * 4096;
    const std::uint64_t sector = first * bitmap::sectors_per_bit;
    // The last block of an odd-sized device is shorter.
    const std::uint64_t left = (target.size_sectors - sector) * 512;
    size = static_cast<std::uint32_t>(std::min<std::uint64_t>(size, left));
    if (!all_.peers.can_ask() || target.in_flight.overlaps(sector, size / 512)) {
        return false; // a write is on its way there: the block's turn comes with the next tick
    }
    target.run.position = first + count;
    ++target.run.in_flight;
    target.run.in_flight_sectors += size / 512;
    blocks = static_cast<std::uint32_t>(count);
    send_request(target, sector, size);
    return all_.link.up;
}

void resync_runner::send_request(volume& target, std::uint64_t sector, std::uint32_t size) {
    if (!target.run.use_checksums) {
        peer_request* asked = all_.peers.take(target, peer_request::kind::resync_request);
        LOCKSTEP_CHECK(asked != nullptr);
        asked->sector = sector;
        asked->size = size;
        peer_writes::hold_asked(target, *asked);
        const std::uint64_t least = thin_blocks(target);
        const bool thin = least != 0 && size >= least * 4096;
        all_.link.send(channel::data, target.number,
                       thin ? wire::command::rs_thin_req : wire::command::rs_data_request,
                       wire::block_request{sector, wire::block_id_resync, size, 0});
        return;
    }
    peer_request* read = all_.peers.take(target, peer_request::kind::checksum_read);
    LOCKSTEP_CHECK(read != nullptr);
    read->op = disk_request::operation::read;
    read->sector = sector;
    read->size = size;
    read->block_id = wire::block_id_resync;
    retry(*read);
}

void resync_runner::give_back_asked(volume& target, std::uint64_t sector) {
    if (peer_request* asked =
            peer_writes::find_asked(target, sector, peer_request::kind::resync_request)) {
        all_.peers.release(*asked);
    }
}

void resync_runner::left_flight(volume& target, std::uint32_t size) {
    if (target.run.in_flight > 0) {
        --target.run.in_flight;
    }
    target.run.in_flight_sectors -=
        std::min<std::uint64_t>(target.run.in_flight_sectors, size / 512);
    target.pace.arrived(size / 512);
}

void resync_runner::reply_received(volume& target, const wire::data_header& head,
                                   std::uint32_t size, buffer_ref data) {
    if (!is_sync_target(target.state.connection)) {
        return; // our disk did not survive the resync
    }
    if (target.run.in_flight == 0 || head.sector + size / 512 > target.size_sectors) {
        all_.states.drop_link(connection::protocol_error,
                              "RS_DATA_REPLY for a block that was not asked for");
        return;
    }
    give_back_asked(target, head.sector);
    peer_request* write = all_.peers.take(target, peer_request::kind::resync_write);
    LOCKSTEP_CHECK(write != nullptr); // place_data() kept some back
    write->op = disk_request::operation::write;
    write->sector = head.sector;
    write->size = size;
    write->block_id = wire::block_id_resync;
    write->buffer = std::move(data);
    ++target.counters.unacked;
    admit_write(*write);
}

void resync_runner::deallocated_received(volume& target, const wire::block_range& range) {
    if (!is_sync_target(target.state.connection)) {
        return;
    }
    if (target.run.in_flight == 0 || range.sector + range.size_bytes / 512 > target.size_sectors) {
        all_.states.drop_link(connection::protocol_error,
                              "RS_DEALLOCATED for a block that was not asked for");
        return;
    }
    give_back_asked(target, range.sector);
    peer_request* write = all_.peers.take(target, peer_request::kind::resync_write);
    if (write == nullptr) {
        all_.states.drop_link(connection::network_failure, "too many requests of the peer");
        return;
    }
    // Zeroes for certain, deallocated where the device can.
    write->op = disk_request::operation::write_zeroes;
    write->sector = range.sector;
    write->size = range.size_bytes;
    write->block_id = wire::block_id_resync;
    ++target.counters.unacked;
    admit_write(*write);
}

void resync_runner::admit_write(peer_request& write) {
    volume& target = *write.target;
    if (!target.has_disk()) {
        write_done(write, EIO);
        return;
    }
    if (target.in_flight.overlaps(write.sector, write.sectors()) ||
        peer_writes::waits_before(target, write)) {
        target.peer_waiting_overlap.push_back(write);
        return;
    }
    target.in_flight.insert(write.interval, write.sector, write.sectors());
    disk_request& out = write.disk;
    out = {};
    out.op = write.op;
    out.device = backing::data;
    out.resync = true;
    out.may_unmap = true;
    out.offset = write.sector * 512;
    out.size = write.size;
    out.memory = write.buffer.data();
    out.owner = &write;
    out.finished = [](disk_request& request, int error) {
        auto& done = *static_cast<peer_request*>(request.owner);
        --done.target->counters.local_pending;
        done.target->owner->resync.write_done(done, error);
    };
    target.counters.written_sectors += write.sectors();
    ++target.counters.local_pending;
    target.disk->submit(out);
}

void resync_runner::write_done(peer_request& write, int error) {
    volume& target = *write.target;
    const bool current = all_.peers.current(write);
    if (error == 0) {
        if (target.disk != nullptr && current) {
            target.disk->bits.clear(write.sector, write.sectors());
        }
        all_.peers.send_ack(write, wire::command::rs_write_ack);
    } else {
        count_failed(target, write.sector, write.size);
        all_.peers.send_ack(write, wire::command::neg_ack);
        if (write.disk.finished != nullptr) {
            all_.disks.io_error(target, disk_management::failed_operation::write, write.sector,
                                error);
        }
    }
    if (current) {
        --target.counters.unacked;
        left_flight(target, write.size);
    }
    all_.peers.release(write);
    if (current) {
        tick(target);
    }
}

void resync_runner::in_sync_received(volume& target, const wire::block_ack& ack) {
    if (target.run.in_flight == 0 || !is_sync_target(target.state.connection)) {
        return;
    }
    give_back_asked(target, ack.sector);
    if (target.disk != nullptr) {
        target.disk->bits.clear(ack.sector, ack.size_bytes / 512);
    }
    target.run.same_checksum_bits += ack.size_bytes / 4096;
    left_flight(target, ack.size_bytes);
    tick(target);
}

void resync_runner::refused(volume& target, const wire::block_ack& ack, bool cancelled) {
    if (all_.verify.refused(target, ack, cancelled) ||
        target.state.connection == connection::verify_s || target.run.in_flight == 0) {
        return;
    }
    give_back_asked(target, ack.sector);
    if (!cancelled) {
        count_failed(target, ack.sector, ack.size_bytes);
    }
    left_flight(target, ack.size_bytes);
    tick(target);
}

void resync_runner::count_failed(volume& target, std::uint64_t sector, std::uint32_t size) {
    if (target.disk != nullptr) {
        target.run.failed_bits += target.disk->bits.count_in(sector, size / 512);
    }
}

void resync_runner::bits_cleared(volume& target) {
    check_finished(target);
}

} // namespace lockstep::replica
