// The state directory of a daemon: what it holds outlives the daemon and a full disk, and is never
// taken for nothing.
#include <fcntl.h>
#include <sys/resource.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>

#include "daemon/store/state_directory.hpp"
#include "unit/cmocka.hpp"

namespace {

using namespace lockstep;
using daemon::state_directory;

struct place {
    place() {
        char name[] = "/tmp/lockstep-state-XXXXXX";
        above = ::mkdtemp(name);
        path = above + "/lockstepd";
    }
    ~place() { std::filesystem::remove_all(above); }

    std::string above;
    std::string path;
};

arbiter::ledger_state state_of(std::uint64_t promised, std::size_t resources = 1) {
    arbiter::ledger_state out;
    out.promised = promised;
    out.votes = true;
    out.cluster.at = {promised, 1};
    out.cluster.incarnation = 5;
    out.cluster.nodes = {{1, 1}, {2, 1}, {3, 1}};
    for (std::size_t number = 0; number < resources; ++number) {
        auto& record = out.resources["r" + std::to_string(number)];
        record.at = {promised, 2};
        record.incarnation = 7;
        record.primary = 1;
        record.in_sync = {1, 2};
    }
    return out;
}

state_directory opened(const place& at) {
    auto made = state_directory::open(at.path);
    if (!made) {
        fail_msg("%s", made.error().text().c_str());
    }
    return *std::move(made);
}

void what_was_kept_is_there_again(void**) {
    const place at;
    {
        auto first = opened(at);
        assert_false(first.load()->has_value());
        assert_true(first.save(state_of(3)).has_value());
        assert_true(first.save(state_of(4, 50)).has_value());
        assert_true(first.keep_dropped("r1", true).has_value());
        assert_true(first.keep_dropped("r2", true).has_value());
        assert_true(first.keep_dropped("r1", false).has_value());
    }
    const auto second = opened(at);
    assert_true(**second.load() == state_of(4, 50));
    assert_true(*second.dropped() == std::set<std::string>{"r2"});
}

void only_one_daemon_has_it(void**) {
    const place at;
    const auto first = opened(at);
    const auto second = state_directory::open(at.path);
    assert_false(second.has_value());
    assert_non_null(std::strstr(second.error().text().c_str(), "another daemon"));
    assert_non_null(std::strstr(second.error().text().c_str(), at.path.c_str()));
}

void a_damaged_file_is_not_no_file(void**) {
    const place at;
    auto directory = opened(at);
    assert_true(directory.save(state_of(3)).has_value());
    std::filesystem::resize_file(at.path + "/state", 30);
    const auto loaded = directory.load();
    assert_false(loaded.has_value());
    assert_non_null(std::strstr(loaded.error().text().c_str(), "/state"));
    assert_int_equal(std::filesystem::file_size(at.path + "/state"), 30);
}

void a_list_of_links_that_is_none_is_an_error(void**) {
    const place at;
    auto directory = opened(at);
    for (const char* text : {"r1", "\n", "r1\n\n"}) {
        std::ofstream(at.path + "/dropped-links") << text;
        assert_false(directory.dropped().has_value());
        assert_false(directory.keep_dropped("r2", true).has_value());
    }
}

// As long as nothing can be written the promise of before stands, and a later one is kept again.
void a_full_disk_refuses_and_forgets_nothing(void**) {
    const place at;
    auto directory = opened(at);
    assert_true(directory.save(state_of(3)).has_value());
    ::signal(SIGXFSZ, SIG_IGN);
    rlimit before = {};
    ::getrlimit(RLIMIT_FSIZE, &before);
    const rlimit small = {64, before.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &small);
    const auto saved = directory.save(state_of(4, 50));
    ::setrlimit(RLIMIT_FSIZE, &before);
    assert_false(saved.has_value());
    assert_non_null(std::strstr(saved.error().text().c_str(), "make room"));
    assert_true(**directory.load() == state_of(3));
    assert_true(directory.save(state_of(5)).has_value());
    assert_true(**directory.load() == state_of(5));
}

// A daemon that died while it wrote leaves a half of a new file.
void a_half_new_file_is_not_read(void**) {
    const place at;
    {
        auto directory = opened(at);
        assert_true(directory.save(state_of(3)).has_value());
    }
    std::ofstream(at.path + "/state.new") << "LSTP";
    auto directory = opened(at);
    assert_true(**directory.load() == state_of(3));
    assert_true(directory.save(state_of(4)).has_value());
    assert_true(**directory.load() == state_of(4));
}

void the_directory_above_must_be_there(void**) {
    const auto made = state_directory::open("/nonexistent/lockstepd");
    assert_false(made.has_value());
    assert_non_null(std::strstr(made.error().text().c_str(), "--state-directory"));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(what_was_kept_is_there_again),
        cmocka_unit_test(only_one_daemon_has_it),
        cmocka_unit_test(a_damaged_file_is_not_no_file),
        cmocka_unit_test(a_list_of_links_that_is_none_is_an_error),
        cmocka_unit_test(a_full_disk_refuses_and_forgets_nothing),
        cmocka_unit_test(a_half_new_file_is_not_read),
        cmocka_unit_test(the_directory_above_must_be_there),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
