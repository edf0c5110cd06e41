// drbdsetup events2 and the events of 8.3 follow engines that are played.
#include <unistd.h>

#include <chrono>
#include <string>
#include <thread>

#include "unit/drbdsetup/played_run.hpp"

#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::drbdsetup;
namespace samples = control::samples;

namespace {

void events2_follows_engines_that_come_change_and_go(void**) {
    const scratch_runtime runtime;
    kept_console terminal;
    // exists -; then 4 objects created, 1 changed, 4 destroyed
    terminal.read_only(10);
    std::thread watching([&] { run_program({"drbdsetup", "events2"}, runtime.where(), terminal); });
    const auto wait_for = [&](const std::string& text) {
        for (int at = 0; at < 2000 && !contains(terminal.output(), text); ++at) {
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
        assert_true(contains(terminal.output(), text));
    };
    wait_for("exists -\n");
    fake_engine engine(runtime, resource());
    wait_for("create peer-device name:r0");
    engine.change([](auto& now) { samples::set_role(now, state::role::primary); });
    wait_for("change resource name:r0 role:Primary may_promote:no\n");
    engine.end();
    watching.join();
    const std::string all = terminal.output();
    assert_true(contains(all, "create resource name:r0 role:Secondary suspended:no "
                              "may_promote:yes promotion_score:10102\n"));
    const std::string ends = all.substr(all.find("destroy"));
    assert_string_equal(ends.c_str(),
                        "destroy peer-device name:r0 peer-node-id:0 conn-name:peer volume:0\n"
                        "destroy device name:r0 volume:0 minor:900123\n"
                        "destroy connection name:r0 peer-node-id:0 conn-name:peer\n"
                        "destroy resource name:r0\n");
}

void events2_poll_describes_all_again_when_asked(void**) {
    const scratch_runtime runtime;
    const fake_engine engine(runtime, resource());
    int ends[2];
    assert_int_equal(::pipe(ends), 0);
    assert_int_equal(::write(ends[1], "n\n", 2), 2);
    ::close(ends[1]);
    kept_console terminal;
    terminal.input = ends[0];
    const int code = run_program({"drbdsetup", "events2", "--poll"}, runtime.where(), terminal);
    ::close(ends[0]);
    assert_int_equal(code, 0);
    const std::string all = terminal.output();
    const std::size_t first = all.find("exists -\n");
    assert_true(first != std::string::npos);
    assert_string_equal(all.substr(first + 9).c_str(), all.substr(0, first + 9).c_str());
}

void events_of_8_3_follows_an_engine(void**) {
    const scratch_runtime runtime;
    fake_engine engine(runtime, resource());
    kept_console terminal;
    terminal.read_only(2);
    std::thread watching([&] {
        run_program({"drbdsetup", "/dev/drbd900123", "events"}, runtime.where(), terminal);
    });
    for (int at = 0; at < 2000 && terminal.output().empty(); ++at) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    engine.change([](auto& now) { samples::set_role(now, state::role::primary); });
    watching.join();
    assert_string_equal(
        terminal.output().c_str(),
        "1 ST 900123 { cs:Connected ro:Secondary/Secondary ds:UpToDate/UpToDate r--- }\n"
        "2 ST 900123 { cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate r--- }\n");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(events2_follows_engines_that_come_change_and_go),
        cmocka_unit_test(events2_poll_describes_all_again_when_asked),
        cmocka_unit_test(events_of_8_3_follows_an_engine),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
