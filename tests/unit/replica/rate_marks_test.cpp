// The numbers of /proc/drbd while a resync runs.
#include "kernel/replica/rate_marks.hpp"

#include "unit/cmocka.hpp"

namespace {

using lockstep::replica::done_permille;
using lockstep::replica::instant;
using lockstep::replica::rate_marks;

constexpr instant second = lockstep::replica::nanoseconds_per_second;

// From a published walk-through of DRBD 8.3: 20 GiB, "sync'ed:  0.2% (20444/20476)M
// finish: 4:20:23 speed: 1,328 (1,324) K/sec".
void remaining_time_is_that_of_the_walkthrough(void**) {
    constexpr std::uint64_t total = 20969820 / 4;
    constexpr std::uint64_t left = 20935388 / 4;
    rate_marks subject;
    // Twenty seconds ago 1328 KiB/s more were left; six seconds before that nothing was done.
    subject.start(0, total);
    subject.start(6 * second, left + 1328 * 20 / 4);
    const auto shown = subject.progress(26 * second, left);
    assert_int_equal(shown.seconds_left, 15623);
    assert_int_equal(shown.seconds_left / 3600, 4);
    assert_int_equal(shown.seconds_left % 3600 / 60, 20);
    assert_int_equal(shown.seconds_left % 60, 23);
    assert_int_equal(shown.speed_kib, 1328);
    assert_int_equal(done_permille(total, left), 2);
    assert_int_equal((left >> 10) * 4, 20444);
    assert_int_equal((total >> 10) * 4, 20476);

    subject.start(0, total);
    assert_int_equal(subject.progress(26 * second, left).average_kib, 1324);
}

void permille_runs_from_0_to_1000(void**) {
    assert_int_equal(done_permille(0, 0), 1000);
    assert_int_equal(done_permille(1000000, 1000000), 2); // 976 * 1000 / 977 rounds down
    assert_int_equal(done_permille(1000000, 0), 1000);
    assert_int_equal(done_permille(1000000, 500000), 501);
    assert_int_equal(done_permille(100, 200), 0); // bits were set meanwhile
    assert_int_equal(done_permille(0, 1), 1000);
    assert_int_equal(done_permille(std::uint64_t{1} << 38, std::uint64_t{1} << 37), 501);
}

void speed_is_that_of_the_last_marks(void**) {
    rate_marks subject;
    subject.start(0, 1'000'000);
    std::uint64_t left = 1'000'000;
    // A minute at 1000 bits a second, then one at 100.
    for (instant s = 1; s <= 60; ++s) {
        left -= 1000;
        subject.advance(s * second, left);
    }
    assert_int_equal(subject.progress(60 * second, left).speed_kib, 4000);
    for (instant s = 61; s <= 120; ++s) {
        left -= 100;
        subject.advance(s * second, left);
    }
    const auto shown = subject.progress(120 * second, left);
    assert_int_equal(shown.speed_kib, 400);
    assert_int_equal(shown.average_kib, 550 * 4);
    assert_int_equal(shown.seconds_running, 120);
    assert_false(shown.stalled);
}

void speed_is_taken_from_the_oldest_mark_but_one(void**) {
    rate_marks subject;
    subject.start(0, 100'000);
    std::uint64_t left = 100'000;
    for (instant i = 1; i <= 9; ++i) {
        left -= i * 300; // each three seconds faster
        subject.advance(3 * i * second, left);
    }
    // Nine marks were set: the oldest of eight is that of 6 s, the next one that of 9 s.
    const std::uint64_t since_9_s = (4 + 5 + 6 + 7 + 8 + 9) * 300;
    assert_int_equal(subject.progress(27 * second, left).speed_kib, since_9_s / 18 * 4);
}

void no_progress_for_three_minutes_is_stalled(void**) {
    rate_marks subject;
    subject.start(0, 1'000'000);
    subject.advance(3 * second, 900'000);
    subject.advance(6 * second, 800'000);
    assert_false(subject.progress(180 * second, 800'000).stalled);
    // The mark that counts is the oldest but one: that of the start.
    assert_true(subject.progress(181 * second, 800'000).stalled);
    for (instant s = 0; s < 8; ++s) {
        subject.advance((190 + 3 * s) * second, 700'000 - s);
    }
    assert_false(subject.progress(211 * second, 699'993).stalled);
}

void pauses_do_not_count(void**) {
    rate_marks subject;
    subject.start(0, 1'000'000);
    subject.advance(10 * second, 990'000);
    subject.pause(10 * second);
    subject.advance(50 * second, 980'000); // not marked
    auto shown = subject.progress(110 * second, 990'000);
    assert_int_equal(shown.seconds_paused, 100);
    assert_int_equal(shown.seconds_running, 10);
    assert_int_equal(shown.average_kib, 4000);
    subject.resume(110 * second);
    shown = subject.progress(120 * second, 980'000);
    assert_int_equal(shown.seconds_paused, 100);
    assert_int_equal(shown.seconds_running, 20);
    assert_int_equal(shown.average_kib, 4000);
}

void bits_set_during_the_run_do_not_underflow(void**) {
    rate_marks subject;
    subject.start(0, 1000);
    const auto shown = subject.progress(5 * second, 5000);
    assert_int_equal(shown.left_bits, 1000);
    assert_int_equal(shown.done_permille, 0);
    assert_int_equal(shown.speed_kib, 0);
    assert_int_equal(shown.seconds_left, 5 * 1000 / 100);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(remaining_time_is_that_of_the_walkthrough),
        cmocka_unit_test(permille_runs_from_0_to_1000),
        cmocka_unit_test(speed_is_that_of_the_last_marks),
        cmocka_unit_test(speed_is_taken_from_the_oldest_mark_but_one),
        cmocka_unit_test(no_progress_for_three_minutes_is_stalled),
        cmocka_unit_test(pauses_do_not_count),
        cmocka_unit_test(bits_set_during_the_run_do_not_underflow),
    };
    return cmocka_run_group_tests_name("rate_marks", tests, nullptr, nullptr);
}
