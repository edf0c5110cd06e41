// All that a client can see of a resource at one instant. Assembled by the engine from its replica
// and its configuration; status, show, proc, show-gi and the rest are drawn from this.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernel/options/options.hpp"
#include "kernel/state/types.hpp"

namespace lockstep::control {

// Of a resync or verify; bits of 4 KiB.
struct progress_snapshot {
    bool running = false;
    std::uint64_t total_bits = 0;
    std::uint64_t left_bits = 0;
    std::uint32_t done_permille = 0;
    std::uint64_t seconds_left = 0; // ~0: unknown
    std::uint64_t speed_kib = 0;    // KiB/s over the last marks
    std::uint64_t average_kib = 0;  // KiB/s since the start
    std::uint64_t want_kib = 0;     // KiB/s asked of the source
    bool stalled = false;

    bool operator==(const progress_snapshot&) const = default;
};

struct volume_snapshot {
    std::uint32_t volume = 0;
    std::uint32_t minor = 0;
    state::volume_state state;
    bool attached = false;
    bool client = false; // without a disk by intention: detach --diskless
    // Whether the device is open. Who has /dev/drbdN open is not known while it is published.
    bool open = false;
    bool open_is_known = true;
    // The disk was attached after a crash as Primary without a peer.
    bool was_degraded = false;
    std::string backing_device; // as given to attach; empty without a disk
    std::string meta_device;
    std::string meta_index; // "internal", "flexible", or a decimal number
    options::disk_options disk;
    std::uint64_t size_sectors = 0; // of 512 bytes

    std::uint64_t current_uuid = 0;
    std::uint64_t bitmap_uuid = 0;
    std::uint64_t history_uuid[2] = {0, 0};
    std::uint32_t metadata_flags = 0;

    // As /proc/drbd counts: ns nr dw dr in KiB, al bm in writes, lo pe ua ap in requests.
    std::uint64_t sent_kib = 0;
    std::uint64_t received_kib = 0;
    std::uint64_t written_kib = 0;
    std::uint64_t read_kib = 0;
    std::uint64_t al_writes = 0;
    std::uint64_t bm_writes = 0;
    std::uint32_t lower_pending = 0;
    std::uint32_t pending = 0;
    std::uint32_t unacked = 0;
    std::uint32_t upper_pending = 0;
    std::uint64_t application_in_flight_sectors = 0;
    std::uint64_t resync_in_flight_sectors = 0;
    std::uint32_t epochs = 0;
    char write_ordering = 'f'; // b, f, d or n
    std::uint64_t out_of_sync_kib = 0;
    bool al_suspended = false;
    bool congested = false; // the send buffer is full
    progress_snapshot progress;
    std::uint64_t disk_silent_ms = 0; // the disk was asked for something and does not answer
    std::string waiting_for;          // why something waits, in words

    bool operator==(const volume_snapshot&) const = default;
};

struct snapshot {
    std::string resource;
    state::role role = state::role::secondary;
    state::role peer_role = state::role::unknown;
    state::connection connection = state::connection::standalone;
    bool suspended_user = false;
    bool suspended_no_data = false;
    bool suspended_fencing = false;
    bool has_net = false;      // connect was given; the addresses and `net` mean something
    std::string local_address; // as given to connect: "ipv4:10.0.0.1:7789"
    std::string peer_address;
    options::net_options net;
    options::resource_options options;
    std::uint32_t wire_version = 0; // agreed with the peer; 0 while not connected
    bool peer_is_lockstep = false;
    std::vector<volume_snapshot> volumes; // by volume number

    bool suspended() const { return suspended_user || suspended_no_data || suspended_fencing; }
    bool operator==(const snapshot&) const = default;
};

} // namespace lockstep::control
