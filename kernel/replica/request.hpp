// The two kinds of work under way: parts of the application's requests, and what the peer (or the
// resync) asks of our disk. Both come from fixed pools.
#pragma once

#include <array>
#include <cstdint>

#include "kernel/replica/buffer_pool.hpp"
#include "kernel/replica/interval_set.hpp"
#include "kernel/replica/intrusive_list.hpp"
#include "kernel/replica/io_request.hpp"
#include "kernel/replica/ports.hpp"
#include "kernel/wire/payload.hpp"

namespace lockstep::replica {

struct volume;
struct epoch;
struct peer_epoch;

// The list of whoever makes the request wait (overlap, activity log, freeze ...).
struct in_waiting {};
// The epoch it belongs to.
struct in_epoch {};
// All requests of a volume that are not finished: for disk failures and for status.
struct in_volume {};

// What became of the local half of a request.
enum class local_part : std::uint8_t { none, pending, done, failed };
// What became of its half on the peer. `sent`: handed to the socket. `acknowledged`: as the
// protocol (A, B, C) wants it.
enum class net_part : std::uint8_t { none, queued, sent, acknowledged, failed };

enum class wanted_ack : std::uint8_t { none, receive, write };

// One part of an io_request: at most max_io_bytes, and inside one activity log extent.
struct app_request : list_hook<in_waiting>, list_hook<in_epoch>, list_hook<in_volume> {
    volume* target = nullptr;
    io_request* parent = nullptr;
    io_request::operation op = io_request::operation::read;
    bool fua = false;
    bool may_unmap = true;
    std::uint64_t sector = 0;
    std::uint32_t size = 0; // bytes
    std::byte* memory = nullptr;
    buffer_ref buffer;
    buffer_ref left_to_disk; // the memory of a read that a disk was given up with

    local_part local = local_part::none;
    net_part net = net_part::none;
    wanted_ack ack = wanted_ack::none;
    bool net_done = true;        // covered by a barrier ack, or the peer has no part in it
    bool awaits_barrier = false; // FUA that the peer can't be told of: complete when net_done
    bool peer_lacks = false;     // its bits were set because the peer does not get it
    bool disk_was_lost = false;  // before that
    bool may_set_in_sync = false;
    bool postponed = false;    // lost against the other Primary's write: begins again behind it
    bool on_disk_only = false; // as a postponed one our disk has it, and the peer does not
    bool started = false;      // past all waiting: on its way to disk and peer
    bool on_disk = false;      // our disk has it (and its memory)
    bool completed = false;    // reported to the front end
    bool kept = false;         // completed, and sent again if the peer is lost before its barrier
    bool extent_held = false;  // a reference in the activity log
    bool counted_in_flight = false; // see congestion
    std::uint64_t ticket = 0;       // of the activity log
    std::uint64_t block_id = 0;     // what the peer echoes; 0 while unused
    interval_set::node interval;
    epoch* of = nullptr;
    disk_request disk;
    instant begun = 0;
    instant sent_at = 0;

    bool is_write() const {
        return op != io_request::operation::read && op != io_request::operation::flush;
    }
    std::uint64_t sectors() const { return size / 512; }
    void reset();
};

// Work that the peer or a resync started.
struct peer_request : list_hook<in_waiting>, list_hook<in_volume> {
    enum class kind : std::uint8_t {
        write,          // DATA, TRIM, ZEROES
        resync_write,   // we are target: a reply on its way to our disk
        resync_request, // we are target: asked for, no answer yet
        read,           // DATA_REQUEST
        resync_read,    // we are source
        checksum_read,  // we are target: read to make a CSUM_RS_REQUEST
        verify_read,    // VerifyS: read before OV_REQUEST's answer is compared
        verify_reply,   // VerifyT: read to answer OV_REQUEST
    };

    volume* target = nullptr;
    kind what = kind::write;
    disk_request::operation op = disk_request::operation::write;
    std::uint64_t sector = 0;
    std::uint32_t size = 0; // bytes
    std::uint64_t block_id = 0;
    std::uint32_t sequence = 0;
    std::uint32_t flags = 0; // wire::data_flag
    bool thin = false;       // RS_THIN_REQ
    bool failed = false;
    bool extent_held = false;
    bool in_interval = false;
    std::uint64_t ticket = 0;
    std::uint64_t arrival = 0; // ascending, over all volumes
    peer_epoch* of = nullptr;  // still this one only while the serial is the same
    std::uint64_t epoch_serial = 0;
    buffer_ref buffer;
    wire::digest digest;
    interval_set::node interval;
    disk_request disk;
    std::uint64_t link_serial = 0; // of the connection it came by: answers go nowhere else
    instant begun = 0;

    std::uint64_t sectors() const { return size / 512; }
    bool overlaps(const peer_request& other) const {
        return sector < other.sector + other.sectors() && other.sector < sector + sectors();
    }
    void reset();
};

} // namespace lockstep::replica
