// Every wish in every state: what holds for all of them.
#include <cstdint>
#include <vector>

#include "unit/state/transitions.hpp"

#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::state;

namespace {

// Every state, sane or not: 17496 of them.
template <class Visit>
void for_all_states(const Visit& visit) {
    for (std::uint32_t word = 0; word < 3U * 3U * 24U * 9U * 9U; ++word) {
        volume_state at;
        at.role = static_cast<role>(word % 3);
        at.peer_role = static_cast<role>(word / 3 % 3);
        at.connection = static_cast<connection>(word / 9 % 24);
        at.disk = static_cast<disk>(word / 216 % 9);
        at.peer_disk = static_cast<disk>(word / 1944 % 9);
        visit(at);
    }
}

// Every wish for one field.
std::vector<state_change> all_wishes() {
    std::vector<state_change> wishes = {
        state_change().with_paused_user(true),       state_change().with_paused_user(false),
        state_change().with_paused_peer(true),       state_change().with_paused_after(true),
        state_change().with_suspended_user(true),    state_change().with_suspended_no_data(true),
        state_change().with_suspended_fencing(true),
    };
    for (std::uint32_t at = 0; at < 24; ++at) {
        wishes.push_back(state_change().with(static_cast<connection>(at)));
        if (at < 9) {
            wishes.push_back(state_change().with(static_cast<disk>(at)));
            wishes.push_back(state_change().with_peer(static_cast<disk>(at)));
        }
        if (at < 3) {
            wishes.push_back(state_change().with(static_cast<role>(at)));
            wishes.push_back(state_change().with_peer(static_cast<role>(at)));
        }
    }
    return wishes;
}

std::vector<transition_context> some_contexts() {
    std::vector<transition_context> contexts(4, usual());
    contexts[1].fencing = options::fencing::resource_and_stonith;
    contexts[1].suspend_without_data = true;
    contexts[2].device_in_use = true;
    contexts[2].verify_algorithm_set = true;
    contexts[3].allow_two_primaries = true;
    contexts[3].negotiating = {disk::up_to_date, disk::outdated};
    return contexts;
}

// Whatever is wanted of whatever state: what comes out needs no further completion, keeps within
// the disks' ranges, and forgets a peer that is not there.
void every_completed_state_is_complete(void**) {
    const std::vector<state_change> wishes = all_wishes();
    const std::vector<transition_context> contexts = some_contexts();
    for_all_states([&](const volume_state& before) {
        for (const state_change& wish : wishes) {
            for (const transition_context& context : contexts) {
                const volume_state once = sanitize(before, apply(before, wish), context).state;
                const bool paused = once.connection == connection::paused_sync_s ||
                                    once.connection == connection::paused_sync_t;
                const bool pausing =
                    once.sync_paused_after || once.sync_paused_peer || once.sync_paused_user;
                assert_true(!paused || pausing);
                if (once.connection < connection::connected) {
                    assert_int_equal(once.peer_role, role::unknown);
                    assert_in_range(once.peer_disk, disk::inconsistent, disk::unknown);
                    assert_int_not_equal(once.disk, disk::negotiating);
                }
                const volume_state twice = sanitize(before, once, context).state;
                assert_true(sanitize(before, twice, context).state == twice);
            }
        }
    });
}

void every_accepted_request_leads_to_an_allowed_state_or_nothing_worse(void**) {
    const std::vector<state_change> wishes = all_wishes();
    const std::vector<transition_context> contexts = some_contexts();
    std::uint64_t accepted = 0;
    for_all_states([&](const volume_state& before) {
        for (const state_change& wish : wishes) {
            for (const transition_context& context : contexts) {
                const change_result after = change(before, wish, change_kind::soft, context);
                if (after.code == verdict::nothing_to_do) {
                    assert_true(after.state == before);
                } else if (after.accepted()) {
                    const verdict stands = check_state(after.state, context);
                    assert_true(stands == verdict::success ||
                                stands == check_state(before, context));
                    ++accepted;
                }
            }
        }
    });
    assert_true(accepted > 100000);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(every_completed_state_is_complete),
        cmocka_unit_test(every_accepted_request_leads_to_an_allowed_state_or_nothing_worse),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
