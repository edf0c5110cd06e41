// The peer's epochs: when one ends, what is flushed before its BARRIER_ACK, and when the next
// begins.
#include "kernel/replica/machinery.hpp"
#include "kernel/replica/peer_writes.hpp"

namespace lockstep::replica {

using wire::command;

namespace {

// How long, and for how many writes, a flush is put off while writes go on and nobody waits for it.
// Meanwhile the sender keeps these writes in its activity log, and resyncs them if this node dies.
constexpr instant flush_put_off_max = milliseconds(50);
constexpr std::uint32_t put_off_writes_max = 1024;

} // namespace

peer_epoch* peer_writes::epoch_of(const peer_request& write) {
    return write.of != nullptr && write.of->serial == write.epoch_serial ? write.of : nullptr;
}

// The one that takes what arrives now; null, and the link dropped, if there are too many.
peer_epoch* peer_writes::open_epoch() {
    peer_epoch* open = epochs_.back();
    if (open != nullptr && !open->ended) {
        return open;
    }
    open = pool_.take();
    if (open == nullptr) {
        all_.states.drop_link(state::connection::protocol_error, "too many barriers");
        return nullptr;
    }
    open->serial = next_serial_++;
    epochs_.push_back(*open);
    return open;
}

void peer_writes::refuse_write(volume_number number, std::uint64_t sector, std::uint32_t size,
                               std::uint64_t block_id) {
    peer_epoch* open = open_epoch();
    if (open == nullptr) {
        return;
    }
    ++open->writes;
    if (block_id == 0) {
        return; // an empty one, which only ends an epoch: see transfer_log::send_empty_writes()
    }
    wire::block_ack ack;
    ack.sector = sector;
    ack.block_id = block_id;
    ack.size_bytes = size;
    all_.link.send(channel::meta, number, command::neg_ack, ack);
}

// Does an earlier one hold it back? Asked for the last one only.
bool peer_writes::must_wait(const peer_epoch& in) const {
    return holding_ > (in.holds_later ? 1U : 0U);
}

bool peer_writes::ready(const peer_epoch& which) const {
    return which.ended && which.active == 0;
}

void peer_writes::barrier_received(const wire::barrier& barrier) {
    peer_epoch* open = open_epoch();
    if (open == nullptr) {
        return;
    }
    open->ended = true;
    open->number = barrier.number;
    put_off_writes_ += open->writes;
    if (put_off_writes_ >= put_off_writes_max) {
        hurry();
        return;
    }
    if (!put_off_.armed()) {
        put_off_.arm(all_.now() + flush_put_off_max);
    }
    advance();
}

void peer_writes::hurry() {
    const peer_epoch* last = epochs_.back();
    if (last != nullptr) {
        due_through_ = last->ended ? last->serial : last->serial - 1;
    }
    put_off_writes_ = 0;
    put_off_.cancel();
    advance();
}

bool peer_writes::flush_is_due(const peer_epoch& oldest) const {
    const bool flushes = std::ranges::any_of(
        all_.volumes, [](const auto& entry) { return entry.second->options.disk_flushes; });
    return holding_ > 0 || oldest.failed || oldest.serial <= due_through_ || !flushes;
}

void peer_writes::advance() {
    while (peer_epoch* oldest = epochs_.front()) {
        if (!ready(*oldest)) {
            return;
        }
        if (!oldest->flushed && oldest->writes > 0 && !flush_is_due(*oldest)) {
            return;
        }
        if (!oldest->flushed && oldest->writes > 0 && flush()) {
            return;
        }
        if (flushes_pending_ > 0 && oldest->serial <= flushing_through_) {
            return;
        }
        if (oldest->failed) {
            // The peer goes on thinking that we may lack these writes, and resyncs them.
            all_.states.drop_link(state::connection::network_failure,
                                  "writes of the peer can't be made durable here");
            return;
        }
        if (all_.link.up) {
            all_.link.send(channel::meta, 0, command::barrier_ack,
                           wire::barrier_ack{oldest->number, oldest->writes});
        }
        remove(*oldest);
        begin_waiting();
    }
}

void peer_writes::remove(peer_epoch& which) {
    holding_ -= which.holds_later ? 1 : 0;
    epochs_.remove(which);
    pool_.give_back(which);
}

// For all epochs that are ready, in one go. False: there is nothing to be flushed.
bool peer_writes::flush() {
    // Of earlier epochs, or for a connection that is gone: flushed() comes back here.
    if (flushes_pending_ > 0) {
        return true;
    }
    for (peer_epoch* each = epochs_.front(); each != nullptr && ready(*each);
         each = epochs_.after(*each)) {
        each->flushed = true;
        flushing_through_ = each->serial;
    }
    std::size_t slot = 0;
    for (auto& [number, target] : all_.volumes) {
        // A disk that is about to be detached has to keep its promises too.
        const bool in_use = target->disk != nullptr && target->attaching == nullptr;
        if (!in_use || !target->options.disk_flushes) {
            continue;
        }
        while (slot < flushes_.size() && flushes_[slot].request.under_way()) {
            ++slot;
        }
        LOCKSTEP_CHECK(slot < flushes_.size());
        epoch_flush& out = flushes_[slot++];
        out.given_up = false;
        out.owner = this;
        out.request = {};
        out.request.op = disk_request::operation::flush;
        out.request.device = backing::data;
        out.request.owner = &out;
        out.request.finished = [](disk_request& request, int error) {
            auto& ended = *static_cast<epoch_flush*>(request.owner);
            if (!ended.given_up) {
                ended.owner->flushed(request.volume, error);
            }
        };
        ++flushes_pending_;
        target->disk->submit(out.request);
    }
    return flushes_pending_ > 0;
}

void peer_writes::flush_failed() {
    for (peer_epoch* each = epochs_.front(); each != nullptr && each->serial <= flushing_through_;
         each = epochs_.after(*each)) {
        each->failed = true;
    }
}

void peer_writes::flushed(volume_number number, int error) {
    --flushes_pending_;
    if (error != 0) {
        flush_failed();
        if (volume* target = all_.find(number)) {
            all_.disks.io_error(*target, disk_management::failed_operation::flush, 0, error);
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

bool peer_writes::writes_until(const volume& target, std::uint64_t arrival) {
    for (peer_request* each = target.peer_requests.front();
         each != nullptr && each->arrival <= arrival; each = target.peer_requests.after(*each)) {
        if (each->what == peer_request::kind::write) {
            return true;
        }
    }
    return false;
}

void peer_writes::wait_until(volume& target, std::uint64_t arrival, std::function<void()> then) {
    auto& waiting = target.waiting_written;
    const auto place =
        std::ranges::upper_bound(waiting, arrival, {}, &volume::wait_for_writes::through);
    waiting.insert(place, {arrival, std::move(then)});
}

void peer_writes::when_written(volume& target, std::function<void()> then) const {
    if (writes_until(target, arrivals_)) {
        wait_until(target, arrivals_, std::move(then));
    } else {
        then();
    }
}

void peer_writes::generation_made(volume& target) {
    target.generation_covers = arrivals_;
    if (target.peer_waiting_log.empty()) {
        return;
    }
    all_.defer([this, number = target.number] {
        volume* const found = all_.find(number);
        if (found != nullptr && found->disk != nullptr && found->disk->log != nullptr) {
            log_committed(*found);
        }
    });
}

// An empty write, behind all that came before it: also by an earlier connection, of which the
// sender knows no epochs any more.
void peer_writes::begin_flush(peer_request& flush) {
    volume& target = *flush.target;
    if (writes_until(target, flush.arrival - 1)) {
        wait_until(target, flush.arrival - 1, [this, &flush] { admit(flush); });
    } else {
        submit(flush);
    }
}

void peer_writes::end_waits(volume& target) {
    auto& waiting = target.waiting_written;
    while (!waiting.empty() && !writes_until(target, waiting.front().through)) {
        const auto then = std::move(waiting.front().then);
        waiting.erase(waiting.begin());
        then();
    }
}

// The oldest write that no epoch holds back any more.
peer_request* peer_writes::next_waiting() {
    for (peer_epoch* each = epochs_.front(); each != nullptr; each = epochs_.after(*each)) {
        if (peer_request* write = each->waiting.pop_front()) {
            --waiting_;
            return write;
        }
        if (each->holds_later) {
            break;
        }
    }
    return nullptr;
}

// A write may end while it begins, and its epoch with it: so each is looked for anew.
void peer_writes::begin_waiting() {
    while (waiting_ > 0) {
        peer_request* write = next_waiting();
        if (write == nullptr) {
            return;
        }
        admit(*write);
    }
}

} // namespace lockstep::replica
