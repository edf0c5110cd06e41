// The resync pace on a simulated link: a pipe with a capacity and a delay, which answers requests
// in order.
#include "kernel/replica/resync_pace.hpp"

#include <algorithm>
#include <deque>
#include <rapidcheck.h>
#include <vector>

#include "unit/cmocka.hpp"

namespace {

using lockstep::options::disk_options;
using lockstep::replica::instant;
using lockstep::replica::resync_pace;
using lockstep::replica::resync_throttle;

constexpr instant second = lockstep::replica::nanoseconds_per_second;
constexpr instant millisecond = second / 1000;
constexpr std::uint32_t mib = 1024; // in KiB

// What a resync does with a pace, and what comes of it.
class simulation {
public:
    simulation(const disk_options& options, std::uint32_t max_buffers, std::uint64_t kib_per_second,
               instant delay)
        : kib_per_second_(kib_per_second), delay_(delay) {
        pace.configure(options, max_buffers);
        pace.start(now_);
    }

    void run_until(instant end) {
        while (now_ < end) {
            instant next = std::min(end, pace.next_at(now_));
            if (!replies_.empty()) {
                next = std::min(next, replies_.front().at);
            }
            // Rounds without progress would mean that next_at() does not keep its word.
            rounds_at_now_ = next == now_ ? rounds_at_now_ + 1 : 0;
            RC_ASSERT(rounds_at_now_ < 10000);
            now_ = next;
            if (application_sectors_per_ms_ > 0) {
                const auto ms = (now_ - application_since_) / millisecond;
                pace.throttle().application_used(ms * application_sectors_per_ms_);
                application_since_ += ms * millisecond;
            }
            while (!replies_.empty() && replies_.front().at <= now_) {
                in_flight_ -= replies_.front().sectors;
                done_sectors_ += replies_.front().sectors;
                pace.arrived(replies_.front().sectors);
                replies_.pop_front();
            }
            in_flight_max_ = std::max(in_flight_max_, in_flight_);
            request();
        }
    }

    void set_capacity(std::uint64_t kib_per_second) { kib_per_second_ = kib_per_second; }
    void set_application(std::uint64_t sectors_per_ms) {
        application_sectors_per_ms_ = sectors_per_ms;
        application_since_ = now_;
    }
    void forget_in_flight_max() { in_flight_max_ = in_flight_; }
    void limit_total(std::uint64_t sectors) { left_ = sectors; }

    instant now() const { return now_; }
    std::uint64_t done_kib() const { return done_sectors_ / 2; }
    std::uint64_t left() const { return left_; }
    std::uint64_t in_flight_max() const { return in_flight_max_; }
    // KiB requested in the busiest second.
    std::uint64_t busiest_second_kib() const {
        std::uint64_t most = 0;
        std::uint64_t sum = 0;
        std::size_t first = 0;
        for (const auto& each : requests_) {
            sum += each.sectors;
            while (requests_[first].at + second <= each.at) {
                sum -= requests_[first++].sectors;
            }
            most = std::max(most, sum);
        }
        return most / 2;
    }

    resync_pace pace;

private:
    struct event {
        instant at;
        std::uint64_t sectors;
    };

    void request() {
        std::uint32_t blocks = pace.blocks_now(now_, in_flight_);
        blocks = static_cast<std::uint32_t>(std::min<std::uint64_t>(blocks, left_ / 8));
        if (blocks == 0) {
            return;
        }
        pace.requested(now_, blocks);
        left_ -= std::uint64_t{blocks} * 8;
        requests_.push_back({now_, std::uint64_t{blocks} * 8});
        while (blocks > 0) {
            const std::uint32_t part = std::min<std::uint32_t>(blocks, 32); // 128 KiB
            blocks -= part;
            link_free_ = std::max(link_free_, now_) + part * 4 * second / kib_per_second_;
            replies_.push_back({link_free_ + delay_, std::uint64_t{part} * 8});
            in_flight_ += std::uint64_t{part} * 8;
        }
        in_flight_max_ = std::max(in_flight_max_, in_flight_);
    }

