// A Primary whose own disk does not count, or only for itself, leans on its peer: what that one has
// only received, or only in its cache, is not safe yet.
#include "story.hpp"

namespace {

using namespace lockstep;
using options::protocol;
using simulation::instant;
using simulation::millisecond;
using simulation::second;
using simulation::story;
using state::disk;

simulation::node_settings settings_with(protocol wanted, options::on_io_error policy) {
    auto settings = story::small_pair();
    settings.external_metadata = true;
    settings.net.verify_alg = "crc32c";
    settings.net.protocol = wanted;
    settings.disk.on_io_error = policy;
    settings.resource.on_no_data_accessible = options::on_no_data::suspend_io;
    return settings;
}

struct leaning_primary : story {
    explicit leaning_primary(protocol wanted = protocol::c,
                             options::on_io_error policy = options::on_io_error::detach)
        : story(settings_with(wanted, policy)) {}

    void lose_disk() {
        run([&](replica::on_outcome done) {
            nodes[a]->machine().detach(0, false, std::move(done));
        });
        expect(disk_of(a) == disk::diskless, "A has no disk");
    }
    void peer_loses_power() {
        nodes[b]->crash(false);
        run_for(second);
        nodes[b]->start();
        expect(attach(b), "B is back");
        connect_both();
    }
    void fua_waits_for_the_peers_disk() {
        auto& peers_disk = nodes[b]->data_disk(0);
        peers_disk.faults.hung = true;
        write(a, 0, 64, 8, true);
        run_for(second);
        expect(!quiet(), "it waits for the peer's disk");
        peers_disk.unhang();
        wait_quiet();
        assert_int_equal(writes_failed, 0);
    }
};

void fua_without_a_disk_is_durable_on_the_peer_under_any_protocol(void**) {
    for (const std::uint32_t version : {93U, 96U, 101U}) {
        for (const auto wanted : {protocol::a, protocol::b, protocol::c}) {
            leaning_primary it(wanted);
            it.disconnect(it.a);
            it.net.dialect.version_max = version;
            it.connect_both();
            it.expect(it.wait_in_sync(), "connected by the old version");
            it.lose_disk();
            it.fua_waits_for_the_peers_disk();
        }
    }
}

// The same if the disk fails in that very write.
void fua_that_the_own_disk_fails_is_durable_on_the_peer(void**) {
    for (const auto wanted : {protocol::a, protocol::b, protocol::c}) {
        leaning_primary it(wanted);
        it.break_writes(it.a);
        it.fua_waits_for_the_peers_disk();
    }
}

// Acknowledged, and lost with the peer's cache: it is sent again.
void what_the_peer_lost_with_its_cache_is_sent_again(void**) {
    for (const auto wanted : {protocol::a, protocol::b, protocol::c}) {
        for (instant at = 0; at < 80 * millisecond; at += 5 * millisecond) {
            leaning_primary it(wanted);
            it.lose_disk();
            for (std::uint64_t first = 0; first < 512; first += 64) {
                it.write(it.a, 0, first, 64);
                it.discard(it.a, 0, 1024 + first, 32);
                it.write_zeroes(it.a, 0, 2048 + first, 32);
                it.run_for(millisecond);
            }
            it.run_for(at);
            it.write(it.a, 0, 32, 64); // over some of it
            it.peer_loses_power();
            it.wait_quiet();
            assert_int_equal(it.writes_failed, 0);
            it.read(it.a, 0, 0, 512); // checked against what was written
            it.wait_quiet();
            it.expect(it.attach(it.a), "A has its disk again");
            it.converge();
        }
    }
}

// It is not in memory any more, since the own disk had it; then that one failed, too. The blocks
// are the peer's, and no flush says that they are safe.
void what_both_may_have_lost_is_the_same_on_both(void**) {
    for (instant at = 0; at < 8 * millisecond; at += millisecond) {
        leaning_primary it(protocol::c, options::on_io_error::pass_on);
        for (auto& each : it.nodes) {
            each->data_disk(0).faults.latency_max = 100'000;
        }
        it.write(it.a, 0, 0, 512);
        it.wait_quiet();
        it.run_for(at);
        it.break_writes(it.a);
        it.write(it.a, 0, 1024, 8);
        it.wait([&] { return it.disk_of(it.a) == disk::inconsistent; }, "the disk fails");
        it.break_writes(it.a, false);
        if (at % (2 * millisecond) == 0) {
            it.flush(it.a, 0);
        }
        it.nodes[it.b]->crash(true);
        it.models[0].forget_unflushed();
        it.run_for(second);
        if (at % (2 * millisecond) != 0) {
            it.flush(it.a, 0);
        }
        it.nodes[it.b]->start();
        it.expect(it.attach(it.b), "B is back");
        it.connect_both();
        it.wait_quiet();
        assert_int_equal(it.flushes_failed, 1);
        it.converge();
    }
}

// Of a volume with two good disks, under protocol A: completed, but the link has lost it. Another
// volume's missing disk freezes both.
void what_the_link_lost_while_frozen_is_resynced(void**) {
    auto settings = settings_with(protocol::a, options::on_io_error::detach);
    settings.volumes = 2;
    story it(settings);
    it.run([&](replica::on_outcome done) {
        it.nodes[it.a]->machine().detach(0, false, std::move(done));
    });
    it.net.faults.cut_from[it.a] = true;
    it.write(it.a, 1, 0, 64);
    it.wait_quiet();
    assert_int_equal(it.writes_failed, 0);
    it.net.break_connection();
    it.wait([&] { return it.nodes[it.a]->status().suspended; }, "frozen");
    it.net.faults.cut_from[it.a] = false;
    it.wait([&] { return !it.nodes[it.a]->status().suspended; }, "thawed");
    it.expect(it.attach(it.a), "attached again");
    it.converge();
}

// The link is lost and then the disk, before it could say that it went on alone: nobody says that
// what was to be flushed is safe, nor waits for it for ever.
void a_flush_ends_when_nothing_is_left(void**) {
    auto settings = settings_with(protocol::c, options::on_io_error::detach);
    settings.disk.fencing = options::fencing::resource_and_stonith;
    settings.resource.on_no_data_accessible = options::on_no_data::io_error;
    story it(settings);
    it.handler_hangs(it.a, "fence-peer");
    it.write(it.a, 0, 0, 64);
    it.wait_quiet();
    it.net.faults.cut = true;
    it.flush(it.a, 0);
    it.run_for(10 * millisecond);
    it.net.break_connection();
    it.wait([&] { return it.frozen(); }, "frozen");
    it.run([&](replica::on_outcome done) {
        it.nodes[it.a]->machine().detach(0, true, std::move(done));
    });
    it.disconnect(it.a);
    it.wait_quiet();
    assert_int_equal(it.flushes_failed, 1);
}

// The disk is lost first and then the link, which had not delivered the write.
void what_only_a_lost_disk_had_is_not_acknowledged(void**) {
    auto settings = settings_with(protocol::c, options::on_io_error::detach);
    settings.resource.on_no_data_accessible = options::on_no_data::io_error;
    story it(settings);
    it.net.faults.cut = true;
    it.write(it.a, 0, 0, 64);
    it.run_for(100 * millisecond);
    it.flush(it.a, 0);
    it.run_for(100 * millisecond);
    it.run([&](replica::on_outcome done) {
        it.nodes[it.a]->machine().detach(0, true, std::move(done));
    });
    it.expect(!it.quiet(), "the peer has not answered");
    it.net.break_connection();
    it.wait_quiet();
    assert_int_equal(it.writes_failed, 1);
    assert_int_equal(it.flushes_failed, 1);
    it.net.faults.cut = false;
    it.wait([&] { return it.attach(it.a); }, "attached again");
    it.converge();
}

// Neither disk counts for a moment: a write that the peer refused begins again, once.
void a_refused_write_ends_when_the_peer_has_its_disk_again(void**) {
    leaning_primary it(protocol::c, options::on_io_error::pass_on);
    it.break_writes(it.a);
    it.write(it.a, 0, 1024, 8);
    it.wait([&] { return it.peer_disk_of(it.b) == disk::inconsistent; }, "the disk fails");
    it.wait_quiet();
    it.break_writes(it.a, false);
    it.nodes[it.b]->data_disk(0).faults.hung = true;
    it.write(it.a, 0, 0, 64);
    it.run_for(100 * millisecond);
    it.run([&](replica::on_outcome done) {
        it.nodes[it.b]->machine().detach(0, true, std::move(done));
    });
    it.run_for(100 * millisecond);
    it.nodes[it.b]->data_disk(0).unhang();
    it.run_for(second);
    it.wait([&] { return it.attach(it.b); }, "attached again");
    it.wait([&] { return it.quiet(); }, "the write ends", 10 * second);
    assert_int_equal(it.writes_failed, 0);
    it.converge();
}

// Frozen by hand, one loses its disk and then the other: who has what is clear all the same.
void a_disk_that_is_lost_while_frozen_makes_no_split_brain(void**) {
    leaning_primary it;
    it.run(
        [&](replica::on_outcome done) { it.nodes[it.a]->machine().suspend_io(std::move(done)); });
    it.run([&](replica::on_outcome done) {
        it.nodes[it.b]->machine().detach(0, false, std::move(done));
    });
    it.expect(it.attach(it.b), "attached again");
    it.run_for(second);
    it.run([&](replica::on_outcome done) { it.nodes[it.a]->machine().resume_io(std::move(done)); });
    it.run_for(second);
    it.lose_disk();
    it.expect(it.attach(it.a), "attached again");
    it.converge();
}

// suspend-io there is about that node's users.
void a_suspended_secondary_makes_a_generation_for_its_primary(void**) {
    leaning_primary it;
    it.run(
        [&](replica::on_outcome done) { it.nodes[it.b]->machine().suspend_io(std::move(done)); });
    it.lose_disk();
    it.write(it.a, 0, 0, 64);
    it.wait_quiet();
    it.nodes[it.a]->crash(true);
    it.nodes[it.a]->start();
    it.expect(it.attach(it.a), "A is back");
    it.connect_both();
    it.converge();
    it.run([&](replica::on_outcome done) { it.nodes[it.b]->machine().resume_io(std::move(done)); });
}

// Before B's metadata say that it has what A lacks, it has none of it.
void what_a_diskless_primary_writes_waits_for_the_metadata(void**) {
    for (instant at = 0; at < 60 * millisecond; at += millisecond / 2) {
        leaning_primary it;
        it.nodes[it.b]->metadata_disk(0).faults.latency_max = 50 * millisecond;
        it.nodes[it.b]->data_disk(0).faults.latency_max = 20'000;
        for (instant drawn = 0; drawn < at; drawn += millisecond / 2) {
            it.random.next(); // other latencies
        }
        it.run([&](replica::on_outcome done) {
            it.nodes[it.a]->machine().detach(0, true, std::move(done));
        });
        it.write(it.a, 0, 0, 64);
        it.run_for(at);
        it.nodes[it.b]->data_disk(0).write_back();
        it.nodes[it.b]->crash(true);
        it.nodes[it.a]->crash(true);
        it.models[0].forget_unflushed();
        for (const unsigned side : {it.a, it.b}) {
            it.nodes[side]->start();
            it.expect(it.attach(side), "back");
        }
        it.connect_both();
        it.converge();
    }
}

// B's disk is old, and B is promoted on the data of A: from then on those are the ones in use.
struct promoted_without_disk : leaning_primary {
    promoted_without_disk() {
        disconnect(a);
        disconnect(b);
        write(a, 0, 0, 64);
        wait_quiet();
        run([&](replica::on_outcome done) {
            nodes[b]->machine().detach(0, false, std::move(done));
        });
        connect_both();
        wait([&] { return peer_disk_of(b) == disk::up_to_date; }, "connected");
        expect(secondary(a) && primary(b), "B is Primary in A's place");
    }
};

void a_primary_without_a_disk_knows_its_peer_again(void**) {
    promoted_without_disk it;
    it.net.break_connection();
    it.wait([&] { return it.peer_disk_of(it.b) != disk::up_to_date; }, "the link is lost");
    it.wait([&] { return it.peer_disk_of(it.b) == disk::up_to_date; }, "and is back");
    it.read(it.b, 0, 0, 64);
    it.wait_quiet();
    it.expect(it.attach(it.b), "attached again");
    it.converge();
}

void a_primary_without_a_disk_takes_no_older_one_while_the_peer_is_away(void**) {
    promoted_without_disk it;
    it.nodes[it.a]->crash(true);
    it.wait([&] { return it.peer_disk_of(it.b) != disk::up_to_date; }, "the link is lost");
    it.expect(!it.attach(it.b), "refused");
    it.read(it.b, 0, 0, 64);
    it.nodes[it.a]->start();
    it.expect(it.attach(it.a), "A is back");
    it.connect_both();
    it.wait_quiet();
    it.expect(it.attach(it.b), "attached again");
    it.converge();
}

// What A has written alone is on its lost disk only. B, whom it refuses, has made nothing new of
// its older data: it is no split brain when that disk is back.
void a_refused_peer_makes_no_generation(void**) {
    leaning_primary it;
    it.disconnect(it.a);
    it.disconnect(it.b);
    it.write(it.a, 0, 0, 64);
    it.wait_quiet();
    it.run([&](replica::on_outcome done) {
        it.nodes[it.a]->machine().detach(0, true, std::move(done));
    });
    it.connect_both();
    it.run_for(5 * second);
    it.expect(it.peer_disk_of(it.a) != disk::up_to_date, "B is refused");
    it.expect(it.attach(it.a), "A has its disk again");
    it.connect_both();
    it.converge();
}

// Good disks are what a verify compares; it does not make them good.
void a_verify_does_not_make_a_disk_good(void**) {
    for (const unsigned side : {story::a, story::b}) {
        leaning_primary it(protocol::c, options::on_io_error::pass_on);
        it.break_writes(it.a);
        it.write(it.a, 0, 0, 64);
        it.wait_quiet();
        it.break_writes(it.a, false);
        const auto ended = it.run([&](replica::on_outcome done) {
            it.nodes[side]->machine().verify(0, 0, 1024, std::move(done));
        });
        it.expect(!ended.ok, "refused");
        it.run_for(second);
        it.expect(it.disk_of(it.a) == disk::inconsistent, "the disk is what it was");
        it.expect(it.peer_disk_of(it.b) == disk::inconsistent, "and known to be");
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(fua_without_a_disk_is_durable_on_the_peer_under_any_protocol),
        cmocka_unit_test(fua_that_the_own_disk_fails_is_durable_on_the_peer),
        cmocka_unit_test(what_the_peer_lost_with_its_cache_is_sent_again),
        cmocka_unit_test(what_both_may_have_lost_is_the_same_on_both),
        cmocka_unit_test(what_the_link_lost_while_frozen_is_resynced),
        cmocka_unit_test(a_flush_ends_when_nothing_is_left),
        cmocka_unit_test(what_only_a_lost_disk_had_is_not_acknowledged),
        cmocka_unit_test(a_refused_write_ends_when_the_peer_has_its_disk_again),
        cmocka_unit_test(a_disk_that_is_lost_while_frozen_makes_no_split_brain),
        cmocka_unit_test(a_suspended_secondary_makes_a_generation_for_its_primary),
        cmocka_unit_test(what_a_diskless_primary_writes_waits_for_the_metadata),
        cmocka_unit_test(a_primary_without_a_disk_knows_its_peer_again),
        cmocka_unit_test(a_primary_without_a_disk_takes_no_older_one_while_the_peer_is_away),
        cmocka_unit_test(a_refused_peer_makes_no_generation),
        cmocka_unit_test(a_verify_does_not_make_a_disk_good),
    };
    return cmocka_run_group_tests_name("leaning_primary", tests, nullptr, nullptr);
}
