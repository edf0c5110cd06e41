// The receiver's side: the peer's writes in their epochs, and its reads.
//
// Only writes of the oldest epoch are with the disk; later ones wait. When an epoch has ended
// (BARRIER) and its writes are done, the disks are flushed, and only then BARRIER_ACK goes out and
// the next epoch begins: so what is acknowledged is durable, and nothing overtakes a barrier.
//
//     event              oldest epoch                        later epoch
//     DATA               to the disk                         waits in it
//     BARRIER            ends; flushed when idle             ends
//     write done         ack; flushed if ended and idle      -
//     flush done         BARRIER_ACK, removed                becomes the oldest, its writes begin
#pragma once

#include <array>
#include <cstdint>

#include "kernel/replica/intrusive_list.hpp"
#include "kernel/replica/object_pool.hpp"
#include "kernel/replica/request.hpp"
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
    bool conflicted = false; // 8.4 does not acknowledge an epoch in which a write was refused
    std::uint32_t flushes = 0;
    bool flushed = false;
    bool failed = false; // some of it can't be made durable: never acknowledged
    intrusive_list<peer_request, in_waiting> waiting;

    void reset();
};

class peer_writes {
public:
    explicit peer_writes(machinery& all);

    // Is there room for one more request that carries data?
    bool can_take() const;

    void write_received(volume& target, const wire::data_header& head, std::uint32_t size,
                        buffer_ref data);
    void discard_received(volume& target, wire::command code, const wire::discard& discard);
    void barrier_received(const wire::barrier& barrier);
    void read_requested(volume& target, const wire::block_request& request);
    void out_of_sync_received(volume& target, const wire::block_range& range);
    void sequence_seen(volume& target, std::uint32_t sequence);

    void log_committed(volume& target);
    void retry_overlaps(volume& target);
    // Buffers may be free again.
    void serve_waiting_reads();
    void link_lost();
    // The disk fails: who waits for its activity log goes without.
    void disk_given_up(volume& target);
    // What was written to a disk that is gone may not be durable.
    void disk_lost();
    // A read that arrived now comes behind a write that overlaps: at the disk, or waiting.
    bool write_on_its_way(const volume& target, const peer_request& read) const;
    // Marks the range of a block that we, as target, have asked for and not yet got: what the
    // application writes there waits, or the older answer would overwrite it. The peer's writes
    // do not wait: the answer may wait for them.
    static void hold_asked(volume& target, peer_request& request);
    static bool is_asked(const interval_set::node& node);
    // A write that came earlier and overlaps still waits for its turn.
    static bool waits_before(const volume& target, const peer_request& request);
    // Our overlapping write lost against the other Primary's.
    void conflict_retry(app_request& write);

    // Flags of DATA, TRIM and ZEROES for a write of ours.
    std::uint32_t data_flags(const app_request& write) const;

    // Requests for whoever works for the peer (resync, verify). Null if there is none.
    peer_request* take(volume& target, peer_request::kind what);
    void release(peer_request& request);
    // Something of this connection that still is to be answered?
    bool current(const peer_request& request) const;
    void send_ack(peer_request& request, wire::command code);
    std::uint32_t epochs() const { return static_cast<std::uint32_t>(epochs_.size()); }

private:
    struct epoch_flush {
        disk_request request;
        peer_writes* owner = nullptr;
        std::uint64_t serial = 0;
        bool busy = false;
    };

    void received(peer_request& write);
    void admit(peer_request& write);
    bool conflicts(peer_request& write, bool& answered);
    void enter_log(peer_request& write);
    void submit(peer_request& write);
    void done(peer_request& write, int error);
    void left_epoch(peer_request& write);
    void advance();
    bool flush(peer_epoch& which);
    void flushed(std::uint64_t serial, volume_number number, int error);
    void begin_waiting();
    void begin_read(peer_request& read);
    peer_epoch* find(std::uint64_t serial) const;
    void read_done(peer_request& read, int error);
    bool check_range(volume& target, wire::command code, std::uint64_t sector, std::uint32_t size);

    machinery& all_;
    object_pool<peer_epoch> pool_;
    intrusive_list<peer_epoch, in_receiver> epochs_;
    std::uint64_t next_serial_ = 1;
    std::array<epoch_flush, 16> flushes_; // one for each volume that an epoch touched
};

} // namespace lockstep::replica
