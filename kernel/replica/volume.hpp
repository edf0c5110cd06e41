// One volume of the resource: its state, its disk, and what is under way in it. A plain structure;
// the mechanisms (write_path, peer_writes, resync ...) act on it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kernel/options/options.hpp"
#include "kernel/replica/attach_job.hpp"
#include "kernel/replica/interval_set.hpp"
#include "kernel/replica/local_disk.hpp"
#include "kernel/replica/metadata_move.hpp"
#include "kernel/replica/rate_marks.hpp"
#include "kernel/replica/request.hpp"
#include "kernel/replica/resync_pace.hpp"
#include "kernel/replica/timers.hpp"
#include "kernel/state/handshake.hpp"
#include "kernel/state/types.hpp"
#include "kernel/wire/bitmap_transfer.hpp"
#include "kernel/wire/payloads.hpp"

namespace lockstep::replica {

// A resync or an online verify.
struct sync_run {
    std::uint64_t total_bits = 0;
    std::uint64_t failed_bits = 0;
    std::uint64_t same_checksum_bits = 0;
    std::uint64_t position = 0;  // next bit to look at (target), next to verify (VerifyS)
    std::uint64_t left_bits = 0; // verify only; a resync counts its bitmap
    std::uint64_t stop_sector = ~std::uint64_t{0}; // verify
    std::uint64_t start_sector = 0;                // verify
    std::uint64_t out_of_sync_bits = 0;            // verify: found
    std::uint32_t in_flight = 0;                   // requests
    std::uint64_t in_flight_sectors = 0;
    bool use_checksums = false;
    bool helper_running = false; // before-resync-*: the run begins when it has ended
    bool finishing = false;      // the last PING is under way
};

struct volume_counters {
    std::uint64_t sent_sectors = 0;
    std::uint64_t received_sectors = 0;
    std::uint64_t written_sectors = 0;
    std::uint64_t read_sectors = 0;
    std::uint32_t local_pending = 0; // lo
    std::uint32_t net_pending = 0;   // pe
    std::uint32_t unacked = 0;       // ua
    std::uint32_t application = 0;   // ap
    std::uint32_t pending_reads = 0;
};

// Whether the peer has a volume, too; anew with each connection. Silent: it is new here, and the
// peer may speak of it at any moment.
enum class at_peer : std::uint8_t { unknown, silent, missing, there };

struct volume {
    volume(machinery& all, timers& clock, volume_number which, std::uint32_t its_minor,
           std::function<void()> on_resync_tick)
        : owner(&all), number(which), minor(its_minor),
          resync_timer(clock, std::move(on_resync_tick)) {}

    machinery* owner;
    volume_number number;
    std::uint32_t minor;
    options::disk_options options;
    // Roles, connections below Connected and the suspension flags are the same in all volumes.
    state::volume_state state;
    std::uint64_t size_sectors = 0;
    std::uint32_t logical_block_bytes = 512;

    std::unique_ptr<local_disk> disk; // from Attaching on until Diskless
    std::unique_ptr<attach_job> attaching;
    // What the disk is to become when Negotiating ends without a resync (or the link breaks).
    state::disk negotiated_disk = state::disk::inconsistent;
    state::disk negotiated_peer_disk = state::disk::unknown;
    bool crashed_primary = false;
    bool was_degraded = false;  // a Primary without a peer when it went down; until the next peer
    bool log_suspended = false; // every bit is set: nothing to protect
    bool io_error_seen = false; // Failed because of an I/O error, not by command
    bool errors_noted = false;  // Inconsistent by pass_on alone: what has no bit is good
    bool detach_forced = false;
    bool leaving = false;         // a Primary's disk is to be detached: it counts no more
    bool failing_handler = false; // local-io-error runs
    bool storing_last = false;    // metadata is stored once more before the disk goes
    bool flushed_last = false;    // and what was written is made durable
    std::vector<std::function<void(bool)>> waiting_detached;
    // The generation that this node has presented to its users; 0 before it had any data.
    std::uint64_t effective_generation = 0;
    // A generation that this node has made and not known to be stored: nothing was completed under
    // it. If its disk is lost first it is undone, here at once, and on the disk when that is back.
    struct {
        std::uint64_t current = 0; // 0: none
        state::generation before;
    } unstored;
    // The peer's current generation, if it has made one upon ours while both have data; else 0.
    std::uint64_t generation_by_peer = 0;
    // The one that a Primary without a disk presented before its peer made another one upon that.
    // If the peer dies before it has stored it, nothing was completed under it.
    std::uint64_t presented_before = 0;
    // A new current generation is due when I/O is resumed.
    bool new_generation_due = false;
    // A Primary without a disk has connected, and not agreed yet to our data.
    bool primary_may_refuse = false;
    // Writes that the peer lacks are not completed before this store is done.
    std::uint32_t generation_stores = 0;

    // It stands for the peer's writes up to this arrival, and is stored after them.
    std::uint64_t generation_covers = 0;
    // Whoever waits for the peer's writes up to some arrival; ascending.
    struct wait_for_writes {
        std::uint64_t through;
        std::function<void()> then;
    };
    std::vector<wait_for_writes> waiting_written;

