// The receiver's side: the peer's writes in their epochs, and its reads.
//
// When an epoch has ended (BARRIER) and its writes are done, the disks are flushed, and only then
// BARRIER_ACK goes out: what is acknowledged is durable. One flush serves all epochs that are ready
// for it, and as long as nobody waits for it, it is put off for a moment, so that a busy disk is
// not flushed all the time.
//
// An epoch holds those behind it back if the sender may report a flush to its application without
// having our BARRIER_ACK: the in-kernel DRBD always, ours under the protocols A and B. Then nothing
// overtakes the barrier on its way to the disk. Under protocol C ours waits for BARRIER_ACK before
// it reports a flush, and for the write itself before it reports that: whatever depends on either
// has not even been sent, so there is no order left to be kept here, and later writes need not
// wait for our flush.
//
// An empty write comes of a sender that does not know whether we have flushed what an earlier
// connection brought: it is done when all that came before it has been written.
//
//     event              first epochs, up to one that holds      epochs behind one that holds
//     DATA               to the disk                             waits in it
//     BARRIER            ends; flushed when idle and oldest      ends
//     write done         ack; flushed if ended, idle, oldest     -
//     flush done         BARRIER_ACK, removed                    their writes begin
#pragma once

#include <array>
#include <cstdint>
#include <functional>

#include "kernel/replica/intrusive_list.hpp"
#include "kernel/replica/object_pool.hpp"
#include "kernel/replica/request.hpp"
#include "kernel/replica/timers.hpp"
#include "kernel/wire/payloads.hpp"

namespace lockstep::replica {

class machinery;
struct volume;

struct in_receiver {};

struct peer_epoch : list_hook<in_receiver> {
    std::uint64_t serial = 0;
    std::array<std::byte, 4> number{};
    std::uint32_t writes = 0;
    std::uint32_t active = 0; // writes not done, waiting ones included
    bool ended = false;
    bool holds_later = false; // writes of later epochs wait until it is durable
    bool flushed = false;     // or being flushed
    bool failed = false;      // some of it can't be made durable: never acknowledged
    intrusive_list<peer_request, in_waiting> waiting;

    void reset();
};

class peer_writes {
public:
    explicit peer_writes(machinery& all);

    // Is there room for one more request that carries data?
    bool can_take() const;
    // May one more block be asked for? Answers, and writes before them, need room to come in.
    bool can_ask() const;

    void write_received(volume& target, const wire::data_header& head, std::uint32_t size,
                        buffer_ref data);
    void discard_received(volume& target, wire::command code, const wire::discard& discard);
    // For a volume that has been removed, before the peer heard of it: a write counts in its epoch.
    void refuse_write(volume_number number, std::uint64_t sector, std::uint32_t size,
                      std::uint64_t block_id);
    void refuse_read(volume_number number, const wire::block_request& request);
    void barrier_received(const wire::barrier& barrier);
    // UNPLUG_REMOTE: the peer waits for what has ended so far.
    void hurry();
    void read_requested(volume& target, const wire::block_request& request);
    void out_of_sync_received(volume& target, const wire::block_range& range);
    void sequence_seen(volume& target, std::uint32_t sequence);

