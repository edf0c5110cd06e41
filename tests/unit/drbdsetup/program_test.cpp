// drbdsetup against engines that are played: what is asked of them, what is printed, and with
// which exit code it ends.
#include <algorithm>
#include <string>
#include <vector>

#include "unit/drbdsetup/played_run.hpp"

#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::drbdsetup;
using control::command;
namespace samples = control::samples;

namespace {

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
        cmocka_unit_test(colour_and_width_follow_the_terminal),
        cmocka_unit_test(the_grammar_of_8_3_asks_the_same),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
