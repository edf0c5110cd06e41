// An engine that does not answer is named, and the others are not kept waiting by it.
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <string>

#include "unit/drbdsetup/played_run.hpp"

#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::drbdsetup;

namespace {

// A socket that accepts and never says anything.
class hung_engine {
public:
    hung_engine(const scratch_runtime& runtime, const std::string& resource)
        : listening_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
        const std::string path = *runtime.where().prepare(resource);
        sockaddr_un address = {};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        assert_int_equal(
            ::bind(listening_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
        assert_int_equal(::listen(listening_, 8), 0);
    }
    ~hung_engine() { ::close(listening_); }
    hung_engine(const hung_engine&) = delete;
    hung_engine& operator=(const hung_engine&) = delete;

private:
    int listening_;
};

void an_engine_that_does_not_answer_is_named_and_the_others_are_shown(void**) {
    const scratch_runtime runtime;
    const fake_engine engine(runtime, resource());
    const hung_engine hung(runtime, "hung");
    const end got = run(runtime, {"status"});
    assert_int_equal(got.code, 20);
    assert_true(contains(got.output, "r0 role:Secondary"));
    assert_true(contains(got.errors, "hung: The engine did not answer in time"));
}

void engines_that_do_not_answer_are_waited_for_together(void**) {
    const scratch_runtime runtime;
    const fake_engine engine(runtime, resource());
    const hung_engine hung[] = {{runtime, "h1"}, {runtime, "h2"}, {runtime, "h3"}, {runtime, "h4"}};
    const auto began = std::chrono::steady_clock::now();
    const end got = run(runtime, {"status"});
    // Two seconds, not eight; a busy machine gets twice as long.
    assert_true(std::chrono::steady_clock::now() - began < std::chrono::seconds(4));
    for (const char* each : {"h1", "h2", "h3", "h4"}) {
        assert_true(contains(got.errors, std::string(each) + ": The engine did not answer"));
    }
}

void an_engine_that_does_not_answer_is_not_in_the_way_of_another_connection(void**) {
    const scratch_runtime runtime;
    const fake_engine engine(runtime, resource());
    const hung_engine hung(runtime, "hung");
    const std::string ours = "ipv4:10.0.0.1:7789";
    assert_int_equal(run(runtime, {"disconnect", ours, "ipv4:10.0.0.2:7789"}).code, 0);
    assert_int_equal(engine.requests().size(), 1);
    // This one may be its own.
    const end got = run(runtime, {"disconnect", ours, "ipv4:10.0.0.3:7789"});
    assert_int_equal(got.code, 20);
    assert_true(contains(got.errors, "did not answer"));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(an_engine_that_does_not_answer_is_named_and_the_others_are_shown),
        cmocka_unit_test(engines_that_do_not_answer_are_waited_for_together),
        cmocka_unit_test(an_engine_that_does_not_answer_is_not_in_the_way_of_another_connection),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
