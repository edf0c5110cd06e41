// What can be seen of a resource from outside: for status, events2, /proc/drbd and the tools.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernel/options/options.hpp"
#include "kernel/replica/ports.hpp"
#include "kernel/state/types.hpp"

namespace lockstep::replica {

// Progress of a resync or verify; counts are bits of 4 KiB.
struct progress_status {
    bool running = false;
    std::uint64_t total_bits = 0;
    std::uint64_t left_bits = 0;
    std::uint64_t failed_bits = 0;
    std::uint32_t done_permille = 0;
    std::uint64_t seconds_left = 0; // ~0: unknown
    std::uint64_t speed_kib = 0;    // KiB/s over the last marks
    std::uint64_t average_kib = 0;  // KiB/s since the start
    std::uint64_t want_kib = 0;     // KiB/s asked of the source; 0 unless target
    bool stalled = false;
    std::uint64_t seconds_running = 0;
    std::uint64_t seconds_paused = 0;
};

struct volume_status {
    volume_number volume = 0;
    std::uint32_t minor = 0;
    state::volume_state state;
    options::disk_options disk_options;
    bool attached = false;
    bool was_degraded = false; // degr-wfc-timeout is the one that counts
    std::uint64_t size_sectors = 0;
    std::uint32_t logical_block_bytes = 512;

    // Generation identifiers and flags as on disk; empty without a disk.
    std::uint64_t current_uuid = 0;
    std::uint64_t bitmap_uuid = 0;
    std::uint64_t history_uuid[2] = {0, 0};
    std::uint64_t device_uuid = 0;
    std::uint32_t metadata_flags = 0;

    // Counters of /proc/drbd: ns nr dw dr in KiB, al bm in writes, lo pe ua ap in requests.
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
    std::uint64_t application_in_flight_sectors = 0; // sent to the peer, not acknowledged
    std::uint64_t resync_in_flight_sectors = 0;      // asked of the peer, for a resync or a verify
    std::uint32_t epochs = 0;
    char write_ordering = 'f'; // b, f, d or n
    std::uint64_t out_of_sync_kib = 0;
    bool al_suspended = false;
    bool congested = false;
    progress_status progress;
    // Why something waits, in words; empty if nothing does ("waiting for the fence-peer handler").
    std::string waiting_for;
};

struct resource_status {
    std::string name;
    state::role role = state::role::secondary;
    state::role peer_role = state::role::unknown;
    state::connection connection = state::connection::standalone;
    bool suspended = false;
    bool suspended_user = false;
    bool suspended_no_data = false;
    bool suspended_fencing = false;
    bool has_net = false; // connect was given
    options::net_options net;
    options::resource_options resource;
    std::uint32_t protocol_version = 0; // 0 while not connected
    std::uint32_t features = 0;
    bool peer_is_lockstep = false;
    std::vector<volume_status> volumes; // by volume number
};

} // namespace lockstep::replica
