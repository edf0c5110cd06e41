// Handlers: what they are called with, and what their end counts as.
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "kernel/host/helper_calls.hpp"
#include "kernel/host/locked_memory.hpp"
#include "unit/cmocka.hpp"

namespace {

using namespace lockstep;
using namespace lockstep::host;

helper_facts two_volumes() {
    helper_facts facts;
    facts.volumes = {{0, 10, "/dev/sdb1"}, {3, 11, ""}};
    facts.my_family = "ipv4";
    facts.my_address = "10.0.0.1";
    facts.peer_family = "ipv4";
    facts.peer_address = "10.0.0.2";
    facts.connection = "NetworkFailure";
    return facts;
}

bool has(const std::vector<std::string>& in, const std::string& what) {
    return std::find(in.begin(), in.end(), what) != in.end();
}

bool has_name(const std::vector<std::string>& in, const std::string& name) {
    return std::any_of(in.begin(), in.end(),
                       [&name](const std::string& one) { return one.rfind(name + "=", 0) == 0; });
}

void every_handler_gets_the_basic_environment(void**) {
    replica::helper_call call;
    call.name = "fence-peer";
    call.reason = "connection lost";
    helper_settings settings;
    settings.environment = {"OURS=1"};
    settings.resource = "r0";
    const auto got = helper_environment(settings, call, two_volumes());
    assert_false(has_name(got, "LOCKSTEP_RESOURCE"));
    call.for_volume = true;
    assert_true(has(helper_environment(settings, call, two_volumes()), "LOCKSTEP_RESOURCE=r0"));
    for (const char* one :
         {"HOME=/", "TERM=linux", "PATH=/sbin:/usr/sbin:/bin:/usr/bin", "DRBD_MY_AF=ipv4",
          "DRBD_MY_ADDRESS=10.0.0.1", "DRBD_PEER_AF=ipv4", "DRBD_PEER_ADDRESS=10.0.0.2",
          "DRBD_CSTATE=NetworkFailure", "DRBD_FENCE_REASON=connection lost", "OURS=1"}) {
        assert_true(has(got, one));
    }
}

void the_resources_handler_gets_every_volume_by_number(void**) {
    replica::helper_call call;
    call.name = "fence-peer";
    const auto got = helper_environment({}, call, two_volumes());
    for (const char* one : {"DRBD_MINOR_0=10", "DRBD_VOLUME_0=0", "DRBD_BACKING_DEV_0=/dev/sdb1",
                            "DRBD_MINOR_3=11", "DRBD_VOLUME_3=3"}) {
        assert_true(has(got, one));
    }
    assert_false(has_name(got, "DRBD_BACKING_DEV_3"));
    assert_false(has_name(got, "DRBD_MINOR"));
    assert_false(has_name(got, "DRBD_FENCE_REASON"));
    assert_true(has(got, "LOCKSTEP_UP_TO_DATE="));
    helper_facts good = two_volumes();
    good.own_up_to_date = true;
    assert_true(has(helper_environment({}, call, good), "LOCKSTEP_UP_TO_DATE=me "));
    good.peer_up_to_date = true;
    assert_true(has(helper_environment({}, call, good), "LOCKSTEP_UP_TO_DATE=me peer"));
}

void a_volumes_handler_gets_its_volume_alone(void**) {
    replica::helper_call call;
    call.name = "local-io-error";
    call.for_volume = true;
    call.volume = 3;
    const auto got = helper_environment({}, call, two_volumes());
    assert_true(has(got, "DRBD_MINOR=11"));
    assert_true(has(got, "DRBD_VOLUME=3"));
    assert_false(has_name(got, "DRBD_MINOR_0"));
    assert_false(has(got, "DRBD_MINOR=10"));
}

struct stage {
    stage() {
        char name[] = "/tmp/helper-test-XXXXXX";
        directory = ::mkdtemp(name);
        keeper_settings settings;
        settings.resource = "r0";
        settings.log_target = "/dev/null";
        keeper_ = std::move(*keeper::start(settings, {}));
        loop = std::move(*event_loop::create());
        keeper_->run_on(*loop);
    }
    ~stage() {
        keeper_.reset();
        ::unlink((directory + "/script").c_str());
        ::unlink((directory + "/said").c_str());
        ::rmdir(directory.c_str());
    }
    // Runs a handler of the volume 3 with this program; its exit code as the replica is told.
    int run(const std::string& body, std::uint32_t limit_ms = 0) {
        std::ofstream(directory + "/script") << "#!/bin/sh\n" << body;
        ::chmod((directory + "/script").c_str(), 0700);
        return run_program(directory + "/script", limit_ms);
    }
    int run_program(const std::string& program, std::uint32_t limit_ms = 0) {
        helper_settings settings;
        settings.program = program;
        settings.resource = "r0";
        settings.limit_ms = limit_ms;
        helper_calls calls(*keeper_, settings, [this](replica::log_level, const std::string& text) {
            lines.push_back(text);
        });
        replica::helper_call call;
        call.name = "pri-on-incon-degr";
        call.for_volume = true;
        call.volume = 3;
        std::optional<int> got;
        calls.run(call, two_volumes(), [&got](int code) { got = code; });
        assert_false(got.has_value());
        const instant limit = event_loop::clock() + 20 * second;
        while (!got) {
            assert_true(event_loop::clock() < limit);
            loop->run_once(100 * millisecond);
        }
        return *got;
    }

