// Resource names as directories, and who has which minor.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>

#include "kernel/control/protocol/runtime_directory.hpp"

#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::control;

namespace {

class scratch {
public:
    scratch() {
        char name[] = "/tmp/lockstep-runtime-XXXXXX";
        path_ = ::mkdtemp(name);
    }
    ~scratch() { std::filesystem::remove_all(path_); }
    scratch(const scratch&) = delete;
    scratch& operator=(const scratch&) = delete;
    std::string root() const { return path_ + "/run"; }

private:
    std::string path_;
};

unsigned mode_of(const std::string& path) {
    struct stat seen = {};
    assert_int_equal(::stat(path.c_str(), &seen), 0);
    return seen.st_mode & 0777U;
}

void no_name_leaves_the_directory(void**) {
    for (const char* name :
         {"r0", "..", ".hidden", "a/b", "%41", "sp ace", "\xc3\xa4", "a.b-c_d"}) {
        const std::string file = encode_name(name);
        assert_int_equal(file.find('/'), std::string::npos);
        assert_true(file[0] != '.');
        assert_string_equal(decode_name(file)->c_str(), name);
    }
    assert_false(decode_name("%4").has_value());
    assert_false(decode_name("%zz").has_value());
    // Not as encode_name() writes it.
    assert_false(decode_name("%41").has_value());
    assert_false(decode_name(".").has_value());
    assert_false(decode_name("..").has_value());
}

void names_that_mean_something_else_are_refused_with_a_reason(void**) {
    assert_true(name_problem("r0").empty());
    for (const char* bad : {"", "all", "a/b", "a b", "a\nb"}) {
        assert_false(name_problem(bad).empty());
    }
    assert_false(name_problem(std::string(128, 'a')).empty());
    assert_true(name_problem(std::string(127, 'a')).empty());
}

void directories_are_for_their_owner_alone(void**) {
    const scratch place;
    const runtime_directory where(place.root());
    const result<std::string> socket = where.prepare("r0");
    assert_true(socket.has_value());
    assert_int_equal(mode_of(place.root()), 0700);
    assert_int_equal(mode_of(where.resource_directory("r0")), 0700);
    assert_int_equal(where.resources().size(), 1);
    where.remove("r0");
    assert_true(where.resources().empty());
}

void a_minor_belongs_to_one_resource(void**) {
    const scratch place;
    const runtime_directory where(place.root());
    assert_true(where.prepare("r0").has_value());
    assert_true(where.prepare("r1").has_value());
    assert_true(where.link_minor(3, "r0").has_value());
    assert_true(where.link_minor(3, "r0").has_value());
    const result<> second = where.link_minor(3, "r1");
    assert_false(second.has_value());
    assert_int_equal(second.error().code, 161);
    assert_non_null(std::strstr(second.error().remedy.c_str(), "r0"));
    assert_string_equal(where.resource_of_minor(3)->c_str(), "r0");
    assert_int_equal(where.minors().size(), 1);
    // Somebody else's link stays.
    where.unlink_minor(3, "r1");
    assert_true(where.resource_of_minor(3).has_value());
    where.unlink_minor(3, "r0");
    assert_false(where.resource_of_minor(3).has_value());
}

void a_minor_of_a_resource_that_is_gone_can_be_had(void**) {
    const scratch place;
    const runtime_directory where(place.root());
    assert_true(where.prepare("r0").has_value());
    assert_true(where.prepare("r1").has_value());
    assert_true(where.link_minor(3, "r0").has_value());
    where.remove("r0");
    assert_true(where.link_minor(3, "r1").has_value());
    assert_string_equal(where.resource_of_minor(3)->c_str(), "r1");
}

void a_missing_directory_means_no_resources(void**) {
    const runtime_directory where("/nonexistent/lockstep");
    assert_true(where.resources().empty());
    assert_true(where.minors().empty());
    assert_false(where.resource_of_minor(0).has_value());
    const result<std::string> made = where.prepare("r0");
    assert_false(made.has_value());
    assert_false(made.error().remedy.empty());
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(no_name_leaves_the_directory),
        cmocka_unit_test(names_that_mean_something_else_are_refused_with_a_reason),
        cmocka_unit_test(directories_are_for_their_owner_alone),
        cmocka_unit_test(a_minor_belongs_to_one_resource),
        cmocka_unit_test(a_minor_of_a_resource_that_is_gone_can_be_had),
        cmocka_unit_test(a_missing_directory_means_no_resources),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
