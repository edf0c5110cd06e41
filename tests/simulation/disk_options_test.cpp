// What each option of disk {} does, seen from outside: the same course with another value ends
// otherwise.
#include "option_story.hpp"

namespace {

using namespace lockstep;
using simulation::millisecond;
using simulation::second;
using simulation::small_pair;
using simulation::story;
using state::connection;
using state::disk;

void size_limits_the_device(void**) {
    const auto size_with = [](std::uint64_t limit) {
        auto settings = small_pair();
        settings.disk.size_sectors = limit;
        story it(settings);
        it.up();
        return it.status(0).size_sectors;
    };
    assert_int_equal(size_with(8192), 8192);
    assert_true(size_with(0) > 16000);
}

// --- on-io-error ---

struct io_error_end {
    disk own;
    bool attached;
    unsigned handler_calls;
};

io_error_end after_write_error(options::on_io_error policy) {
    auto settings = small_pair();
    settings.disk.on_io_error = policy;
    settings.external_metadata = true;
    story it(settings);
    it.up_and_synced();
    it.nodes[0]->data_disk(0).faults.write_error_permille = 1000;
    it.write_one(0, 0); // the peer has it: no error for the application
    it.run_for(second);
    return {it.disk_of(0), it.status(0).attached, it.nodes[0]->helpers_called["local-io-error"]};
}

void on_io_error_pass_on_keeps_an_inconsistent_disk(void**) {
    const auto end = after_write_error(options::on_io_error::pass_on);
    assert_true(end.own == disk::inconsistent);
    assert_true(end.attached);
    assert_int_equal(end.handler_calls, 0);
}

void on_io_error_detach_drops_the_disk(void**) {
    const auto end = after_write_error(options::on_io_error::detach);
    assert_true(end.own == disk::diskless);
    assert_false(end.attached);
    assert_int_equal(end.handler_calls, 0);
}

void on_io_error_call_local_io_error_runs_the_handler_and_drops_the_disk(void**) {
    const auto end = after_write_error(options::on_io_error::call_local_io_error);
    assert_true(end.own == disk::diskless);
    assert_int_equal(end.handler_calls, 1);
}

// --- fencing ---

void fencing_decides_whether_the_handler_is_asked_and_writes_wait_for_it(void**) {
    using options::fencing;
    for (const fencing policy :
         {fencing::dont_care, fencing::resource_only, fencing::resource_and_stonith}) {
        auto settings = small_pair();
        settings.disk.fencing = policy;
        story it(settings);
        it.up_and_synced();
        it.nodes[0]->helper_answers["fence-peer"] = {4, 3 * second, false};
        it.nodes[1]->crash(true);
        it.wait([&] { return it.connection(0) == connection::wf_connection; }, "the peer is lost");
        it.write(0, 0, 0, 8);
        it.run_for(second);
        const bool frozen = policy == fencing::resource_and_stonith;
        it.check(it.quiet() == !frozen, "a write waits for the answer under resource-and-stonith");
        it.check(it.nodes[0]->status().suspended_fencing == frozen, "frozen as the policy says");
        assert_int_equal(it.nodes[0]->helpers_called["fence-peer"],
                         policy == fencing::dont_care ? 0 : 1);
        it.wait([&] { return it.quiet(); }, "the write ends when the handler has answered");
        assert_int_equal(it.writes_failed, 0);
    }
}

// --- write ordering ---

struct ordering {
    std::uint64_t peer_flushes;
    char letter;
};

ordering ordering_with(bool flushes, bool drain) {
    auto settings = small_pair();
    settings.disk.disk_flushes = flushes;
    settings.disk.disk_drain = drain;
    settings.disk.md_flushes = false; // counts its own
    settings.external_metadata = true;
    story it(settings);
    it.up_and_synced();
    const auto before = it.nodes[1]->data_disk(0).counters.flushes;
    it.some_writes(0, 20);
    it.run_for(second);
    return {it.nodes[1]->data_disk(0).counters.flushes - before, it.status(0).write_ordering};
}

void disk_flushes_flushes_the_peers_disk_before_each_barrier_ack(void**) {
    const auto on = ordering_with(true, true);
    const auto off = ordering_with(false, true);
    // disk-drain off is said to have no effect, and has none.
    assert_int_equal(ordering_with(false, false).letter, 'd');
    assert_true(on.peer_flushes > 0);
    assert_int_equal(off.peer_flushes, 0);
    assert_int_equal(on.letter, 'f');
    assert_int_equal(off.letter, 'd');
}

std::uint64_t durable_metadata_writes(bool md_flushes) {
    auto settings = small_pair();
    settings.disk.md_flushes = md_flushes;
    settings.external_metadata = true;
    story it(settings);
    it.up_and_synced();
    it.some_writes(0, 5);
    const auto& seen = it.nodes[0]->metadata_disk(0).counters;
    assert_true(seen.writes > 0);
    return seen.fua_writes;
}

void md_flushes_makes_metadata_durable(void**) {
    assert_true(durable_metadata_writes(true) > 0);
    assert_int_equal(durable_metadata_writes(false), 0);
}

// --- activity log ---

simulation::node_settings large_pair() {
    auto settings = small_pair();
    settings.device_sectors = 100 * 8192 + 16384; // 100 extents of 4 MiB
    settings.external_metadata = true;
    return settings;
}

std::uint64_t log_writes_with(std::uint32_t extents) {
    auto settings = large_pair();
    settings.disk.al_extents = extents;
    story it(settings);
    it.up_without_sync();
    it.check(it.primary(0), "promoted");
    const auto before = it.status(0).al_writes;
    for (unsigned round = 0; round < 2; ++round) {
        for (std::uint64_t extent = 0; extent < 90; ++extent) {
            it.write_one(0, extent * 8192);
        }
    }
    return it.status(0).al_writes - before;
}

void al_extents_is_how_many_stay_hot(void**) {
    const auto roomy = log_writes_with(512);
    const auto tight = log_writes_with(67);
    // 90 extents fit in one; in the other, which has room for 67, each round finds them cold.
    assert_true(roomy <= 90);
    assert_true(tight >= 170);
}

void al_updates_off_writes_no_log_and_costs_a_full_sync_after_a_crash(void**) {
    for (const bool updates : {true, false}) {
        auto settings = large_pair();
        settings.device_sectors = 16384 + 8 * 8192;
        settings.disk.al_updates = updates;
        story it(settings);
        it.up_and_synced();
        const auto before = it.status(0).al_writes;
        for (std::uint64_t extent = 0; extent < 5; ++extent) {
            it.write_one(0, extent * 8192);
        }
        it.flush(0, 0);
        it.wait([&] { return it.quiet(); }, "flushed");
        it.check((it.status(0).al_writes > before) == updates, "the log is written as it says");
        it.nodes[0]->crash(true);
        it.run_for(second);
        it.nodes[0]->start();
        it.check(it.attach(0), "attached again");
        const auto out_of_sync = it.status(0).out_of_sync_kib;
        if (updates) {
            it.check(out_of_sync > 0 && out_of_sync <= 5 * 4096, "the hot extents are out of sync");
        } else {
            it.check(out_of_sync >= it.status(0).size_sectors / 2, "everything is out of sync");
        }
        it.connect_both();
        it.converge();
    }
}

// --- resync speed ---

double first_sync_seconds(const options::disk_options& options) {
    auto settings = small_pair();
    settings.disk = options;
    story it(settings);
    it.up();
    it.check(it.primary(0, true), "primary --force");
    return it.time_until([&] { return it.is_in_sync(); }, "the first sync ends");
}

void resync_rate_is_the_speed_without_the_controller(void**) {
    options::disk_options options;
    options.c_plan_ahead_ds = 0;
    options.resync_rate_kib = 1024;
    const double slow = first_sync_seconds(options);
    options.resync_rate_kib = 4096;
    const double fast = first_sync_seconds(options);
    assert_true(slow > 7 && slow < 10);
    assert_true(fast > 1.5 && fast < 3.5);
}

void c_plan_ahead_0_switches_the_controller_off(void**) {
    options::disk_options options;
    options.resync_rate_kib = 1024;
    options.c_plan_ahead_ds = 20;
    assert_true(first_sync_seconds(options) < 5);
    options.c_plan_ahead_ds = 0;
    assert_true(first_sync_seconds(options) > 7);
}

void c_max_rate_limits_the_controller(void**) {
    options::disk_options options;
    options.c_max_rate_kib = 1024;
    assert_true(first_sync_seconds(options) > 6.5);
    options.c_max_rate_kib = 102400;
    assert_true(first_sync_seconds(options) < 5);
}

double sync_seconds_beside_an_application(std::uint32_t min_rate_kib) {
    auto settings = small_pair();
    settings.disk.c_min_rate_kib = min_rate_kib;
    settings.disk.c_max_rate_kib = 4096;
    story it(settings);
    it.up();
    it.check(it.primary(0, true), "primary --force");
    const auto begun = it.events.now();
    while (!it.is_in_sync() && it.events.now() - begun < 12 * second) {
        for (unsigned count = 0; count < 2; ++count) {
            it.write(0, 0, 64 * it.random.below(60), 64);
        }
        it.run_for(20 * millisecond);
    }
    return static_cast<double>(it.events.now() - begun) / 1e9;
}

void c_min_rate_is_what_a_resync_keeps_beside_the_application(void**) {
    const double never_throttled = sync_seconds_beside_an_application(0);
    const double slow = sync_seconds_beside_an_application(512);
    assert_true(never_throttled < 10);
    assert_true(slow > 2 * never_throttled);
}

// --- disk-timeout ---

void disk_timeout_drops_a_disk_that_hangs(void**) {
    auto settings = small_pair();
    settings.disk.disk_timeout_ds = 30;
    story it(settings);
    it.up_and_synced();
    it.some_writes(0, 5);
    it.nodes[0]->data_disk(0).faults.hung = true;
    const auto begun = it.events.now();
    it.write(0, 0, 0, 8);
    it.read(0, 0, 8, 8);
    it.wait([&] { return it.quiet(); }, "both end through the peer");
    const double took = static_cast<double>(it.events.now() - begun) / 1e9;
    assert_true(took >= 3.0 && took < 3.5);
    assert_true(it.disk_of(0) == disk::diskless);
    assert_int_equal(it.writes_failed + it.reads_failed, 0);
    it.check(it.logged(0, "did not answer within 3.0 s (disk-timeout)"), "the log says why");
}

void disk_timeout_0_waits_for_ever(void**) {
    story it;
    it.up_and_synced();
    it.nodes[0]->data_disk(0).faults.hung = true;
    it.write(0, 0, 0, 8);
    it.run_for(600 * second);
    assert_false(it.quiet());
    assert_true(it.disk_of(0) == disk::up_to_date);
    it.nodes[0]->data_disk(0).unhang();
    it.wait([&] { return it.quiet(); }, "it ends when the disk answers");
}

void disk_timeout_without_a_peer_is_an_error_for_the_application(void**) {
    auto settings = small_pair();
    settings.disk.disk_timeout_ds = 10;
    story it(settings);
    it.attach_both();
    it.check(it.primary(0, true), "primary --force");
    it.nodes[0]->data_disk(0).faults.hung = true;
    it.write(0, 0, 0, 8);
    it.wait([&] { return it.quiet(); }, "the write ends");
    assert_int_equal(it.writes_failed, 1);
    assert_true(it.disk_of(0) == disk::diskless);
}

void disk_timeout_of_the_peers_disk_lets_the_primary_go_on(void**) {
    auto settings = small_pair();
    settings.disk.disk_timeout_ds = 10;
    story it(settings);
    it.up_and_synced();
    it.nodes[1]->data_disk(0).faults.hung = true;
    for (std::uint64_t at = 0; at < 40; at += 8) {
        it.write(0, 0, at, 8);
    }
    const double took = it.time_until([&] { return it.quiet(); }, "the writes end");
    assert_true(took >= 1.0 && took < 2.0);
    assert_int_equal(it.writes_failed, 0);
    it.wait([&] { return it.disk_of(1) == disk::diskless; }, "the peer has no disk");
    // What it missed is resynced when it has its disk back, which it can have only when the old
    // requests are over.
    const auto refused =
        it.run([&](replica::on_outcome done) { it.nodes[1]->attach(0, std::move(done)); });
    assert_false(refused.ok);
    assert_int_equal(refused.code, 124);
    it.nodes[1]->data_disk(0).unhang();
    it.run_for(second);
    it.check(it.attach(1), "attached again");
    it.converge();
}

void a_late_answer_after_disk_timeout_harms_nothing(void**) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        auto settings = small_pair();
        settings.disk.disk_timeout_ds = 10;
        story it(settings, seed);
        it.up_and_synced();
        it.some_writes(0, 10, 512);
        auto& hanging = it.nodes[0]->data_disk(0);
        hanging.faults.hung = true;
        for (std::uint64_t at = 0; at < 256; at += 8) {
            it.read(0, 0, at, 8);
        }
        it.write(0, 0, 400, 8);
        it.wait([&] { return it.disk_of(0) == disk::diskless; }, "the disk is dropped");
        // The old reads write into their memory while new ones are under way; each read is checked
        // against what was written.
        hanging.unhang();
        for (unsigned index = 0; index < 200; ++index) {
            it.read(0, 0, 8 * it.random.below(64), 8);
            it.write(0, 0, 8 * it.random.below(64), 8);
            it.run_for(it.random.below(millisecond));
        }
        it.wait([&] { return it.quiet(); }, "all requests end");
        assert_int_equal(it.writes_failed + it.reads_failed, 0);
        it.run_for(second);
        it.check(it.attach(0), "attached again");
        it.converge();
    }
}

