// What differs between two looks, told as events.
#include <string>
#include <vector>

#include "kernel/control/event_stream.hpp"
#include "unit/control/samples.hpp"

#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::control;

namespace {

std::string value_of(const event& in, const std::string& key) {
    for (const event_field& field : in.fields) {
        if (field.key == key) {
            return field.value;
        }
    }
    return "(none)";
}

std::vector<std::string> changed_keys(const event& in) {
    std::vector<std::string> keys;
    for (const event_field& field : in.fields) {
        if (field.changed) {
            keys.push_back(field.key);
        }
    }
    return keys;
}

void a_resource_is_described_from_the_whole_to_the_parts(void**) {
    snapshot state = samples::resource_in_sync();
    state.volumes.push_back(samples::volume_in_sync());
    state.volumes[1].volume = state.volumes[1].minor = 1;
    const std::vector<event> all = describe(state, 5);
    const std::vector<event_object> expected = {
        event_object::resource, event_object::connection,  event_object::device,
        event_object::device,   event_object::peer_device, event_object::peer_device};
    assert_int_equal(all.size(), expected.size());
    for (std::size_t at = 0; at < all.size(); ++at) {
        assert_true(all[at].object == expected[at]);
        assert_true(all[at].kind == event_kind::exists);
        assert_int_equal(all[at].time_us, 5);
        assert_string_equal(all[at].resource.c_str(), "r0");
    }
}

// 8.4's kernel has a connection from new-resource on.
void without_addresses_the_connection_has_no_name(void**) {
    snapshot state = samples::resource_in_sync();
    const std::vector<event> named = describe(state, 0);
    assert_true(named[1].has_connection && named[3].has_connection);
    state.has_net = false;
    const std::vector<event> nameless = describe(state, 0);
    assert_int_equal(nameless.size(), 4);
    assert_false(nameless[1].has_connection || nameless[3].has_connection);
}

void nothing_new_is_no_event(void**) {
    event_stream stream;
    const snapshot state = samples::resource_in_sync();
    stream.start(state);
    assert_true(stream.step(state, 1).empty());
}

void a_change_marks_only_what_changed(void**) {
    event_stream stream;
    snapshot state = samples::resource_in_sync();
    stream.start(state);
    samples::set_role(state, state::role::primary);
    const std::vector<event> events = stream.step(state, 1);
    assert_int_equal(events.size(), 1);
    assert_true(events[0].object == event_object::resource);
    const std::vector<std::string> keys = changed_keys(events[0]);
    assert_true(keys == (std::vector<std::string>{"role", "may_promote"}));
    assert_string_equal(value_of(events[0], "role").c_str(), "Primary");
}

void statistics_alone_are_no_event(void**) {
    event_stream stream;
    snapshot state = samples::resource_in_sync();
    stream.start(state);
    state.volumes[0].written_kib = 1000;
    state.volumes[0].congested = true;
    assert_true(stream.step(state, 1).empty());
    // They go with the next event of their object.
    state.volumes[0].state.disk = state::disk::outdated;
    const std::vector<event> events = stream.step(state, 2);
    bool found = false;
    for (const event& each : events) {
        if (each.object == event_object::device) {
            found = true;
            assert_string_equal(value_of(each, "written").c_str(), "1000");
        }
    }
    assert_true(found);
}

void progress_is_told_once_per_percent(void**) {
    event_stream stream;
    snapshot state = samples::resource_in_sync();
    samples::set_connection(state, state::connection::sync_target);
    state.volumes[0].progress.running = true;
    state.volumes[0].progress.total_bits = 100000;
    state.volumes[0].progress.left_bits = 100000;
    stream.start(state);
    int told = 0;
    for (std::uint64_t left = 100000; left > 0; left -= 100) {
        state.volumes[0].progress.left_bits = left;
        told += static_cast<int>(stream.step(state, 1).size());
    }
    assert_int_equal(told, 99);
}

void the_end_of_a_sync_is_told_without_progress(void**) {
    event_stream stream;
    snapshot state = samples::resource_in_sync();
    samples::set_connection(state, state::connection::sync_source);
    state.volumes[0].progress = samples::sync_begun();
    stream.start(state);
    samples::set_connection(state, state::connection::connected);
    state.volumes[0].progress = {};
    const std::vector<event> events = stream.step(state, 1);
    assert_int_equal(events.size(), 1);
    assert_string_equal(value_of(events[0], "replication").c_str(), "Established");
    assert_string_equal(value_of(events[0], "done").c_str(), "(none)");
}

void what_is_new_is_created_and_what_is_gone_destroyed(void**) {
    event_stream stream;
    snapshot state = samples::resource_in_sync();
    state.has_net = false;
    state.volumes.clear();
    stream.start(state);
    const snapshot full = samples::resource_in_sync();
    std::vector<event> events = stream.step(full, 1);
    // The score of the resource changes; all others are new.
    assert_int_equal(events.size(), 4);
    for (const event& each : events) {
        assert_true(each.kind == (each.object == event_object::resource ? event_kind::change
                                                                        : event_kind::create));
    }
    events = stream.step(state, 2);
    assert_int_equal(events.size(), 4);
    // Parts go before the whole.
    assert_true(events[0].object == event_object::peer_device);
    assert_true(events[0].kind == event_kind::destroy);
    assert_true(events[0].fields.empty());
    assert_true(events[1].object == event_object::device);
    assert_true(events[2].object == event_object::connection);
}

struct score_row {
    state::role role;
    state::role peer_role;
    state::disk disk;
    state::disk peer_disk;
    bool possible;
    unsigned score;
};

void the_promotion_score_tells_how_good_a_promotion_would_be(void**) {
    using state::disk;
    using state::role;
    const score_row rows[] = {
        {role::secondary, role::secondary, disk::up_to_date, disk::up_to_date, true, 10102},
        {role::secondary, role::unknown, disk::up_to_date, disk::unknown, true, 10101},
        {role::secondary, role::unknown, disk::up_to_date, disk::outdated, true, 10101},
        {role::secondary, role::secondary, disk::diskless, disk::up_to_date, true, 1},
        {role::secondary, role::secondary, disk::inconsistent, disk::up_to_date, true, 10001},
        {role::secondary, role::unknown, disk::inconsistent, disk::unknown, false, 0},
        {role::secondary, role::unknown, disk::outdated, disk::unknown, false, 0},
        {role::primary, role::secondary, disk::up_to_date, disk::up_to_date, false, 10102},
        {role::secondary, role::primary, disk::up_to_date, disk::up_to_date, false, 10102},
    };
    for (const score_row& row : rows) {
        snapshot state = samples::resource_in_sync();
        samples::set_role(state, row.role);
        samples::set_peer_role(state, row.peer_role);
        state.volumes[0].state.disk = row.disk;
        state.volumes[0].state.peer_disk = row.peer_disk;
        const promotion chance = promotion_of(state);
        assert_int_equal(chance.possible, row.possible);
        assert_int_equal(chance.score, row.score);
    }
}

void the_worst_volume_decides_the_score(void**) {
    snapshot state = samples::resource_in_sync();
    state.volumes.push_back(samples::volume_in_sync());
    state.volumes[1].volume = state.volumes[1].minor = 1;
    assert_int_equal(promotion_of(state).score, 10202);
    state.volumes[1].state.peer_disk = state::disk::inconsistent;
    assert_int_equal(promotion_of(state).score, 10201);
    state.volumes[1].state.disk = state::disk::inconsistent;
    assert_int_equal(promotion_of(state).score, 0);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_resource_is_described_from_the_whole_to_the_parts),
        cmocka_unit_test(without_addresses_the_connection_has_no_name),
        cmocka_unit_test(nothing_new_is_no_event),
        cmocka_unit_test(a_change_marks_only_what_changed),
        cmocka_unit_test(statistics_alone_are_no_event),
        cmocka_unit_test(progress_is_told_once_per_percent),
        cmocka_unit_test(the_end_of_a_sync_is_told_without_progress),
        cmocka_unit_test(what_is_new_is_created_and_what_is_gone_destroyed),
        cmocka_unit_test(the_promotion_score_tells_how_good_a_promotion_would_be),
        cmocka_unit_test(the_worst_volume_decides_the_score),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
