// How drbdsetup starts the engine of a resource and takes it down.
#include <sys/stat.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "unit/drbdsetup/played_run.hpp"

#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::drbdsetup;
using control::command;

namespace {

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

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(new_resource_waits_for_the_engine_to_be_ready),
        cmocka_unit_test(new_resource_reports_why_the_engine_did_not_come_up),
        cmocka_unit_test(new_resource_of_one_that_runs_starts_nothing),
        cmocka_unit_test(down_of_what_does_not_run_succeeds),
        cmocka_unit_test(down_ends_the_engine_and_leaves_nothing),
        cmocka_unit_test(down_clears_away_what_a_dead_engine_left),
        cmocka_unit_test(down_all_takes_every_resource_down),
        cmocka_unit_test(a_refused_down_says_why_and_is_exit_11),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
