#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "kernel/base/owned_fd.hpp"
#include "kernel/host/log_queue.hpp"
#include "kernel/host/log_writer.hpp"
#include "unit/cmocka.hpp"

namespace {

using namespace lockstep::host;
using lockstep::owned_fd;

struct stage {
    stage() {
        int pair[2] = {-1, -1};
        assert_int_equal(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
        engine.reset(pair[0]);
        writer.reset(pair[1]);
        loop = std::move(*event_loop::create());
        char name[] = "/tmp/log-test-XXXXXX";
        directory = ::mkdtemp(name);
    }
    ~stage() {
        for (const char* file : {"log", "log.1", "socket"}) {
            ::unlink((directory + "/" + file).c_str());
        }
        ::rmdir(directory.c_str());
    }

    // What the writer would get; empty if nothing is there.
    std::string next_record() const {
        std::array<char, 2000> bytes = {};
        const ssize_t size = ::recv(writer.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
        return size > 0 ? std::string(bytes.data() + 1, static_cast<std::size_t>(size - 1))
                        : std::string();
    }

    // Ends the stream and lets the writer write what is in it.
    void run_writer(const log_writer_settings& settings) {
        engine.reset();
        write_log(writer.get(), settings);
    }

    std::string content(const std::string& file) const {
        std::ifstream from(directory + "/" + file);
        std::stringstream text;
        text << from.rdbuf();
        return text.str();
    }

    owned_fd engine;
    owned_fd writer;
    std::unique_ptr<event_loop> loop;
    std::string directory;
};

void lines_reach_the_writer_in_order(void**) {
    stage on;
    log_queue log(*on.loop, on.engine.get());
    log.put(log_severity::error, "first");
    log.put(log_severity::info, "second");
    assert_string_equal(on.next_record().c_str(), "first");
    assert_string_equal(on.next_record().c_str(), "second");
}

void lines_above_the_level_are_left_out(void**) {
    stage on;
    log_queue log(*on.loop, on.engine.get());
    log.put(log_severity::debug, "hidden");
    log.set_level(log_severity::debug);
    log.put(log_severity::debug, "seen");
    assert_string_equal(on.next_record().c_str(), "seen");
}

void a_frozen_writer_never_blocks_and_the_lost_lines_are_counted(void**) {
    stage on;
    log_queue log(*on.loop, on.engine.get(), 16);
    std::uint64_t written = 0;
    while (log.dropped() < 5) {
        log.put(log_severity::info, std::to_string(written++));
        assert_true(written < 1'000'000);
    }
    assert_int_equal(log.waiting(), 16);
    // The writer wakes up: all that was not dropped comes in order, then the count.
    std::uint64_t seen = 0;
    std::string last;
    for (int idle = 0; idle < 50;) {
        const std::string record = on.next_record();
        if (record.empty()) {
            on.loop->run_once(millisecond);
            ++idle;
            continue;
        }
        idle = 0;
        last = record;
        if (record == std::to_string(seen)) {
            ++seen;
        }
    }
    assert_int_equal(seen, written - 5);
    assert_string_equal(last.c_str(), "the log was full: 5 lines were lost");
    assert_int_equal(log.waiting(), 0);
    log.put(log_severity::info, "on we go");
    assert_string_equal(on.next_record().c_str(), "on we go");
    log.close();
}

void without_a_writer_lines_are_dropped_and_nothing_spins(void**) {
    stage on;
    log_queue log(*on.loop, on.engine.get(), 4);
    on.writer.reset();
    for (int i = 0; i < 10; ++i) {
        log.put(log_severity::info, "to nobody");
        on.loop->run_once(0);
    }
    const instant before = event_loop::clock();
    on.loop->run_once(50 * millisecond);
    on.loop->run_once(50 * millisecond);
    assert_true(event_loop::clock() - before >= 50 * millisecond);
    log.close();
}

void a_file_gets_time_name_severity_and_text(void**) {
    stage on;
    send_log_record(on.engine.get(), log_severity::warning, "the disk is slow");
    log_writer_settings settings;
    settings.name = "lockstep-r0";
    settings.target = on.directory + "/log";
    on.run_writer(settings);
    const std::string text = on.content("log");
    assert_non_null(std::strstr(text.c_str(), " lockstep-r0 warning: the disk is slow\n"));
    assert_int_equal(text[4], '-');
}

void a_rotated_file_is_made_anew(void**) {
    stage on;
    log_writer_settings settings;
    settings.target = on.directory + "/log";
    const pid_t pid = ::fork();
    if (pid == 0) {
        on.engine.reset();
        write_log(on.writer.get(), settings);
        ::_exit(0);
    }
    send_log_record(on.engine.get(), log_severity::info, "before");
    while (on.content("log").empty()) {
        ::usleep(1000);
    }
    assert_int_equal(::rename((on.directory + "/log").c_str(), (on.directory + "/log.1").c_str()),
                     0);
    send_log_record(on.engine.get(), log_severity::info, "after");
    on.engine.reset();
    assert_int_equal(::waitpid(pid, nullptr, 0), pid);
    assert_non_null(std::strstr(on.content("log.1").c_str(), "before"));
    assert_non_null(std::strstr(on.content("log").c_str(), "after"));
    assert_null(std::strstr(on.content("log.1").c_str(), "after"));
}

void lines_that_a_full_disk_refused_come_late_and_are_counted(void**) {
    stage on;
    log_writer_settings settings;
    settings.target = on.directory + "/log";
    // A link to the device that is always full stands in for the full disk, until it is removed.
    assert_int_equal(::symlink("/dev/full", settings.target.c_str()), 0);
    const pid_t pid = ::fork();
    if (pid == 0) {
        on.engine.reset();
        write_log(on.writer.get(), settings);
        ::_exit(0);
    }
    send_log_record(on.engine.get(), log_severity::info, "the first");
    send_log_record(on.engine.get(), log_severity::info, "the second");
    int unread = 1;
    while (unread != 0) { // until the writer has taken both
        ::usleep(20'000);
        char byte = 0;
        unread = ::recv(on.writer.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0 ? 1 : 0;
    }
    ::usleep(50'000); // and has failed with the second
    ::unlink(settings.target.c_str());
    send_log_record(on.engine.get(), log_severity::info, "there is room");
    on.engine.reset();
    assert_int_equal(::waitpid(pid, nullptr, 0), pid);
    const std::string text = on.content("log");
    const char* at = std::strstr(text.c_str(), "2 lines come late, 0 were lost");
    for (const char* line : {"the first", "the second", "there is room"}) {
        assert_non_null(at);
        at = std::strstr(at, line);
    }
    assert_non_null(at);
}

void syslog_gets_priority_and_name_and_the_file_is_its_fallback(void**) {
    stage on;
    const std::string path = on.directory + "/socket";
    const owned_fd syslog(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path.c_str());
    assert_int_equal(::bind(syslog.get(), reinterpret_cast<sockaddr*>(&address), sizeof address),
                     0);
    send_log_record(on.engine.get(), log_severity::error, "no peer");
    log_writer_settings settings;
    settings.name = "lockstep-r0";
    settings.syslog_socket = path;
    settings.fallback = on.directory + "/log";
    on.run_writer(settings);
    std::array<char, 500> bytes = {};
    assert_true(::recv(syslog.get(), bytes.data(), bytes.size() - 1, MSG_DONTWAIT) > 0);
    assert_memory_equal(bytes.data(), "<27>", 4);
    assert_non_null(std::strstr(bytes.data(), " lockstep-r0["));
    assert_non_null(std::strstr(bytes.data(), "]: no peer"));
    assert_int_equal(on.content("log").size(), 0);

    stage other;
    send_log_record(other.engine.get(), log_severity::error, "no syslog");
    settings.syslog_socket = other.directory + "/none";
    settings.fallback = other.directory + "/log";
    other.run_writer(settings);
    assert_non_null(std::strstr(other.content("log").c_str(), "no syslog"));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(lines_reach_the_writer_in_order),
        cmocka_unit_test(lines_above_the_level_are_left_out),
        cmocka_unit_test(a_frozen_writer_never_blocks_and_the_lost_lines_are_counted),
        cmocka_unit_test(without_a_writer_lines_are_dropped_and_nothing_spins),
        cmocka_unit_test(a_file_gets_time_name_severity_and_text),
        cmocka_unit_test(a_rotated_file_is_made_anew),
        cmocka_unit_test(lines_that_a_full_disk_refused_come_late_and_are_counted),
        cmocka_unit_test(syslog_gets_priority_and_name_and_the_file_is_its_fallback),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
