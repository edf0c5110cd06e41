// Whose loop device is it, and is he dead? A wrong yes would take a living engine's device away.
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include "kernel/device/loop_label.hpp"

#include "unit/cmocka.hpp"

using namespace lockstep::device;

namespace {

std::string label_of_a_finished_process() {
    int pipe_ends[2] = {-1, -1};
    assert_int_equal(pipe(pipe_ends), 0);
    const pid_t child = fork();
    if (child == 0) {
        const std::string label = make_loop_label(3);
        const auto written = write(pipe_ends[1], label.data(), label.size());
        _exit(written > 0 ? 0 : 1);
    }
    char text[256] = {};
    const auto size = read(pipe_ends[0], text, sizeof text);
    assert_true(size > 0);
    waitpid(child, nullptr, 0);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    return {text, static_cast<std::size_t>(size)};
}

void each_label_is_new_and_names_the_minor(void**) {
    const std::string first = make_loop_label(12);
    const std::string second = make_loop_label(12);
    assert_string_not_equal(first.c_str(), second.c_str());
    assert_int_equal(first.rfind("lockstep:drbd12:", 0), 0);
    assert_true(first.find('/') == std::string::npos);
}

void the_living_are_not_dead(void**) {
    assert_false(is_label_of_the_dead(make_loop_label(0)));
}

void a_finished_process_is_dead(void**) {
    assert_true(is_label_of_the_dead(label_of_a_finished_process()));
}

void a_process_number_used_again_is_dead(void**) {
    std::string label = make_loop_label(0);
    const std::size_t count = label.rfind(':');
    const std::size_t start = label.rfind(':', count - 1);
    label.replace(start + 1, count - start - 1, "1");
    assert_true(is_label_of_the_dead(label));
}

void processes_of_other_containers_are_not_judged(void**) {
    std::string label = label_of_a_finished_process();
    const std::size_t first = label.find(':', std::string("lockstep:").size());
    const std::size_t second = label.find(':', first + 1);
    label.replace(first + 1, second - first - 1, "12345");
    assert_false(is_label_of_the_dead(label));
}

void other_names_are_not_ours(void**) {
    for (const char* other : {"", "lockstep", "lockstep:", "lockstep:drbd0:1:2:3", "disk.img",
                              "::::::", "other:drbd0:1:2:3:4", "lockstep:drbd0:1:2:3:4:5"}) {
        assert_false(is_label_of_the_dead(other));
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(each_label_is_new_and_names_the_minor),
        cmocka_unit_test(the_living_are_not_dead),
        cmocka_unit_test(a_finished_process_is_dead),
        cmocka_unit_test(a_process_number_used_again_is_dead),
        cmocka_unit_test(processes_of_other_containers_are_not_judged),
        cmocka_unit_test(other_names_are_not_ours),
    };
    return cmocka_run_group_tests_name("loop_label", tests, nullptr, nullptr);
}
