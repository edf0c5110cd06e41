// What waits for what, and what does not: writes and the peer's flushes, asks and their answers.
#include "world.hpp"

// Last: it makes a macro of the name fail.
#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::simulation;

namespace {

constexpr instant slow_flush = second;

struct pair : world {
    explicit pair(const node_settings& settings) : world(1, settings) {
        for (auto& each : nodes) {
            create_metadata_in_sync(each->metadata_at(0), 0x1234567812345678U);
            each->start();
        }
        assert_true(attach(0) && attach(1));
        connect_both();
        assert_true(wait_in_sync());
        assert_true(primary(0));
    }

    // Each write begins when the one before has ended, so each is an epoch of its own. Returns how
    // long that took.
    instant write_one_after_the_other(unsigned count) {
        const instant began = events.now();
        for (unsigned each = 0; each < count; ++each) {
            write(0, 0, std::uint64_t{8} * each, 8);
            assert_true(run_until([this] { return quiet(); }));
        }
        return events.now() - began;
    }
    bool on_disk(unsigned side, std::uint64_t first) {
        std::array<std::byte, sector_bytes> content{};
        nodes[side]->data_disk(0).read_now(first * sector_bytes, content);
        model::write_id id = 0;
        return model::identify(first, content.data(), id) && id != 0;
    }
};

node_settings settings_of(options::protocol protocol) {
    node_settings settings;
    settings.device_sectors = 65536; // 32 MiB
    settings.net.protocol = protocol;
    return settings;
}

void expect_good(pair& it) {
    it.nodes[1]->data_disk(0).faults.flush_latency = 0;
    assert_true(it.wait_in_sync());
    it.check_converged();
    assert_string_equal(it.failure().c_str(), "");
}

void under_protocol_c_a_write_does_not_wait_for_the_peers_flush(void**) {
    pair it(settings_of(options::protocol::c));
    it.nodes[1]->data_disk(0).faults.flush_latency = slow_flush;
    assert_true(it.write_one_after_the_other(50) < slow_flush);
    expect_good(it);
}

void one_flush_serves_all_epochs_that_are_ready_for_it(void**) {
    pair it(settings_of(options::protocol::c));
    disk& peer = it.nodes[1]->data_disk(0);
    peer.faults.flush_latency = slow_flush;
    const std::uint64_t before = peer.flushes;
    it.write_one_after_the_other(50);
    it.run_for(4 * slow_flush);
    // The first epoch's, one for those that ended meanwhile, and perhaps one for the last.
    assert_in_range(peer.flushes - before, 1, 3);
    expect_good(it);
}

void quick_disks(pair& it) {
    for (auto& each : it.nodes) {
        each->data_disk(0).faults.latency_max = 100'000;
    }
}

void a_flush_that_nobody_waits_for_is_put_off(void**) {
    pair it(settings_of(options::protocol::c));
    quick_disks(it);
    const std::uint64_t before = it.nodes[1]->data_disk(0).flushes;
    const instant took = it.write_one_after_the_other(200);
    it.run_for(50 * millisecond);
    const std::uint64_t flushes = it.nodes[1]->data_disk(0).flushes - before;
    assert_in_range(flushes, 1, took / (50 * millisecond) + 3);
    expect_good(it);
}

void a_flush_that_somebody_waits_for_is_not_put_off(void**) {
    pair it(settings_of(options::protocol::c));
    quick_disks(it);
    instant took = 0;
    for (unsigned each = 0; each < 20; ++each) {
        it.write_one_after_the_other(1);
        const instant began = it.events.now();
        it.flush(0, 0);
        assert_true(it.run_until([&] { return it.quiet(); }));
        took += it.events.now() - began;
    }
    assert_true(took / 20 < 3 * millisecond);
    expect_good(it);
}

// When writing pauses, barrier and flush come by themselves: a disconnect leaves nothing to resync.
void after_a_moment_the_peer_owes_nothing(void**) {
    for (const options::protocol protocol : {options::protocol::a, options::protocol::c}) {
        pair it(settings_of(protocol));
        quick_disks(it);
        it.write_one_after_the_other(5);
        it.run_for(20 * millisecond);
        it.disconnect(0);
        assert_int_equal(it.nodes[0]->status().volumes[0].out_of_sync_kib, 0);
        it.connect_both();
        expect_good(it);
    }
}

// Fewer extents than are written to: the log forgets one only when the peer has acknowledged.
void a_full_activity_log_does_not_wait_for_what_is_put_off(void**) {
    node_settings settings = settings_of(options::protocol::c);
    settings.device_sectors = 200 * format::al_extent_sectors;
    settings.disk.al_extents = 67;
    pair it(settings);
    quick_disks(it);
    const instant began = it.events.now();
    for (unsigned each = 0; each < 120; ++each) {
        it.write(0, 0, each * format::al_extent_sectors, 8);
    }
    assert_true(it.run_until([&] { return it.quiet(); }));
    assert_true(it.events.now() - began < 8 * millisecond);
    expect_good(it);
}

void under_protocol_c_a_flush_waits_for_the_peers_flush(void**) {
    pair it(settings_of(options::protocol::c));
    it.nodes[1]->data_disk(0).faults.flush_latency = slow_flush;
    it.write_one_after_the_other(1);
    const instant began = it.events.now();
    it.flush(0, 0);
    assert_true(it.run_until([&] { return it.quiet(); }));
    assert_true(it.events.now() - began > slow_flush / 2);
    expect_good(it);
}

void nothing_overtakes_a_barrier(options::protocol protocol, bool peer_is_lockstep) {
    node_settings settings = settings_of(protocol);
    pair it(settings);
    if (!peer_is_lockstep) {
        it.disconnect(0);
        it.net.dialect.marked = false;
        it.connect_both();
        assert_true(it.wait_in_sync());
    }
    it.nodes[1]->data_disk(0).faults.flush_latency = slow_flush;
    it.write(0, 0, 0, 8);
    assert_true(it.run_until([&] { return it.quiet() && it.on_disk(1, 0); }));
    it.run_for(50 * millisecond); // the barrier is there, and the flush under way
    it.write(0, 0, 80, 8);
    it.run_for(100 * millisecond);
    assert_false(it.on_disk(1, 80));
    it.run_for(2 * slow_flush);
    assert_true(it.on_disk(1, 80));
    expect_good(it);
}

void under_protocol_a_nothing_overtakes_a_barrier(void**) {
    nothing_overtakes_a_barrier(options::protocol::a, true);
}

void under_protocol_b_nothing_overtakes_a_barrier(void**) {
    nothing_overtakes_a_barrier(options::protocol::b, true);
}

void what_drbd_sends_does_not_overtake_its_barrier(void**) {
    nothing_overtakes_a_barrier(options::protocol::c, false);
}

// The window that max-buffers allows is larger than what the target can take.
void scattered_blocks_do_not_fill_the_room_for_their_answers(void**) {
    node_settings settings = settings_of(options::protocol::c);
    settings.net.max_buffers = 131072;
    settings.disk.c_plan_ahead_ds = 0;
    settings.disk.resync_rate_kib = 4U << 20;
    pair it(settings);
    it.disconnect(1);
    for (unsigned each = 0; each < 3000; ++each) {
        it.write(0, 0, std::uint64_t{16} * each, 8);
        assert_true(it.run_until([&] { return it.quiet(); }));
    }
    it.connect_both();
    assert_true(it.wait_in_sync(30 * second));
    expect_good(it);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(under_protocol_c_a_write_does_not_wait_for_the_peers_flush),
        cmocka_unit_test(one_flush_serves_all_epochs_that_are_ready_for_it),
        cmocka_unit_test(a_flush_that_nobody_waits_for_is_put_off),
        cmocka_unit_test(a_flush_that_somebody_waits_for_is_not_put_off),
        cmocka_unit_test(after_a_moment_the_peer_owes_nothing),
        cmocka_unit_test(a_full_activity_log_does_not_wait_for_what_is_put_off),
        cmocka_unit_test(under_protocol_c_a_flush_waits_for_the_peers_flush),
        cmocka_unit_test(under_protocol_a_nothing_overtakes_a_barrier),
        cmocka_unit_test(under_protocol_b_nothing_overtakes_a_barrier),
        cmocka_unit_test(what_drbd_sends_does_not_overtake_its_barrier),
        cmocka_unit_test(scattered_blocks_do_not_fill_the_room_for_their_answers),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
