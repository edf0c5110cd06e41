// Once attached and connected, the replica allocates nothing to serve requests: neither the
// Primary's nor the Secondary's half, whatever the protocol.
#include "support/allocation_count.hpp"
#include "world.hpp"

// Last: it makes a macro of the name fail.
#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::simulation;

namespace {

// Twice what 67 extents span, so that the activity log forgets while it serves.
constexpr std::uint64_t extents = 134;

void serve(world& both, unsigned rounds) {
    const auto done_before = both.requests_done;
    for (unsigned round = 0; round < rounds; ++round) {
        for (std::uint64_t each = 0; each < 16; ++each) {
            const std::uint64_t extent = (round * 16 + each) % (extents - 1);
            both.write(0, 0, extent * format::al_extent_sectors + each * 8, 8);
            both.read(0, 0, each * 64, 8);
        }
        both.write_zeroes(0, 0, 8192, 64);
        both.discard(0, 0, 8192 + 128, 64);
        both.flush(0, 0);
        both.run_until([&both] { return both.quiet(); });
    }
    assert_int_equal(both.requests_done - done_before, rounds * 35);
}

void requests_are_served_without_allocation(options::protocol protocol) {
    node_settings settings;
    settings.device_sectors = extents * format::al_extent_sectors;
    settings.disk.al_extents = 67;
    settings.net.protocol = protocol;
    world both(1, settings);
    for (auto& each : both.nodes) {
        create_metadata_in_sync(each->metadata_at(0), 0x1234567812345678U);
        each->start();
    }
    assert_true(both.attach(0) && both.attach(1));
    both.connect_both();
    assert_true(both.wait_in_sync());
    assert_true(both.primary(0));
    serve(both, 40); // everything has been used once

    support::count_allocations_while(replica_scope::inside);
    const auto before = support::allocation_count();
    serve(both, 200);
    const auto after = support::allocation_count();
    support::count_allocations_while(nullptr);
    assert_string_equal(both.failure().c_str(), "");
    assert_int_equal(after - before, 0);
}

void protocol_a_is_served_without_allocation(void**) {
    requests_are_served_without_allocation(options::protocol::a);
}

void protocol_b_is_served_without_allocation(void**) {
    requests_are_served_without_allocation(options::protocol::b);
}

void protocol_c_is_served_without_allocation(void**) {
    requests_are_served_without_allocation(options::protocol::c);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(protocol_a_is_served_without_allocation),
        cmocka_unit_test(protocol_b_is_served_without_allocation),
        cmocka_unit_test(protocol_c_is_served_without_allocation),
    };
    return cmocka_run_group_tests_name("simulation_allocation", tests, nullptr, nullptr);
}