void disk_timeout_ends_an_attach_that_hangs(void**) {
    auto settings = small_pair();
    settings.disk.disk_timeout_ds = 10;
    story it(settings);
    it.nodes[0]->data_disk(0).faults.hung = true;
    const auto refused =
        it.run([&](replica::on_outcome done) { it.nodes[0]->attach(0, std::move(done)); });
    assert_false(refused.ok);
    assert_int_equal(refused.code, 118);
    assert_true(refused.text.find("disk-timeout") != std::string::npos);
    it.nodes[0]->data_disk(0).unhang();
    it.run_for(second);
    it.check(it.attach(0), "attached when the disk answers again");
}

// --- read-balancing ---

struct reads {
    std::uint64_t here;
    std::uint64_t there;
};

reads reads_with(options::read_balancing how, unsigned at_a_time = 1) {
    auto settings = small_pair();
    settings.disk.read_balancing = how;
    story it(settings);
    it.up_and_synced();
    const auto local = it.nodes[0]->data_disk(0).counters.reads;
    const auto remote = it.nodes[1]->data_disk(0).counters.reads;
    for (unsigned index = 0; index < 256 / at_a_time; ++index) {
        for (unsigned count = 0; count < at_a_time; ++count) {
            it.read(0, 0, 32 * (index * at_a_time + count), 8);
        }
        it.wait([&] { return it.quiet(); }, "the reads end");
    }
    assert_int_equal(it.reads_failed, 0);
    return {it.nodes[0]->data_disk(0).counters.reads - local,
            it.nodes[1]->data_disk(0).counters.reads - remote};
}