    // Or the superblock has been stored.
    void log_committed(volume& target);
    void retry_overlaps(volume& target);
    // Buffers may be free again.
    void serve_waiting_reads();
    // Ends what waits, except the writes that were promised: they go on to the disk.
    void link_lost();
    // The disk fails: who waits for its activity log goes without.
    void disk_given_up(volume& target);
    // What was written to a disk that is gone may not be durable.
    void disk_lost();
    // Calls `then`, perhaps at once, when no write is under way any more that the peer has sent
    // till now: the disk has it, or has failed it.
    void when_written(volume& target, std::function<void()> then) const;
    static void end_waits(volume& target);
    // A generation of ours stands for all that has come till now: that does not wait for its store.
    void generation_made(volume& target);
    // A read that arrived now comes behind a write that overlaps: at the disk, or waiting.
    bool write_on_its_way(const volume& target, const peer_request& read) const;
    // Marks the range of a block that we, as target, have asked for and not yet got: what the
    // application writes there waits, or the older answer would overwrite it. The peer's writes
    // do not wait: the answer may wait for them.
    static void hold_asked(volume& target, peer_request& request);
    static bool is_asked(const interval_set::node& node);
    // Who has asked for the block at this sector; null if nobody has.
    static peer_request* find_asked(const volume& target, std::uint64_t sector,
                                    peer_request::kind what);
    // A write that came earlier and overlaps still waits for its turn.
    static bool waits_before(const volume& target, const peer_request& request);
    // Our overlapping write lost against the other Primary's: it begins again behind that.
    void conflict_retry(app_request& write);
    void begin_behind(app_request& write);
    // Our disk has something of such a write, and the peer does not get it before that begins
    // again.
    bool differs_by_postponed(const peer_request& block) const;
    // The peer is gone for good: what our disk has of such writes is marked out of sync.
    void give_up_postponed();
    // A write of the peer is at work where this one of ours is about to begin.
    static bool writes_over(const app_request& write);

    // Flags of DATA, TRIM and ZEROES for a write of ours.
    std::uint32_t data_flags(const app_request& write) const;

    // Requests for whoever works for the peer (resync, verify). Null if there is none.
    peer_request* take(volume& target, peer_request::kind what);
    void release(peer_request& request);
    // For what is to be read. False: there is none to spare now.
    bool find_buffer(peer_request& read);
    // Something of this connection that still is to be answered?
    bool current(const peer_request& request) const;
    void send_ack(peer_request& request, wire::command code);
    std::uint32_t epochs() const { return static_cast<std::uint32_t>(epochs_.size()); }

private:
    struct epoch_flush {
        disk_request request;
        peer_writes* owner = nullptr;
        bool given_up = false; // by a forced detach: nobody waits for it
    };

    void begin_flush(peer_request& flush);
    static void wait_until(volume& target, std::uint64_t arrival, std::function<void()> then);
    static bool writes_until(const volume& target, std::uint64_t arrival);
    bool was_promised(const peer_request& request) const;
    void drop_waiting(intrusive_list<peer_request, in_waiting>& waiting);
    void flush_failed();
    void give_up_disk(volume& target);
    void received(peer_request& write);
    static void spoil_comparisons(volume& target, const peer_request& write);
    void admit(peer_request& write);
    bool decides_conflicts() const;
    bool answer_missing(const peer_request& write) const;
    bool conflicts(peer_request& write, bool& answered);
    void enter_log(peer_request& write);
    static bool for_diskless_primary(const volume& target);
    static void note_for_diskless_primary(peer_request& write);
    void submit(peer_request& write);
    void done(peer_request& write, int error);
    void left_epoch(peer_request& write);
    void advance();
    peer_epoch* open_epoch();
    bool must_wait(const peer_epoch& in) const;
    bool ready(const peer_epoch& which) const;
    bool flush_is_due(const peer_epoch& oldest) const;
    bool flush();
    void flushed(volume_number number, int error);
    void remove(peer_epoch& which);
    void begin_waiting();
    peer_request* next_waiting();
    void begin_read(peer_request& read);
    static peer_epoch* epoch_of(const peer_request& write);
    void read_done(peer_request& read, int error);
    bool check_range(volume& target, wire::command code, std::uint64_t sector, std::uint32_t size);

    machinery& all_;
    object_pool<peer_epoch> pool_;
    intrusive_list<peer_epoch, in_receiver> epochs_;
    std::uint64_t next_serial_ = 1;
    std::uint64_t arrivals_ = 0;
    std::uint32_t holding_ = 0;           // epochs that hold later ones back
    std::uint32_t waiting_ = 0;           // writes that are held back
    std::array<epoch_flush, 16> flushes_; // one for each volume
    std::uint32_t flushes_pending_ = 0;
    std::uint64_t flushing_through_ = 0; // the last epoch that they cover
    std::uint64_t due_through_ = 0;      // up to this one nothing is put off
    std::uint32_t put_off_writes_ = 0;   // that have come since
    timer put_off_;                      // ends the putting off
};

} // namespace lockstep::replica