    // --- what the peer said ---
    at_peer peer_volume = at_peer::unknown;
    std::optional<wire::uuids> peer_uuids;
    std::optional<wire::sizes> peer_sizes;
    bool removing = false;            // by a command: nothing new begins
    bool handshake_due = false;       // our UUIDS and STATE wait for the peer's SIZES
    std::uint64_t capacity_sent = 0;  // in our last SIZES
    bool handshake_sent = false;      // our STATE of the handshake is out
    std::uint64_t last_sent_bits = 0; // in our last UUIDS
    bool consider_resync = false;     // the peer was forced to UpToDate
    std::uint64_t last_size_sent = 0;
    bool resize_pending = false;
    bool resizing = false;   // by a command that has not ended
    bool size_asked = false; // by a resize of ours, and the peer has not answered
    bool grow_after_negotiation = false;
    // The size or the metadata's place is changing: nothing new begins.
    std::unique_ptr<metadata_move_job> move;

    // Of the peer's engine that we were connected with last; 0: not known.
    std::uint64_t peer_incarnation = 0;
    // Only the peer has some of what was completed; not in sync since.
    bool peer_is_ahead = false;
    // Some of what was completed may be in no copy any more: the next flush says so.
    bool writes_lost = false;
    // The peer has writes of an earlier connection, in its cache perhaps.
    bool peer_may_cache = false;
    // A sync target by the handshake's decision, and not in sync since.
    bool own_behind = false;
    bool peer_behind = false;

    // --- under way ---
    intrusive_list<app_request, in_volume> application_requests;
    intrusive_list<peer_request, in_volume> peer_requests;
    // io_requests not yet cut into parts, oldest first.
    io_request* io_first = nullptr;
    io_request* io_last = nullptr;
    std::uint32_t io_cut_bytes = 0; // of the first one: already cut
    // Everything that reads or writes for others than the application's reads.
    interval_set in_flight;
    intrusive_list<app_request, in_waiting> waiting_overlap;
    intrusive_list<app_request, in_waiting> waiting_log;  // for a transaction
    intrusive_list<app_request, in_waiting> waiting_slot; // for room in the activity log
    intrusive_list<app_request, in_waiting> waiting_data; // for any good copy (suspended)
    intrusive_list<peer_request, in_waiting> peer_waiting_overlap;
    intrusive_list<peer_request, in_waiting> peer_waiting_log;
    intrusive_list<peer_request, in_waiting> reads_waiting;   // the peer's, without a buffer
    intrusive_list<peer_request, in_waiting> reads_throttled; // of a resync: c-min-rate
    volume_counters counters;
    // Writes that the peer has not acknowledged with their epoch.
    std::uint64_t application_in_flight_sectors = 0;
    std::uint32_t sequence = 0;      // of our DATA and acks
    std::uint32_t peer_sequence = 0; // highest of the peer's, DATA and acks

    // Work noted during an event, done by write_path::settle() at its end.
    bool check_gate = false;     // completions that were held back may go
    bool retry_overlaps = false; // a range became free
    bool retry_slots = false;    // the activity log has room
    bool retry_data = false;     // there may be a good copy of the data again
    bool retry_pump = false;     // new requests may begin
    bool retry_written = false;  // a request of the peer has ended

    // --- resync and verify ---
    sync_run run;
    std::uint64_t syncs_ended = 0; // tells one resync from the next in the same connection
    resync_pace pace;
    rate_marks marks;
    timer resync_timer;
    bool shown_busy = false;               // to the other resources of this node; see resync_order
    std::uint64_t verify_start_sector = 0; // of the next or running verify
    std::uint64_t verify_stop_sector = ~std::uint64_t{0};
    // SYNC_UUID of a source that was ready before our bitmap was stored (StartingSyncT).
    std::optional<std::uint64_t> early_sync_uuid;
    // Bitmap exchange.
    std::optional<wire::bitmap_transfer> bitmap_out;
    std::optional<wire::bitmap_transfer> bitmap_in;

    // The connection stands, and the peer does not have the volume: we go on alone.
    bool peer_lacks_it() const {
        return peer_volume == at_peer::missing &&
               state.connection == state::connection::wf_report_params;
    }
    // The peer has the volume, as far as is known.
    bool may_be_answered() const {
        return peer_volume == at_peer::unknown || peer_volume == at_peer::there;
    }
    // With the peer everything is said that there is to be said now.
    bool met() const {
        return connected() || peer_lacks_it() ||
               (peer_volume == at_peer::silent &&
                state.connection == state::connection::wf_report_params);
    }
    bool connected() const { return state.connection >= state::connection::connected; }
    bool has_disk(state::disk least = state::disk::inconsistent) const {
        return disk != nullptr && state.disk >= least;
    }
    // Is what a Primary's own disk has safe? Not if the peer's is to take its place.
    bool counts_here() const { return has_disk(state::disk::up_to_date) && !leaving; }
    std::string text() const; // "drbd0" style for logs: minor
};

} // namespace lockstep::replica