void read_balancing_chooses_the_replica(void**) {
    using options::read_balancing;
    const auto local = reads_with(read_balancing::prefer_local);
    assert_int_equal(local.here, 256);
    assert_int_equal(local.there, 0);
    const auto remote = reads_with(read_balancing::prefer_remote);
    assert_int_equal(remote.here, 0);
    assert_int_equal(remote.there, 256);
    const auto turns = reads_with(read_balancing::round_robin);
    assert_int_equal(turns.here, 128);
    assert_int_equal(turns.there, 128);
    // One read at a time never finds another one pending; eight at a time are shared.
    assert_int_equal(reads_with(read_balancing::least_pending).there, 0);
    const auto shared = reads_with(read_balancing::least_pending, 8);
    assert_true(shared.here > 64 && shared.there > 64);
    assert_int_equal(reads_with(read_balancing::when_congested_remote).there, 0);
    assert_true(reads_with(read_balancing::when_congested_remote, 64).there > 0);
    // Reads at 0, 16 KiB, 32 KiB ... up to 4 MiB: every other stripe is the peer's.
    for (const auto stripe : {read_balancing::striping_32k, read_balancing::striping_64k,
                              read_balancing::striping_128k, read_balancing::striping_256k,
                              read_balancing::striping_512k, read_balancing::striping_1m}) {
        const auto half = reads_with(stripe);
        assert_int_equal(half.here, 128);
        assert_int_equal(half.there, 128);
    }
}

