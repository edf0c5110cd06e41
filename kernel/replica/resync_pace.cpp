#include "kernel/replica/resync_pace.hpp"

#include <algorithm>
#include <limits>

namespace lockstep::replica {

namespace {

constexpr std::int64_t block = resync_pace::sectors_per_block;
constexpr std::int64_t first_budget_min = 256; // 128 KiB
constexpr std::int64_t sectors_per_kib = 2;
constexpr std::int64_t steps_per_second = 10;
constexpr std::int64_t unlimited = std::numeric_limits<std::int64_t>::max() / 4;

} // namespace

void resync_pace::configure(const options::disk_options& disk, std::uint32_t max_buffers) {
    const std::uint32_t steps = std::min(disk.c_plan_ahead_ds, plan_max);
    if (steps != plan_steps_) {
        plan_steps_ = steps;
        forget_plan();
    }
    delay_steps_ = disk.c_delay_target_ds;
    fill_target_ = disk.c_fill_target_sectors;
    max_rate_kib_ = disk.c_max_rate_kib;
    resync_rate_kib_ = disk.resync_rate_kib;
    throttle_.configure(disk.c_min_rate_kib);
    window_ = std::max<std::int64_t>(max_buffers / 2, 1) * block;
}

void resync_pace::start(instant now) {
    last_step_ = now;
    stepped_ = false;
    budget_ = 0;
    step_budget_ = 0;
    arrived_ = 0;
    fixed_.restart(now);
    forget_plan();
}

void resync_pace::forget_plan() {
    plan_.fill(0);
    plan_head_ = 0;
    plan_total_ = 0;
    ramping_ = true;
}

std::int64_t resync_pace::most_in_a_second() const {
    const std::int64_t rate_kib = fixed_rate() ? resync_rate_kib_ : max_rate_kib_;
    // One block at least, or a rate below 4 KiB/s would never get to it.
    return rate_kib == 0 ? unlimited : std::max(rate_kib * sectors_per_kib, block);
}

void resync_pace::advance_slots(instant now) {
    const std::uint64_t slot = now / slot_time;
    if (slot - slot_ >= slots) {
        asked_.fill(0);
        asked_total_ = 0;
        slot_ = slot;
    }
    while (slot_ < slot) {
        ++slot_;
        asked_total_ -= asked_[slot_ % slots];
        asked_[slot_ % slots] = 0;
    }
}

// DRBD's controller: what came in is asked for again, and a share of what is missing in flight.
std::int64_t resync_pace::planned(std::int64_t in_flight) {
    const auto came_in = static_cast<std::int64_t>(arrived_);
    const auto steps = static_cast<std::int64_t>(plan_steps_);
    if (in_flight + came_in == 0) {
        target_ = resync_rate_kib_ * sectors_per_kib / steps_per_second * steps;
    } else {
        target_ = fill_target_ != 0 ? fill_target_ : came_in * delay_steps_;
    }
    const std::int64_t correction = (target_ - in_flight - plan_total_) / steps;
    for (std::int64_t at = 0; at < steps; ++at) {
        plan_[at] += correction;
    }
    plan_total_ += correction * steps;
    const std::int64_t due = plan_[plan_head_];
    plan_[plan_head_] = 0;
    plan_total_ -= due;
    plan_head_ = (plan_head_ + 1) % plan_steps_;
    return std::max<std::int64_t>(came_in + due, 0);
}

// The link did all we asked for and was idle afterwards: it can do more.
std::int64_t resync_pace::grown(std::int64_t plan, std::int64_t in_flight) {
    if (in_flight + static_cast<std::int64_t>(arrived_) == 0) {
        ramping_ = true;
        return std::max({plan, first_budget_min, fill_target_});
    }
    if (in_flight > std::max(target_, block)) {
        ramping_ = false;
        return plan;
    }
    if (budget_ >= block) {
        return plan;
    }
    return std::max(plan, ramping_ ? step_budget_ * 2 : step_budget_ + step_budget_ / 8 + block);
}

void resync_pace::step(instant now, std::int64_t in_flight) {
    const std::uint64_t slow = throttle_.sectors_now(now);
    const bool throttle = throttle_.active(now);
    if (fixed_rate()) {
        fixed_.accrue(now, resync_rate_kib_);
        budget_ = std::max<std::int64_t>(fixed_.credit(), 0);
        want_kib_ = resync_rate_kib_;
    } else if (!throttle) {
        const std::int64_t cap = std::max(most_in_a_second() / steps_per_second, block);
        budget_ = std::min(grown(planned(in_flight), in_flight), cap);
        below_maximum_ = budget_ < cap;
        ramping_ = ramping_ && below_maximum_;
        want_kib_ = static_cast<std::uint32_t>(
            std::min<std::int64_t>(budget_ / block * 4 * steps_per_second, 0xffffffff));
    }
    if (throttle) {
        // What the plan knew is worth nothing after this.
        forget_plan();
        const bool slower = !fixed_rate() || throttle_.min_rate_kib() < resync_rate_kib_;
        if (!fixed_rate() || static_cast<std::uint64_t>(budget_) > slow) {
            budget_ = static_cast<std::int64_t>(slow);
        }
        want_kib_ = slower ? throttle_.min_rate_kib() : resync_rate_kib_;
    }
    throttled_ = throttle;
    step_budget_ = budget_;
    arrived_ = 0;
    last_step_ = now;
    stepped_ = true;
}

std::uint32_t resync_pace::blocks_now(instant now, std::uint64_t in_flight_sectors) {
    const auto in_flight = static_cast<std::int64_t>(in_flight_sectors);
    advance_slots(now);
    // An idle link; below the maximum, so that this does not spend a second's worth at once.
    const bool came_back_early = !fixed_rate() && !throttled_ && below_maximum_ &&
                                 budget_ < block && in_flight == 0 && arrived_ > 0;
    if (!stepped_ || now - last_step_ >= step_time || came_back_early) {
        step(now, in_flight);
    }
    const std::int64_t room =
        std::min({budget_, window_ - in_flight, most_in_a_second() - asked_total_});
    return room < block ? 0 : static_cast<std::uint32_t>(room / block);
}

void resync_pace::requested(instant now, std::uint32_t blocks) {
    const std::int64_t sectors = blocks * block;
    advance_slots(now);
    asked_[slot_ % slots] += sectors;
    asked_total_ += sectors;
    budget_ -= sectors;
    if (fixed_rate()) {
        fixed_.spend(static_cast<std::uint64_t>(sectors));
    }
    throttle_.spend(static_cast<std::uint64_t>(sectors));
}

instant resync_pace::next_at(instant now) const {
    if (!stepped_) {
        return now;
    }
    const instant step_at = std::max(now, last_step_ + step_time);
    if (budget_ >= block && most_in_a_second() - asked_total_ < block) {
        return std::min(step_at, (now / slot_time + 1) * slot_time);
    }
    return step_at;
}

} // namespace lockstep::replica
