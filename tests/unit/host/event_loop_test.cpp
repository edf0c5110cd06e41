#include "kernel/host/event_loop.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <vector>

#include "kernel/base/owned_fd.hpp"
#include "unit/cmocka.hpp"

namespace {

using namespace lockstep::host;
using lockstep::owned_fd;

std::unique_ptr<event_loop> make_loop(unsigned entries = 256) {
    auto loop = event_loop::create(entries);
    assert_true(loop.has_value());
    return std::move(*loop);
}

struct recorder : completion {
    recorder() : completion(ended) {}
    static void ended(completion& self, int result, unsigned flags) {
        auto& own = static_cast<recorder&>(self);
        own.results.push_back(result);
        own.more = (flags & completion_more) != 0;
    }
    std::vector<int> results;
    bool more = false;
};

template <class Condition>
void run_until(event_loop& loop, Condition condition) {
    const instant limit = event_loop::clock() + 10 * second;
    while (!condition()) {
        assert_true(event_loop::clock() < limit);
        loop.run_once(100 * millisecond);
    }
}

void bytes_written_are_read_back(void**) {
    auto loop = make_loop();
    const owned_fd file(::open("/tmp", O_TMPFILE | O_RDWR, 0600));
    recorder written;
    loop->write(written, file.get(), "lockstep", 8, 100);
    run_until(*loop, [&] { return written.results.size() == 1; });
    assert_int_equal(written.results[0], 8);
    recorder synced;
    loop->fdatasync(synced, file.get());
    recorder read;
    std::array<char, 16> back = {};
    loop->read(read, file.get(), back.data(), 8, 100);
    assert_int_equal(loop->pending(), 2);
    run_until(*loop, [&] { return loop->pending() == 0; });
    assert_int_equal(synced.results.at(0), 0);
    assert_int_equal(read.results.at(0), 8);
    assert_string_equal(back.data(), "lockstep");
}

void vectors_are_written_and_read(void**) {
    auto loop = make_loop();
    const owned_fd file(::open("/tmp", O_TMPFILE | O_RDWR, 0600));
    char first[] = "ab";
    char second_part[] = "cd";
    const iovec out[2] = {{first, 2}, {second_part, 2}};
    recorder ended;
    loop->writev(ended, file.get(), out, 2, 0, RWF_DSYNC);
    run_until(*loop, [&] { return ended.results.size() == 1; });
    assert_int_equal(ended.results[0], 4);
    std::array<char, 3> head = {};
    std::array<char, 2> tail = {};
    const iovec in[2] = {{head.data(), 3}, {tail.data(), 1}};
    loop->readv(ended, file.get(), in, 2, 0);
    run_until(*loop, [&] { return ended.results.size() == 2; });
    assert_int_equal(ended.results[1], 4);
    assert_int_equal(tail[0], 'd');
}

void an_error_is_a_negative_errno(void**) {
    auto loop = make_loop();
    recorder ended;
    char byte = 0;
    loop->read(ended, -1, &byte, 1, 0);
    run_until(*loop, [&] { return ended.results.size() == 1; });
    assert_int_equal(ended.results[0], -EBADF);
}

void more_operations_than_entries_are_all_carried_out(void**) {
    auto loop = make_loop(4);
    const owned_fd file(::open("/tmp", O_TMPFILE | O_RDWR, 0600));
    std::vector<recorder> many(100);
    for (std::size_t i = 0; i < many.size(); ++i) {
        loop->write(many[i], file.get(), "x", 1, i);
    }
    run_until(*loop, [&] { return loop->pending() == 0; });
    for (const recorder& one : many) {
        assert_int_equal(one.results.size(), 1);
        assert_int_equal(one.results[0], 1);
    }
}

void a_cancelled_operation_ends_with_ecanceled(void**) {
    auto loop = make_loop();
    const owned_fd event(::eventfd(0, EFD_CLOEXEC));
    recorder waiting;
    loop->poll(waiting, event.get(), POLLIN);
    loop->run_once(0);
    assert_int_equal(waiting.results.size(), 0);
    loop->cancel(waiting);
    run_until(*loop, [&] { return loop->pending() == 0; });
    assert_int_equal(waiting.results.at(0), -ECANCELED);
    loop->cancel(waiting); // nothing pending: nothing happens
    loop->run_once(0);
    assert_int_equal(waiting.results.size(), 1);
}

void a_multishot_poll_reports_each_event_until_cancelled(void**) {
    auto loop = make_loop();
    const owned_fd event(::eventfd(0, EFD_CLOEXEC));
    recorder waiting;
    loop->poll(waiting, event.get(), POLLIN, true);
    for (unsigned round = 1; round <= 3; ++round) {
        assert_int_equal(::eventfd_write(event.get(), 1), 0);
        run_until(*loop, [&] { return waiting.results.size() == round; });
        assert_true(waiting.more);
        assert_true(waiting.pending);
        eventfd_t value = 0;
        assert_int_equal(::eventfd_read(event.get(), &value), 0);
    }
    loop->cancel(waiting);
    run_until(*loop, [&] { return !waiting.pending; });
    assert_int_equal(waiting.results.back(), -ECANCELED);
    assert_int_equal(loop->pending(), 0);
}

struct counted_timer : timer {
    counted_timer() : timer(fire) {}
    static void fire(timer& self) {
        auto& own = static_cast<counted_timer&>(self);
        own.order->push_back(own.number);
    }
    std::vector<int>* order = nullptr;
    int number = 0;
};

void timers_fire_in_the_order_of_their_times(void**) {
    auto loop = make_loop();
    std::vector<int> order;
    counted_timer timers[4];
    for (int i = 0; i < 4; ++i) {
        timers[i].order = &order;
        timers[i].number = i;
    }
    const instant start = event_loop::clock();
    loop->set_timer(timers[0], start + 30 * millisecond);
    loop->set_timer(timers[1], start + 10 * millisecond);
    loop->set_timer(timers[2], start + 20 * millisecond);
    loop->set_timer(timers[3], start + 15 * millisecond);
    loop->clear_timer(timers[3]);
    run_until(*loop, [&] { return order.size() == 3; });
    assert_true(event_loop::clock() >= start + 30 * millisecond);
    assert_true(order == (std::vector<int>{1, 2, 0}));
    assert_false(timers[0].set);
}

void setting_a_timer_again_moves_it(void**) {
    auto loop = make_loop();
    std::vector<int> order;
    counted_timer one;
    one.order = &order;
    const instant start = event_loop::clock();
    loop->set_timer(one, start + 3600 * second);
    loop->set_timer(one, start + 5 * millisecond);
    run_until(*loop, [&] { return order.size() == 1; });
    loop->run_once(0);
    assert_int_equal(order.size(), 1);
}

struct again : deferred {
    explicit again(event_loop& loop_) : deferred(called), loop(loop_) {}
    static void called(deferred& self) {
        auto& own = static_cast<again&>(self);
        ++own.count;
        own.loop.defer(own);
    }
    event_loop& loop;
    int count = 0;
};

void a_call_that_defers_itself_lets_the_ring_have_its_turn(void**) {
    auto loop = make_loop();
    again one(*loop);
    int pipe[2] = {-1, -1};
    assert_int_equal(::pipe2(pipe, O_CLOEXEC), 0);
    const owned_fd reading(pipe[0]);
    const owned_fd writing(pipe[1]);
    char byte = 0;
    recorder read;
    loop->read(read, reading.get(), &byte, 1, event_loop::no_offset);
    loop->defer(one);
    loop->defer(one);
    loop->run_once(second);
    const int in_a_pass = one.count;
    assert_true(in_a_pass >= 1 && in_a_pass < 100);
    assert_int_equal(::write(writing.get(), "x", 1), 1);
    run_until(*loop, [&] { return read.results.size() == 1; });
    assert_true(one.count > in_a_pass);
    const int count = one.count;
    loop->remove(one);
    loop->run_once(0);
    assert_int_equal(one.count, count);
    assert_false(one.waiting);
}

struct relay : deferred {
    explicit relay(event_loop& loop_) : deferred(called), loop(loop_) {}
    static void called(deferred& self) {
        auto& own = static_cast<relay&>(self);
        ++own.count;
        if (own.following != nullptr) {
            own.loop.defer(*own.following);
        }
    }
    event_loop& loop;
    deferred* following = nullptr;
    int count = 0;
};

void what_a_call_defers_is_done_in_the_same_pass(void**) {
    auto loop = make_loop();
    relay last(*loop);
    relay middle(*loop);
    relay first(*loop);
    first.following = &middle;
    middle.following = &last;
    loop->defer(first);
    loop->run_once(second);
    assert_int_equal(first.count, 1);
    assert_int_equal(middle.count, 1);
    assert_int_equal(last.count, 1);
}

struct source : deadline_source {
    instant next_deadline() const override { return when; }
    void expire() override {
        ++count;
        when = never;
    }
    instant when = never;
    int count = 0;
};

void the_deadline_source_is_called_when_its_time_has_come(void**) {
    auto loop = make_loop();
    source from;
    loop->set_deadline_source(&from);
    from.when = event_loop::clock() + 20 * millisecond;
    const instant due = from.when;
    run_until(*loop, [&] { return from.count == 1; });
    assert_true(event_loop::clock() >= due);
    loop->run_once(0);
    assert_int_equal(from.count, 1);
}

struct stopper : deferred {
    explicit stopper(event_loop& loop_) : deferred(called), loop(loop_) {}
    static void called(deferred& self) { static_cast<stopper&>(self).loop.stop(); }
    event_loop& loop;
};

void run_ends_with_stop(void**) {
    auto loop = make_loop();
    stopper one(*loop);
    loop->defer(one);
    loop->run();
}

void socket_messages_pass_through_the_loop(void**) {
    auto loop = make_loop();
    int pair[2] = {-1, -1};
    assert_int_equal(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    const owned_fd left(pair[0]);
    owned_fd right(pair[1]);
    std::array<char, 8> bytes = {};
    recorder received;
    recorder sent;
    loop->recv(received, left.get(), bytes.data(), bytes.size());
    loop->send(sent, right.get(), "hello", 5);
    run_until(*loop, [&] { return loop->pending() == 0; });
    assert_int_equal(received.results.at(0), 5);
    loop->recv(received, left.get(), bytes.data(), bytes.size());
    right.reset();
    run_until(*loop, [&] { return loop->pending() == 0; });
    assert_int_equal(received.results.at(1), 0);
}

// How often this thread went to sleep of its own accord.
long sleeps() {
    rusage usage = {};
    assert_int_equal(::getrusage(RUSAGE_THREAD, &usage), 0);
    return usage.ru_nvcsw;
}

// What an event that comes from another process `delay` nanoseconds later finds the loop doing.
long sleeps_until_event(event_loop& loop, instant delay) {
    const owned_fd event(::eventfd(0, EFD_CLOEXEC));
    recorder ready;
    loop.poll(ready, event.get(), POLLIN);
    const std::uint64_t one = 1;
    assert_int_equal(::write(event.get(), &one, sizeof one), sizeof one);
    run_until(loop, [&] { return !ready.results.empty(); });
    std::uint64_t count = 0;
    assert_int_equal(::read(event.get(), &count, sizeof count), sizeof count);

    recorder came;
    loop.poll(came, event.get(), POLLIN);
    const pid_t child = ::fork();
    if (child == 0) {
        const instant end = event_loop::clock() + delay;
        while (event_loop::clock() < end) {
        }
        ::_exit(::write(event.get(), &one, sizeof one) == sizeof one ? 0 : 1);
    }
    const long before = sleeps();
    loop.run_once(10 * second);
    const long slept = sleeps() - before;
    assert_int_equal(came.results.size(), 1);
    assert_int_equal(::waitpid(child, nullptr, 0), child);
    return slept;
}

void a_busy_wait_hears_of_an_event_without_sleep(void**) {
    auto loop = make_loop();
    assert_true(sleeps_until_event(*loop, 200 * millisecond) > 0);
    loop->set_busy_wait(10 * second);
    assert_int_equal(sleeps_until_event(*loop, 200 * millisecond), 0);
    loop->set_busy_wait(0);
    assert_true(sleeps_until_event(*loop, 200 * millisecond) > 0);
}

void a_busy_wait_ends_in_sleep_and_at_the_timeout(void**) {
    auto loop = make_loop();
    loop->set_busy_wait(millisecond);
    assert_true(sleeps_until_event(*loop, 200 * millisecond) > 0);
    // It was an event that ended that pass: the next one looks, and no longer than it may.
    loop->set_busy_wait(10 * second);
    const instant began = event_loop::clock();
    loop->run_once(5 * millisecond);
    const instant took = event_loop::clock() - began;
    assert_true(took >= 5 * millisecond && took < 5 * second);
    // Nothing has happened since: no reason to look again.
    const long before = sleeps();
    loop->run_once(5 * millisecond);
    assert_true(sleeps() > before);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(bytes_written_are_read_back),
        cmocka_unit_test(vectors_are_written_and_read),
        cmocka_unit_test(an_error_is_a_negative_errno),
        cmocka_unit_test(more_operations_than_entries_are_all_carried_out),
        cmocka_unit_test(a_cancelled_operation_ends_with_ecanceled),
        cmocka_unit_test(a_multishot_poll_reports_each_event_until_cancelled),
        cmocka_unit_test(timers_fire_in_the_order_of_their_times),
        cmocka_unit_test(setting_a_timer_again_moves_it),
        cmocka_unit_test(a_call_that_defers_itself_lets_the_ring_have_its_turn),
        cmocka_unit_test(what_a_call_defers_is_done_in_the_same_pass),
        cmocka_unit_test(the_deadline_source_is_called_when_its_time_has_come),
        cmocka_unit_test(run_ends_with_stop),
        cmocka_unit_test(socket_messages_pass_through_the_loop),
        cmocka_unit_test(a_busy_wait_hears_of_an_event_without_sleep),
        cmocka_unit_test(a_busy_wait_ends_in_sleep_and_at_the_timeout),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
