// The source's half of a resync, and the waiting that reads of the resync, of verify and of the
// peer's application have in common.
#include <cerrno>
#include <cstring>

#include "kernel/replica/digests.hpp"
#include "kernel/replica/machinery.hpp"
#include "kernel/replica/resync.hpp"

namespace lockstep::replica {

using state::connection;
using state::disk;
using wire::command;

void resync_runner::block_requested(volume& target, const wire::block_request& request, bool thin) {
    serve_request(target, wire::digest_request{request, {}}, thin);
}

void resync_runner::checksum_received(volume& target, const wire::digest_request& request) {
    serve_request(target, request, false);
}

void resync_runner::serve_request(volume& target, const wire::digest_request& request, bool thin) {
    const std::uint64_t end = request.block.sector + request.block.size_bytes / 512;
    if (request.block.size_bytes == 0 || end > target.size_sectors) {
        all_.states.drop_link(connection::protocol_error,
                              "a resync request past the end of the device");
        return;
    }
    peer_request* read = all_.peers.take(target, peer_request::kind::resync_read);
    if (read == nullptr) {
        all_.states.drop_link(connection::network_failure, "too many requests of the peer");
        return;
    }
    read->op = disk_request::operation::read;
    read->sector = request.block.sector;
    read->size = request.block.size_bytes;
    read->block_id = wire::block_id_resync;
    read->thin = thin;
    read->digest = request.of_block;
    ++target.counters.unacked;
    serve(*read);
}

// The application has right of way: while it is busy, only c-min-rate of the resync is served.
void resync_runner::serve(peer_request& request) {
    volume& target = *request.target;
    auto& throttle = target.pace.throttle();
    if (!target.reads_throttled.empty() || !throttle.may_begin(all_.now())) {
        target.reads_throttled.push_back(request);
        target.resync_timer.arm_earlier(throttle.next_at(all_.now()));
        return;
    }
    throttle.spend(request.sectors());
    retry(request);
}

void resync_runner::serve_throttled(volume& target) {
    auto& throttle = target.pace.throttle();
    while (peer_request* read = target.reads_throttled.front()) {
        if (!throttle.may_begin(all_.now())) {
            target.resync_timer.arm_earlier(throttle.next_at(all_.now()));
            return;
        }
        target.reads_throttled.remove(*read);
        throttle.spend(read->sectors());
        retry(*read);
    }
}

void resync_runner::retry(peer_request& request) {
    volume& target = *request.target;
    if (request.what == peer_request::kind::resync_write) {
        admit_write(request);
        return;
    }
    // To be a source the disk must be good; digests can be made of any.
    const bool good = request.what == peer_request::kind::resync_read
                          ? target.has_disk(disk::up_to_date)
                          : target.has_disk();
    if (!good) {
        read_done(request, EIO);
        return;
    }
    if (!request.interval.linked()) {
        if (all_.peers.write_on_its_way(target, request)) {
            target.peer_waiting_overlap.push_back(request);
            return;
        }
        target.in_flight.insert(request.interval, request.sector, request.sectors());
    }
    if (!request.buffer && !all_.peers.find_buffer(request)) {
        // What the application writes before a block is compared would make it look different; the
        // peer's writes, which bring buffers back, do not wait for such a block.
        if (request.what != peer_request::kind::verify_read) {
            target.in_flight.erase(request.interval);
            target.retry_overlaps = true;
        }
        target.reads_waiting.push_back(request);
        return;
    }
    submit_read(request, [](disk_request& done, int error) {
        auto& ended = *static_cast<peer_request*>(done.owner);
        --ended.target->counters.local_pending;
        ended.target->owner->resync.read_done(ended, error);
    });
}

void resync_runner::submit_read(peer_request& request, void (*when_done)(disk_request&, int)) {
    volume& target = *request.target;
    disk_request& out = request.disk;
    out = {};
    out.op = disk_request::operation::read;
    out.device = backing::data;
    out.resync = true;
    out.offset = request.sector * 512;
    out.size = request.size;
    out.memory = request.buffer.data();
    out.owner = &request;
    out.finished = when_done;
    target.counters.read_sectors += request.sectors();
    ++target.counters.local_pending;
    target.disk->submit(out);
}

void resync_runner::read_done(peer_request& request, int error) {
    volume& target = *request.target;
    const bool from_disk = request.disk.finished != nullptr;
    if (error != 0 && from_disk) {
        all_.disks.io_error(target, disk_management::failed_operation::read, request.sector, error);
    }
    switch (request.what) {
    case peer_request::kind::checksum_read:
        checksum_read_done(request, error);
        break;
    case peer_request::kind::verify_read:
    case peer_request::kind::verify_reply:
        all_.verify.read_done(request, error);
        break;
    default:
        answer_request(request, error);
        break;
    }
}

void resync_runner::answer_request(peer_request& request, int error) {
    volume& target = *request.target;
    if (!all_.peers.current(request)) {
        all_.peers.release(request);
        return;
    }
    const const_byte_span data(request.buffer.data(), error == 0 ? request.size : 0);
    const bool by_checksum = request.digest.size > 0;
    if (error != 0) {
        count_failed(target, request.sector, request.size);
        --target.counters.unacked;
        all_.peers.send_ack(request, command::neg_rs_dreply);
    } else if (by_checksum && digest_of(all_.net.csums_alg, data) == request.digest) {
        target.disk->bits.clear(request.sector, request.sectors());
        target.run.same_checksum_bits += request.size / 4096;
        --target.counters.unacked;
        all_.peers.send_ack(request, command::rs_is_in_sync);
    } else if (request.thin && all_zero(data)) {
        all_.link.send(channel::data, target.number, command::rs_deallocated,
                       wire::block_range{request.sector, request.size, 0});
    } else {
        wire::data_header head;
        head.sector = request.sector;
        head.block_id = wire::block_id_resync;
        target.counters.sent_sectors += request.sectors();
        const auto digest = digest_of(all_.handshake.integrity_algorithm(), data);
        all_.link.send_data(target.number, command::rs_data_reply, head, digest, data.data(),
                            request.size, request.buffer, nullptr, nullptr);
    }
    // The reply is in the queue: writes in this block may follow it.
    all_.peers.release(request);
}

void resync_runner::checksum_read_done(peer_request& request, int error) {
    volume& target = *request.target;
    if (all_.peers.current(request)) {
        if (error != 0) {
            count_failed(target, request.sector, request.size);
            left_flight(target, request.size);
        } else {
            wire::digest_request out;
            out.block = {request.sector, wire::block_id_resync, request.size, 0};
            out.of_block = digest_of(all_.net.csums_alg, {request.buffer.data(), request.size});
            all_.link.send(channel::data, target.number, command::csum_rs_request, out);
            if (all_.peers.current(request)) {
                // Kept until it is answered.
                target.in_flight.erase(request.interval);
                target.retry_overlaps = true;
                request.buffer.reset();
                request.what = peer_request::kind::resync_request;
                peer_writes::hold_asked(target, request);
                return;
            }
        }
    }
    all_.peers.release(request);
}

void resync_runner::write_acknowledged(volume& target, const wire::block_ack& ack, bool written) {
    if (target.counters.unacked > 0) {
        --target.counters.unacked;
    }
    if (target.disk == nullptr) {
        return;
    }
    if (written) {
        target.disk->bits.clear(ack.sector, ack.size_bytes / 512);
        target.marks.advance(all_.now(), target.disk->bits.weight());
    } else {
        count_failed(target, ack.sector, ack.size_bytes);
    }
}

} // namespace lockstep::replica
