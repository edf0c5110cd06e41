// drbdsetup against engines that are played: what is asked of them, what is printed, and with
// which exit code it ends.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "unit/drbdsetup/played_run.hpp"

#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::drbdsetup;
using control::command;
namespace samples = control::samples;

namespace {

control::reply state_refusal(int code) {
    control::reply refused;
    refused.ok = false;
    refused.is_state_change = true;
    refused.code = code;
    return refused;
}

control::reply config_refusal(int code) {
    control::reply refused;
    refused.ok = false;
    refused.code = code;
    return refused;
}

// A resource.

void without_engines_nothing_is_configured(void**) {
    const scratch_runtime runtime;
    end got = run(runtime, {"status"});
    assert_int_equal(got.code, 0);
    assert_string_equal(got.output.c_str(), "# No currently configured DRBD found.\n");
    got = run(runtime, {"status", "--json"});
    assert_string_equal(got.output.c_str(), "[]\n");
    got = run(runtime, {"events2", "--now"});
    assert_int_equal(got.code, 0);
    assert_string_equal(got.output.c_str(), "exists -\n");
    got = run(runtime, {"proc"});
    assert_true(contains(got.output, "version: 8.4.11 (api:1/proto:86-101)\n"));
    got = run(runtime, {"show"});
    assert_int_equal(got.code, 0);
    assert_true(got.output.empty());
}

void an_unknown_resource_is_exit_10(void**) {
    const scratch_runtime runtime;
    end got = run(runtime, {"status", "r0"});
    assert_int_equal(got.code, 10);
    assert_true(contains(got.errors, "r0: No such resource\n"));
    got = run(runtime, {"del-resource", "r0"});
    assert_int_equal(got.code, 10);
    assert_true(contains(got.errors, "r0: Failure: (158) Unknown resource\n"
                                     "additional info from kernel:\nunknown resource\n"));
}

void an_unknown_minor_is_exit_10(void**) {
    const scratch_runtime runtime;
    const fake_engine engine(runtime, resource());
    for (const char* word :
         {"role", "cstate", "dstate", "show-gi", "get-gi", "primary", "detach"}) {
        const end got = run(runtime, {word, "900999"});
        assert_int_equal(got.code, 10);
        assert_true(contains(got.errors, "900999: Failure: (127) Device minor not allocated\n"
                                         "additional info from kernel:\nunknown minor\n"));
        // And what to do about it.
        assert_true(contains(got.errors, "hint: "));
    }
}

void down_of_what_does_not_run_succeeds(void**) {
    const scratch_runtime runtime;
    const end got = run(runtime, {"down", "r0"});
    assert_int_equal(got.code, 0);
    assert_true(got.errors.empty());
}

void down_ends_the_engine_and_leaves_nothing(void**) {
    const scratch_runtime runtime;
    fake_engine engine(runtime, resource());
    const end got = run(runtime, {"down", "r0"});
    assert_int_equal(got.code, 0);
    assert_true(engine.requests().at(0).what == command::down);
    engine.end();
    assert_int_equal(run(runtime, {"status", "r0"}).code, 10);
}

void down_clears_away_what_a_dead_engine_left(void**) {
    const scratch_runtime runtime;
    assert_true(runtime.where().prepare("r0").has_value());
    assert_true(runtime.where().link_minor(test_minor, "r0").has_value());
    assert_int_equal(run(runtime, {"down", "r0"}).code, 0);
    assert_true(runtime.where().resources().empty());
    assert_true(runtime.where().minors().empty());
}

void down_all_takes_every_resource_down(void**) {
    const scratch_runtime runtime;
    fake_engine one(runtime, resource());
    control::snapshot second = resource();
    second.resource = "r1";
    second.volumes[0].minor = test_minor + 1;
    fake_engine two(runtime, second);
    assert_int_equal(run(runtime, {"down", "all"}).code, 0);
    assert_int_equal(one.requests().size(), 1);
    assert_int_equal(two.requests().size(), 1);
}

void a_refused_down_says_why_and_is_exit_11(void**) {
    const scratch_runtime runtime;
    const fake_engine engine(runtime, resource(),
                             [](const auto&, auto&) { return state_refusal(-12); });
    const end got = run(runtime, {"down", "r0"});
    assert_int_equal(got.code, 11);
    assert_true(
        contains(got.errors, "r0: State change failed: (-12) Device is held open by someone\n"));
}

// Commands become requests.

struct request_row {
    std::vector<std::string> words;
    command what;
    bool force;
};

void commands_on_a_minor_ask_its_engine(void**) {
    const request_row rows[] = {
        {{"primary", minor_word}, command::primary, false},
        {{"primary", minor_word, "--force"}, command::primary, true},
        {{"primary", "--overwrite-data-of-peer", minor_word}, command::primary, true},
        {{"primary", minor_word, "--force=no"}, command::primary, false},
        {{"secondary", minor_word}, command::secondary, false},
        {{"detach", minor_word, "--force"}, command::detach, true},
        {{"invalidate", minor_word}, command::invalidate, false},
        {{"invalidate-remote", minor_word}, command::invalidate_remote, false},
        {{"pause-sync", minor_word}, command::pause_sync, false},
        {{"resume-sync", minor_word}, command::resume_sync, false},
        {{"suspend-io", minor_word}, command::suspend_io, false},
        {{"resume-io", minor_word}, command::resume_io, false},
        {{"outdate", minor_word}, command::outdate, false},
        {{"verify", minor_word}, command::verify, false},
        {{"new-current-uuid", minor_word}, command::new_current_uuid, false},
        {{"del-minor", minor_word}, command::del_minor, false},
        {{"resize", minor_word}, command::resize, false},
    };
    const scratch_runtime runtime;
    const fake_engine engine(runtime, resource());
    std::size_t at = 0;
    for (const request_row& row : rows) {
        const end got = run(runtime, row.words);
        assert_int_equal(got.code, 0);
        assert_true(got.errors.empty() && got.output.empty());
        const control::request asked = engine.requests().at(at++);
        assert_true(asked.what == row.what);
        assert_int_equal(asked.minor, test_minor);
        assert_int_equal(asked.force, row.force);
    }
}

void arguments_and_options_reach_the_engine_in_its_units(void**) {
    const scratch_runtime runtime;
    const fake_engine engine(runtime, resource());
    assert_int_equal(run(runtime, {"verify", minor_word, "--start=4k", "--stop=1M"}).code, 0);
    assert_int_equal(run(runtime, {"resize", minor_word, "--size=1G", "--assume-clean"}).code, 0);
    assert_int_equal(run(runtime, {"new-current-uuid", minor_word, "--clear-bitmap"}).code, 0);
    assert_int_equal(
        run(runtime, {"disk-options", minor_word, "--set-defaults", "--resync-rate=50M"}).code, 0);
    assert_int_equal(
        run(runtime, {"net-options", "10.0.0.1:7789", "ipv4:10.0.0.2:7789", "--ping-timeout=20"})
            .code,
        0);
    assert_int_equal(
        run(runtime, {"disconnect", "ipv4:10.0.0.1:7789", "ipv4:10.0.0.2:7789", "--force"}).code,
        0);
    assert_int_equal(run(runtime, {"connect", "r0", "10.0.0.1", "[::1]:1234", "--protocol=A",
                                   "--discard-my-data", "--allow-two-primaries"})
                         .code,
                     0);
    assert_int_equal(run(runtime, {"new-minor", "r0", "900124", "1"}).code, 0);
    const std::vector<control::request> asked = engine.requests();
    assert_int_equal(asked[0].start_sector, 8);
    assert_int_equal(asked[0].stop_sector, 2048);
    assert_int_equal(asked[1].size_sectors, 2097152);
    assert_true(asked[1].assume_clean);
    assert_true(asked[2].clear_bitmap);
    assert_true(asked[3].set_defaults);
    assert_string_equal(asked[3].settings.at(0).value.c_str(), "51200k");
    assert_string_equal(asked[4].settings.at(0).name.c_str(), "ping-timeout");
    assert_true(asked[5].what == command::disconnect && asked[5].force);
    assert_string_equal(asked[6].local_address.c_str(), "ipv4:10.0.0.1:7788");
    assert_string_equal(asked[6].peer_address.c_str(), "ipv6:[::1]:1234");
    assert_true(asked[6].discard_my_data);
    assert_int_equal(asked[6].settings.size(), 2);
    assert_int_equal(asked[7].minor, 900124);
    assert_int_equal(asked[7].volume, 1);
}

void a_connection_that_nobody_has_is_exit_10(void**) {
    const scratch_runtime runtime;
    const fake_engine engine(runtime, resource());
    const end got = run(runtime, {"disconnect", "10.9.9.9:1", "10.0.0.2:7789"});
    assert_int_equal(got.code, 10);
    assert_true(contains(got.errors, "Failure: (162) Invalid configuration request\n"
                                     "additional info from kernel:\nunknown connection\n"));
}

void attach_takes_block_devices_only(void**) {
    const scratch_runtime runtime;
    const fake_engine engine(runtime, resource());
    // The mistake of an old how-to: "internal" in the place of the metadata device.
    end got = run(runtime, {"attach", minor_word, "/dev/null", "internal", "-1"});
    assert_int_equal(got.code, 20);
    assert_true(contains(got.errors, "/dev/null is not a block device!"));
    got =
        run(runtime, {"attach", minor_word, "/nonexistent/disk", "/nonexistent/disk", "internal"});
    assert_int_equal(got.code, 20);
    assert_true(contains(got.errors, "Can not open device '/nonexistent/disk'"));
    assert_true(contains(got.errors, "No such file or directory"));
    got = run(runtime, {"attach", minor_word, "/dev/null", "/dev/null", "somewhere"});
    assert_int_equal(got.code, 20);
    assert_true(engine.requests().empty());
}

struct exit_row {
    control::reply answer;
    int code;
    const char* text;
};

void refusals_have_drbds_exit_codes_and_texts(void**) {
    const exit_row rows[] = {
        {state_refusal(-1), 11, "(-1) Multiple primaries not allowed by config\n"},
        {state_refusal(-2), 17, "(-2) Need access to UpToDate data\n"},
        {state_refusal(-4), 16, "(-4) "},
        {state_refusal(-7), 11, "(-7) "},
        {state_refusal(-10), 11, "(-10) State change was refused by peer node\n"},
        {state_refusal(-12), 11, "(-12) Device is held open by someone\n"},
        {state_refusal(-15), 11, "(-15) Need a connection to start verify or resync\n"},
        {state_refusal(-16), 5, "(-16) Disk state is lower than outdated\n"},
        {config_refusal(119), 10, "Failure: (119) No valid meta-data signature found.\n"},
        {config_refusal(138), 10, "Failure: (138) Device does not have a disk-config\n"},
        {config_refusal(162), 10, "Failure: (162) Invalid configuration request\n"},
    };
    for (const exit_row& row : rows) {
        const scratch_runtime runtime;
        const fake_engine engine(runtime, resource(),
                                 [answer = row.answer](const auto&, auto&) { return answer; });
        const end got = run(runtime, {"primary", minor_word});
        assert_int_equal(got.code, row.code);
        assert_true(contains(got.errors, row.text));
        assert_true(contains(got.errors, minor_word + ": "));
        assert_true(contains(got.errors, "hint: "));
        assert_true(got.output.empty());
    }
}

void what_was_not_needed_is_no_failure(void**) {
    const scratch_runtime runtime;
    const fake_engine engine(runtime, resource(), [](const auto&, auto&) {
        control::reply nothing_to_do;
        nothing_to_do.is_state_change = true;
        nothing_to_do.code = 2;
        return nothing_to_do;
    });
    assert_int_equal(run(runtime, {"primary", minor_word}).code, 0);
}

void the_engines_own_lines_follow_the_failure(void**) {
    const scratch_runtime runtime;
    const fake_engine engine(runtime, resource(), [](const auto&, auto&) {
        control::reply refused = config_refusal(111);
        refused.info = {"the disk has 1000 sectors, the peer's 2000"};
        refused.remedy = "Grow it.";
        return refused;
    });
    const end got = run(runtime, {"resize", minor_word});
    assert_string_equal(got.errors.c_str(),
                        "900123: Failure: (111) Low.dev. smaller than requested DRBD-dev. size.\n"
                        "additional info from kernel:\n"
                        "the disk has 1000 sectors, the peer's 2000\n"
                        "hint: Grow it.\n");
}

void wrong_usage_is_exit_20_and_shows_how_it_is_done(void**) {
    const scratch_runtime runtime;
    const std::vector<std::string> wrong[] = {
        {"primary"},
        {"primary", "notaminor"},
        {"primary", minor_word, "--fast"},
        {"primary", minor_word, "--force=maybe"},
        {"primary", "all"},
        {"primary", minor_word, "extra"},
        {"attach", minor_word, "/dev/null"},
        {"connect", "r0", "10.0.0.1"},
        {"disk-options", minor_word, "--resync-rate"},
        {"disk-options", minor_word, "--resync-rate=0"},
        {"disk-options", minor_word, "--on-io-error=explode"},
        {"new-minor", "r0", "x", "0"},
        {"new-resource", "a/b"},
        {"explode"},
        {},
    };
    for (const std::vector<std::string>& words : wrong) {
        const end got = run(runtime, words);
        assert_int_equal(got.code, 20);
        assert_false(got.errors.empty() && got.output.empty());
    }
}

// What is printed.

void one_word_commands_print_local_then_peer(void**) {
    const scratch_runtime runtime;
    control::snapshot state = resource();
    samples::set_role(state, state::role::primary);
    state.volumes[0].state.peer_disk = state::disk::inconsistent;
    samples::set_connection(state, state::connection::sync_source);
    const fake_engine engine(runtime, state);
    assert_string_equal(run(runtime, {"role", minor_word}).output.c_str(), "Primary/Secondary\n");
    assert_string_equal(run(runtime, {"cstate", minor_word}).output.c_str(), "SyncSource\n");
    assert_string_equal(run(runtime, {"dstate", "/dev/drbd900123"}).output.c_str(),
                        "UpToDate/Inconsistent\n");
    const end old = run(runtime, {"state", minor_word});
    assert_string_equal(old.output.c_str(), "Primary/Secondary\n");
    assert_string_equal(old.errors.c_str(),
                        "'drbdsetup ... state' is deprecated, use 'drbdsetup ... role' instead.\n");
}

void a_device_without_anything_is_unconfigured(void**) {
    const scratch_runtime runtime;
    control::snapshot state = resource();
    state.has_net = false;
    samples::set_connection(state, state::connection::standalone);
    state.volumes[0].state.disk = state::disk::diskless;
    state.volumes[0].attached = false;
    const fake_engine engine(runtime, state);
    assert_string_equal(run(runtime, {"role", minor_word}).output.c_str(), "Unconfigured\n");
    assert_string_equal(run(runtime, {"dstate", minor_word}).output.c_str(), "Unconfigured\n");
    const end got = run(runtime, {"show-gi", minor_word});
    assert_int_equal(got.code, 1);
    assert_string_equal(got.errors.c_str(), "Device is unconfigured\n");
}

// A socket that accepts and never says anything.
class hung_engine {
public:
    hung_engine(const scratch_runtime& runtime, const std::string& resource)
        : listening_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
        const std::string path = *runtime.where().prepare(resource);
        sockaddr_un address = {};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        assert_int_equal(
            ::bind(listening_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
        assert_int_equal(::listen(listening_, 8), 0);
    }
    ~hung_engine() { ::close(listening_); }
    hung_engine(const hung_engine&) = delete;
    hung_engine& operator=(const hung_engine&) = delete;

private:
    int listening_;
};

void an_engine_that_does_not_answer_is_named_and_the_others_are_shown(void**) {
    const scratch_runtime runtime;
    const fake_engine engine(runtime, resource());
    const hung_engine hung(runtime, "hung");
    const end got = run(runtime, {"status"});
    assert_int_equal(got.code, 20);
    assert_true(contains(got.output, "r0 role:Secondary"));
    assert_true(contains(got.errors, "hung: The engine did not answer in time"));
}

void engines_that_do_not_answer_are_waited_for_together(void**) {
    const scratch_runtime runtime;
    const fake_engine engine(runtime, resource());
    const hung_engine hung[] = {{runtime, "h1"}, {runtime, "h2"}, {runtime, "h3"}, {runtime, "h4"}};
    const auto began = std::chrono::steady_clock::now();
    const end got = run(runtime, {"status"});
    // Two seconds, not eight; a busy machine gets twice as long.
    assert_true(std::chrono::steady_clock::now() - began < std::chrono::seconds(4));
    for (const char* each : {"h1", "h2", "h3", "h4"}) {
        assert_true(contains(got.errors, std::string(each) + ": The engine did not answer"));
    }
}

void an_engine_that_does_not_answer_is_not_in_the_way_of_another_connection(void**) {
    const scratch_runtime runtime;
    const fake_engine engine(runtime, resource());
    const hung_engine hung(runtime, "hung");
    const std::string ours = "ipv4:10.0.0.1:7789";
    assert_int_equal(run(runtime, {"disconnect", ours, "ipv4:10.0.0.2:7789"}).code, 0);
    assert_int_equal(engine.requests().size(), 1);
    // This one may be its own.
    const end got = run(runtime, {"disconnect", ours, "ipv4:10.0.0.3:7789"});
    assert_int_equal(got.code, 20);
    assert_true(contains(got.errors, "did not answer"));
}

// Events.

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

void colour_and_width_follow_the_terminal(void**) {
    const scratch_runtime runtime;
    control::snapshot state = resource();
    samples::set_role(state, state::role::primary);
    const fake_engine engine(runtime, state);
    const auto shown = [&](bool terminal, std::vector<std::string> words) {
        kept_console here;
        here.terminal = terminal;
        words.insert(words.begin(), {"drbdsetup", "status"});
        assert_int_equal(run_program(words, runtime.where(), here), 0);
        return here.output();
    };
    const std::string escape = "\033[";
    assert_true(contains(shown(true, {}), escape));
    assert_false(contains(shown(false, {}), escape));
    assert_true(contains(shown(false, {"--color"}), escape));
    assert_true(contains(shown(false, {"--color=always"}), escape));
    assert_false(contains(shown(true, {"--color=never"}), escape));
    // 80 columns on that terminal: the details of the device take more than one line.
    const std::string wide = shown(true, {"--verbose", "--statistics", "--color=never"});
    std::size_t longest = 0;
    for (std::size_t at = 0; at < wide.size(); at = wide.find('\n', at) + 1) {
        longest = std::max(longest, wide.find('\n', at) - at);
    }
    assert_true(longest <= 80 && longest > 60);
}

// Starting an engine.

std::string script(const scratch_runtime& runtime, const std::string& text) {
    std::string path = runtime.path() + "/engine";
    std::ofstream(path) << "#!/bin/sh\n" << text << "\n";
    assert_int_equal(::chmod(path.c_str(), 0700), 0);
    ::setenv("LOCKSTEP_ENGINE", path.c_str(), 1);
    return path;
}

void new_resource_waits_for_the_engine_to_be_ready(void**) {
    const scratch_runtime runtime;
    script(runtime, "echo \"$@\" > " + runtime.path() + "/seen; echo ready; exec >&-; exec 2>&-");
    const end got = run(runtime, {"new-resource", "r0", "--cpu-mask=3"});
    assert_int_equal(got.code, 0);
    std::ifstream seen(runtime.path() + "/seen");
    std::string words;
    std::getline(seen, words);
    assert_string_equal(words.c_str(), "r0 --cpu-mask=3");
}

void new_resource_reports_why_the_engine_did_not_come_up(void**) {
    const scratch_runtime runtime;
    script(runtime, "echo '{\"reply\":0,\"ok\":false,\"code\":122,\"remedy\":\"Buy some.\"}'");
    end got = run(runtime, {"new-resource", "r0"});
    assert_int_equal(got.code, 10);
    assert_string_equal(got.errors.c_str(),
                        "r0: Failure: (122) kmalloc() failed. Out of memory?\nhint: Buy some.\n");
    script(runtime, "exit 3");
    got = run(runtime, {"new-resource", "r0"});
    assert_int_equal(got.code, 20);
    assert_true(contains(got.errors, "ended with exit code 3 before it was ready"));
    script(runtime, "kill -9 $$");
    got = run(runtime, {"new-resource", "r0"});
    assert_int_equal(got.code, 20);
    assert_true(contains(got.errors, "was killed by signal 9"));
    ::setenv("LOCKSTEP_ENGINE", "/nonexistent/engine", 1);
    got = run(runtime, {"new-resource", "r0"});
    assert_int_equal(got.code, 20);
    assert_true(contains(got.errors, "/nonexistent/engine"));
}

void new_resource_of_one_that_runs_starts_nothing(void**) {
    const scratch_runtime runtime;
    const fake_engine engine(runtime, resource());
    ::setenv("LOCKSTEP_ENGINE", "/nonexistent/engine", 1);
    assert_int_equal(run(runtime, {"new-resource", "r0"}).code, 0);
}

// 8.3's grammar, end to end.

void the_grammar_of_8_3_asks_the_same(void**) {
    const scratch_runtime runtime;
    const fake_engine engine(runtime, resource());
    assert_int_equal(run(runtime, {"/dev/drbd900123", "primary", "-o"}).code, 0);
    assert_int_equal(run(runtime, {minor_word, "syncer", "--set-defaults", "--create-device",
                                   "--rate=50M", "--verify-alg=sha1"})
                         .code,
                     0);
    assert_int_equal(run(runtime, {minor_word, "disconnect"}).code, 0);
    assert_string_equal(run(runtime, {minor_word, "cstate"}).output.c_str(), "Connected\n");
    const std::vector<control::request> asked = engine.requests();
    assert_true(asked.at(0).what == command::primary && asked.at(0).force);
    assert_true(asked.at(1).what == command::disk_options && asked.at(1).set_defaults);
    assert_true(asked.at(2).what == command::net_options);
    assert_true(asked.at(3).what == command::resource_options);
    assert_true(asked.at(4).what == command::disconnect);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(without_engines_nothing_is_configured),
        cmocka_unit_test(an_unknown_resource_is_exit_10),
        cmocka_unit_test(an_unknown_minor_is_exit_10),
        cmocka_unit_test(down_of_what_does_not_run_succeeds),
        cmocka_unit_test(down_ends_the_engine_and_leaves_nothing),
        cmocka_unit_test(down_clears_away_what_a_dead_engine_left),
        cmocka_unit_test(down_all_takes_every_resource_down),
        cmocka_unit_test(a_refused_down_says_why_and_is_exit_11),
        cmocka_unit_test(commands_on_a_minor_ask_its_engine),
        cmocka_unit_test(arguments_and_options_reach_the_engine_in_its_units),
        cmocka_unit_test(a_connection_that_nobody_has_is_exit_10),
        cmocka_unit_test(attach_takes_block_devices_only),
        cmocka_unit_test(refusals_have_drbds_exit_codes_and_texts),
        cmocka_unit_test(what_was_not_needed_is_no_failure),
        cmocka_unit_test(the_engines_own_lines_follow_the_failure),
        cmocka_unit_test(wrong_usage_is_exit_20_and_shows_how_it_is_done),
        cmocka_unit_test(one_word_commands_print_local_then_peer),
        cmocka_unit_test(a_device_without_anything_is_unconfigured),
        cmocka_unit_test(an_engine_that_does_not_answer_is_named_and_the_others_are_shown),
        cmocka_unit_test(engines_that_do_not_answer_are_waited_for_together),
        cmocka_unit_test(an_engine_that_does_not_answer_is_not_in_the_way_of_another_connection),
        cmocka_unit_test(events2_follows_engines_that_come_change_and_go),
        cmocka_unit_test(events2_poll_describes_all_again_when_asked),
        cmocka_unit_test(events_of_8_3_follows_an_engine),
        cmocka_unit_test(colour_and_width_follow_the_terminal),
        cmocka_unit_test(new_resource_waits_for_the_engine_to_be_ready),
        cmocka_unit_test(new_resource_reports_why_the_engine_did_not_come_up),
        cmocka_unit_test(new_resource_of_one_that_runs_starts_nothing),
        cmocka_unit_test(the_grammar_of_8_3_asks_the_same),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