// --- rs-discard-granularity ---

std::pair<std::uint64_t, std::uint64_t> thin_sync(std::uint32_t granularity) {
    auto settings = small_pair();
    settings.disk.rs_discard_granularity = granularity;
    story it(settings);
    it.up_and_synced(); // all of it is zeroes
    return {it.status(0).sent_kib, it.nodes[1]->data_disk(0).counters.zeroes};
}

void rs_discard_granularity_resyncs_zeroes_as_discards(void**) {
    const auto [plain_kib, plain_discards] = thin_sync(0);
    assert_true(plain_kib > 7000);
    assert_int_equal(plain_discards, 0);
    for (const std::uint32_t granularity : {65536U, 1048576U}) {
        const auto [kib, discards] = thin_sync(granularity);
        assert_true(kib < 2 * 1024);
        assert_true(discards > 0);
        assert_true(discards <= 8192 / (granularity / 1024));
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(size_limits_the_device),
        cmocka_unit_test(on_io_error_pass_on_keeps_an_inconsistent_disk),
        cmocka_unit_test(on_io_error_detach_drops_the_disk),
        cmocka_unit_test(on_io_error_call_local_io_error_runs_the_handler_and_drops_the_disk),
        cmocka_unit_test(fencing_decides_whether_the_handler_is_asked_and_writes_wait_for_it),
        cmocka_unit_test(disk_flushes_flushes_the_peers_disk_before_each_barrier_ack),
        cmocka_unit_test(md_flushes_makes_metadata_durable),
        cmocka_unit_test(al_extents_is_how_many_stay_hot),
        cmocka_unit_test(al_updates_off_writes_no_log_and_costs_a_full_sync_after_a_crash),
        cmocka_unit_test(resync_rate_is_the_speed_without_the_controller),
        cmocka_unit_test(c_plan_ahead_0_switches_the_controller_off),
        cmocka_unit_test(c_max_rate_limits_the_controller),
        cmocka_unit_test(c_min_rate_is_what_a_resync_keeps_beside_the_application),
        cmocka_unit_test(disk_timeout_drops_a_disk_that_hangs),
        cmocka_unit_test(disk_timeout_0_waits_for_ever),
        cmocka_unit_test(disk_timeout_without_a_peer_is_an_error_for_the_application),
        cmocka_unit_test(disk_timeout_of_the_peers_disk_lets_the_primary_go_on),
        cmocka_unit_test(a_late_answer_after_disk_timeout_harms_nothing),
        cmocka_unit_test(disk_timeout_ends_an_attach_that_hangs),
        cmocka_unit_test(read_balancing_chooses_the_replica),
        cmocka_unit_test(rs_discard_granularity_resyncs_zeroes_as_discards),
    };
    return cmocka_run_group_tests_name("disk_options", tests, nullptr, nullptr);
}
