#include "kernel/host/keeper.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <sstream>

#include "kernel/host/keeper_message.hpp"
#include "unit/cmocka.hpp"

namespace {

using namespace lockstep;
using namespace lockstep::host;

// --- operations that the tests add ---

void echo(keeper_job& job) {
    for (std::size_t i = 0; i < job.argument_count(); ++i) {
        job.add_value(job.argument(i));
    }
    if (job.fd(0) >= 0) {
        job.hand_over(owned_fd(::dup(job.fd(0))));
    }
}

void refuse(keeper_job& job) {
    job.refuse(EBUSY, "it is in use");
}

void crash(keeper_job&) {
    ::kill(::getpid(), SIGSEGV);
}

void hang(keeper_job&) {
    for (;;) {
        ::pause();
    }
}

void make_file(keeper_job& job) {
    job.remember("file " + job.argument(0), "remove-file", {job.argument(0), job.argument(1)});
    std::ofstream(job.argument(0)) << "made";
}

void remove_file(keeper_job& job) {
    ::unlink(job.argument(0).c_str());
    std::ofstream(job.argument(1), std::ios::app) << job.argument(0) << "\n";
    job.forget("file " + job.argument(0));
}

constexpr keeper_operation test_operations[] = {
    {"echo", echo}, {"refuse", refuse},       {"crash", crash},
    {"hang", hang}, {"make-file", make_file}, {"remove-file", remove_file},
};

// --- the stage ---

struct stage {
    stage() {
        char name[] = "/tmp/keeper-test-XXXXXX";
        directory = ::mkdtemp(name);
    }
    ~stage() {
        keeper_.reset();
        loop.reset();
        for (const char* file : {"log", "a", "b", "order", "script", "disk", "restarted"}) {
            ::unlink(path(file).c_str());
        }
        ::rmdir(directory.c_str());
    }
    std::string path(const std::string& file) const { return directory + "/" + file; }

    keeper_settings settings() const {
        keeper_settings out;
        out.resource = "r0";
        out.log_target = path("log");
        return out;
    }

    void start() {
        auto started = keeper::start(settings(), test_operations);
        assert_true(started.has_value());
        keeper_ = std::move(*started);
        loop = std::move(*event_loop::create());
        keeper_->run_on(*loop);
    }

    keeper_answer call(keeper_call what) {
        std::optional<keeper_answer> got;
        keeper_->call(std::move(what), [&got](keeper_answer answer) { got = std::move(answer); });
        assert_false(got.has_value());
        wait([&got] { return got.has_value(); });
        return std::move(*got);
    }

    template <class Condition>
    void wait(Condition condition) {
        const instant limit = event_loop::clock() + 60 * second;
        while (!condition()) {
            assert_true(event_loop::clock() < limit);
            loop->run_once(20 * millisecond);
        }
    }

    std::string content(const std::string& file) const {
        std::ifstream from(path(file));
        std::stringstream text;
        text << from.rdbuf();
        return text.str();
    }

    bool exists(const std::string& file) const { return ::access(path(file).c_str(), F_OK) == 0; }

