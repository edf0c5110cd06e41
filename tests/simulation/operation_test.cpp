// Ways to run a pair other than one Primary with one disk: several volumes, without a disk, two
// Primaries, frozen.
#include "pair_story.hpp"

namespace {

using namespace lockstep;
using operation = replica::io_request::operation;
using simulation::second;
using story = simulation::pair_story;
using state::connection;
using state::disk;

replica::outcome detach(story& it, unsigned side, replica::volume_number volume = 0) {
    return it.run([&](replica::on_outcome done) {
        it.nodes[side]->machine().detach(volume, false, std::move(done));
    });
}

bool quiet_within(story& it, simulation::instant limit) {
    return it.run_until([&] { return it.quiet(); }, limit);
}

simulation::node_settings with_volumes(replica::volume_number volumes) {
    auto settings = simulation::small_pair();
    settings.volumes = volumes;
    return settings;
}

// --- several volumes ---

void one_volume_is_detached_and_attached_while_the_others_go_on(void**) {
    story it(with_volumes(3));
    it.up_and_synced();
    it.expect(detach(it, 0, 1).ok, "detach volume 1");
    for (replica::volume_number volume = 0; volume < 3; ++volume) {
        it.some_writes_succeed(0, 10, 0, 4096, volume);
        it.read(0, volume, 0, 64);
    }
    it.all_requests_end();
    it.expect(it.state_of(0, 0).disk == disk::up_to_date &&
                  it.state_of(0, 1).disk == disk::diskless &&
                  it.state_of(0, 2).disk == disk::up_to_date,
              "one is without a disk");
    it.expect(it.attach(0), "attached again");
    it.converge();
}

void a_failing_disk_takes_only_its_volume_along(void**) {
    story it(with_volumes(3));
    it.up_and_synced();
    it.run_for(second); // the end of the first sync is stored
    it.nodes[0]->data_disk(2).faults.dead = true;
    for (replica::volume_number volume = 0; volume < 3; ++volume) {
        it.some_writes_succeed(0, 10, 0, 4096, volume);
    }
    it.expect_within([&] { return it.state_of(0, 2).disk == disk::diskless; }, "detached");
    it.expect(it.state_of(0, 0).disk == disk::up_to_date && it.reads_failed == 0,
              "the others go on");
    it.nodes[0]->data_disk(2).faults.dead = false;
    it.expect(it.attach(0), "attached again");
    it.converge();
}

void all_volumes_are_resynced_after_an_outage(void**) {
    story it(with_volumes(3));
    it.up_and_synced();
    it.nodes[1]->crash(true);
    for (replica::volume_number volume = 0; volume < 3; ++volume) {
        it.some_writes_succeed(0, 10, 0, 4096, volume);
    }
    it.restart(1);
    it.converge();
    it.expect(it.secondary(0) && it.primary(1), "the roles are of the whole resource");
    for (replica::volume_number volume = 0; volume < 3; ++volume) {
        it.some_writes_succeed(1, 5, 0, 4096, volume);
    }
    it.converge();
}

// --- without a disk ---

void a_diskless_node_reads_and_writes_through_its_peer(void**) {
    story it;
    it.up_and_synced();
    it.some_writes_succeed(0, 20);
    it.expect(detach(it, 0).ok, "detached");
    for (int round = 0; round < 10; ++round) {
        it.some_writes(0, 3);
        it.read(0, 0, 8 * it.random.below(400), 64);
    }
    it.all_requests_end();
    it.expect(it.writes_failed == 0 && it.reads_failed == 0, "all served by the peer");
    it.expect(it.attach(0), "attached again");
    it.converge();
}

void a_diskless_node_without_its_peer_gets_errors(void**) {
    story it;
    it.up_and_synced();
    it.expect(detach(it, 0).ok, "detached");
    it.net.faults.cut = true;
    it.write(0, 0, 0, 8);
    it.read(0, 0, 64, 8);
    it.all_requests_end();
    it.expect(it.writes_failed == 1 && it.reads_failed == 1, "on-no-data-accessible io-error");
    it.net.faults.cut = false;
    it.expect_within([&] { return it.state_of(0).connection == connection::connected; }, "back");
    it.read(0, 0, 64, 8);
    it.write(0, 0, 64, 8);
    it.all_requests_end();
    it.expect(it.writes_failed == 1 && it.reads_failed == 1, "served again");
}

void a_diskless_node_without_its_peer_freezes_if_told_so(void**) {
    auto settings = simulation::small_pair();
    settings.resource.on_no_data_accessible = options::on_no_data::suspend_io;
    story it(settings);
    it.up_and_synced();
    it.some_writes_succeed(0, 10);
    it.expect(detach(it, 0).ok, "detached");
    it.net.faults.cut = true;
    it.write(0, 0, 0, 8);
    it.read(0, 0, 64, 8);
    it.expect(!quiet_within(it, 60 * second), "frozen");
    it.net.faults.cut = false;
    it.all_requests_end();
    it.expect(it.writes_failed == 0 && it.reads_failed == 0, "served when the peer is back");
    it.expect(it.attach(0), "attached again");
    it.converge();
}

// What its users have seen must not be taken back: a peer or a disk with an older generation is
// not let in.
void a_primary_without_data_takes_no_older_data(void**) {
    auto settings = simulation::small_pair();
    settings.resource.on_no_data_accessible = options::on_no_data::suspend_io;
    story it(settings);
    it.up_and_synced();
    it.disconnect(1);
    it.expect_within([&] { return it.state_of(0).peer_disk != disk::up_to_date; }, "alone");
    it.some_writes_succeed(0, 10); // a new generation, which B lacks
    it.nodes[0]->data_disk(0).faults.dead = true;
    it.write(0, 0, 0, 8);
    it.expect_within([&] { return it.state_of(0).disk == disk::diskless && it.quiet(); },
                     "the disk is lost");
    it.read(0, 0, 0, 8);
    it.connect_both();
    it.expect(!quiet_within(it, 60 * second), "nothing stale is read");
    it.expect(!it.both(connection::connected), "older data is refused");
}

// --- two Primaries ---

simulation::node_settings for_two_primaries() {
    auto settings = simulation::small_pair();
    settings.net.allow_two_primaries = true;
    return settings;
}

// Writes without a model: which of two at the same time wins is open, that both nodes have the same
// is not.
void rival_write(story& it, unsigned side, std::uint64_t first, std::uint64_t sectors,
                 std::uint64_t mark) {
    auto request = std::make_unique<simulation::client_request>();
    request->io.op = operation::write;
    request->io.offset = first * 512;
    request->io.size = static_cast<std::uint32_t>(sectors * 512);
    request->io.buffer = it.nodes[side]->client_buffer(request->io.size);
    for (std::uint64_t at = 0; at < sectors; ++at) {
        simulation::model::fill(mark, first + at, request->io.buffer.data() + at * 512);
    }
    request->done = [](simulation::client_request&, int error) { assert_int_equal(error, 0); };
    it.nodes[side]->submit(std::move(request));
}

void two_primaries_that_write_the_same_blocks_stay_equal(void**) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        story it(for_two_primaries(), seed);
        it.up_and_synced();
        it.expect(it.primary(1), "a second Primary");
        for (std::uint64_t mark = 1; mark <= 100; ++mark) {
            rival_write(it, mark % 2, 8 * it.random.below(6), 8 * it.random.between(1, 4), mark);
            it.run_for(it.random.below(500'000));
        }
        it.expect(quiet_within(it, 10 * second), "all requests end");
        it.run_for(second);
        it.expect(it.both(connection::connected), "the link has held");
        for (unsigned side = 0; side < 2; ++side) {
            it.nodes[side]->data_disk(0).write_back();
        }
        it.data_areas_are_equal();
        it.expect(it.out_of_sync_kib(0) == 0 && it.out_of_sync_kib(1) == 0, "nothing is marked");
    }
}

void a_second_primary_needs_the_option(void**) {
    story it;
    it.up_and_synced();
    const auto refused =
        it.run([&](replica::on_outcome done) { it.nodes[1]->machine().primary(false, done); });
    it.expect(!refused.ok && refused.is_state_change && refused.code == -1, "-1");
    it.some_writes_succeed(0, 5);
    it.converge();
}

// As for live migration: both are Primary for a moment, then the first steps down.
void the_option_is_given_and_taken_back_at_run_time(void**) {
    story it;
    it.up_and_synced();
    const auto set = [&](bool allowed) {
        for (auto& each : it.nodes) {
            auto net = each->status().net;
            net.allow_two_primaries = allowed;
            it.expect(each->machine().change_net_options(net).ok, "net-options");
        }
        it.run_for(second);
    };
    it.expect(!it.primary(1), "not before");
    set(true);
    it.expect(it.primary(1), "both");
    it.some_writes_succeed(0, 5, 0, 2048);
    it.some_writes_succeed(1, 5, 2048, 2048);
    it.expect(it.secondary(0), "the first steps down");
    set(false);
    it.expect(!it.primary(0), "not after");
    it.some_writes_succeed(1, 5);
    it.converge();
}

// --- frozen ---

void a_frozen_pair_has_equal_disks(void**) {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        story it(simulation::small_pair(), seed);
        it.up_and_synced();
        it.some_writes(0, 20);
        const auto frozen =
            it.run([&](replica::on_outcome done) { it.nodes[0]->machine().suspend_io(done); });
        it.expect(frozen.ok, "suspend-io");
        it.run_for(second); // what was under way ends
        it.write(0, 0, 0, 128);
        it.expect(!quiet_within(it, 5 * second), "nothing begins");
        for (unsigned side = 0; side < 2; ++side) {
            it.nodes[side]->data_disk(0).write_back();
        }
        it.data_areas_are_equal();
        it.expect(
            it.run([&](replica::on_outcome done) { it.nodes[0]->machine().resume_io(done); }).ok,
            "resume-io");
        it.all_requests_end();
        it.expect(it.writes_failed == 0, "all went on");
        it.converge();
    }
}

