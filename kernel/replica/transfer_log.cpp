#include "kernel/replica/transfer_log.hpp"

#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "kernel/replica/digests.hpp"
#include "kernel/replica/machinery.hpp"

namespace lockstep::replica {

namespace {

// How long a barrier waits for a next write. When none comes the peer is told to flush at once.
constexpr instant barrier_put_off_max = milliseconds(10);

} // namespace

void epoch::reset() {
    number = 0;
    writes = 0;
    closed = false;
    barrier_sent = false;
    hurried = false;
    link_serial = 0;
    conflicted = false;
    waiting.clear();
}

// Every request can be in an epoch of its own, and one more is open.
transfer_log::transfer_log(machinery& all, std::size_t requests)
    : all_(all), pool_(requests + 2), put_off_(all.clock, [this] { hurry(); }) {}

bool transfer_log::may_put_off() const {
    return all_.net.protocol == options::protocol::c && all_.handshake.peer_is_lockstep();
}

epoch& transfer_log::current() {
    epoch* last = epochs_.back();
    if (last == nullptr || last->closed) {
        last = pool_.take();
        LOCKSTEP_CHECK(last != nullptr);
        last->number = next_number_++;
        last->link_serial = all_.link.serial;
        epochs_.push_back(*last);
        unsent_ = unsent_ == nullptr ? last : unsent_;
    }
    return *last;
}

void transfer_log::add(app_request& write) {
    epoch* open = &current();
    if (open->writes >= all_.net.max_epoch_size) {
        close_current();
        open = &current();
    }
    ++open->writes;
    write.of = open;
    write.net_done = false;
    open->requests.push_back(write);
}

void transfer_log::close_current() {
    epoch* last = epochs_.back();
    if (last == nullptr || last->closed || last->writes == 0) {
        return;
    }
    last->closed = true;
    if (all_.link.up && all_.link.idle(channel::data)) {
        queue_ran_dry();
    }
}

void transfer_log::hurry() {
    close_current();
    epoch* last = epochs_.back();
    if (last == nullptr || !last->closed || last->hurried || !all_.link.up ||
        last->link_serial != all_.link.serial || !all_.handshake.peer_is_lockstep()) {
        return;
    }
    last->hurried = true;
    send_barriers(nullptr);
    all_.link.send_empty(channel::data, 0, wire::command::unplug_remote);
}

void transfer_log::completed(app_request& write) {
    if (write.of != nullptr && write.of == epochs_.back()) {
        close_current();
    }
}

// Of the closed epochs, which come first. A peer that is slow to acknowledge leaves many behind
// whose barriers are sent: they are not looked at again.
void transfer_log::send_barriers(const epoch* before) {
    // One for a connection that is gone is sent again, or given up.
    while (unsent_ != nullptr && unsent_ != before && unsent_->closed &&
           unsent_->link_serial == all_.link.serial) {
        epoch& due = *unsent_;
        // Sending may drop the link, and all epochs with it.
        unsent_ = epochs_.after(due);
        due.barrier_sent = true;
        wire::barrier barrier;
        // The number is opaque to the peer; ours is little-endian everywhere.
        store_little(barrier.number.data(), due.number);
        all_.link.send(channel::data, 0, wire::command::barrier, barrier);
    }
    if (unsent_ == nullptr || !unsent_->closed) {
        put_off_.cancel();
    }
}

void transfer_log::send_due_barriers(const epoch& before) {
    send_barriers(&before);
}

void transfer_log::queue_ran_dry() {
    if (!all_.link.up || !all_.is_connected()) {
        return;
    }
    if (!may_put_off()) {
        send_barriers(nullptr);
    } else if (unsent_ != nullptr && unsent_->closed && !put_off_.armed()) {
        put_off_.arm(all_.now() + barrier_put_off_max);
    }
}

bool transfer_log::wait_for_all(app_request& flush) {
    close_current();
    epoch* last = epochs_.back();
    if (last == nullptr || last->writes == 0) {
        return false;
    }
    last->flushes.push_back(flush);
    return true;
}

void transfer_log::when_acknowledged(std::function<void()> then) {
    close_current();
    epoch* last = epochs_.back();
    if (last == nullptr || last->writes == 0) {
        then();
        return;
    }
    last->waiting.push_back(std::move(then));
    hurry();
}

void transfer_log::end_waits(epoch& which) {
    for (auto& then : which.waiting) {
        all_.defer(std::move(then));
    }
    which.waiting.clear();
}

void transfer_log::link_lost() {
    for (epoch* each = epochs_.front(); each != nullptr; each = epochs_.after(*each)) {
        end_waits(*each);
    }
}

void transfer_log::barrier_acknowledged(const wire::barrier_ack& ack) {
    const std::uint32_t number = load_little<std::uint32_t>(ack.number.data());
    epoch* oldest = epochs_.front();
    // 8.4.11 never acknowledges an epoch with a conflicting write; a later one counts for it.
    while (oldest != nullptr && oldest->conflicted && oldest->barrier_sent &&
           oldest->number != number) {
        retire(*oldest);
        oldest = epochs_.front();
    }
    if (oldest == nullptr || !oldest->barrier_sent || oldest->number != number ||
        oldest->writes != ack.set_size) {
        all_.states.drop_link(
            state::connection::protocol_error,
            fmt::format("BARRIER_ACK {} for {} writes does not fit barrier {} for {} writes",
                        number, ack.set_size, oldest != nullptr ? oldest->number : 0,
                        oldest != nullptr ? oldest->writes : 0));
        return;
    }
    retire(*oldest);
}

void transfer_log::retire(epoch& which) {
    while (app_request* write = which.requests.pop_front()) {
        write->of = nullptr;
        all_.writes.covered_by_barrier(*write);
    }
    while (app_request* flush = which.flushes.pop_front()) {
        all_.writes.flush_reached_peer(*flush, true);
    }
    end_waits(which);
    epochs_.remove(which);
    pool_.give_back(which);
}

void transfer_log::give_up_peer() {
    unsent_ = nullptr;
    while (epoch* oldest = epochs_.pop_front()) {
        while (app_request* write = oldest->requests.pop_front()) {
            write->of = nullptr;
            all_.writes.peer_lost(*write);
        }
        while (app_request* flush = oldest->flushes.pop_front()) {
            all_.writes.flush_reached_peer(*flush, false);
        }
        pool_.give_back(*oldest);
    }
    all_.peers.give_up_postponed();
}

void transfer_log::give_up_peer_of(volume& target) {
    for (epoch* each = epochs_.front(); each != nullptr; each = epochs_.after(*each)) {
        for (app_request* write = each->requests.front(); write != nullptr;) {
            app_request* following = each->requests.after(*write);
            if (write->target == &target) {
                all_.writes.peer_will_not_answer(*write);
            }
            write = following;
        }
    }
}

void transfer_log::mark_what_peer_lacks() {
    for (epoch* each = epochs_.front(); each != nullptr; each = epochs_.after(*each)) {
        for (app_request* write = each->requests.front(); write != nullptr;
             write = each->requests.after(*write)) {
            all_.writes.mark_if_peer_lacks(*write);
        }
    }
}

void transfer_log::send_again() {
    // Each volume that is connected may ask for it: the peer answers for what it gets once.
    epoch* first = epochs_.front();
    if (first == nullptr || first->link_serial == all_.link.serial) {
        return;
    }
    // Taken out first: sending puts them into new epochs.
    intrusive_list<epoch, in_log> old;
    old.append(epochs_);
    intrusive_list<app_request, in_waiting> flushes;
    unsent_ = nullptr;
    bool some_lost = false;
    while (epoch* oldest = old.pop_front()) {
        while (app_request* write = oldest->requests.pop_front()) {
            write->of = nullptr;
            if (write_path::may_be_lost(*write)) {
                some_lost = true;
                write->target->writes_lost = true;
            }
            all_.writes.send_again(*write);
        }
        while (app_request* flush = oldest->flushes.pop_front()) {
            if (flush->target->peer_lacks_it()) {
                all_.writes.flush_reached_peer(*flush, false);
                continue;
            }
            if (some_lost) {
                flush->target->writes_lost = false; // this one tells
                all_.writes.flush_reached_peer(*flush, false);
            } else {
                flushes.push_back(*flush);
            }
        }
        pool_.give_back(*oldest);
    }
    send_empty_writes();
    while (app_request* flush = flushes.pop_front()) {
        if (!wait_for_all(*flush)) {
            all_.writes.flush_reached_peer(*flush, true);
        }
    }
}

// What the peer has of the old epochs has not been flushed there for all we know, and those epochs
// are gone. An empty write comes behind it on that node, and ends a new epoch: flushes wait for
// that one. (The in-kernel DRBD, which has nothing of the kind, is not asked.)
void transfer_log::send_empty_writes() {
    for (auto& [number, each] : all_.volumes) {
        if (!std::exchange(each->peer_may_cache, false) || !all_.link.up ||
            !sends_data(each->state) || !all_.handshake.peer_is_lockstep()) {
            continue;
        }
        epoch& open = current();
        send_due_barriers(open);
        ++open.writes;
        wire::data_header head;
        head.sequence = ++each->sequence;
        all_.link.send_data(number, wire::command::data, head,
                            digest_of(all_.handshake.integrity_algorithm(), {}), nullptr, 0, {},
                            nullptr, nullptr);
        close_current();
    }
}

bool transfer_log::drained() const {
    epoch* oldest = epochs_.front();
    return oldest == nullptr || (oldest->writes == 0 && oldest == epochs_.back());
}

instant transfer_log::oldest_sent() const {
    for (epoch* each = epochs_.front(); each != nullptr; each = epochs_.after(*each)) {
        for (app_request* write = each->requests.front(); write != nullptr;
             write = each->requests.after(*write)) {
            if (write->net == net_part::sent || write->net == net_part::acknowledged) {
                return write->sent_at;
            }
        }
    }
    return never;
}

} // namespace lockstep::replica
