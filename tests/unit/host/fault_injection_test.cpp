// Which requests fail on purpose.
#include "kernel/host/fault_injection.hpp"
#include "unit/cmocka.hpp"

namespace {

using namespace lockstep::host;
using lockstep::replica::backing;
using lockstep::replica::disk_request;
using op = disk_request::operation;

disk_request request_of(op what, backing device, bool resync = false) {
    disk_request made;
    made.op = what;
    made.device = device;
    made.resync = resync;
    return made;
}

void each_kind_fails_by_its_bit_and_no_other(void**) {
    const struct {
        disk_request request;
        const char* name;
    } kinds[] = {
        {request_of(op::write, backing::metadata), "Meta-data write"},
        {request_of(op::read, backing::metadata), "Meta-data read"},
        {request_of(op::write, backing::data, true), "Resync write"},
        {request_of(op::read, backing::data, true), "Resync read"},
        {request_of(op::write, backing::data), "Data write"},
        {request_of(op::read, backing::data), "Data read"},
    };
    for (std::uint32_t bit = 0; bit < 6; ++bit) {
        fault_injection faults({.kinds = 1U << bit, .rate = 100});
        assert_true(faults.active());
        for (std::uint32_t kind = 0; kind < 6; ++kind) {
            const auto struck = faults.strike(kinds[kind].request, 0);
            assert_int_equal(struck.has_value(), kind == bit);
            assert_true(!struck || *struck == kinds[kind].name);
        }
        assert_int_equal(faults.count(), 1);
        assert_false(faults.strike(request_of(op::flush, backing::data), 0).has_value());
    }
}

void the_rate_is_in_percent(void**) {
    fault_injection faults({.kinds = 16, .rate = 30});
    const disk_request write = request_of(op::write, backing::data);
    for (std::uint64_t random = 0; random < 1000; ++random) {
        (void)faults.strike(write, random);
    }
    assert_int_equal(faults.count(), 300);
    assert_false(fault_injection({.kinds = 16, .rate = 0}).active());
    assert_false(fault_injection({.kinds = 0, .rate = 30}).active());
}

void minors_that_are_not_named_are_spared(void**) {
    fault_injection faults({.kinds = 16, .rate = 100, .minors = 1U << 3});
    disk_request write = request_of(op::write, backing::data);
    for (const std::uint32_t minor : {0U, 2U, 4U, 35U}) {
        faults.set_minor(0, minor);
        assert_false(faults.strike(write, 0).has_value());
    }
    faults.set_minor(1, 3);
    assert_false(faults.strike(write, 0).has_value());
    write.volume = 1;
    assert_true(faults.strike(write, 0).has_value());
    faults.set_minor(0, 3);
    write.volume = 0;
    assert_true(faults.strike(write, 0).has_value());
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_fails_by_its_bit_and_no_other),
        cmocka_unit_test(the_rate_is_in_percent),
        cmocka_unit_test(minors_that_are_not_named_are_spared),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
