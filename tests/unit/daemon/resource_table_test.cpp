// Which resources of drbd.conf a daemon serves, with whom, and how far they protect.
#include "daemon/resource_table.hpp"

#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>

#include "unit/cmocka.hpp"

namespace {

using namespace lockstep;
using daemon::configured_resource;

struct conf_file {
    explicit conf_file(const std::string& text) {
        char path[] = "/tmp/lockstep-conf-XXXXXX";
        ::close(::mkstemp(path));
        name = path;
        std::ofstream(name) << "global { usage-count no; }\n" << text;
    }
    ~conf_file() { ::unlink(name.c_str()); }
    std::string name;
};

std::string resource(const std::string& name, const std::string& sections, int number = 0) {
    std::string text = "resource " + name + " { " + sections;
    for (const char* host : {"alpha", "beta"}) {
        text += std::string(" on ") + host + " { device /dev/drbd" + std::to_string(number) +
                "; disk /dev/sdb" + std::to_string(number) +
                "; meta-disk internal; address 10.0.0." + (host[0] == 'a' ? "1" : "2") + ":" +
                std::to_string(7000 + number) + "; }";
    }
    return text + " }\n";
}

configured_resource only(const std::string& text) {
    const conf_file file("common { disk { fencing resource-and-stonith; } net { protocol C; } }\n" +
                         text);
    const auto all = daemon::read_resources(file.name, "alpha");
    if (!all) {
        fail_msg("%s", all.error().text().c_str());
    }
    assert_int_equal(all->size(), 1);
    return all->front();
}

void the_peer_is_the_other_host(void**) {
    const auto its = only(resource("r0", ""));
    assert_string_equal(its.name.c_str(), "r0");
    assert_true(its.peer_names == std::vector<std::string>{"beta"});
    assert_true(its.protects);
    assert_false(its.two_primaries);
}

void what_loses_writes_does_not_protect(void**) {
    assert_false(only(resource("r0", "net { protocol A; }")).protects);
    assert_false(only(resource("r0", "net { protocol B; }")).protects);
    assert_false(only(resource("r0", "disk { fencing resource-only; }")).protects);
    assert_false(only(resource("r0", "disk { fencing dont-care; }")).protects);
}

void two_primaries_are_seen(void**) {
    assert_true(only(resource("r0", "net { allow-two-primaries; }")).two_primaries);
    assert_true(only(resource("r0", "net { allow-two-primaries yes; }")).two_primaries);
    assert_false(only(resource("r0", "net { allow-two-primaries no; }")).two_primaries);
}

void other_nodes_resources_are_not_served(void**) {
    const conf_file file(resource("r0", "") + resource("r1", "", 1));
    const auto here = daemon::read_resources(file.name, "beta");
    assert_int_equal(here->size(), 2);
    assert_true(here->back().peer_names == std::vector<std::string>{"alpha"});
    assert_int_equal(daemon::read_resources(file.name, "gamma")->size(), 0);
}

void a_file_that_is_not_valid_is_an_error_with_its_place(void**) {
    const conf_file file("resource r0 { nonsense; }\n");
    const auto all = daemon::read_resources(file.name, "alpha");
    assert_false(all.has_value());
    assert_non_null(std::strstr(all.error().text().c_str(), file.name.c_str()));
    assert_false(daemon::read_resources("/nonexistent/drbd.conf", "alpha").has_value());
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(the_peer_is_the_other_host),
        cmocka_unit_test(what_loses_writes_does_not_protect),
        cmocka_unit_test(two_primaries_are_seen),
        cmocka_unit_test(other_nodes_resources_are_not_served),
        cmocka_unit_test(a_file_that_is_not_valid_is_an_error_with_its_place),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
