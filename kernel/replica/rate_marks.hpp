// How far a resync or verify is and how fast it goes, as /proc/drbd shows it. Eight marks, three
// seconds apart, remember how much was left when; speed and remaining time are taken over the time
// since the oldest but one, some 18 seconds.
//
// Source of the arithmetic, which is integer division throughout so that the numbers are those that
// DRBD shows: Linux 6.1 drivers/block/drbd/drbd_proc.c (drbd_syncer_progress), drbd_worker.c
// (drbd_advance_rs_marks). Counts are bits of 4 KiB.
#pragma once

#include <array>
#include <cstdint>

#include "kernel/replica/ports.hpp"

namespace lockstep::replica {

// What can be said about a run that is under way.
struct sync_progress {
    std::uint64_t left_bits = 0;     // not more than total
    std::uint32_t done_permille = 0; // 0..1000
    std::uint64_t seconds_left = 0;
    std::uint64_t speed_kib = 0;       // KiB/s over the last 18 s or so
    std::uint64_t average_kib = 0;     // KiB/s since the start, pauses left out
    bool stalled = false;              // no progress for three minutes
    std::uint64_t seconds_running = 0; // pauses left out
    std::uint64_t seconds_paused = 0;
};

class rate_marks {
public:
    // A run begins with so much to do.
    void start(instant now, std::uint64_t total_bits);
    // Progress: call it at least each second while something happens; cheap. Nothing is marked
    // while paused or while nothing has changed.
    void advance(instant now, std::uint64_t left_bits);
    void pause(instant now);
    void resume(instant now);
    bool paused() const { return paused_; }

    std::uint64_t total_bits() const { return total_bits_; }
    instant started() const { return started_; }
    sync_progress progress(instant now, std::uint64_t left_bits) const;

private:
    static constexpr std::size_t marks = 8;
    static constexpr instant mark_step = 3 * nanoseconds_per_second;
    static constexpr std::uint64_t stalled_after_s = 180;

    struct mark {
        instant at = 0;
        std::uint64_t left_bits = 0;
    };

    std::array<mark, marks> marks_{};
    std::size_t last_ = 0;
    std::uint64_t total_bits_ = 0;
    instant started_ = 0;
    instant paused_time_ = 0;
    bool paused_ = false;
};

// 0..1000. Precise to a block of 4 MiB, as DRBD's.
std::uint32_t done_permille(std::uint64_t total_bits, std::uint64_t left_bits);

} // namespace lockstep::replica
