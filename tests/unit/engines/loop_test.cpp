// The event stream and the commands with programs that are played by scripts, on a real main loop.
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "daemon/engines/engine_commands.hpp"
#include "daemon/engines/event_stream.hpp"
#include "unit/cmocka.hpp"

namespace {

using namespace lockstep;
using namespace lockstep::engines;

constexpr std::uint64_t second = 1'000'000'000;

class stage final : public event_stream_user {
public:
    stage() : directory_("/tmp/lockstep-engines-XXXXXX") {
        assert_non_null(::mkdtemp(directory_.data()));
    }
    ~stage() override {
        qb_loop_destroy(loop);
        std::filesystem::remove_all(directory_);
    }

    // The path of a program that finds "$here", a directory of its own.
    std::string script(const std::string& text) const {
        const std::string path = directory_ + "/program";
        std::ofstream(path) << "#!/bin/sh\nhere=" << directory_ << "\n" << text << "\n";
        assert_int_equal(::chmod(path.c_str(), 0755), 0);
        return path;
    }
    std::string contents(const std::string& name) const {
        std::ifstream from(directory_ + "/" + name);
        return {std::istreambuf_iterator<char>(from), {}};
    }

    void facts(const std::string& resource, const engine_facts& now) override {
        note(fmt::format("facts {} {}{}", resource, now.running ? "running" : "-",
                         now.primary ? " primary" : ""));
    }
    void gone(const std::string& resource) override { note("gone " + resource); }
    void problem(const std::string& text) override { note("problem " + text); }
    engine_commands::on_end noting(const std::string& name) {
        return [this, name](const command_end& end) {
            note(fmt::format("{} {} {}", name, end.exit_code,
                             end.too_late ? "late" : end.complaint));
        };
    }

    void note(const std::string& what) {
        notes.push_back(what);
        if (notes.size() == wanted_) {
            qb_loop_stop(loop);
        }
    }
    // Until so many notes were taken in all.
    void run(std::size_t wanted) {
        daemon::loop_timer limit(loop, [this] { qb_loop_stop(loop); });
        limit.set(std::chrono::nanoseconds(30 * second));
        wanted_ = wanted;
        if (notes.size() < wanted) {
            qb_loop_run(loop);
        }
        for (const std::string& each : notes) {
            if (notes.size() != wanted) {
                print_error("%s\n", each.c_str());
            }
        }
        assert_int_equal(notes.size(), wanted);
    }
    void is(std::size_t at, const std::string& expected) const {
        assert_string_equal(notes.at(at).c_str(), expected.c_str());
    }
    void has(std::size_t at, const char* part) const {
        assert_non_null(std::strstr(notes.at(at).c_str(), part));
    }

