// How fast resync and verify may go. The target of a resync (and the side that leads a verify) asks
// for blocks; this says how many it may ask for now.
//
// As in DRBD the plan is made in steps of 0.1 s. Each step gives a budget:
//
//   c-plan-ahead 0   resync-rate, exactly
//   else             what arrived in the last step, corrected so that what is under way goes to
//                    c-fill-target (or, if that is 0, to what arrives within c-delay-target), the
//                    correction being spread over c-plan-ahead; at most c-max-rate
//   in either case   at most c-min-rate while the application uses the disk (0: no limit)
//
// What differs from DRBD 8.4, to fill a fast link that it leaves idle:
//
// - The budget is spent whenever replies make room in the window (half of max-buffers), not only
//   at the step: 4 MiB in 0.1 s would be no more than 40 MiB/s.
// - As long as the whole budget is spent and comes back within its step, the budget doubles, from
//   the first backlog on it grows by an eighth; DRBD adds a few KiB/s in each step. Below the
//   maximum a step ends as soon as everything has come back, so that the link is not idle.
// - Never more than c-max-rate (resync-rate) in any second, however the steps fall.
//
// Sources: Linux 6.1 drivers/block/drbd/drbd_worker.c (drbd_rs_controller,
// drbd_rs_number_requests), drbd_receiver.c (drbd_rs_c_min_rate_throttle).
//
// No clock: every call says what time it is, and time never goes back.
#pragma once

#include <array>
#include <cstdint>

#include "kernel/options/options.hpp"
#include "kernel/replica/ports.hpp"
#include "kernel/replica/rate_meter.hpp"
#include "kernel/replica/resync_throttle.hpp"

namespace lockstep::replica {

class resync_pace {
public:
    static constexpr std::uint32_t sectors_per_block = 8; // 4 KiB

    resync_pace() { configure({}, options::net_options{}.max_buffers); }

    // Takes over the options (at any time); max_buffers in pages of 4 KiB.
    void configure(const options::disk_options& disk, std::uint32_t max_buffers);
    // A resync or verify begins or goes on after a pause.
    void start(instant now);

    // Replies came in: so many sectors are no longer in flight.
    void arrived(std::uint64_t sectors) { arrived_ += sectors; }
    // Tell it what the application does (see there).
    resync_throttle& throttle() { return throttle_; }

    // How many blocks of 4 KiB may be requested now, with so much still in flight. Ask after each
    // reply and at next_at().
    std::uint32_t blocks_now(instant now, std::uint64_t in_flight_sectors);
    // So many were requested, at most what blocks_now() said just before.
    void requested(instant now, std::uint32_t blocks);
    // When blocks_now() may say more even if nothing arrives.
    instant next_at(instant now) const;

    // KiB/s aimed at: "want" in /proc/drbd.
    std::uint32_t want_kib() const { return want_kib_; }
    // Whether the last step was held to c-min-rate.
    bool throttled() const { return throttled_; }

private:
    static constexpr instant step_time = nanoseconds_per_second / 10;
    static constexpr instant slot_time = nanoseconds_per_second / 50;
    static constexpr std::uint32_t slots = 51; // a second, wherever it begins within a slot
    static constexpr std::uint32_t plan_max = 300;

    bool fixed_rate() const { return plan_steps_ == 0; }
    std::int64_t most_in_a_second() const;
    void step(instant now, std::int64_t in_flight);
    std::int64_t planned(std::int64_t in_flight);
    std::int64_t grown(std::int64_t plan, std::int64_t in_flight);
    void forget_plan();
    void advance_slots(instant now);

    // Options; sectors and steps.
    std::uint32_t plan_steps_ = 0;
    std::int64_t delay_steps_ = 0;
    std::int64_t fill_target_ = 0;
    std::uint32_t max_rate_kib_ = 0;
    std::uint32_t resync_rate_kib_ = 0;
    std::int64_t window_ = 0;

    // Corrections planned for the coming steps, and their sum.
    std::array<std::int64_t, plan_max> plan_{};
    std::uint32_t plan_head_ = 0;
    std::int64_t plan_total_ = 0;

    instant last_step_ = 0;
    bool stepped_ = false;         // since start()
    std::int64_t budget_ = 0;      // sectors left of this step
    std::int64_t step_budget_ = 0; // what it began with
    std::int64_t target_ = 0;      // what the plan wants in flight
    bool ramping_ = true;
    bool below_maximum_ = true;
    std::uint64_t arrived_ = 0; // since the last step
    rate_meter fixed_;
    resync_throttle throttle_;
    bool throttled_ = false;
    std::uint32_t want_kib_ = 0;

    // Sectors requested in the slots of the last second.
    std::array<std::int64_t, slots> asked_{};
    std::int64_t asked_total_ = 0;
    std::uint64_t slot_ = 0; // number of the current one, since time 0
};

} // namespace lockstep::replica