void requests_frozen_by_the_loss_of_the_peer_are_sent_again(void**) {
    auto settings = simulation::small_pair();
    settings.disk.fencing = options::fencing::resource_and_stonith;
    story it(settings);
    it.nodes[0]->helper_answers["fence-peer"].hangs = true;
    it.up_and_synced();
    it.some_writes_succeed(0, 10);
    std::vector<std::string> resyncs;
    it.nodes[0]->on_log = [&](unsigned, std::string_view text) {
        if (text.find("Began resync") != std::string_view::npos) {
            resyncs.emplace_back(text);
        }
    };
    it.net.faults.cut_from[1] = true; // the answers are lost, not the writes
    for (std::uint64_t index = 0; index < 10; ++index) {
        it.write(0, 0, index * 64, 8);
    }
    it.run_for(60 * second);
    it.expect(it.state_of(0).suspended(), "frozen by fencing");
    it.expect(it.nodes[0]->requests_open() > 0, "and not completed");
    it.net.faults.cut_from[1] = false;
    it.all_requests_end();
    it.expect(it.writes_failed == 0, "completed after the reconnect");
    it.expect(resyncs.empty(), "sent again, not resynced");
    it.converge();
}

// --- a new pair ---

void a_new_pair_is_declared_equal_without_a_sync(void**) {
    story it;
    it.up();
    const auto done = it.run([&](replica::on_outcome then) {
        it.nodes[0]->machine().new_current_uuid(0, true, std::move(then));
    });
    it.expect(done.ok, "new-current-uuid --clear-bitmap");
    it.expect_within([&] { return it.is_in_sync(); }, "both UpToDate", second);
    it.expect(it.nodes[0]->status().volumes[0].sent_kib == 0 &&
                  it.nodes[1]->status().volumes[0].sent_kib == 0,
              "nothing was copied");
    it.expect(it.primary(1), "promoted without force");
    it.some_writes_succeed(1, 10);
    it.converge();
    it.disconnect(0);
    it.connect_both();
    it.converge();
}

