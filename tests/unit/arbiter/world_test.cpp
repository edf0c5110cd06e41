// Random histories of engines and daemons: whoever acknowledges a write, or completes a read, has
// everything that was acknowledged, and when all is mended the service is there again.
//
//     LOCKSTEP_SEEDS=FIRST-LAST: these seeds in place of a few

#include <cstdio>
#include <cstdlib>
#include <utility>

#include "unit/arbiter/world.hpp"
#include "unit/cmocka.hpp"

namespace {

using namespace lockstep::arbiter;
using test::world;

std::pair<std::uint64_t, std::uint64_t> seeds() {
    const char* const text = std::getenv("LOCKSTEP_SEEDS");
    unsigned long first = 1;
    unsigned long last = 60;
    if (text != nullptr && std::sscanf(text, "%lu-%lu", &first, &last) != 2) {
        fail_msg("LOCKSTEP_SEEDS=%s is not FIRST-LAST", text);
    }
    return {first, last};
}

void histories(node_id nodes, bool device) {
    const auto [first, last] = seeds();
    std::size_t acknowledged = 0;
    std::size_t promotions = 0;
    for (std::uint64_t seed = first; seed <= last; ++seed) {
        world all(seed, nodes, device);
        all.run(1'500, 12);
        all.come_to_rest();
        if (!all.fault().empty()) {
            fail_msg("seed %lu: %s", static_cast<unsigned long>(seed), all.fault().c_str());
        }
        acknowledged += all.acknowledged();
        promotions += all.promotions();
    }
    // Histories in which nothing goes on would prove nothing.
    assert_true(acknowledged > (last - first + 1) * 20);
    assert_true(promotions > (last - first + 1) * 2);
}

void three_nodes_lose_nothing_and_come_to_rest(void**) {
    histories(3, false);
}

void three_nodes_with_a_fencing_device_lose_nothing(void**) {
    histories(3, true);
}

void two_nodes_with_a_fencing_device_lose_nothing(void**) {
    histories(2, true);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(three_nodes_lose_nothing_and_come_to_rest),
        cmocka_unit_test(three_nodes_with_a_fencing_device_lose_nothing),
        cmocka_unit_test(two_nodes_with_a_fencing_device_lose_nothing),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
