// The options of drbd.conf that an engine is given, typed, with the defaults of 8.4.
// kernel/options/table.hpp knows their names, ranges and units, and converts from and to text.
#pragma once

#include <cstdint>
#include <string>

namespace lockstep::options {

enum class on_io_error : std::uint8_t { pass_on, call_local_io_error, detach };
enum class fencing : std::uint8_t { dont_care, resource_only, resource_and_stonith };
enum class protocol : std::uint8_t { a = 1, b = 2, c = 3 };
enum class on_no_data : std::uint8_t { io_error, suspend_io };
enum class on_congestion : std::uint8_t { block, pull_ahead, disconnect };

// Numbers are those of the PROTOCOL packet.
enum class after_split_brain : std::uint8_t {
    disconnect = 0,
    discard_younger_primary = 1,
    discard_older_primary = 2,
    discard_zero_changes = 3,
    discard_least_changes = 4,
    discard_local = 5,
    discard_remote = 6,
    consensus = 7,
    discard_secondary = 8,
    call_pri_lost = 9,
    violently_as_0p = 10,
};

enum class rr_conflict : std::uint8_t { disconnect, violently, call_pri_lost };

enum class read_balancing : std::uint8_t {
    prefer_local,
    prefer_remote,
    round_robin,
    least_pending,
    when_congested_remote,
    striping_32k,
    striping_64k,
    striping_128k,
    striping_256k,
    striping_512k,
    striping_1m,
};

// disk {}: one per volume.
struct disk_options {
    options::on_io_error on_io_error = on_io_error::detach;
    options::fencing fencing = fencing::dont_care;
    std::uint64_t size_sectors = 0; // 0: as large as both disks allow
    bool disk_barrier = false;
    bool disk_flushes = true;
    bool disk_drain = true;
    bool md_flushes = true;
    std::uint32_t disk_timeout_ds = 0; // tenths of a second; 0: off
    std::uint32_t al_extents = 1237;
    bool al_updates = true;
    options::read_balancing read_balancing = read_balancing::prefer_local;
    std::uint32_t resync_rate_kib = 250; // KiB/s
    std::int32_t resync_after = -1;      // minor
    std::uint32_t c_plan_ahead_ds = 20;
    std::uint32_t c_delay_target_ds = 10;
    std::uint32_t c_fill_target_sectors = 100;
    std::uint32_t c_max_rate_kib = 102400;
    std::uint32_t c_min_rate_kib = 250;
    bool discard_zeroes_if_aligned = true;
    std::uint32_t rs_discard_granularity = 0; // bytes; 0: off
    // Kept for `show` and adjust only; the table says why they change nothing here.
    std::uint32_t max_bio_bvecs = 0;
    bool disable_write_same = false;

    bool operator==(const disk_options&) const = default;
};

// net {}: one per resource (a pair).
struct net_options {
    options::protocol protocol = protocol::c;
    std::uint32_t timeout_ds = 60;
    std::uint32_t connect_int_s = 10;
    std::uint32_t ping_int_s = 10;
    std::uint32_t ping_timeout_ds = 5;
    std::uint32_t socket_check_timeout_ds = 0; // 0: ping-timeout
    std::uint32_t ko_count = 7;
    std::uint32_t max_epoch_size = 2048;
    std::uint32_t max_buffers = 2048; // pages
    std::uint32_t sndbuf_size = 0;    // bytes; 0: automatic
    std::uint32_t rcvbuf_size = 0;
    bool allow_two_primaries = false;
    std::string cram_hmac_alg;
    std::string shared_secret;
    after_split_brain after_sb_0pri = after_split_brain::disconnect;
    after_split_brain after_sb_1pri = after_split_brain::disconnect;
    after_split_brain after_sb_2pri = after_split_brain::disconnect;
    bool always_asbp = false;
    options::rr_conflict rr_conflict = rr_conflict::disconnect;
    std::string data_integrity_alg;
    bool tcp_cork = true;
    options::on_congestion on_congestion = on_congestion::block;
    std::uint32_t congestion_fill_sectors = 0;
    std::uint32_t congestion_extents = 1237;
    std::string csums_alg;
    bool csums_after_crash_only = false;
    std::string verify_alg;
    bool use_rle = true;
    // Kept for `show` and adjust only; the table says why it changes nothing here.
    std::uint32_t unplug_watermark = 128;

    bool operator==(const net_options&) const = default;
};

// options {}: one per resource.
struct resource_options {
    std::string cpu_mask;
    on_no_data on_no_data_accessible = on_no_data::io_error;

    bool operator==(const resource_options&) const = default;
};

} // namespace lockstep::options