// The disk that comes back ends the wait for the peer, and with it what was kept for that one.
void a_disk_that_is_attached_while_suspended_forgets_the_lost_connection(void**) {
    auto settings = simulation::small_pair();
    settings.resource.on_no_data_accessible = options::on_no_data::suspend_io;
    story it(settings);
    it.up_and_synced();
    it.run_for(second);
    it.write(0, 0, 0, 8);
    it.all_requests_end();
    it.net.faults.cut = true; // before the peer has acknowledged the epoch
    it.nodes[0]->data_disk(0).faults.dead = true;
    it.write(0, 0, 8, 8);
    it.expect_within([&] { return it.nodes[0]->status().suspended_no_data; }, "frozen");
    it.expect_within([&] { return it.state_of(0).disk == disk::diskless; }, "no disk");
    it.nodes[0]->data_disk(0).faults.dead = false;
    it.run([&](replica::on_outcome done) { it.nodes[0]->machine().suspend_io(std::move(done)); });
    it.expect(it.attach(0), "attached again");
    it.net.faults.cut = false;
    it.expect_within([&] { return it.net.connected(); }, "they meet");
    bool parted = false;
    it.on_event = [&] { parted |= !it.net.connected(); };
    it.expect_within([&] { return it.both(connection::connected); }, "connected again");
    it.run([&](replica::on_outcome done) { it.nodes[0]->machine().resume_io(std::move(done)); });
    it.some_writes(0, 5);
    it.flush(0, 0);
    it.run_for(120 * second);
    it.expect(!parted && it.quiet(), "the peer answers for all that it was sent");
    it.converge();
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(one_volume_is_detached_and_attached_while_the_others_go_on),
        cmocka_unit_test(a_failing_disk_takes_only_its_volume_along),
        cmocka_unit_test(all_volumes_are_resynced_after_an_outage),
        cmocka_unit_test(a_diskless_node_reads_and_writes_through_its_peer),
        cmocka_unit_test(a_diskless_node_without_its_peer_gets_errors),
        cmocka_unit_test(a_diskless_node_without_its_peer_freezes_if_told_so),
        cmocka_unit_test(a_primary_without_data_takes_no_older_data),
        cmocka_unit_test(two_primaries_that_write_the_same_blocks_stay_equal),
        cmocka_unit_test(a_second_primary_needs_the_option),
        cmocka_unit_test(the_option_is_given_and_taken_back_at_run_time),
        cmocka_unit_test(a_frozen_pair_has_equal_disks),
        cmocka_unit_test(requests_frozen_by_the_loss_of_the_peer_are_sent_again),
        cmocka_unit_test(a_new_pair_is_declared_equal_without_a_sync),
        cmocka_unit_test(a_disk_that_is_attached_while_suspended_forgets_the_lost_connection),
    };
    return cmocka_run_group_tests_name("simulation_operation", tests, nullptr, nullptr);
}
