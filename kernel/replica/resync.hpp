// Making the replicas equal again where bits are set. Led by the target, which asks for blocks;
// the source answers.
//
//     target: WFSyncUUID -> SYNC_UUID -> (before-resync-target) -> SyncTarget: RS_DATA_REQUEST ...
//             reply -> our disk -> bit cleared, RS_WRITE_ACK -> ... no bits left: PING, PING_ACK,
//             generations taken over, Connected
//     source: WFBitMapS -> (before-resync-source) -> SyncSource: SYNC_UUID; request -> our disk ->
//             RS_DATA_REPLY; RS_WRITE_ACK: bit cleared; STATE Connected of the target: PING, end
//
// What keeps an old block from overwriting a new write: the source reads a block only when no write
// in it is under way on its disk, and lets none begin until the reply is in the queue (behind which
// that write's DATA follows); the target does overlapping writes in the order of arrival.
#pragma once

#include "kernel/replica/request.hpp"
#include "kernel/state/types.hpp"
#include "kernel/wire/payloads.hpp"

namespace lockstep::replica {

class machinery;
struct volume;

// Between the decision for a sync and its end.
bool is_syncing(state::connection value);
// SyncTarget, paused or not.
bool is_sync_target(state::connection value);

class resync_runner {
public:
    explicit resync_runner(machinery& all) : all_(all) {}

    // --- beginning and end ---
    // StartingSyncS/T: every bit is set and stored first.
    void prepare_full_sync(volume& target, bool as_source);
    void start_source(volume& target);
    void send_sync_uuid(volume& target);
    void sync_uuid_received(volume& target, std::uint64_t sync_uuid);
    // Everything that could be copied is: end it (after a PING, so that nothing is still on its
    // way to us).
    void finish(volume& target);
    // It has ended, or can't go on: a disk fails, the connection is gone.
    void abandon(volume& target);
    void at_change(volume& target, const state::volume_state& before,
                   const state::volume_state& after);
    void options_changed(volume& target);

    // --- target ---
    void tick(volume& target);
    void reply_received(volume& target, const wire::data_header& head, std::uint32_t size,
                        buffer_ref data);
    void deallocated_received(volume& target, const wire::block_range& range);
    void in_sync_received(volume& target, const wire::block_ack& ack);
    void refused(volume& target, const wire::block_ack& ack, bool cancelled);
    // Bits were cleared by the application's writes.
    void bits_cleared(volume& target);

    // --- source ---
    void block_requested(volume& target, const wire::block_request& request, bool thin);
    void checksum_received(volume& target, const wire::digest_request& request);
    void write_acknowledged(volume& target, const wire::block_ack& ack, bool written);

    // --- shared with reads and verify ---
    // A request that waited for an overlap or a buffer may try again.
    void retry(peer_request& request);
    void submit_read(peer_request& request, void (*when_done)(disk_request&, int));

private:
    // Of whatever ends later than it began: a resync may have been cut off meanwhile, and another
    // one have begun in the same connection.
    struct run_id {
        volume_number number;
        std::uint64_t link;
        std::uint64_t sync;
    };
    run_id this_run(const volume& target) const;
    // Empty: that run is over.
    volume* still(const run_id& run) const;

    void begin_source(const run_id& run, int code);
    void cancel(volume& target);
    void start_target(volume& target, std::uint64_t sync_uuid);
    void started(volume& target);
    std::uint64_t thin_blocks(const volume& target) const;
    bool request_next(volume& target, std::uint32_t blocks_max, std::uint32_t& blocks);
    void send_request(volume& target, std::uint64_t sector, std::uint32_t size);
    void checksum_read_done(peer_request& request, int error);
    void write_done(peer_request& write, int error);
    void admit_write(peer_request& write);
    void give_back_asked(volume& target, std::uint64_t sector);
    void left_flight(volume& target, std::uint32_t size);
    void check_finished(volume& target);
    void finished(volume& target);
    void serve_request(volume& target, const wire::digest_request& request, bool thin);
    void serve(peer_request& request);
    void read_done(peer_request& request, int error);
    void answer_request(peer_request& request, int error);
    void serve_throttled(volume& target);
    void count_failed(volume& target, std::uint64_t sector, std::uint32_t size);

    machinery& all_;
};

} // namespace lockstep::replica
