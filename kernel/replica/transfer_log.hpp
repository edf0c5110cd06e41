// The sender's side of write ordering: which writes the peer may still lack, in epochs.
//
// An epoch is a set of writes with no order among them, over all volumes. It is closed when one of
// its writes has been completed to the application (a later write may depend on it), by a flush, at
// max-epoch-size, and when the kind of replication changes. BARRIER ends it on the wire: sent
// before the next write of a later epoch, or as soon as the send queue is dry. BARRIER_ACK means
// that the peer has it all; only then may the activity log forget these writes.
//
// A dry queue waits a moment for that next write, so that both are one packet to the network, if
// the peer has no use for the barrier before: one of ours under protocol C (see peer_writes.hpp).
//
//     epochs_   oldest [acked?] -> ... -> [closed, barrier sent] -> [closed] -> current (open)
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "kernel/replica/intrusive_list.hpp"
#include "kernel/replica/object_pool.hpp"
#include "kernel/replica/request.hpp"
#include "kernel/replica/timers.hpp"
#include "kernel/wire/payloads.hpp"

namespace lockstep::replica {

class machinery;
struct volume;

struct in_log {};

struct epoch : list_hook<in_log> {
    std::uint32_t number = 0;
    std::uint32_t writes = 0;      // DATA, TRIM and ZEROES packets of it
    std::uint64_t link_serial = 0; // of the connection that it is for
    bool closed = false;
    bool barrier_sent = false;
    bool hurried = false;    // the peer was asked not to put off its flush
    bool conflicted = false; // a write lost against the other Primary: may never be acknowledged
    intrusive_list<app_request, in_epoch> requests;
    // Flushes that wait for this epoch's BARRIER_ACK.
    intrusive_list<app_request, in_waiting> flushes;
    // Likewise; or for the link to be lost.
    std::vector<std::function<void()>> waiting;

    void reset();
};

class transfer_log {
public:
    transfer_log(machinery& all, std::size_t requests);

    // Puts a write that will be sent into the current epoch.
    void add(app_request& write);
    // Called before each DATA: sends the barriers of all earlier epochs.
    void send_due_barriers(const epoch& before);
    void close_current();
    // Somebody waits for what was sent to be durable on the peer, or for room: it is to flush now.
    // (A Lockstep peer puts its flush off for a moment otherwise; UNPLUG_REMOTE tells it not to,
    // and means nothing to others.)
    void hurry();
    // The write was reported to the application.
    void completed(app_request& write);
    // Nothing is left to send: barriers of closed epochs go out.
    void queue_ran_dry();
    // A flush is done when everything sent so far is acknowledged. False: nothing is outstanding.
    bool wait_for_all(app_request& flush);
    // Calls `then` when that is so, or when the link is lost.
    void when_acknowledged(std::function<void()> then);
    void link_lost();
    void barrier_acknowledged(const wire::barrier_ack& ack);

    // The peer is gone for good: what it did not acknowledge is marked out of sync, and completed.
    void give_up_peer();
    // It has removed this volume, and goes on with the others: their epochs stand.
    void give_up_peer_of(volume& target);
    // The peer is back, and is about to hear of our bitmap.
    void mark_what_peer_lacks();
    // The peer is back, and I/O was frozen meanwhile: what it has not acknowledged goes out again.
    void send_again();

    // Nothing that was sent waits for the peer's disk.
    bool drained() const;
    // Oldest write without an acknowledgement, for ko-count; `never` if none.
    instant oldest_sent() const;
    std::uint32_t epochs_open() const { return static_cast<std::uint32_t>(epochs_.size()); }

private:
    epoch& current();
    void send_barriers(const epoch* before);
    bool may_put_off() const;
    void retire(epoch& which);
    void end_waits(epoch& which);
    void send_empty_writes();

    machinery& all_;
    object_pool<epoch> pool_;
    intrusive_list<epoch, in_log> epochs_;
    epoch* unsent_ = nullptr; // the oldest whose barrier has not been sent
    timer put_off_;           // ends the waiting of barriers for a next write
    std::uint32_t next_number_ = 0;
};

} // namespace lockstep::replica
