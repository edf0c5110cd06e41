// The peer's epochs: when one ends, what is flushed before its BARRIER_ACK, and when the next
// begins.
#include "kernel/replica/machinery.hpp"
#include "kernel/replica/peer_writes.hpp"

namespace lockstep::replica {

using wire::command;

peer_epoch* peer_writes::find(std::uint64_t serial) const {
    for (peer_epoch* each = epochs_.front(); each != nullptr; each = epochs_.after(*each)) {
        if (each->serial == serial) {
            return each;
        }
    }
    return nullptr;
}

void peer_writes::barrier_received(const wire::barrier& barrier) {
    peer_epoch* open = epochs_.back();
    if (open == nullptr || open->ended) {
        open = pool_.take();
        if (open == nullptr) {
            all_.states.drop_link(state::connection::protocol_error, "too many barriers");
            return;
        }
        open->serial = next_serial_++;
        epochs_.push_back(*open);
    }
    open->ended = true;
    open->number = barrier.number;
    advance();
}

void peer_writes::advance() {
    while (peer_epoch* oldest = epochs_.front()) {
        if (!oldest->ended || oldest->active > 0 || oldest->flushes > 0) {
            return;
        }
        if (!oldest->flushed && oldest->writes > 0 && flush(*oldest)) {
            return;
        }
        if (oldest->failed) {
            // The peer goes on thinking that we may lack these writes, and resyncs them.
            all_.states.drop_link(state::connection::network_failure,
                                  "writes of the peer can't be made durable here");
            return;
        }
        if (!oldest->conflicted && all_.link.up) {
            all_.link.send(channel::meta, 0, command::barrier_ack,
                           wire::barrier_ack{oldest->number, oldest->writes});
        }
        epochs_.remove(*oldest);
        pool_.give_back(*oldest);
        begin_waiting();
    }
}

bool peer_writes::flush(peer_epoch& which) {
    // Flushes for a connection that is gone: flushed() comes back here.
    if (std::ranges::any_of(flushes_, [](const epoch_flush& each) { return each.busy; })) {
        return true;
    }
    which.flushed = true;
    std::size_t slot = 0;
    for (auto& [number, target] : all_.volumes) {
        // A disk that is about to be detached has to keep its promises too.
        const bool in_use = target->disk != nullptr && target->attaching == nullptr;
        if (!in_use || !target->options.disk_flushes) {
            continue;
        }
        LOCKSTEP_CHECK(slot < flushes_.size());
        epoch_flush& out = flushes_[slot++];
        out.busy = true;
        out.owner = this;
        out.serial = which.serial;
        out.request = {};
        out.request.op = disk_request::operation::flush;
        out.request.device = backing::data;
        out.request.owner = &out;
        out.request.finished = [](disk_request& request, int error) {
            auto& ended = *static_cast<epoch_flush*>(request.owner);
            ended.busy = false;
            ended.owner->flushed(ended.serial, request.volume, error);
        };
        ++which.flushes;
        target->disk->submit(out.request);
    }
    return which.flushes > 0;
}

void peer_writes::flushed(std::uint64_t serial, volume_number number, int error) {
    peer_epoch* its = find(serial);
    if (its != nullptr) {
        --its->flushes;
        its->failed |= error != 0;
    }
    if (error != 0) {
        if (volume* target = all_.find(number)) {
            all_.disks.io_error(*target, disk_management::failed_operation::write, 0, error);
        }
    }
    advance();
}

void peer_writes::disk_lost() {
    for (peer_epoch* each = epochs_.front(); each != nullptr; each = epochs_.after(*each)) {
        each->failed |= each->writes > 0;
    }
    all_.defer([this] { advance(); });
}

void peer_writes::begin_waiting() {
    peer_epoch* oldest = epochs_.front();
    if (oldest == nullptr) {
        return;
    }
    intrusive_list<peer_request, in_waiting> waiting;
    waiting.append(oldest->waiting);
    // `active` counts them all, so the epoch can't end before the last one has begun.
    while (peer_request* write = waiting.pop_front()) {
        admit(*write);
    }
}

} // namespace lockstep::replica
