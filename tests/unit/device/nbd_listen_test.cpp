// Where the NBD server may listen, and what it says when it may not.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>

#include "kernel/device/nbd_listen.hpp"

#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::device;

namespace {

struct scratch {
    std::string path = "/tmp/lockstep-listen-XXXXXX";
    scratch() { assert_non_null(mkdtemp(path.data())); }
    ~scratch() {
        unlink((path + "/s").c_str());
        rmdir(path.c_str());
    }
    std::string socket() const { return path + "/s"; }
};

void a_unix_socket_is_for_its_owner_only(void**) {
    const scratch place;
    const auto made = listen_unix(place.socket());
    assert_true(made.has_value());
    struct stat found = {};
    assert_int_equal(stat(place.socket().c_str(), &found), 0);
    assert_true(S_ISSOCK(found.st_mode));
    assert_int_equal(found.st_mode & 0777, 0600);
}

void a_second_listener_is_refused_and_the_first_goes_on(void**) {
    const scratch place;
    const auto first = listen_unix(place.socket());
    const auto second = listen_unix(place.socket());
    assert_false(second.has_value());
    assert_true(second.error().what.find("another process listens") != std::string::npos);
    assert_int_equal(access(place.socket().c_str(), F_OK), 0);
}

void a_socket_that_nobody_listens_on_is_replaced(void**) {
    const scratch place;
    { const auto gone = listen_unix(place.socket()); }
    assert_int_equal(access(place.socket().c_str(), F_OK), 0);
    assert_true(listen_unix(place.socket()).has_value());
}

void a_file_in_its_place_is_refused_and_kept(void**) {
    const scratch place;
    std::ofstream{place.socket()} << "precious";
    const auto made = listen_unix(place.socket());
    assert_false(made.has_value());
    assert_true(made.error().where == place.socket());
    std::string text;
    std::ifstream{place.socket()} >> text;
    assert_string_equal(text.c_str(), "precious");
}

void a_name_that_is_too_long_or_in_no_directory_is_refused(void**) {
    for (const std::string& name :
         {std::string{}, "/tmp/" + std::string(120, 'x'), std::string{"/nowhere/at/all/s"}}) {
        const auto made = listen_unix(name);
        assert_false(made.has_value());
        assert_false(made.error().remedy.empty());
    }
}

void tcp_takes_numbers_only(void**) {
    for (const char* good : {"127.0.0.1:0", "[::1]:0"}) {
        const auto made = listen_tcp(good);
        assert_true(made.has_value() || std::string(good).find("::1") != std::string::npos);
    }
    for (const char* bad : {"", ":", "127.0.0.1", "127.0.0.1:", ":10809", "localhost:10809",
                            "127.0.0.1:nbd", "[::1]", "256.1.1.1:1", "127.0.0.1:99999999"}) {
        const auto made = listen_tcp(bad);
        assert_false(made.has_value());
        assert_true(made.error().where == bad);
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_unix_socket_is_for_its_owner_only),
        cmocka_unit_test(a_second_listener_is_refused_and_the_first_goes_on),
        cmocka_unit_test(a_socket_that_nobody_listens_on_is_replaced),
        cmocka_unit_test(a_file_in_its_place_is_refused_and_kept),
        cmocka_unit_test(a_name_that_is_too_long_or_in_no_directory_is_refused),
        cmocka_unit_test(tcp_takes_numbers_only),
    };
    return cmocka_run_group_tests_name("nbd_listen", tests, nullptr, nullptr);
}
