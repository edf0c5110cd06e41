#include "kernel/host/cpu_latency.hpp"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "unit/cmocka.hpp"

namespace {

using namespace lockstep::host;
using lockstep::owned_fd;

constexpr std::int32_t no_limit = 2'000'000'000;

// A request whose descriptor is a pipe, from which the test reads what the kernel would have got.
struct fixture {
    fixture() {
        auto made = event_loop::create();
        assert_true(made.has_value());
        loop = std::move(*made);
        int ends[2];
        assert_int_equal(::pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
        asked_for.reset(ends[0]);
        request = std::make_unique<cpu_latency_request>(*loop, owned_fd(ends[1]), 3);
    }

    std::vector<std::int32_t> asked() const {
        std::vector<std::int32_t> all;
        std::int32_t one = 0;
        while (::read(asked_for.get(), &one, sizeof one) == sizeof one) {
            all.push_back(one);
        }
        return all;
    }

    void wake(unsigned times, instant first, instant apart) const {
        for (unsigned i = 0; i < times; ++i) {
            request->woke(first + i * apart);
        }
    }

    std::unique_ptr<event_loop> loop;
    owned_fd asked_for;
    std::unique_ptr<cpu_latency_request> request;
};

using asked_list = std::vector<std::int32_t>;

void a_loop_that_is_woken_often_asks_once(void**) {
    const fixture here;
    here.wake(cpu_latency_request::often * 10, second, 100 * microsecond);
    assert_true(here.request->held());
    assert_true(here.asked() == asked_list{3});
}

void one_that_is_woken_now_and_then_does_not_ask(void**) {
    const fixture here;
    here.wake(cpu_latency_request::often * 10, second,
              cpu_latency_request::interval / (cpu_latency_request::often / 2));
    assert_false(here.request->held());
    assert_true(here.asked().empty());
}

void it_takes_back_what_it_asked_for_when_it_is_quiet_again(void**) {
    const fixture here;
    here.wake(cpu_latency_request::often, second, microsecond);
    assert_true(here.request->held());
    const instant limit = event_loop::clock() + 10 * second;
    while (here.request->held()) {
        assert_true(event_loop::clock() < limit);
        here.loop->run_once(second);
    }
    assert_true((here.asked() == asked_list{3, no_limit}));
    // The passes of the loop itself are what wakes it.
    while (!here.request->held()) {
        assert_true(event_loop::clock() < limit);
        here.loop->run_once(microsecond);
    }
    assert_true(here.asked() == asked_list{3});
}

void a_request_that_is_refused_is_not_held(void**) {
    fixture here;
    here.asked_for.reset(); // EPIPE
    here.wake(cpu_latency_request::often * 3, second, microsecond);
    assert_false(here.request->held());
}

bool asks_where(cpu_latency_kind kind, const char* driver) {
    char name[] = "/tmp/lockstep-driver-XXXXXX";
    const owned_fd file(::mkstemp(name));
    std::ofstream(name) << driver << '\n';
    auto fd = open_cpu_latency({kind, 0}, name);
    ::unlink(name);
    assert_true(fd.has_value());
    return fd->valid();
}

void only_virtual_machines_ask_by_themselves(void**) {
    assert_true(asks_where(cpu_latency_kind::automatic, "haltpoll"));
    assert_false(asks_where(cpu_latency_kind::automatic, "intel_idle"));
    assert_false(asks_where(cpu_latency_kind::automatic, ""));
    assert_false(asks_where(cpu_latency_kind::off, "haltpoll"));
    assert_true(asks_where(cpu_latency_kind::fixed, "intel_idle"));
}

void what_is_none_of_the_choices_is_refused(void**) {
    cpu_latency_choice choice;
    assert_true(set_cpu_latency(choice, "10000"));
    assert_true(choice.kind == cpu_latency_kind::fixed);
    assert_int_equal(choice.limit_us, 10'000);
    for (const char* wrong : {"", "10001", "-1", "1us", "on", "Auto", "99999999999"}) {
        assert_false(set_cpu_latency(choice, wrong));
        assert_int_equal(choice.limit_us, 10'000);
    }
    assert_true(set_cpu_latency(choice, "off"));
    assert_true(choice.kind == cpu_latency_kind::off);
    assert_true(set_cpu_latency(choice, "auto"));
    assert_true(choice.kind == cpu_latency_kind::automatic);
}

} // namespace

int main() {
    ::signal(SIGPIPE, SIG_IGN);
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_loop_that_is_woken_often_asks_once),
        cmocka_unit_test(one_that_is_woken_now_and_then_does_not_ask),
        cmocka_unit_test(it_takes_back_what_it_asked_for_when_it_is_quiet_again),
        cmocka_unit_test(a_request_that_is_refused_is_not_held),
        cmocka_unit_test(only_virtual_machines_ask_by_themselves),
        cmocka_unit_test(what_is_none_of_the_choices_is_refused),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
