#include "kernel/replica/rate_marks.hpp"

#include <algorithm>

namespace lockstep::replica {

namespace {

constexpr std::uint64_t kib_per_bit = 4;

std::uint64_t whole_seconds(instant duration) {
    return duration / nanoseconds_per_second;
}

} // namespace

std::uint32_t done_permille(std::uint64_t total_bits, std::uint64_t left_bits) {
    if (left_bits > total_bits) {
        // More was marked than there was to do: nothing is done yet.
        return total_bits != 0 ? 0 : 1000;
    }
    // DRBD's way to keep the product within 32 bits; kept because it rounds.
    const unsigned shift = total_bits > 0xffffffffU ? 16 : 10;
    const std::uint64_t left = left_bits >> shift;
    const std::uint64_t total = 1 + (total_bits >> shift);
    return static_cast<std::uint32_t>(1000 - left * 1000 / total);
}

void rate_marks::start(instant now, std::uint64_t total_bits) {
    marks_.fill({now, total_bits});
    last_ = 0;
    total_bits_ = total_bits;
    started_ = now;
    paused_time_ = 0;
    paused_ = false;
}

void rate_marks::advance(instant now, std::uint64_t left_bits) {
    if (paused_ || now - marks_[last_].at < mark_step || marks_[last_].left_bits == left_bits) {
        return;
    }
    last_ = (last_ + 1) % marks;
    marks_[last_] = {now, left_bits};
}

void rate_marks::pause(instant now) {
    if (!paused_) {
        paused_ = true;
        marks_[last_].at = now;
    }
}

void rate_marks::resume(instant now) {
    if (paused_) {
        paused_ = false;
        paused_time_ += now - marks_[last_].at;
    }
}

sync_progress rate_marks::progress(instant now, std::uint64_t left_bits) const {
    sync_progress shown;
    shown.left_bits = std::min(left_bits, total_bits_);
    shown.done_permille = done_permille(total_bits_, left_bits);

    // The mark behind the last may just now be written; the next one is the oldest that stays.
    const mark& base = marks_[(last_ + 2) % marks];
    std::uint64_t seconds = whole_seconds(now - base.at);
    shown.stalled = seconds > stalled_after_s;
    seconds = std::max<std::uint64_t>(seconds, 1);
    const std::uint64_t done =
        base.left_bits > shown.left_bits ? base.left_bits - shown.left_bits : 0;
    shown.seconds_left = seconds * (shown.left_bits / (done / 100 + 1)) / 100;
    shown.speed_kib = done / seconds * kib_per_bit;

    const instant pause_under_way = paused_ ? now - marks_[last_].at : 0;
    const instant paused = paused_time_ + pause_under_way;
    shown.seconds_paused = whole_seconds(paused);
    shown.seconds_running = whole_seconds(now - started_ - paused);
    shown.average_kib = (total_bits_ - shown.left_bits) /
                        std::max<std::uint64_t>(shown.seconds_running, 1) * kib_per_bit;
    return shown;
}

} // namespace lockstep::replica
