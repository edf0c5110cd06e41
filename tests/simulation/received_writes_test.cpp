// What the peer has received, and acknowledged perhaps, and what is not on its disk yet: whatever
// is decided in that moment, it is not lost where somebody was told that it is safe.
#include "story.hpp"

namespace {

using namespace lockstep;
using options::protocol;
using simulation::instant;
using simulation::millisecond;
using simulation::second;
using simulation::story;
using state::disk;

simulation::node_settings settings_with(protocol wanted) {
    auto settings = story::small_pair();
    settings.external_metadata = true;
    settings.net.protocol = wanted;
    settings.disk.on_io_error = options::on_io_error::detach;
    settings.resource.on_no_data_accessible = options::on_no_data::suspend_io;
    return settings;
}

// A is Primary, and B's data device is the slow one.
struct slow_peer : story {
    explicit slow_peer(protocol wanted, instant latency = 40 * millisecond)
        : slow_peer(settings_with(wanted), latency) {}
    slow_peer(const simulation::node_settings& settings, instant latency) : story(settings) {
        run_for(second);
        nodes[b]->data_disk(0).faults.latency_max = latency;
        nodes[b]->metadata_disk(0).faults.latency_max = 20'000;
    }

    void detach(unsigned side, bool force) {
        run([&](replica::on_outcome done) {
            nodes[side]->machine().detach(0, force, std::move(done));
        });
    }
    void durable_writes() {
        for (std::uint64_t at = 0; at < 512; at += 64) {
            write(a, 0, at, 64, true);
            wait_quiet();
        }
        assert_int_equal(writes_failed, 0);
    }
    std::uint64_t stored_generation(unsigned side) {
        return simulation::read_superblock(nodes[side]->metadata_at(0)).uuids.current;
    }
    void restart(unsigned side) {
        nodes[side]->start();
        expect(attach(side), "attached again");
    }
    // What the disk holds now, and would hold after a power failure.
    void disk_has_what_was_acknowledged(unsigned side, std::uint64_t sectors) {
        for (std::uint64_t at = 0; at < sectors; ++at) {
            simulation::sector content;
            nodes[side]->data_disk(0).read_now(at * 512, content);
            const auto wrong = models[0].check(at, content.data(), models[0].now());
            expect(wrong.empty(), wrong.c_str());
        }
    }
    void disk_has_all_writes(unsigned side, std::uint64_t sectors) {
        for (std::uint64_t at = 0; at < sectors; ++at) {
            simulation::sector content;
            simulation::model::write_id id = 0;
            nodes[side]->data_disk(0).read_now(at * 512, content);
            expect(simulation::model::identify(at, content.data(), id) && id != 0, "written there");
        }
    }
};

// The Primary's disk is lost all at once, and then the power of both: B's generation is the newer
// one if it is on its disk, and then all that A's disk had is there, too.
void a_generation_is_not_older_than_what_it_stands_for(void**) {
    for (const auto wanted : {protocol::a, protocol::b, protocol::c}) {
        for (instant at = 0; at < 120 * millisecond; at += 2 * millisecond) {
            slow_peer it(wanted);
            it.durable_writes();
            it.run([&](replica::on_outcome done) {
                it.nodes[it.a]->machine().detach(0, true, std::move(done));
            });
            it.run_for(at);
            it.nodes[it.b]->crash(true);
            it.nodes[it.a]->crash(true);
            it.restart(it.a);
            it.restart(it.b);
            it.connect_both();
            it.converge();
        }
    }
}

// And that of B alone, once its generation is on its disk.
void a_stored_generation_holds_without_the_other_disk(void**) {
    for (const auto wanted : {protocol::a, protocol::b, protocol::c}) {
        for (unsigned time = 0; time < 40; ++time) {
            slow_peer it(wanted);
            it.run_for(time * millisecond);
            const std::uint64_t before = it.stored_generation(it.b);
            it.durable_writes();
            it.detach(it.a, true);
            it.wait([&] { return it.stored_generation(it.b) != before; }, "B's generation");
            it.nodes[it.b]->crash(false);
            it.disk_has_what_was_acknowledged(it.b, 512);
            it.restart(it.b);
            it.connect_both();
            it.read(it.a, 0, 0, 512);
            it.wait_quiet();
            it.expect(it.attach(it.a), "A has its disk again");
            it.converge();
        }
    }
}

// The Primary's disk is lost all at once, and then the peer's power before it has everything. The
// Primary goes on with what is left, and its next flush says that this may not be all.
void what_may_be_lost_is_told(void**) {
    using options::on_no_data;
    for (const auto policy : {on_no_data::suspend_io, on_no_data::io_error}) {
        for (const auto wanted : {protocol::a, protocol::b}) {
            for (unsigned time = 0; time < 20; ++time) {
                auto settings = settings_with(wanted);
                settings.resource.on_no_data_accessible = policy;
                slow_peer it(settings, 40 * millisecond);
                it.durable_writes();
                it.detach(it.a, true);
                it.run_for(time * millisecond);
                it.nodes[it.b]->crash(true);
                it.models[0].forget_durable();
                it.models[0].forget_unflushed();
                it.run_for(second);
                it.restart(it.b);
                it.connect_both();
                it.wait([&] { return it.peer_disk_of(it.a) == disk::up_to_date; }, "B is back");
                const auto failed = it.flushes_failed;
                it.flush(it.a, 0);
                it.wait_quiet();
                if (it.flushes_failed == failed) {
                    it.disk_has_all_writes(it.b, 512);
                }
                it.flush(it.a, 0);
                it.wait_quiet();
                it.expect(it.flushes_failed <= failed + 1, "it is told once");
                it.expect(it.attach(it.a), "A has its disk again");
                it.converge();
            }
        }
    }
}

// A disk that is detached in peace is let go when the peer's has all that was acknowledged.
void a_detach_waits_for_the_peers_disk(void**) {
    for (const auto wanted : {protocol::a, protocol::b, protocol::c}) {
        for (unsigned time = 0; time < 20; ++time) {
            slow_peer it(wanted);
            it.run_for(time * millisecond);
            it.durable_writes();
            it.write(it.a, 0, 1024, 64, true);
            it.write(it.a, 0, 2048, 64, true);
            it.flush(it.a, 0);
            it.detach(it.a, false);
            it.nodes[it.b]->crash(false);
            it.disk_has_what_was_acknowledged(it.b, 2112);
            it.restart(it.b);
            it.connect_both();
            it.read(it.a, 0, 0, 512);
            it.wait_quiet();
            it.expect(it.attach(it.a), "A has its disk again");
            it.converge();
        }
    }
}

// One that the peer does not confirm stays, and counts as before.
void a_detach_that_can_not_be_is_refused(void**) {
    for (const auto wanted : {protocol::a, protocol::b}) {
        slow_peer it(wanted);
        it.nodes[it.b]->data_disk(0).faults.hung = true;
        it.write(it.a, 0, 0, 64, true);
        it.wait_quiet();
        std::optional<bool> detached;
        it.nodes[it.a]->machine().detach(0, false,
                                         [&](const replica::outcome& out) { detached = out.ok; });
        it.write(it.a, 0, 1024, 64, true);
        it.flush(it.a, 0);
        it.run_for(second);
        it.expect(!detached.has_value(), "the peer has not written it yet");
        it.expect(it.nodes[it.a]->requests_open() == 2, "nor what came later");
        it.expect(!it.volume(it.a).waiting_for.empty(), "status names what is waited for");
        it.nodes[it.b]->crash(true);
        it.nodes[it.b]->data_disk(0).faults.hung = false;
        it.wait([&] { return detached.has_value(); }, "the command ends");
        it.expect(!*detached, "refused");
        it.wait_quiet();
        assert_int_equal(it.writes_failed + it.flushes_failed, 0);
        it.expect(it.disk_of(it.a) == disk::up_to_date, "A's disk is all there is");
        it.restart(it.b);
        it.connect_both();
        it.converge();
    }
}

// The disk ceases to count while it flushes: its word alone is not enough any more.
void a_flush_of_a_disk_that_fails_meanwhile_is_the_peers(void**) {
    for (const auto wanted : {protocol::a, protocol::b}) {
        slow_peer it(wanted);
        it.nodes[it.a]->data_disk(0).faults.flush_latency = 100 * millisecond;
        it.nodes[it.b]->data_disk(0).faults.hung = true;
        it.write(it.a, 0, 0, 64);
        it.wait_quiet();
        it.flush(it.a, 0);
        it.run_for(10 * millisecond);
        it.break_writes(it.a);
        it.write(it.a, 0, 1024, 64);
        it.wait([&] { return it.disk_of(it.a) < disk::inconsistent; }, "the disk fails");
        it.run_for(second);
        it.expect(it.nodes[it.a]->requests_open() == 2, "both wait for the peer's disk");
        it.nodes[it.b]->data_disk(0).unhang();
        it.wait_quiet();
        assert_int_equal(it.writes_failed + it.flushes_failed, 0);
        it.break_writes(it.a, false);
        it.wait([&] { return it.disk_of(it.a) == disk::diskless; }, "and is gone");
        it.expect(it.attach(it.a), "attached again");
        it.converge();
    }
}

// The former Primary was told that B has them, or needed no such word: B's users see them, and
// write over them.
void a_promotion_comes_behind_what_was_received(void**) {
    for (const auto wanted : {protocol::a, protocol::b, protocol::c}) {
        for (unsigned time = 0; time < 40; ++time) {
            slow_peer it(wanted);
            it.run_for(time * millisecond);
            for (std::uint64_t at = 0; at < 256; at += 32) {
                it.write(it.a, 0, at, 64);
                it.wait_quiet();
            }
            it.run_for(millisecond); // the link delivers them
            it.nodes[it.a]->crash(true);
            it.expect(it.primary(it.b), "B in A's place");
            it.read(it.b, 0, 0, 288);
            it.wait_quiet();
            for (std::uint64_t at = 0; at < 256; at += 32) {
                it.write(it.b, 0, at, 16);
            }
            it.wait_quiet();
            it.read(it.b, 0, 0, 288);
            it.wait_quiet();
            it.restart(it.a);
            it.connect_both();
            it.converge();
        }
    }
}

// Frozen over a short break, both nodes go on where they were. The peer's cache is still to be
// flushed, whether the flush was under way or comes afterwards.
void a_flush_after_a_break_reaches_the_peers_disk(void**) {
    for (const bool under_way : {true, false}) {
        for (unsigned time = 0; time < 40; ++time) {
            auto settings = settings_with(protocol::c);
            settings.disk.fencing = options::fencing::resource_and_stonith;
            settings.net.data_integrity_alg = time % 2 == 0 ? "crc32c" : "";
            slow_peer it(settings, 2 * millisecond);
            it.net.dialect.version_max = time % 4 < 2 ? 101 : 93; // from the break on
            it.handler_hangs(it.a, "fence-peer");
            it.nodes[it.b]->data_disk(0).faults.flush_latency = 300 * millisecond;
            it.run_for(time * millisecond);
            it.write(it.a, 0, 0, 512);
            it.wait_quiet();
            if (under_way) {
                it.flush(it.a, 0);
                it.run_for(20 * millisecond);
            }
            it.net.break_connection();
            it.wait([&] { return it.frozen(); }, "frozen");
            if (!under_way) {
                it.flush(it.a, 0);
            }
            it.wait([&] { return !it.frozen(); }, "thawed");
            it.wait_quiet();
            assert_int_equal(it.flushes_failed, 0);
            it.nodes[it.b]->crash(true);
            it.disk_has_what_was_acknowledged(it.b, 512);
            it.restart(it.b);
            it.connect_both();
            it.converge();
        }
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_generation_is_not_older_than_what_it_stands_for),
        cmocka_unit_test(a_stored_generation_holds_without_the_other_disk),
        cmocka_unit_test(what_may_be_lost_is_told),
        cmocka_unit_test(a_detach_waits_for_the_peers_disk),
        cmocka_unit_test(a_detach_that_can_not_be_is_refused),
        cmocka_unit_test(a_flush_of_a_disk_that_fails_meanwhile_is_the_peers),
        cmocka_unit_test(a_promotion_comes_behind_what_was_received),
        cmocka_unit_test(a_flush_after_a_break_reaches_the_peers_disk),
    };
    return cmocka_run_group_tests_name("received_writes", tests, nullptr, nullptr);
}