    std::string directory;
    std::unique_ptr<event_loop> loop;
    std::unique_ptr<keeper> keeper_;
    std::vector<std::string> lines;
};

void a_volumes_handler_is_called_with_its_minor(void**) {
    stage on;
    assert_int_equal(on.run("echo \"$# $1 $2\" >" + on.directory + "/said\nexit 7\n"), 7);
    std::ifstream from(on.directory + "/said");
    std::string said;
    std::getline(from, said);
    assert_string_equal(said.c_str(), "2 pri-on-incon-degr minor-11");
    assert_int_equal(on.lines.size(), 0);
}

void a_handler_killed_by_a_signal_counts_as_0_and_is_told(void**) {
    stage on;
    assert_int_equal(on.run("kill -TERM $$\n"), 0);
    assert_int_equal(on.lines.size(), 1);
    assert_non_null(std::strstr(on.lines[0].c_str(), "signal 15"));
}

void a_handler_that_hangs_counts_as_broken(void**) {
    stage on;
    assert_int_equal(on.run("sleep 600\n", 200), helper_timed_out);
    assert_non_null(std::strstr(on.lines.at(0).c_str(), "took too long"));
}

void a_handler_without_a_limit_gets_one_when_nobody_waits_any_more(void**) {
    stage on;
    std::ofstream(on.directory + "/script") << "#!/bin/sh\nsleep 600\n";
    ::chmod((on.directory + "/script").c_str(), 0700);
    helper_settings settings;
    settings.program = on.directory + "/script";
    settings.resource = "r0";
    settings.limit_ms = 200;
    helper_calls calls(*on.keeper_, settings, [&on](replica::log_level, const std::string& text) {
        on.lines.push_back(text);
    });
    replica::helper_call call;
    call.id = 5;
    call.name = "fence-peer";
    call.unlimited = true;
    std::optional<int> got;
    calls.run(call, two_volumes(), [&got](int code) { got = code; });
    const auto run_for = [&](instant time) {
        const instant end = event_loop::clock() + time;
        while (!got && event_loop::clock() < end) {
            on.loop->run_once(50 * millisecond);
        }
    };
    run_for(600 * millisecond);
    assert_false(got.has_value());
    calls.limit(5);
    run_for(20 * second);
    assert_int_equal(got.value_or(-1), helper_timed_out);
    assert_non_null(std::strstr(on.lines.at(0).c_str(), "took too long"));
    calls.limit(5); // too late, and without effect
}

void a_missing_handler_program_counts_as_0_and_is_told(void**) {
    stage on;
    assert_int_equal(on.run_program(on.directory + "/none"), 0);
    assert_non_null(std::strstr(on.lines.at(0).c_str(), "No such file"));
}

void disabled_handlers_count_as_0_without_a_word(void**) {
    stage on;
    assert_int_equal(on.run_program("disabled"), 0);
    assert_int_equal(on.lines.size(), 0);
}

void an_arena_is_aligned_and_all_there(void**) {
    auto arena = memory_arena::create(4 << 20);
    assert_true(arena.has_value());
    assert_int_equal(arena->bytes().size(), 4 << 20);
    assert_int_equal(reinterpret_cast<std::uintptr_t>(arena->bytes().data()) % (2 << 20), 0);
    std::vector<unsigned char> there(1024);
    assert_int_equal(::mincore(arena->bytes().data(), 4 << 20, there.data()), 0);
    assert_true(std::all_of(there.begin(), there.end(), [](unsigned char one) { return one & 1; }));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(every_handler_gets_the_basic_environment),
        cmocka_unit_test(the_resources_handler_gets_every_volume_by_number),
        cmocka_unit_test(a_volumes_handler_gets_its_volume_alone),
        cmocka_unit_test(a_volumes_handler_is_called_with_its_minor),
        cmocka_unit_test(a_handler_killed_by_a_signal_counts_as_0_and_is_told),
        cmocka_unit_test(a_handler_that_hangs_counts_as_broken),
        cmocka_unit_test(a_handler_without_a_limit_gets_one_when_nobody_waits_any_more),
        cmocka_unit_test(a_missing_handler_program_counts_as_0_and_is_told),
        cmocka_unit_test(disabled_handlers_count_as_0_without_a_word),
        cmocka_unit_test(an_arena_is_aligned_and_all_there),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
