#include <chrono>
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "agent/drbdadm/command_line.hpp"
#include "agent/drbdadm/commands.hpp"
#include "agent/drbdadm/deferred.hpp"
#include "agent/drbdadm/handlers.hpp"
#include "agent/drbdadm/runner.hpp"

// Last: CMocka has a macro of the name `fail`.
#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::drbdadm;

namespace {

result<request> parse(std::vector<std::string> words) {
    words.insert(words.begin(), "/somewhere/drbdadm");
    std::vector<char*> pointers;
    pointers.reserve(words.size() + 1);
    for (std::string& word : words) {
        pointers.push_back(word.data());
    }
    pointers.push_back(nullptr);
    return parse_command_line(static_cast<int>(words.size()), pointers.data());
}

void options_command_and_names_may_be_mixed(void**) {
    const auto found = parse({"-d", "up", "r0", "-c", "x.conf", "r1", "-v"});
    assert_true(found.has_value());
    assert_true(found->what->name == "up");
    assert_int_equal(found->names.size(), 2);
    assert_int_equal(found->dry_run, 1);
    assert_int_equal(found->verbose, 1);
    assert_true(found->config_file == "x.conf");
    assert_string_equal(found->program.c_str(), "drbdadm");
    assert_string_equal(found->program_directory.c_str(), "/somewhere/");
}

void options_behind_two_dashes_go_to_the_backend(void**) {
    const auto found = parse({"--", "--overwrite-data-of-peer", "primary", "drbd0"});
    assert_true(found.has_value());
    assert_true(found->what->name == "primary");
    assert_int_equal(found->passed.size(), 1);
    assert_string_equal(found->passed[0].text.c_str(), "--overwrite-data-of-peer");
    assert_true(found->passed[0].is_explicit);
}

void options_of_a_command_need_no_dashes_before_them(void**) {
    const auto found = parse({"primary", "--force", "r0"});
    assert_true(found.has_value());
    assert_string_equal(found->passed[0].text.c_str(), "--force");
    const auto valued = parse({"resize", "--size=10G", "r0"});
    assert_true(valued.has_value());
    assert_string_equal(valued->passed[0].text.c_str(), "--size=10G");
    const auto wrong = parse({"down", "--force", "r0"});
    assert_false(wrong.has_value());
    assert_int_equal(wrong.error().code, 1);
    assert_string_equal(wrong.error().what.c_str(), "drbdadm: unrecognized option '--force'");
}

void unknown_commands_are_named(void**) {
    const auto found = parse({"frobnicate", "r0"});
    assert_false(found.has_value());
    assert_int_equal(found.error().code, 1);
    assert_string_equal(found.error().what.c_str(), "drbdadm: Unknown command 'frobnicate'");
}

void deprecated_names_are_translated_with_a_notice(void**) {
    const auto found = parse({"state", "r0"});
    assert_true(found->what->name == "role");
    assert_string_equal(found->notices[0].c_str(),
                        "'drbdadm state' is deprecated, use 'drbdadm role' instead.");
    assert_true(parse({"outdate-peer", "r0"})->what->name == "fence-peer");
}

void a_test_configuration_is_for_dumps_only(void**) {
    assert_true(parse({"-t", "x", "dump"}).has_value());
    assert_true(parse({"-t", "x", "sh-nop"}).has_value());
    assert_false(parse({"-t", "x", "up", "all"}).has_value());
}

void every_command_is_listed_once(void**) {
    std::set<std::string_view> names;
    for (const command& row : all_commands()) {
        assert_true(names.insert(row.name).second);
        assert_ptr_equal(find_command(row.name), &row);
        const std::string text = row.listed == audience::administrators
                                     ? usage_text("drbdadm", nullptr)
                                     : hidden_commands_text();
        assert_true(text.find(row.name) != std::string::npos);
    }
}

void shell_constructs_have_no_program_to_look_for(void**) {
    assert_string_equal(handler_program("/usr/lib/x.sh a b").c_str(), "/usr/lib/x.sh");
    assert_string_equal(handler_program("A=1 B=\"x\" notify.sh; reboot").c_str(), "notify.sh");
    assert_string_equal(handler_program("echo b > /proc/sysrq-trigger").c_str(), "");
    assert_string_equal(handler_program("$PROGRAM x").c_str(), "");
    assert_string_equal(handler_program("").c_str(), "");
}

runner quiet_runner(unsigned seconds) {
    run_settings settings;
    settings.brief_s = seconds;
    return runner(settings);
}

run_request shell(const std::string& script) {
    run_request out;
    out.words = {"/bin/sh", "-c", script};
    out.standard_output = output::capture;
    out.standard_error = output::capture;
    return out;
}

void children_speak_c_and_get_the_environment(void**) {
    ::setenv("LC_ALL", "ja_JP.UTF-8", 1);
    run_request what = shell("echo $LC_ALL $DRBD_MINOR; echo error >&2; exit 7");
    what.environment = {"DRBD_MINOR=3", "DRBD_MINOR=4"};
    const run_outcome outcome = quiet_runner(5).run(what);
    assert_int_equal(outcome.code, 7);
    assert_string_equal(outcome.captured_output.c_str(), "C 4\n");
    assert_string_equal(outcome.captured_error.c_str(), "error\n");
}

// Nobody may be there to bury it: dead is enough.
bool is_alive(int pid) {
    std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
    std::string id;
    std::string name;
    std::string state;
    return file >> id >> name >> state && state != "Z" && state != "X";
}

void a_child_that_hangs_is_ended_with_what_it_started(void**) {
    run_request what = shell("sleep 1000 & echo $!; wait");
    what.own_group = true;
    const auto start = std::chrono::steady_clock::now();
    const run_outcome outcome = quiet_runner(1).run(what);
    const auto taken = std::chrono::steady_clock::now() - start;
    assert_true(outcome.timed_out);
    assert_int_equal(outcome.code, 20);
    assert_true(taken < std::chrono::seconds(10));
    const int grandchild = std::stoi(outcome.captured_output);
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (is_alive(grandchild) && std::chrono::steady_clock::now() < limit) {
    }
    assert_false(is_alive(grandchild));
}

void a_program_that_does_not_exist_is_code_20(void**) {
    run_request what;
    what.words = {"/nonexistent/drbdsetup", "up"};
    what.standard_error = output::capture;
    const run_outcome outcome = quiet_runner(5).run(what);
    assert_int_equal(outcome.code, 20);
    assert_true(outcome.captured_error.find("Can not execute '/nonexistent/drbdsetup'") == 0);
}

void much_output_does_not_stall_a_captured_child(void**) {
    const run_outcome outcome =
        quiet_runner(20).run(shell("i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); "
                                   "done"));
    assert_int_equal(outcome.code, 0);
    assert_int_equal(outcome.captured_output.size(), 20000 * 11);
}

void stages_run_in_order_whatever_the_order_of_adding(void**) {
    deferred_commands all;
    std::string order;
    const auto step = [&](char letter) {
        return [&order, letter] {
            order += letter;
            return 0;
        };
    };
    all.add(stage::net, "r", "connect", step('4'));
    all.add(stage::disk, "r", "attach", step('3'));
    all.add(stage::prerequisite, "r", "new-resource", step('1'));
    all.add(stage::prerequisite, "r", "new-minor", step('2'));
    assert_int_equal(all.run("drbdadm", false), 0);
    assert_string_equal(order.c_str(), "1234");
    assert_int_equal(all.run("drbdadm", false), 0);
    assert_string_equal(order.c_str(), "1234");
}

void a_failed_resource_is_left_out_and_the_others_go_on(void**) {
    deferred_commands all;
    std::string order;
    const auto step = [&](const std::string& name, int code) {
        return [&order, name, code] {
            order += name + " ";
            return code;
        };
    };
    all.add(stage::prerequisite, "a", "new-resource", step("a1", 10));
    all.add(stage::prerequisite, "a", "new-minor", step("a2", 0));
    all.add(stage::prerequisite, "b", "new-resource", step("b1", 0));
    all.add(stage::disk, "b", "attach", step("b2", 11));
    all.add(stage::disk, "b", "attach", step("b3", 0));
    all.add(stage::net, "b", "connect", step("b4", 0));
    all.add(stage::net, "c", "connect", step("c1", 0));
    assert_int_equal(all.run("drbdadm", false), 11);
    assert_string_equal(order.c_str(), "a1 b1 b2 b3 c1 ");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(options_command_and_names_may_be_mixed),
        cmocka_unit_test(options_behind_two_dashes_go_to_the_backend),
        cmocka_unit_test(options_of_a_command_need_no_dashes_before_them),
        cmocka_unit_test(unknown_commands_are_named),
        cmocka_unit_test(deprecated_names_are_translated_with_a_notice),
        cmocka_unit_test(a_test_configuration_is_for_dumps_only),
        cmocka_unit_test(every_command_is_listed_once),
        cmocka_unit_test(shell_constructs_have_no_program_to_look_for),
        cmocka_unit_test(children_speak_c_and_get_the_environment),
        cmocka_unit_test(a_child_that_hangs_is_ended_with_what_it_started),
        cmocka_unit_test(a_program_that_does_not_exist_is_code_20),
        cmocka_unit_test(much_output_does_not_stall_a_captured_child),
        cmocka_unit_test(stages_run_in_order_whatever_the_order_of_adding),
        cmocka_unit_test(a_failed_resource_is_left_out_and_the_others_go_on),
    };
    return cmocka_run_group_tests_name("drbdadm parts", tests, nullptr, nullptr);
}
