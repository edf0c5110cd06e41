// How drbdsetup waits: for an engine that takes its time, and for a reader of events2 that does.
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "agent/drbdsetup/program.hpp"
#include "unit/drbdsetup/fake_engine.hpp"
#include "unit/drbdsetup/kept_console.hpp"

#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::drbdsetup;
namespace samples = control::samples;

namespace {

constexpr unsigned test_minor = 900321;
const std::string minor_word = "900321";

control::snapshot resource() {
    control::snapshot made = samples::resource_in_sync();
    made.volumes[0].minor = test_minor;
    return made;
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

std::size_t count(const std::string& text, const std::string& part) {
    std::size_t found = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
        ++found;
    }
    return found;
}

template <class Condition>
void wait_until(Condition condition) {
    for (int at = 0; at < 4000 && !condition(); ++at) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    assert_true(condition());
}

// A terminal whose reader can stop to read.
class slow_console final : public console {
public:
    bool print(std::string_view text) override {
        std::unique_lock<std::mutex> held(mutex_);
        reads_.wait(held, [this] { return !holding_; });
        output_ += text;
        return !gone_;
    }
    void complain(std::string_view) override {}
    bool output_is_terminal() const override { return false; }
    bool error_is_terminal() const override { return false; }
    std::size_t columns() const override { return 0; }
    int output_descriptor() const override { return -1; }
    int input_descriptor() const override { return -1; }

    void hold(bool value) {
        const std::lock_guard<std::mutex> held(mutex_);
        holding_ = value;
        reads_.notify_all();
    }
    // The next line is the last one that is wanted.
    void leave() {
        const std::lock_guard<std::mutex> held(mutex_);
        gone_ = true;
    }
    std::string output() const {
        const std::lock_guard<std::mutex> held(mutex_);
        return output_;
    }

private:
    mutable std::mutex mutex_;
    std::condition_variable reads_;
    std::string output_;
    bool holding_ = false;
    bool gone_ = false;
};

void a_command_that_takes_long_says_what_it_waits_for_and_goes_on(void**) {
    const scratch_runtime runtime;
    control::snapshot state = resource();
    state.volumes[0].waiting_for = "waiting for the fence-peer handler";
    fake_engine engine(runtime, state);
    engine.stick();
    kept_console terminal;
    int code = -1;
    std::thread command([&] {
        code = run_program({"drbdsetup", "primary", minor_word}, runtime.where(), terminal);
    });
    wait_until([&] { return !terminal.errors().empty(); });
    assert_string_equal(terminal.errors().c_str(),
                        "900321: accepted, pending because waiting for the fence-peer handler "
                        "(volume 0)\n");
    // The next reason is told as well.
    engine.change([](auto& now) { now.volumes[0].waiting_for = "reading the metadata"; });
    wait_until([&] { return contains(terminal.errors(), "reading the metadata"); });
    engine.answer_stuck();
    command.join();
    assert_int_equal(code, 0);
    assert_int_equal(count(terminal.errors(), "pending"), 2);
}

void a_command_that_waits_for_a_silent_disk_returns_at_once(void**) {
    for (const char* verb : {"detach", "secondary", "invalidate", "outdate"}) {
        const scratch_runtime runtime;
        control::snapshot state = resource();
        state.volumes[0].disk_silent_ms = 6000;
        state.volumes[0].waiting_for = "the disk does not answer";
        fake_engine engine(runtime, state);
        engine.stick();
        kept_console terminal;
        const auto began = std::chrono::steady_clock::now();
        const int code = run_program({"drbdsetup", verb, minor_word}, runtime.where(), terminal);
        const auto took = std::chrono::steady_clock::now() - began;
        assert_int_equal(code, 20);
        assert_true(took < std::chrono::seconds(4)); // a busy machine gets twice what is promised
        assert_true(
            contains(terminal.errors(), "accepted, pending because the disk does not answer"));
        assert_true(contains(terminal.errors(), "\nhint: It goes on by itself"));
        engine.answer_stuck();
    }
}

void a_forced_detach_does_not_wait_for_the_one_that_hangs(void**) {
    const scratch_runtime runtime;
    control::snapshot state = resource();
    state.volumes[0].waiting_for = "waiting for the local-io-error handler";
    fake_engine engine(runtime, state);
    engine.stick();
    kept_console terminal;
    std::thread hanging([&] {
        run_program({"drbdsetup", "detach", minor_word}, runtime.where(), terminal);
    });
    wait_until([&] { return engine.requests().size() == 1; });
    kept_console other;
    std::thread forced([&] {
        run_program({"drbdsetup", "detach", minor_word, "--force"}, runtime.where(), other);
    });
    wait_until([&] { return engine.requests().size() == 2; });
    assert_true(engine.requests()[1].force);
    engine.answer_stuck();
    hanging.join();
    forced.join();
    assert_true(other.errors().empty());
}

void a_reader_that_was_too_slow_is_told_what_is_different_by_then(void**) {
    const scratch_runtime runtime;
    fake_engine engine(runtime, resource());
    slow_console terminal;
    std::thread watching([&] { run_program({"drbdsetup", "events2"}, runtime.where(), terminal); });
    wait_until([&] { return contains(terminal.output(), "exists -\n"); });
    terminal.hold(true);
    constexpr int changes = 20001;
    engine.in_loop([&](control::server& clients, control::snapshot& state) {
        for (int i = 0; i < changes; ++i) {
            samples::set_role(state, i % 2 == 0 ? state::role::primary : state::role::secondary);
            clients.changed();
        }
        state.volumes[0].state.disk = state::disk::diskless;
        state.volumes.push_back(state.volumes[0]);
        state.volumes[1].volume = 1;
        state.volumes[1].minor = test_minor + 1;
        clients.changed();
    });
    terminal.hold(false);
    wait_until([&] { return contains(terminal.output(), "create peer-device name:r0 "); });
    const std::string told = terminal.output();
    // Fewer than there were, in their order; then what is new, and nothing was taken back.
    const std::size_t roles = count(told, "change resource ");
    assert_true(roles > 100 && roles < changes);
    assert_int_equal(count(told, "destroy"), 0);
    assert_int_equal(count(told, "exists -\n"), 1);
    assert_int_equal(count(told, "create device name:r0 volume:1 minor:900322"), 1);
    assert_true(contains(told, "change device name:r0 volume:0 minor:900321 disk:Diskless"));
    const std::size_t last = told.rfind("change resource ");
    assert_true(contains(told.substr(last), "role:Primary") ||
                contains(told.substr(told.rfind("role:")), "role:Primary"));
    // And it goes on as for everybody else.
    terminal.leave();
    engine.change([](auto& now) { samples::set_role(now, state::role::secondary); });
    watching.join();
    assert_true(contains(terminal.output().substr(told.size()), "role:Secondary"));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_command_that_takes_long_says_what_it_waits_for_and_goes_on),
        cmocka_unit_test(a_command_that_waits_for_a_silent_disk_returns_at_once),
        cmocka_unit_test(a_forced_detach_does_not_wait_for_the_one_that_hangs),
        cmocka_unit_test(a_reader_that_was_too_slow_is_told_what_is_different_by_then),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