    qb_loop_t* const loop = qb_loop_create();
    std::vector<std::string> notes;

private:
    std::string directory_;
    std::size_t wanted_ = 0;
};

instant steady() {
    const auto since = std::chrono::steady_clock::now().time_since_epoch();
    return static_cast<instant>(std::chrono::nanoseconds(since).count());
}

void a_stream_that_ends_is_started_again_and_replaces_what_was_known(void**) {
    stage here;
    const std::string program = here.script(R"(
[ "$*" = "events2 all" ] || exit 9
if mkdir $here/before 2>/dev/null; then
    echo "exists resource name:r0 role:Primary"
    echo "exists resource name:r1 role:Secondary"
    printf "exists -\nchange resource name:r1 ro"
    sleep 0.05
    echo "le:Primary"
    echo "no more" >&2
    exit 3
fi
echo "exists resource name:r1 role:Secondary"
echo "exists -"
exec sleep 1000)");
    const event_stream events(here.loop, program, steady, here);
    here.run(7);
    here.is(0, "facts r0 running primary");
    here.is(1, "facts r1 running");
    here.is(2, "facts r1 running primary");
    here.has(3, "events2 has ended, exit code 3: no more");
    here.is(4, "facts r0 -");
    here.is(5, "gone r0");
    here.is(6, "facts r1 running");
}

void what_is_not_understood_is_told_and_asked_for_again(void**) {
    stage here;
    const std::string program = here.script(R"(
if mkdir $here/before 2>/dev/null; then
    echo "exists resource role:Primary"
    echo "and more"
    exec sleep 1000
fi
echo "exists resource name:r0 role:Primary"
echo "exists -"
exec sleep 1000)");
    const event_stream events(here.loop, program, steady, here);
    here.run(2);
    here.has(0, "problem events2, column 17 of \"exists resource role:Primary\"");
    here.is(1, "facts r0 running primary");
}

void a_line_without_end_is_given_up(void**) {
    stage here;
    const std::string program = here.script("yes | tr -d '\\n'");
    const event_stream events(here.loop, program, steady, here);
    here.run(1);
    here.has(0, "problem a line of events2 without an end");
}

void a_program_that_is_missing_is_told(void**) {
    stage here;
    const event_stream events(here.loop, "/nowhere/drbdsetup", steady, here);
    here.run(2);
    here.has(0, "/nowhere/drbdsetup");
    here.has(1, "No such file"); // a second later
}

void commands_of_one_resource_follow_each_other(void**) {
    stage here;
    const std::string program = here.script(R"(
echo "$*" >>$here/$2
echo "said $1" >&2
[ $1 != primary ] || exec sleep 0.1
exit 4)");
    engine_commands commands(here.loop, {program, 20 * second});
    commands.run("r0", command::promote, here.noting("promote"));
    commands.run("r0", command::outdate, here.noting("outdate"));
    commands.run("r0", command::demote, [&](const command_end& end) {
        here.noting("demote")(end);
        commands.run("r0", command::connect, here.noting("connect"));
    });
    here.run(4);
    here.is(0, "promote 0 said primary\n");
    here.is(1, "outdate 4 said outdate\n");
    here.is(2, "demote 4 said secondary\n");
    here.is(3, "connect 4 said connect\n");
    assert_string_equal(here.contents("r0").c_str(),
                        "primary r0\noutdate r0\nsecondary r0\nconnect r0\n");
}

void what_takes_too_long_is_killed_with_what_it_started(void**) {
    stage here;
    int alive[2]; // all that is started has them, and the pipes of the program
    assert_int_equal(::pipe(alive), 0);
    const std::string program = here.script("[ $1 = outdate ] || (sleep 1000; true); exit 0");
    engine_commands commands(here.loop, {program, second / 10});
    commands.run("r0", command::promote, here.noting("promote"));
    commands.run("r0", command::promote, here.noting("promote"));
    commands.run("r1", command::outdate, here.noting("outdate"));
    here.run(3);
    here.is(0, "outdate 0 ");
    here.is(1, "promote -1 late");
    here.is(2, "promote -1 late");
    ::close(alive[1]);
    pollfd end{alive[0], POLLIN, 0};
    assert_int_equal(::poll(&end, 1, 10000), 1);
    assert_int_equal(end.revents, POLLHUP);
    ::close(alive[0]);
}

// The peer's primary would wait for a confirmation that never comes.
void a_disk_that_is_less_than_outdated_need_not_be_outdated(void**) {
    stage here;
    const std::string program = here.script("exit 5");
    engine_commands commands(here.loop, {program, 20 * second});
    commands.run("r0", command::outdate, here.noting("outdate"));
    commands.run("r0", command::connect, here.noting("connect"));
    here.run(2);
    here.is(0, "outdate 0 ");
    here.is(1, "connect 5 ");
}

void a_demotion_with_errors_is_repeated_while_the_engine_is_not_told(void**) {
    stage here;
    const std::string program = here.script(R"(
[ "$1 $2 $3" = "secondary --force r0" ] || exit 9
if mkdir $here/before 2>/dev/null; then exit 11; fi
exit 0)");
    engine_commands commands(here.loop, {program, 20 * second});
    commands.run("r0", command::demote_with_errors, here.noting("demote"));
    here.run(1);
    here.is(0, "demote 0 ");
}

void nobody_hears_of_what_is_destroyed(void**) {
    stage here;
    const std::string program = here.script("echo 'exists -'; exec sleep 1000");
    {
        const event_stream events(here.loop, program, steady, here);
        engine_commands commands(here.loop, {program, 20 * second});
        commands.run("r0", command::promote, here.noting("promote"));
        commands.run("r0", command::demote, here.noting("demote"));
        daemon::loop_timer soon(here.loop, [&] { here.note("soon"); });
        soon.set(std::chrono::nanoseconds(second / 10));
        here.run(1);
    }
    daemon::loop_timer later(here.loop, [&] { here.note("later"); });
    later.set(std::chrono::nanoseconds(second / 20));
    here.run(2);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_that_ends_is_started_again_and_replaces_what_was_known),
        cmocka_unit_test(what_is_not_understood_is_told_and_asked_for_again),
        cmocka_unit_test(a_line_without_end_is_given_up),
        cmocka_unit_test(a_program_that_is_missing_is_told),
        cmocka_unit_test(commands_of_one_resource_follow_each_other),
        cmocka_unit_test(what_takes_too_long_is_killed_with_what_it_started),
        cmocka_unit_test(a_disk_that_is_less_than_outdated_need_not_be_outdated),
        cmocka_unit_test(a_demotion_with_errors_is_repeated_while_the_engine_is_not_told),
        cmocka_unit_test(nobody_hears_of_what_is_destroyed),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