    std::uint64_t kib_per_second_;
    instant delay_;
    instant now_ = 5 * second;
    instant link_free_ = 0;
    std::deque<event> replies_;
    std::vector<event> requests_;
    std::uint64_t in_flight_ = 0;
    std::uint64_t in_flight_max_ = 0;
    std::uint64_t done_sectors_ = 0;
    std::uint64_t left_ = ~std::uint64_t{0};
    std::uint64_t application_sectors_per_ms_ = 0;
    instant application_since_ = 0;
    int rounds_at_now_ = 0;
};

void never_more_than_the_maximum_in_any_second(void**) {
    assert_true(rc::check("c-max-rate and resync-rate", [] {
        disk_options options;
        options.c_plan_ahead_ds = *rc::gen::element<std::uint32_t>(0, 1, 5, 20, 300);
        options.c_delay_target_ds = *rc::gen::element<std::uint32_t>(1, 10, 100);
        options.c_fill_target_sectors = *rc::gen::element<std::uint32_t>(0, 100, 20480);
        options.c_max_rate_kib = *rc::gen::element<std::uint32_t>(250, 3333, 102400, 1024 * mib);
        options.c_min_rate_kib = *rc::gen::element<std::uint32_t>(0, 250, 20480);
        options.resync_rate_kib = *rc::gen::element<std::uint32_t>(1, 250, 33 * mib);
        const auto buffers = *rc::gen::element<std::uint32_t>(32, 2048, 20000);
        simulation subject(options, buffers,
                           *rc::gen::element<std::uint64_t>(300, 10240, 2048 * mib),
                           *rc::gen::element<instant>(0, millisecond, 70 * millisecond));
        for (int i = 0; i < 6; ++i) {
            subject.run_until(subject.now() + *rc::gen::inRange<instant>(1, 2 * second));
            subject.set_application(*rc::gen::element<std::uint64_t>(0, 0, 10));
            if (*rc::gen::inRange(0, 5) == 0) {
                subject.pace.start(subject.now());
            }
        }
        const std::uint32_t limit =
            options.c_plan_ahead_ds == 0 ? options.resync_rate_kib : options.c_max_rate_kib;
        RC_ASSERT(subject.busiest_second_kib() <= std::max<std::uint32_t>(limit, 4));
        RC_ASSERT(subject.in_flight_max() <= buffers / 2 * 8);
    }));
}

void a_fixed_rate_is_kept_within_5_percent(void**) {
    for (const std::uint32_t rate : {1U, 3U, 250U, 1000U, 33U * mib, 100U * mib}) {
        disk_options options;
        options.c_plan_ahead_ds = 0;
        options.resync_rate_kib = rate;
        simulation subject(options, 8000, 500 * mib, millisecond);
        subject.run_until(subject.now() + second);
        const std::uint64_t before = subject.done_kib();
        subject.run_until(subject.now() + 100 * second);
        const std::uint64_t rate_seen = (subject.done_kib() - before) / 100;
        print_message("# fixed %u KiB/s: %lu\n", rate, static_cast<unsigned long>(rate_seen));
        assert_true(rate_seen * 100 + 100 >= std::uint64_t{rate} * 95);
        assert_true(rate_seen <= rate);
        assert_int_equal(subject.pace.want_kib(), rate);
    }
}

void the_defaults_reach_their_maximum_rate(void**) {
    simulation subject(disk_options{}, 2048, 1000 * mib, millisecond);
    subject.run_until(subject.now() + 2 * second);
    const std::uint64_t before = subject.done_kib();
    print_message("# first two seconds: %lu MiB\n", static_cast<unsigned long>(before / mib));
    assert_true(before > 120 * mib);
    subject.run_until(subject.now() + 10 * second);
    const std::uint64_t rate = (subject.done_kib() - before) / 10;
    print_message("# c-max-rate 102400 KiB/s: %lu\n", static_cast<unsigned long>(rate));
    assert_true(rate >= 97000);
    assert_true(rate <= 102400);
}

// 1 GiB over a link of 2 GiB/s with 0.3 ms of delay, with c-max-rate out of the way.
void a_fast_link_is_filled_quickly(void**) {
    disk_options options;
    options.c_max_rate_kib = 4096 * mib;
    simulation subject(options, 8000, 2048 * mib, 300'000);
    const instant begin = subject.now();
    subject.limit_total(std::uint64_t{1} << 21);
    while (subject.left() > 0 && subject.now() < begin + 10 * second) {
        subject.run_until(subject.now() + 10 * millisecond);
    }
    const auto took_ms = (subject.now() - begin) / millisecond;
    print_message("# 1 GiB at 2 GiB/s: %lu ms\n", static_cast<unsigned long>(took_ms));
    assert_true(took_ms < 714); // 0.7 of the link
}

// Whatever the link can do is used, from a slow line to a local one.
void every_link_is_used(void**) {
    for (const std::uint64_t capacity : {1000UL, 10UL * mib, 110UL * mib, 700UL * mib}) {
        disk_options options;
        options.c_max_rate_kib = 4096 * mib;
        simulation subject(options, 2048, capacity, millisecond);
        subject.run_until(subject.now() + 5 * second);
        const std::uint64_t before = subject.done_kib();
        subject.run_until(subject.now() + 20 * second);
        const std::uint64_t rate = (subject.done_kib() - before) / 20;
        print_message("# link of %lu KiB/s: %lu\n", static_cast<unsigned long>(capacity),
                      static_cast<unsigned long>(rate));
        assert_true(rate * 100 >= capacity * 90);
    }
}

void a_link_that_slows_down_is_not_flooded(void**) {
    disk_options options;
    options.c_fill_target_sectors = 0;
    options.c_delay_target_ds = 1;
    options.c_plan_ahead_ds = 10;
    simulation subject(options, 40000, 100 * mib, millisecond);
    subject.run_until(subject.now() + 5 * second);
    subject.set_capacity(2 * mib);
    subject.run_until(subject.now() + 20 * second);
    subject.forget_in_flight_max();
    const std::uint64_t before = subject.done_kib();
    subject.run_until(subject.now() + 20 * second);
    const std::uint64_t delay_ms = subject.in_flight_max() / 2 * 1000 / (2 * mib);
    print_message("# delay after the slow-down: %lu ms\n", static_cast<unsigned long>(delay_ms));
    assert_true(delay_ms < 400); // 0.1 s is aimed at, steps are of 0.1 s
    assert_true((subject.done_kib() - before) / 20 >= 1800);
}

void what_is_in_flight_goes_to_the_fill_target(void**) {
    disk_options options;
    options.c_fill_target_sectors = 2048; // 1 MiB
    options.c_max_rate_kib = 1024 * mib;
    simulation subject(options, 40000, 100 * mib, millisecond);
    subject.run_until(subject.now() + 10 * second);
    subject.forget_in_flight_max();
    subject.run_until(subject.now() + 20 * second);
    print_message("# fill target 2048 sectors, in flight at most: %lu\n",
                  static_cast<unsigned long>(subject.in_flight_max()));
    // A step's budget is asked for at once: what the link does in 0.1 s comes on top.
    assert_true(subject.in_flight_max() < 2048 + 20480 + 20480 / 4);
}

// On a slow line, when it has settled.
std::uint64_t settled_in_flight(const disk_options& options) {
    simulation subject(options, 40000, 2 * mib, millisecond);
    subject.run_until(subject.now() + 60 * second);
    subject.forget_in_flight_max();
    subject.run_until(subject.now() + 20 * second);
    return subject.in_flight_max();
}

void a_larger_fill_target_keeps_more_in_flight(void**) {
    disk_options options;
    options.c_fill_target_sectors = 800;
    const auto little = settled_in_flight(options);
    options.c_fill_target_sectors = 16000;
    const auto much = settled_in_flight(options);
    print_message("# fill target 800 and 16000: %lu and %lu\n", static_cast<unsigned long>(little),
                  static_cast<unsigned long>(much));
    assert_true(little < 2000);
    assert_true(much > 12000 && much < 24000);
}

void a_longer_delay_target_keeps_more_in_flight(void**) {
    disk_options options;
    options.c_fill_target_sectors = 0;
    options.c_delay_target_ds = 2;
    const auto little = settled_in_flight(options);
    options.c_delay_target_ds = 40;
    const auto much = settled_in_flight(options);
    print_message("# delay target 0.2 s and 4 s: %lu and %lu\n", static_cast<unsigned long>(little),
                  static_cast<unsigned long>(much));
    assert_true(much > 4 * little);
}

void the_application_goes_first(void**) {
    disk_options options;
    options.c_min_rate_kib = 1000;
    simulation subject(options, 2048, 1000 * mib, millisecond);
    subject.run_until(subject.now() + 3 * second);
    assert_false(subject.pace.throttled());
    subject.set_application(10); // 5 MiB/s
    subject.run_until(subject.now() + second);
    assert_true(subject.pace.throttled());
    assert_int_equal(subject.pace.want_kib(), 1000);
    std::uint64_t before = subject.done_kib();
    subject.run_until(subject.now() + 10 * second);
    std::uint64_t rate = (subject.done_kib() - before) / 10;
    print_message("# c-min-rate 1000 KiB/s: %lu\n", static_cast<unsigned long>(rate));
    assert_true(rate >= 950 && rate <= 1000);
    // Once the application is quiet the resync is soon at full speed again.
    subject.set_application(0);
    subject.run_until(subject.now() + second);
    assert_false(subject.pace.throttled());
    before = subject.done_kib();
    subject.run_until(subject.now() + 10 * second);
    rate = (subject.done_kib() - before) / 10;
    assert_true(rate > 95000);
}

void a_minimum_rate_of_0_never_throttles(void**) {
    disk_options options;
    options.c_min_rate_kib = 0;
    simulation subject(options, 2048, 1000 * mib, millisecond);
    subject.set_application(1000);
    subject.run_until(subject.now() + 3 * second);
    assert_false(subject.pace.throttled());
    assert_true(subject.done_kib() > 150 * mib);
}

void a_little_application_io_does_not_throttle(void**) {
    resync_throttle subject;
    subject.configure(250);
    subject.application_used(64);
    assert_false(subject.active(second));
    assert_true(subject.may_begin(second));
    subject.application_used(1); // it adds up
    assert_true(subject.active(second));
    assert_true(subject.active(second + 299 * millisecond));
    assert_false(subject.active(second + 300 * millisecond));
    subject.application_waits();
    assert_true(subject.active(2 * second));
}

// The source of a resync holds requests back with the throttle alone.
void the_source_answers_at_the_minimum_rate(void**) {
    resync_throttle subject;
    subject.configure(1000);
    std::uint64_t begun = 0;
    for (instant now = second; now < 11 * second; now += 10 * millisecond) {
        subject.application_used(100);
        if (subject.may_begin(now)) {
            subject.spend(2048); // 1 MiB at a time: more than the credit
            begun += 2048;
        }
    }
    print_message("# served in 10 s: %lu KiB\n", static_cast<unsigned long>(begun / 2));
    assert_true(begun / 2 >= 9000 && begun / 2 <= 11000);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(never_more_than_the_maximum_in_any_second),
        cmocka_unit_test(a_fixed_rate_is_kept_within_5_percent),
        cmocka_unit_test(the_defaults_reach_their_maximum_rate),
        cmocka_unit_test(a_fast_link_is_filled_quickly),
        cmocka_unit_test(every_link_is_used),
        cmocka_unit_test(a_link_that_slows_down_is_not_flooded),
        cmocka_unit_test(what_is_in_flight_goes_to_the_fill_target),
        cmocka_unit_test(a_larger_fill_target_keeps_more_in_flight),
        cmocka_unit_test(a_longer_delay_target_keeps_more_in_flight),
        cmocka_unit_test(the_application_goes_first),
        cmocka_unit_test(a_minimum_rate_of_0_never_throttles),
        cmocka_unit_test(a_little_application_io_does_not_throttle),
        cmocka_unit_test(the_source_answers_at_the_minimum_rate),
    };
    return cmocka_run_group_tests_name("resync_pace", tests, nullptr, nullptr);
}
