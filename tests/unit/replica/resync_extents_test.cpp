// Who may be in an extent: resync or the application, never both, and each in its turn.
#include "kernel/replica/resync_extents.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <rapidcheck.h>
#include <vector>

#include "unit/cmocka.hpp"

namespace {

using lockstep::replica::activity_log;
using lockstep::replica::resync_extents;

void commit_all(activity_log& log) {
    std::array<std::byte, 4096> out;
    while (log.transaction_needed()) {
        log.prepare_transaction(out);
        log.commit_transaction();
    }
}

bool write_begins(resync_extents& door, activity_log& log, std::uint32_t extent) {
    if (!door.application_may_begin(extent, extent)) {
        return false;
    }
    log.begin(extent, extent);
    commit_all(log);
    return true;
}

void resync_waits_for_writes_in_flight(void**) {
    activity_log log(67, {});
    resync_extents door;
    assert_true(write_begins(door, log, 7)); // resync extent 1
    assert_true(door.begin_resync(0, &log));
    assert_false(door.begin_resync(1, &log));
    assert_false(door.held(1));
    log.end(7, 7);
    assert_true(door.begin_resync(1, &log)); // idle in the log does not count
    assert_true(door.held(1));
}

void writes_wait_for_resync_in_flight(void**) {
    activity_log log(67, {});
    resync_extents door;
    assert_true(door.begin_resync(1, &log));
    assert_true(door.begin_resync(1, &log));
    for (std::uint32_t extent = 4; extent < 8; ++extent) {
        assert_false(door.application_may_begin(extent, extent));
    }
    assert_true(door.application_may_begin(3, 3));
    assert_true(door.application_may_begin(8, 8));
    assert_false(door.application_may_begin(3, 4)); // partly there
    assert_false(door.end_resync(1));
    assert_false(door.application_may_begin(4, 4));
    assert_true(door.end_resync(1));
    assert_true(door.application_may_begin(4, 4));
}

void a_waiting_write_stops_new_resync_requests(void**) {
    activity_log log(67, {});
    resync_extents door;
    assert_true(door.begin_resync(1, &log));
    assert_true(door.begin_resync(1, &log));
    assert_false(door.application_may_begin(4, 4));
    assert_true(door.application_waits(1));
    assert_false(door.begin_resync(1, &log)); // although resync is in
    door.end_resync(1);
    assert_true(door.end_resync(1));
    assert_true(write_begins(door, log, 4)); // the application's turn
    assert_true(write_begins(door, log, 5));
    assert_false(door.begin_resync(1, &log)); // resync asks: its turn is next
    assert_false(write_begins(door, log, 4));
    log.end(4, 4);
    assert_false(door.begin_resync(1, &log));
    log.end(5, 5);
    assert_true(door.begin_resync(1, &log));
}

void a_cancelled_resync_opens_the_extent(void**) {
    activity_log log(67, {});
    resync_extents door;
    assert_true(write_begins(door, log, 4));
    assert_false(door.begin_resync(1, &log));
    assert_false(door.application_may_begin(5, 5));
    assert_true(door.cancel_all());
    assert_true(door.application_may_begin(5, 5));
    assert_false(door.begin_resync(1, &log));
    assert_false(door.cancel_resync(1));
    assert_false(door.cancel_resync(99));
    assert_true(door.application_may_begin(5, 5));
}

void a_node_without_a_log_resyncs_freely(void**) {
    resync_extents door(2);
    assert_true(door.begin_resync(0, nullptr));
    assert_true(door.begin_resync(1, nullptr));
    assert_false(door.begin_resync(2, nullptr)); // all entries taken
    assert_int_equal(door.extents_held(), 2);
    assert_true(door.end_resync(0)); // tells those who found none
    assert_true(door.begin_resync(2, nullptr));
}

// Many writers and resync requests on few extents, each asking again in the documented order.
// Once no more come, everybody gets in.
void resync_and_writes_never_meet_and_all_get_in(void**) {
    assert_true(rc::check("turns", [] {
        activity_log log(67, {});
        resync_extents door(2);
        std::deque<std::uint32_t> writes_waiting;
        std::deque<std::uint32_t> resyncs_waiting;
        std::vector<std::uint32_t> writes;
        std::vector<std::uint32_t> resyncs;

        const auto retry = [&] {
            for (std::size_t i = 0; i < writes_waiting.size();) {
                if (write_begins(door, log, writes_waiting[i])) {
                    writes.push_back(writes_waiting[i]);
                    writes_waiting.erase(writes_waiting.begin() + static_cast<std::ptrdiff_t>(i));
                } else {
                    ++i;
                }
            }
            for (std::size_t i = 0; i < resyncs_waiting.size();) {
                if (door.begin_resync(resyncs_waiting[i], &log)) {
                    resyncs.push_back(resyncs_waiting[i]);
                    resyncs_waiting.erase(resyncs_waiting.begin() + static_cast<std::ptrdiff_t>(i));
                } else {
                    ++i;
                }
            }
        };
        const auto steps = *rc::gen::inRange(1, 400);
        for (int i = 0; i < steps; ++i) {
            switch (*rc::gen::inRange(0, 4)) {
            case 0: {
                // New ones try at once: they do not stand behind those who wait.
                const auto extent = *rc::gen::inRange<std::uint32_t>(0, 8);
                if (write_begins(door, log, extent)) {
                    writes.push_back(extent);
                } else {
                    writes_waiting.push_back(extent);
                }
                break;
            }
            case 1: {
                const auto extent = *rc::gen::inRange<std::uint32_t>(0, 2);
                if (door.begin_resync(extent, &log)) {
                    resyncs.push_back(extent);
                } else {
                    resyncs_waiting.push_back(extent);
                }
                break;
            }
            case 2:
                // Things end in the order in which they began, as a bound on how long they take.
                if (!writes.empty()) {
                    const bool free = log.end(writes.front(), writes.front());
                    writes.erase(writes.begin());
                    if (free) {
                        retry();
                    }
                }
                break;
            default:
                if (!resyncs.empty()) {
                    const bool free = door.end_resync(resyncs.front());
                    resyncs.erase(resyncs.begin());
                    if (free) {
                        retry();
                    }
                }
                break;
            }
            for (const auto write : writes) {
                RC_ASSERT(std::count(resyncs.begin(), resyncs.end(), write / 4) == 0);
            }
        }
        // Let everything run out: nobody is left behind.
        while (!writes.empty() || !resyncs.empty()) {
            if (!writes.empty()) {
                log.end(writes.front(), writes.front());
                writes.erase(writes.begin());
            } else {
                door.end_resync(resyncs.front());
                resyncs.erase(resyncs.begin());
            }
            retry();
        }
        RC_ASSERT(writes_waiting.empty());
        RC_ASSERT(resyncs_waiting.empty());
    }));
}

// A hot extent: the application always has a write in flight there and always another waiting.
void resync_gets_through_a_hot_extent(void**) {
    activity_log log(67, {});
    resync_extents door;
    int resync_done = 0;
    int writes_done = 0;
    int writes_under_way = 0;
    bool resync_under_way = false;
    for (int i = 0; i < 1000; ++i) {
        // One write and, if there is one, one resync request ends in each round.
        if (writes_under_way > 0) {
            log.end(0, 0);
            --writes_under_way;
            ++writes_done;
        }
        if (resync_under_way) {
            door.end_resync(0);
            resync_under_way = false;
            ++resync_done;
        }
        while (writes_under_way < 4 && write_begins(door, log, 0)) {
            ++writes_under_way;
        }
        resync_under_way = door.begin_resync(0, &log);
    }
    print_message("# hot extent: %d writes, %d resync requests\n", writes_done, resync_done);
    assert_true(resync_done > 100);
    assert_true(writes_done > 500);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(resync_waits_for_writes_in_flight),
        cmocka_unit_test(writes_wait_for_resync_in_flight),
        cmocka_unit_test(a_waiting_write_stops_new_resync_requests),
        cmocka_unit_test(a_cancelled_resync_opens_the_extent),
        cmocka_unit_test(a_node_without_a_log_resyncs_freely),
        cmocka_unit_test(resync_and_writes_never_meet_and_all_get_in),
        cmocka_unit_test(resync_gets_through_a_hot_extent),
    };
    return cmocka_run_group_tests_name("resync_extents", tests, nullptr, nullptr);
}
