// From a front end's request to its completion: cutting it into parts, waiting for what must come
// first, sending it to the peer and to our disk, and gathering the answers.
//
//     submit -> io queue (frozen, unstable state, no part free: stays there)
//       part of a write: overlap? -> activity log? -> go: DATA to the peer, write to our disk
//       part of a read:  read_path
//     disk done, peer's ack -> complete -> (covered by a barrier ack) -> retire
#pragma once

#include <cstdint>

#include "kernel/replica/ports.hpp"
#include "kernel/replica/request.hpp"
#include "kernel/wire/payloads.hpp"

namespace lockstep::replica {

class machinery;
struct volume;

class write_path {
public:
    explicit write_path(machinery& all) : all_(all) {}

    void submit(io_request& request);

    // --- answers ---
    // RECV_ACK, WRITE_ACK, RS_WRITE_ACK, NEG_ACK, SUPERSEDED or RETRY_WRITE for a write of ours.
    void acknowledged(volume& target, wire::command code, const wire::block_ack& ack);
    void covered_by_barrier(app_request& write);
    void peer_lost(app_request& write);
    void send_again(app_request& write);
    // Of a volume that the peer has removed. Still in its epoch: a late answer says nothing new.
    void peer_will_not_answer(app_request& write);
    // The peer has acknowledged the write, but no flush after it; it is not here any more, nor on a
    // disk of ours that counts. If the peer has crashed since it is nowhere.
    static bool may_be_lost(const app_request& write);
    // Before the peer hears of our bitmap: both disks are to become the same there.
    void mark_if_peer_lacks(app_request& write);
    void flush_reached_peer(app_request& flush, bool reached);

    // --- what may let something go on ---
    void log_committed(volume& target);
    // Does what was noted in the volume's retry flags.
    void settle(volume& target);
    // The last byte of a write's DATA is in the socket.
    void handed_over(app_request& write);
    void state_moved(volume& target);
    void thawed();
    // A new generation has been stored: writes that the peer lacks may be completed.
    void gate_moved();

    // --- for the read path and the error policy ---
    void finish_local(app_request& request, int error);
    void complete(app_request& request, int error);
    void retire(app_request& request);
    app_request* find(std::uint64_t block_id) const;
    void assign_block_id(app_request& request);
    // Ends everything that waits for the disk of this volume, which is not coming back.
    void disk_given_up(volume& target);
    // Fails what waits in vain: nobody has the data and I/O is not to be suspended.
    void fail_waiting(volume& target, int error);
    // resume-io: whoever still has no data to work with gets an error.
    void give_up_waiting();
    void submit_local(app_request& request);
    // Writes and reads of the application that are under way.
    static bool idle(const volume& target);

private:
    void pump(volume& target);
    bool cut_part(volume& target, io_request& from);
    void start(app_request& request);
    void start_flush(app_request& flush);
    void start_write(app_request& write);
    void enter_log(app_request& write);
    void go(app_request& write);
    void hold(app_request& write);
    bool peer_gets_writes(const volume& target) const;
    bool fits_link(const app_request& write) const;
    void connect_again();
    wanted_ack wanted_ack_of(bool when_written) const;
    void send(app_request& write);
    void send_packet(app_request& write);
    void send_discard(app_request& write);
    void send_zeroes_as_data(app_request& write);
    void mark_out_of_sync(app_request& write);
    void lean_flush_on_peer(app_request& flush);
    static bool kept_nowhere(const app_request& write);
    static bool safe_by_barrier_only(const app_request& write);
    bool is_kept(const app_request& write) const;
    void begin_again(app_request& write);
    bool needs_peer_flush(const volume& target) const;
    bool gate_closed(const app_request& request) const;
    void check_complete(app_request& request);
    void retry_overlaps(volume& target);
    void retry_slots(volume& target);
    void retry_waiting_data(volume& target);
    void end_waiting(volume& target, int error);
    void end_queued(volume& target, int error);
    void io_part_done(io_request& request, int error);
    void reject(io_request& request, int error);

    machinery& all_;
    std::uint64_t next_id_ = 0;
};

} // namespace lockstep::replica
