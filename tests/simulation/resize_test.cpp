// Disks that grow under a running pair: the metadata follows the end of the device, the new part is
// synced, and a crash at any of the writes in between loses nothing.
#include "pair_story.hpp"

namespace {

using namespace lockstep;
using simulation::second;
using story = simulation::pair_story;

constexpr std::uint64_t old_sectors = 16384; // 8 MiB
// Metadata of 40 KiB: apart from the old place, and overlapping it.
constexpr std::uint64_t far_sectors = 24576;
constexpr std::uint64_t near_sectors = old_sectors + 8;

struct growing : story {
    using story::story;

    void grow_devices(std::uint64_t sectors) {
        nodes[0]->grow_device(0, sectors);
        nodes[1]->grow_device(0, sectors);
    }
    replica::outcome resize(unsigned side, replica::resize_arguments arguments = {}) {
        return run([&](replica::on_outcome done) {
            nodes[side]->machine().resize(0, nodes[side]->properties_now(0), arguments,
                                          std::move(done));
        });
    }
    void begin_resize(unsigned side) {
        nodes[side]->machine().resize(0, nodes[side]->properties_now(0), {},
                                      [](const replica::outcome&) {});
    }
    bool both_have(std::uint64_t size) { return size_of(0) == size && size_of(1) == size; }
    void grown_to(std::uint64_t device_sectors) {
        const std::uint64_t size = nodes[0]->data_sectors(0);
        expect_within([&] { return both_have(size); }, "both devices have the new size");
        expect(wait_in_sync(), "the new part is in sync");
        for (unsigned side = 0; side < 2; ++side) {
            nodes[side]->metadata_disk(0).write_back();
            const auto super = simulation::read_superblock(nodes[side]->metadata_at(0));
            expect(super.la_size_sectors == size, "the superblock at the new end has the size");
        }
        some_writes_succeed(0, 10, device_sectors - 2048, 1024);
        converge();
    }
};

void a_grown_disk_is_used_after_resize(void**) {
    for (const std::uint64_t sectors : {far_sectors, near_sectors}) {
        growing it;
        it.up_and_synced();
        it.some_writes_succeed(0, 20);
        it.grow_devices(sectors);
        it.expect(it.resize(0).ok, "resize");
        it.grown_to(sectors);
        it.data_areas_are_equal();
    }
}

void requests_under_way_survive_a_resize(void**) {
    for (const std::uint64_t sectors : {far_sectors, near_sectors}) {
        growing it;
        it.up_and_synced();
        it.grow_devices(sectors);
        it.some_writes(0, 10);
        it.begin_resize(0);
        it.some_writes(0, 30);
        it.all_requests_end();
        it.expect(it.writes_failed == 0, "no write fails");
        it.grown_to(sectors);
    }
}

void the_peer_follows_with_its_own_disk(void**) {
    growing it;
    it.up_and_synced();
    it.nodes[0]->grow_device(0, far_sectors);
    it.expect(it.resize(0).ok, "resize");
    it.run_for(second);
    it.expect(it.both_have(it.nodes[1]->data_sectors(0)), "the smaller disk decides");
    it.nodes[1]->grow_device(0, far_sectors);
    it.expect(it.resize(0).ok, "resize again");
    it.grown_to(far_sectors);
    it.data_areas_are_equal();
}

void only_the_new_part_is_synced(void**) {
    growing it;
    it.up_and_synced();
    const std::uint64_t before = it.size_of(0);
    const std::uint64_t sent = it.nodes[0]->status().volumes[0].sent_kib;
    it.grow_devices(far_sectors);
    it.expect(it.resize(0).ok, "resize");
    const std::uint64_t size = it.nodes[0]->data_sectors(0);
    it.expect_within([&] { return it.both_have(size); }, "grown");
    it.expect(it.wait_in_sync(), "synced");
    const std::uint64_t now = it.nodes[0]->status().volumes[0].sent_kib;
    const std::uint64_t added = (size - before) / 2;
    it.expect(now - sent >= added && now - sent <= added + 64, "what was added travels, no more");
}

void assume_clean_leaves_the_new_part_as_it_is(void**) {
    growing it;
    it.up_and_synced();
    it.grow_devices(far_sectors);
    const std::uint64_t sent = it.nodes[0]->status().volumes[0].sent_kib;
    replica::resize_arguments arguments;
    arguments.assume_clean = true;
    it.expect(it.resize(0, arguments).ok, "resize --assume-clean");
    it.expect_within([&] { return it.both_have(it.nodes[0]->data_sectors(0)); }, "grown");
    it.run_for(second);
    it.expect(it.is_in_sync() && it.out_of_sync_kib(0) == 0 && it.out_of_sync_kib(1) == 0,
              "nothing is out of sync");
    it.expect(it.nodes[0]->status().volumes[0].sent_kib == sent, "nothing was copied");
}

void alone_it_grows_only_on_the_words_of_the_administrator(void**) {
    growing it;
    it.up_and_synced();
    const std::uint64_t before = it.size_of(0);
    it.disconnect(0);
    it.expect(it.secondary(0) && it.primary(0), "a Primary alone");
    it.grow_devices(far_sectors);
    it.expect(it.resize(0).ok && it.size_of(0) == before, "the peer may have no room");
    replica::resize_arguments arguments;
    arguments.assume_peer_has_space = true;
    it.expect(it.resize(0, arguments).ok, "resize --assume-peer-has-space");
    it.expect(it.size_of(0) == it.nodes[0]->data_sectors(0), "grown alone");
    it.some_writes_succeed(0, 10, far_sectors - 2048, 1024);
    it.connect_both();
    it.grown_to(far_sectors);
}

void a_size_that_is_asked_for_shrinks_the_device(void**) {
    growing it;
    it.up_and_synced();
    it.some_writes_succeed(0, 20);
    replica::resize_arguments arguments;
    arguments.size_sectors = 8192;
    for (std::uint64_t index = 0; index < 20; ++index) {
        it.write(0, 0, 12000 + 8 * index, 64); // written before it shrinks, or refused
    }
    it.expect(it.resize(0, arguments).ok, "resize --size");
    it.expect_within([&] { return it.both_have(8192); }, "both have shrunk");
    it.run_for(second);
    it.expect(it.is_in_sync(), "no resync for a shrink");
    it.all_requests_end();
    const auto failed = it.writes_failed;
    it.write(0, 0, 8192, 8);
    it.all_requests_end();
    it.expect(it.writes_failed == failed + 1, "past the end nothing is written");
    it.expect(it.resize(0).ok, "as large as the disks allow");
    it.grown_to(old_sectors);
    it.data_areas_are_equal();
}

void a_shrink_nobody_asked_for_is_refused(void**) {
    growing it;
    it.up_and_synced();
    replica::resize_arguments arguments;
    arguments.size_sectors = 1 << 20;
    it.expect(it.resize(0, arguments).ok && it.size_of(0) == it.nodes[0]->data_sectors(0),
              "a size beyond the disks has no effect");
    it.nodes[0]->grow_device(0, old_sectors / 2);
    const auto refused = it.resize(0);
    it.expect(!refused.ok && refused.code == 170 && !refused.remedy.empty(), "code 170");
    it.expect(it.size_of(0) > old_sectors / 2, "the size stands");
}

void no_resize_during_a_resync_or_without_a_primary(void**) {
    auto settings = simulation::small_pair();
    settings.disk.c_max_rate_kib = 500;
    settings.disk.c_plan_ahead_ds = 0;
    settings.disk.resync_rate_kib = 500;
    growing it(settings);
    it.up();
    const auto no_primary = it.resize(0);
    it.expect(!no_primary.ok && no_primary.code == 131 && !no_primary.remedy.empty(), "code 131");
    it.expect(it.primary(0, true), "primary --force");
    it.expect_within([&] { return it.state_of(0).connection == state::connection::sync_source; },
                     "a resync");
    const auto resyncing = it.resize(0);
    it.expect(!resyncing.ok && resyncing.code == 130 && !resyncing.remedy.empty(), "code 130");
}

// What its peer's disk could carry is not the size of the device.
void a_diskless_primary_stays_connected_when_its_peer_resizes(void**) {
    growing it;
    it.up_and_synced();
    it.run([&](replica::on_outcome done) {
        it.nodes[0]->machine().detach(0, false, std::move(done));
    });
    const std::uint64_t before = it.size_of(0);
    it.grow_devices(far_sectors);
    it.expect(it.resize(1).ok, "resize");
    it.run_for(second);
    it.expect(it.both(state::connection::connected) && it.both_have(before),
              "the disk that is gone can't have grown");
    it.some_writes_succeed(0, 10);
    it.expect(it.attach(0), "attached again");
    it.expect(it.wait_in_sync(), "in sync again");
    it.expect(it.resize(0).ok, "resize again");
    it.grown_to(far_sectors);
    it.data_areas_are_equal();
}

// --- crashes ---

struct crash_plan {
    std::uint64_t sectors;
    bool first_dies;
    bool second_dies;
};

// The pair grows, and the machines of the plan lose power when `writes` writes of theirs have
// ended. False if the resize was over before that.
bool crash_in_resize(const crash_plan& plan, unsigned writes) {
    growing it(simulation::small_pair(), 1000 + writes);
    it.up_and_synced();
    it.some_writes_succeed(0, 20);
    it.flush(0, 0);
    it.all_requests_end();
    it.grow_devices(plan.sectors);
    const unsigned watched = plan.first_dies ? 0 : 1;
    const std::uint64_t before = it.nodes[watched]->data_disk(0).writes_ended();
    it.begin_resize(0);
    const std::uint64_t size = it.nodes[0]->data_sectors(0);
    const bool reached = it.run_until(
        [&] { return it.nodes[watched]->data_disk(0).writes_ended() >= before + writes; },
        5 * second);
    const bool over = it.both_have(size) && it.is_in_sync();
    if (!reached || over) {
        return false;
    }
    for (unsigned side = 0; side < 2; ++side) {
        if (side == 0 ? plan.first_dies : plan.second_dies) {
            it.nodes[side]->crash(true);
        }
    }
    for (unsigned side = 0; side < 2; ++side) {
        if (!it.nodes[side]->alive()) {
            it.nodes[side]->start();
            it.expect(it.attach(side), "attached after the crash");
        }
    }
    it.connect_both();
    it.expect(it.wait_in_sync(), "in sync after the crash");
    it.check_converged();
    it.expect(it.primary(0), "promoted");
    it.expect(it.resize(0).ok, "resize again");
    it.grown_to(plan.sectors);
    return true;
}

void survives_every_crash(const crash_plan& plan) {
    unsigned writes = 0;
    while (crash_in_resize(plan, writes)) {
        ++writes;
    }
    print_message("%u points of crash\n", writes);
    assert_true(writes > 8);
}

// Begun before the sync of the new part it would keep that from ever beginning.
void a_verify_does_not_come_between_a_resize_and_its_sync(void**) {
    for (const unsigned asks : {0U, 1U}) {
        for (unsigned later = 0; later < 20; ++later) {
            auto settings = simulation::small_pair();
            settings.net.verify_alg = "crc32c";
            growing it(settings, later + 1);
            it.up_and_synced();
            it.grow_devices(far_sectors);
            it.begin_resize(0);
            it.run_for(later * simulation::millisecond / 4);
            it.nodes[asks]->machine().verify(0, 0, far_sectors, [](const replica::outcome&) {});
            it.run_for(10 * second);
            it.expect(it.wait_in_sync(), "neither sync nor verify runs any more");
            if (it.size_of(0) != it.nodes[0]->data_sectors(0)) {
                it.expect(it.resize(0).ok, "the resize was refused, and is begun again");
            }
            it.grown_to(far_sectors);
            it.data_areas_are_equal();
        }
    }
}

// Who is the source of the new part follows from the roles, and both must see the same ones.
void change_role_in_resize(unsigned asks, bool promotes, bool role_first, unsigned later) {
    auto settings = simulation::small_pair();
    settings.net.allow_two_primaries = true;
    settings.external_metadata = true; // nothing moves, so that all of it takes milliseconds
    growing it(settings, later + 1);
    it.up_and_synced();
    it.expect(promotes || it.primary(1), "two Primaries");
    it.net.faults.delay_max = 3 * simulation::millisecond;
    bool parted = false;
    it.on_event = [&] { parted |= !it.net.connected(); };
    it.grow_devices(far_sectors);
    if (!role_first) {
        it.begin_resize(asks);
        it.run_for(later * simulation::millisecond / 4);
    }
    const auto nothing = [](const replica::outcome&) {};
    if (promotes) {
        it.nodes[1]->machine().primary(false, nothing);
    } else {
        it.nodes[asks]->machine().secondary(nothing);
    }
    if (role_first) {
        it.run_for(later * simulation::millisecond / 4);
        it.begin_resize(asks);
    }
    it.run_for(10 * second);
    it.expect(!parted && it.is_in_sync(), "connected and in sync");
    it.expect(it.primary(0) && it.resize(0).ok, "resize, or once more if it was refused");
    it.grown_to(far_sectors);
    it.data_areas_are_equal();
}

void a_change_of_roles_does_not_come_between_a_resize_and_its_sync(void**) {
    for (const unsigned asks : {0U, 1U}) {
        for (const bool promotes : {true, false}) {
            for (unsigned later = 0; later < 20; ++later) {
                change_role_in_resize(asks, promotes, false, later);
                change_role_in_resize(asks, promotes, true, later);
            }
        }
    }
}

// The peer agrees to it while the sync has not begun: so it begins afterwards, or not at all.
void a_detach_does_not_come_between_a_resize_and_its_sync(void**) {
    for (unsigned later = 0; later < 30; ++later) {
        auto settings = simulation::small_pair();
        settings.external_metadata = true;
        growing it(settings, later + 1);
        it.up_and_synced();
        it.net.faults.delay_max = 3 * simulation::millisecond;
        it.grow_devices(far_sectors);
        const unsigned before = it.nodes[0]->helpers_called["before-resync-source"];
        it.begin_resize(1);
        it.expect_within(
            [&] { return it.nodes[0]->helpers_called["before-resync-source"] > before; },
            "the sync is about to begin");
        it.run_for(later * simulation::millisecond / 3);
        bool accepted = false;
        it.nodes[0]->machine().detach(0, false,
                                      [&](const replica::outcome& ended) { accepted = ended.ok; });
        it.some_writes(0, 5);
        it.run_for(2 * second);
        const auto own = it.state_of(0).disk;
        it.expect(accepted == (own == state::disk::diskless), "detached, or not");
        it.expect(it.state_of(1).peer_disk == own, "and the peer knows");
        it.expect(own == state::disk::diskless ? it.attach(0) : true, "attached again");
        it.converge();
    }
}

void a_primary_that_crashes_at_any_write_of_a_resize_attaches_again(void**) {
    survives_every_crash({far_sectors, true, false});
    survives_every_crash({near_sectors, true, false});
}

void a_secondary_that_crashes_at_any_write_of_a_resize_attaches_again(void**) {
    survives_every_crash({far_sectors, false, true});
    survives_every_crash({near_sectors, false, true});
}

void both_nodes_that_crash_at_any_write_of_a_resize_attach_again(void**) {
    survives_every_crash({far_sectors, true, true});
    survives_every_crash({near_sectors, true, true});
}

// The pair grows, and of node A's writes the one behind `writes` others fails. False if the resize
// was over before that.
bool fail_in_resize(std::uint64_t sectors, unsigned writes) {
    growing it(simulation::small_pair(), 1000 + writes);
    it.up_and_synced();
    it.some_writes_succeed(0, 20);
    it.grow_devices(sectors);
    auto& data = it.nodes[0]->data_disk(0);
    const std::uint64_t before = data.writes_ended();
    it.begin_resize(0);
    const bool reached =
        it.run_until([&] { return data.writes_ended() >= before + writes; }, 5 * second);
    if (!reached) {
        return false;
    }
    data.faults.write_error_permille = 1000;
    const bool failed = it.run_until([&] { return data.errors() > 0; }, 5 * second);
    data.faults.write_error_permille = 0;
    if (!failed || it.state_of(1).disk != state::disk::up_to_date) {
        return false; // the new part is being synced: node A has the only good disk
    }
    it.expect_within([&] { return it.state_of(0).disk == state::disk::diskless; }, "detached");
    it.some_writes_succeed(0, 10);
    it.expect(it.attach(0), "attached again");
    it.expect(it.wait_in_sync(), "in sync again");
    it.expect(it.resize(0).ok, "resize again");
    it.grown_to(sectors);
    it.data_areas_are_equal();
    return true;
}

void any_write_of_a_resize_may_fail(void**) {
    for (const std::uint64_t sectors : {far_sectors, near_sectors}) {
        unsigned writes = 0;
        while (fail_in_resize(sectors, writes)) {
            ++writes;
        }
        assert_true(writes > 8);
    }
}

void a_disk_that_fails_during_a_resize_is_detached(void**) {
    for (const std::uint64_t sectors : {far_sectors, near_sectors}) {
        growing it;
        it.up_and_synced();
        it.grow_devices(sectors);
        it.nodes[0]->data_disk(0).faults.write_error_permille = 1000;
        const auto failed = it.resize(0);
        it.expect(!failed.ok, "the resize says that it failed");
        it.expect_within([&] { return it.state_of(0).disk == state::disk::diskless; }, "detached");
        it.some_writes_succeed(0, 10);
        it.nodes[0]->data_disk(0).faults.write_error_permille = 0;
        it.expect(it.attach(0), "attached again");
        it.converge();
    }
}

// Its bits are on their way to the disk when the peer's new size is taken up.
void an_invalidate_may_come_at_any_moment_of_a_change_of_size(void**) {
    unsigned marked = 0;
    for (unsigned moment = 1; moment <= 60; ++moment) {
        growing it;
        it.up_and_synced();
        it.disconnect(1);
        it.grow_devices(far_sectors);
        replica::resize_arguments arguments;
        arguments.assume_peer_has_space = true;
        it.expect(it.resize(0, arguments).ok, "A grows alone");
        unsigned seen = 0;
        it.on_event = [&] {
            if (it.state_of(1).connection == state::connection::wf_report_params &&
                ++seen == moment) {
                it.nodes[1]->machine().invalidate(
                    0, [&](const replica::outcome& end) { marked += end.ok ? 1 : 0; });
            }
        };
        it.connect_both();
        it.grown_to(far_sectors);
    }
    assert_true(marked > 5);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_grown_disk_is_used_after_resize),
        cmocka_unit_test(requests_under_way_survive_a_resize),
        cmocka_unit_test(the_peer_follows_with_its_own_disk),
        cmocka_unit_test(only_the_new_part_is_synced),
        cmocka_unit_test(assume_clean_leaves_the_new_part_as_it_is),
        cmocka_unit_test(alone_it_grows_only_on_the_words_of_the_administrator),
        cmocka_unit_test(a_size_that_is_asked_for_shrinks_the_device),
        cmocka_unit_test(a_shrink_nobody_asked_for_is_refused),
        cmocka_unit_test(no_resize_during_a_resync_or_without_a_primary),
        cmocka_unit_test(a_verify_does_not_come_between_a_resize_and_its_sync),
        cmocka_unit_test(a_diskless_primary_stays_connected_when_its_peer_resizes),
        cmocka_unit_test(a_change_of_roles_does_not_come_between_a_resize_and_its_sync),
        cmocka_unit_test(a_detach_does_not_come_between_a_resize_and_its_sync),
        cmocka_unit_test(a_primary_that_crashes_at_any_write_of_a_resize_attaches_again),
        cmocka_unit_test(a_secondary_that_crashes_at_any_write_of_a_resize_attaches_again),
        cmocka_unit_test(both_nodes_that_crash_at_any_write_of_a_resize_attach_again),
        cmocka_unit_test(a_disk_that_fails_during_a_resize_is_detached),
        cmocka_unit_test(any_write_of_a_resize_may_fail),
        cmocka_unit_test(an_invalidate_may_come_at_any_moment_of_a_change_of_size),
    };
    return cmocka_run_group_tests_name("simulation_resize", tests, nullptr, nullptr);
}