    std::string directory;
    std::unique_ptr<event_loop> loop;
    std::unique_ptr<keeper> keeper_;
};

void wait_for_end(pid_t pid) {
    int status = 0;
    assert_int_equal(::waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

// --- messages ---

void a_message_survives_encoding(void**) {
    keeper_message message;
    message.what = keeper_message::kind::answer;
    message.id = 77;
    message.error = -5;
    message.limit_ms = 1234;
    message.texts = {"", std::string("zero\0byte", 9), "last"};
    const auto bytes = encode(message);
    assert_true(bytes.has_value());
    const auto back = decode(*bytes);
    assert_true(back.has_value());
    assert_true(back->what == message.what && back->id == 77 && back->error == -5 &&
                back->limit_ms == 1234 && back->texts == message.texts);
}

void every_damaged_message_is_an_error(void**) {
    keeper_message message;
    message.texts = {"run", "this"};
    const auto good = *encode(message);
    for (std::size_t size = 0; size < good.size(); ++size) {
        assert_false(decode(const_byte_span(good.data(), size)).has_value());
    }
    auto longer = good;
    longer.push_back(std::byte{0});
    assert_false(decode(longer).has_value());
    for (const std::size_t at : {0U, 4U, 6U, 24U, 27U}) {
        auto bad = good;
        bad[at] = std::byte{0xee};
        assert_false(decode(bad).has_value());
    }
}

void a_message_beyond_the_limit_is_refused(void**) {
    keeper_message message;
    message.texts = {std::string(message_bytes_max, 'x')};
    assert_false(encode(message).has_value());
}

// --- calls ---

void a_call_is_answered_with_values_and_descriptor(void**) {
    stage on;
    on.start();
    int ends[2] = {-1, -1};
    assert_int_equal(::pipe2(ends, O_CLOEXEC), 0);
    owned_fd reading(ends[0]);
    owned_fd writing(ends[1]);
    keeper_answer answer = on.call({"echo", {"one", ""}, {writing.get()}, 0});
    assert_true(answer.ok());
    assert_true(answer.values == (std::vector<std::string>{"one", ""}));
    assert_int_equal(answer.fds.size(), 1);
    writing.reset();
    assert_int_equal(::write(answer.fds[0].get(), "x", 1), 1);
    answer.fds.clear();
    // Nobody else holds the other end: neither job nor keeper.
    char bytes[2];
    assert_int_equal(::read(reading.get(), bytes, 2), 1);
    assert_int_equal(::read(reading.get(), bytes, 2), 0);
}

void a_refusal_carries_errno_and_sentence(void**) {
    stage on;
    on.start();
    const keeper_answer answer = on.call({"refuse", {}, {}, 0});
    assert_int_equal(answer.error, EBUSY);
    assert_string_equal(answer.sentence.c_str(), "it is in use");
}

void an_unknown_operation_is_refused(void**) {
    stage on;
    on.start();
    assert_int_equal(on.call({"no-such-thing", {}, {}, 0}).error, ENOSYS);
}

void a_call_that_is_too_long_is_refused(void**) {
    stage on;
    on.start();
    assert_int_equal(on.call({"echo", {std::string(message_bytes_max, 'x')}, {}, 0}).error,
                     EMSGSIZE);
    assert_true(on.call({"echo", {}, {}, 0}).ok());
}

void a_job_that_crashes_is_an_error_and_nothing_else(void**) {
    stage on;
    on.start();
    const keeper_answer answer = on.call({"crash", {}, {}, 0});
    assert_int_equal(answer.error, EIO);
    assert_true(on.call({"echo", {"alive"}, {}, 0}).ok());
}

void a_job_that_hangs_holds_up_nobody(void**) {
    stage on;
    on.start();
    std::optional<keeper_answer> late;
    const auto id = on.keeper_->call({"hang", {}, {}, 0},
                                     [&late](keeper_answer got) { late = std::move(got); });
    assert_true(on.call({"echo", {}, {}, 0}).ok());
    assert_false(late.has_value());
    on.keeper_->cancel(id);
    on.wait([&late] { return late.has_value(); });
}

void a_job_that_hangs_is_killed_at_its_limit(void**) {
    stage on;
    on.start();
    const instant start = event_loop::clock();
    assert_int_equal(on.call({"hang", {}, {}, 300}).error, ETIMEDOUT);
    assert_true(event_loop::clock() - start >= 290 * millisecond);
    assert_int_equal(on.keeper_->calls_pending(), 0);
}

void a_cancelled_job_is_killed(void**) {
    stage on;
    on.start();
    std::optional<keeper_answer> got;
    const auto id = on.keeper_->call({"hang", {}, {}, 0},
                                     [&got](keeper_answer answer) { got = std::move(answer); });
    on.keeper_->cancel(id);
    on.wait([&got] { return got.has_value(); });
    assert_int_equal(got->error, ECANCELED);
}

void many_calls_at_once_are_all_answered(void**) {
    stage on;
    on.start();
    int answered = 0;
    for (int i = 0; i < 120; ++i) {
        on.keeper_->call({"echo", {std::to_string(i), std::string(4000, 'x')}, {}, 0},
                         [&answered, i](keeper_answer got) {
                             assert_true(got.ok());
                             assert_string_equal(got.values.at(0).c_str(),
                                                 std::to_string(i).c_str());
                             ++answered;
                         });
    }
    on.wait([&answered] { return answered == 120; });
}

void a_dead_keeper_answers_every_call_with_epipe(void**) {
    stage on;
    on.start();
    std::optional<keeper_answer> pending;
    on.keeper_->call({"hang", {}, {}, 1000},
                     [&pending](keeper_answer got) { pending = std::move(got); });
    assert_true(on.call({"echo", {}, {}, 0}).ok());
    int told = 0;
    on.keeper_->on_gone([&told] { ++told; });
    ::kill(on.keeper_->pid(), SIGKILL);
    ::waitpid(on.keeper_->pid(), nullptr, 0);
    on.wait([&pending] { return pending.has_value(); });
    assert_int_equal(told, 1);
    assert_int_equal(pending->error, EPIPE);
    assert_int_equal(on.call({"echo", {}, {}, 0}).error, EPIPE);
}

// --- the end of the engine ---

void what_jobs_remembered_is_undone_newest_first_when_the_engine_dies(void**) {
    stage on;
    int ready[2] = {-1, -1};
    assert_int_equal(::pipe(ready), 0);
    const pid_t engine = ::fork();
    if (engine == 0) {
        on.start();
        on.call({"make-file", {on.path("a"), on.path("order")}, {}, 0});
        on.call({"make-file", {on.path("b"), on.path("order")}, {}, 0});
        const pid_t keeper_pid = on.keeper_->pid();
        [[maybe_unused]] const auto count = ::write(ready[1], &keeper_pid, sizeof keeper_pid);
        ::pause();
    }
    ::close(ready[1]);
    pid_t keeper_pid = -1;
    assert_int_equal(::read(ready[0], &keeper_pid, sizeof keeper_pid), sizeof keeper_pid);
    assert_true(on.exists("a") && on.exists("b"));
    ::kill(engine, SIGTERM); // a group-wide SIGTERM must not stop the keeper from cleaning up
    ::kill(keeper_pid, SIGTERM);
    ::kill(engine, SIGKILL);
    ::waitpid(engine, nullptr, 0);
    // The pipe ends when nobody of the family is left.
    char byte = 0;
    assert_int_equal(::read(ready[0], &byte, 1), 0);
    ::close(ready[0]);
    for (int i = 0; i < 1000 && ::kill(keeper_pid, 0) == 0; ++i) {
        ::usleep(10'000);
    }
    assert_false(on.exists("a") || on.exists("b"));
    assert_string_equal(on.content("order").c_str(),
                        (on.path("b") + "\n" + on.path("a") + "\n").c_str());
    assert_non_null(std::strstr(on.content("log").c_str(), "r0: the engine has died"));
}

void what_was_undone_by_the_engine_is_forgotten(void**) {
    stage on;
    on.start();
    on.call({"make-file", {on.path("a"), on.path("order")}, {}, 0});
    on.call({"remove-file", {on.path("a"), on.path("order")}, {}, 0});
    const pid_t pid = on.keeper_->pid();
    on.keeper_->stop();
    on.keeper_.reset();
    wait_for_end(pid);
    assert_string_equal(on.content("order").c_str(), (on.path("a") + "\n").c_str());
}

void an_orderly_stop_is_not_called_a_death(void**) {
    stage on;
    on.start();
    on.call({"make-file", {on.path("a"), on.path("order")}, {}, 0});
    const pid_t pid = on.keeper_->pid();
    on.keeper_->stop();
    on.keeper_.reset();
    wait_for_end(pid);
    assert_false(on.exists("a"));
    assert_null(std::strstr(on.content("log").c_str(), "died"));
}

// --- the host's own operations ---

void write_script(const stage& on, const std::string& body) {
    std::ofstream(on.path("script")) << "#!/bin/sh\n" << body;
    ::chmod(on.path("script").c_str(), 0700);
}

void a_helper_gets_its_arguments_and_nothing_but_its_environment(void**) {
    stage on;
    ::setenv("LEAK", "1", 1);
    on.start();
    write_script(on, "[ \"$1 $2 $DRBD_PEER_AF$LEAK\" = 'fence-peer r0 ipv4' ] || exit 1\n"
                     "echo asked; echo twice >&2\nexit 4\n");
    const keeper_answer answer = on.call(
        {"run-helper", {on.path("script"), "fence-peer", "r0", "DRBD_PEER_AF=ipv4"}, {}, 0});
    assert_true(answer.ok());
    assert_string_equal(answer.values.at(0).c_str(), "4");
    assert_string_equal(answer.values.at(1).c_str(), "");
    on.wait([&on] { return on.content("log").find("twice") != std::string::npos; });
    assert_non_null(std::strstr(on.content("log").c_str(), "helper fence-peer: asked"));
}

void a_helper_killed_by_a_signal_reads_as_exit_0(void**) {
    stage on;
    on.start();
    write_script(on, "kill -9 $$\n");
    const keeper_answer answer =
        on.call({"run-helper", {on.path("script"), "split-brain", "r0"}, {}, 0});
    assert_string_equal(answer.values.at(0).c_str(), "0");
    assert_string_equal(answer.values.at(1).c_str(), "signal 9");
}

void a_missing_helper_reads_as_exit_0_and_says_why(void**) {
    stage on;
    on.start();
    const keeper_answer answer =
        on.call({"run-helper", {on.path("none"), "split-brain", "r0"}, {}, 0});
    assert_string_equal(answer.values.at(0).c_str(), "0");
    assert_non_null(std::strstr(answer.values.at(1).c_str(), "No such file"));
}

void exit_127_of_a_helper_is_its_own(void**) {
    stage on;
    on.start();
    write_script(on, "exit 127\n");
    const keeper_answer answer =
        on.call({"run-helper", {on.path("script"), "before-resync-target", "minor-0"}, {}, 0});
    assert_string_equal(answer.values.at(0).c_str(), "127");
}

void a_hanging_helper_is_killed_with_its_children(void**) {
    stage on;
    on.start();
    write_script(on, "sleep 1000 & echo $! >" + on.path("order") + "\nwait\n");
    const keeper_answer answer =
        on.call({"run-helper", {on.path("script"), "local-io-error", "minor-0"}, {}, 500});
    assert_int_equal(answer.error, ETIMEDOUT);
    const std::string child = std::to_string(std::stoi(on.content("order")));
    for (int i = 0; i < 500; ++i) {
        std::ifstream stat("/proc/" + child + "/stat");
        std::string id, name, state;
        if (!(stat >> id >> name >> state) || state == "Z") {
            return;
        }
        ::usleep(10'000);
    }
    fail_msg("the helper's child lives on");
}

void a_file_is_a_disk_only_when_files_are_allowed(void**) {
    stage on;
    on.start();
    std::ofstream(on.path("disk")) << std::string(1 << 20, 'x');
    assert_int_equal(
        on.call({"open-disk", {on.path("disk"), "read-write", "exclusive", "devices"}, {}, 0})
            .error,
        ENOTBLK);
    const keeper_answer first =
        on.call({"open-disk", {on.path("disk"), "read-write", "exclusive", "files"}, {}, 0});
    assert_true(first.ok());
    assert_string_equal(first.values.at(0).c_str(), "1048576");
    assert_int_equal(first.fds.size(), 1);
    const keeper_answer second =
        on.call({"open-disk", {on.path("disk"), "read-write", "exclusive", "files"}, {}, 0});
    assert_int_equal(second.error, EBUSY);
    assert_non_null(std::strstr(second.sentence.c_str(), on.path("disk").c_str()));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_message_survives_encoding),
        cmocka_unit_test(every_damaged_message_is_an_error),
        cmocka_unit_test(a_message_beyond_the_limit_is_refused),
        cmocka_unit_test(a_call_is_answered_with_values_and_descriptor),
        cmocka_unit_test(a_refusal_carries_errno_and_sentence),
        cmocka_unit_test(an_unknown_operation_is_refused),
        cmocka_unit_test(a_call_that_is_too_long_is_refused),
        cmocka_unit_test(a_job_that_crashes_is_an_error_and_nothing_else),
        cmocka_unit_test(a_job_that_hangs_holds_up_nobody),
        cmocka_unit_test(a_job_that_hangs_is_killed_at_its_limit),
        cmocka_unit_test(a_cancelled_job_is_killed),
        cmocka_unit_test(many_calls_at_once_are_all_answered),
        cmocka_unit_test(a_dead_keeper_answers_every_call_with_epipe),
        cmocka_unit_test(what_jobs_remembered_is_undone_newest_first_when_the_engine_dies),
        cmocka_unit_test(what_was_undone_by_the_engine_is_forgotten),
        cmocka_unit_test(an_orderly_stop_is_not_called_a_death),
        cmocka_unit_test(a_helper_gets_its_arguments_and_nothing_but_its_environment),
        cmocka_unit_test(a_helper_killed_by_a_signal_reads_as_exit_0),
        cmocka_unit_test(a_missing_helper_reads_as_exit_0_and_says_why),
        cmocka_unit_test(exit_127_of_a_helper_is_its_own),
        cmocka_unit_test(a_hanging_helper_is_killed_with_its_children),
        cmocka_unit_test(a_file_is_a_disk_only_when_files_are_allowed),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
