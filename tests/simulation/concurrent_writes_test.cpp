// Two Primaries that write to the same blocks at the same time: afterwards both disks hold the
// same, one of the two, and nobody waits for ever.
#include "story.hpp"

namespace {

using namespace lockstep;
using replica::instant;
using simulation::millisecond;
using simulation::second;
using simulation::story;

simulation::node_settings two_primaries() {
    auto settings = story::small_pair();
    settings.disk.al_extents = 67;
    settings.net.allow_two_primaries = true;
    settings.net.verify_alg = "crc32c";
    settings.external_metadata = true;
    settings.disk.fencing = options::fencing::resource_and_stonith;
    return settings;
}

struct both_primary : story {
    both_primary() : story(two_primaries()) {
        expect(primary(b), "two Primaries");
        // Who loses the other waits for it.
        handler_hangs(a, "fence-peer");
        handler_hangs(b, "fence-peer");
        net.faults.delay_max = 2 * millisecond;
    }

    void hang_log(unsigned side) { nodes[side]->metadata_disk(0).faults.hung = true; }
    void mend_log(unsigned side) { nodes[side]->metadata_disk(0).unhang(); }

    // At the same time, so that each is on its way when the other is begun.
    void clash(std::uint64_t at_a, std::uint64_t at_b, std::uint64_t sectors) {
        run_for(random.below(millisecond));
        write(a, 0, at_a, sectors);
        run_for(random.below(millisecond));
        write(b, 0, at_b, sectors);
    }
    void clash_often() {
        for (unsigned count = 0; count < 40; ++count) {
            const std::uint64_t first = 8 * random.below(8);
            switch (count % 3) {
            case 0:
                clash(first, first, 16); // the same blocks
                break;
            case 1:
                clash(first, first + 8, 16); // in part
                break;
            default:
                clash(first, first + 8, 8); // beside each other
                clash(first + 8, first, 24);
                break;
            }
        }
        wait_quiet();
    }
    // Another connection, in which perhaps the other node decides.
    void connect_anew() {
        expect(secondary(b), "B is demoted");
        disconnect(b);
        connect_both();
        expect(wait_in_sync(), "connected again");
        expect(primary(b), "two Primaries again");
    }
};

void a_write_that_waits_for_its_log_yields_to_the_others(void**) {
    both_primary it;
    it.hang_log(it.b);
    it.write(it.b, 0, 8, 16);
    it.run_for(10 * millisecond);
    it.write(it.a, 0, 0, 16);
    it.wait([&] { return it.nodes[it.a]->requests_open() == 0; },
            "what has not begun on B holds up nothing", second);
    it.mend_log(it.b);
    it.wait_quiet();
    it.converge();
}

void writes_to_the_same_blocks_end_up_the_same(void**) {
    both_primary it;
    for (unsigned connection = 0; connection < 8; ++connection) {
        it.clash_often();
        it.check_converged();
        it.connect_anew();
    }
    it.expect(it.writes_failed == 0, "all writes succeed");
    it.converge();
}

// A peer that speaks an older version can't be told to send its write again.
void so_they_do_with_an_older_version(void**) {
    both_primary it;
    it.net.dialect = {91, 0};
    for (unsigned connection = 0; connection < 8; ++connection) {
        it.connect_anew();
        it.clash_often();
        it.check_converged();
    }
    it.converge();
}

void a_flush_behind_a_conflict_ends(void**) {
    both_primary it;
    for (unsigned connection = 0; connection < 8; ++connection) {
        for (unsigned count = 0; count < 10; ++count) {
            it.clash(0, 8, 16);
            it.flush(it.a, 0);
            it.flush(it.b, 0);
            it.wait([&] { return it.quiet(); }, "writes and flushes end", second);
        }
        it.connect_anew();
    }
    it.converge();
}

// The one that lost begins again when the connection is gone, too.
void a_conflict_that_a_broken_connection_cuts_off_ends(void**) {
    both_primary it;
    for (unsigned count = 0; count < 40; ++count) {
        it.clash(0, 8, 16);
        it.clash(16, 8, 16);
        it.run_for(it.random.below(2 * millisecond));
        it.net.break_connection();
        it.wait_quiet();
        it.expect(it.wait_in_sync(), "connected again");
        it.check_converged();
    }
    it.converge();
}

// It has forgotten what it had not flushed, acknowledged or not.
void a_primary_that_crashed_gets_what_the_frozen_one_had_written(void**) {
    both_primary it;
    for (unsigned count = 0; count < 8; ++count) {
        it.write(it.b, 0, 8 * count, 8);
        it.run_for(millisecond);
    }
    it.wait_quiet();
    it.nodes[it.a]->crash(true);
    it.wait([&] { return it.frozen(it.b); }, "frozen");
    it.nodes[it.a]->start();
    it.expect(it.attach(it.a), "attached again");
    it.connect_both();
    it.converge();
}

// The other has heard of the detach, and writes without this disk, before its answer is here.
void a_node_that_asks_to_detach_reads_nothing_old(void**) {
    both_primary it;
    it.handler_exits(it.a, "fence-disk", 4);
    it.handler_exits(it.b, "fence-disk", 4);
    it.write(it.b, 0, 0, 8);
    it.wait_quiet();
    it.run_for(second); // A has flushed, or the detach would wait for that
    it.net.faults.cut_from[it.a] = true;
    it.nodes[it.b]->machine().detach(0, false, [](const replica::outcome&) {});
    it.wait([&] { return it.peer_disk_of(it.a) < state::disk::inconsistent; }, "A has heard of it");
    it.write(it.a, 0, 0, 8);
    it.wait([&] { return it.nodes[it.a]->requests_open() == 0; }, "A goes on");
    it.expect(it.disk_of(it.b) == state::disk::up_to_date, "B has no answer");
    it.read(it.b, 0, 0, 8);
    it.run_for(50 * millisecond);
    it.net.faults.cut_from[it.a] = false;
    it.wait_quiet();
    it.expect(it.reads_failed == 0, "the read is answered");
    it.wait([&] { return it.disk_of(it.b) == state::disk::diskless; }, "detached");
}

// What lost is on one disk only until it begins again, which takes long while both are frozen.
void verify_what_lost(unsigned asks, instant later) {
    both_primary it;
    for (std::uint64_t first = 0; first < 512; first += 64) {
        it.clash(first, first + 8, 16);
    }
    it.run_for(later);
    for (unsigned side = 0; side < 2; ++side) {
        it.nodes[side]->machine().suspend_io([](const replica::outcome&) {});
    }
    const auto ended = it.run([&](replica::on_outcome done) {
        it.nodes[asks]->machine().verify(0, 0, 512, std::move(done));
    });
    it.expect(ended.ok, "a verify begins");
    it.wait([&] { return it.is_in_sync(); }, "the verify ends", 20 * second);
    for (unsigned side = 0; side < 2; ++side) {
        it.nodes[side]->machine().resume_io([](const replica::outcome&) {});
    }
    it.wait_quiet();
    it.converge();
}

void a_verify_does_not_report_what_lost_a_conflict(void**) {
    for (const unsigned asks : {0U, 1U}) {
        for (instant later = 0; later < 8 * millisecond; later += millisecond / 2) {
            verify_what_lost(asks, later);
        }
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_write_that_waits_for_its_log_yields_to_the_others),
        cmocka_unit_test(writes_to_the_same_blocks_end_up_the_same),
        cmocka_unit_test(so_they_do_with_an_older_version),
        cmocka_unit_test(a_flush_behind_a_conflict_ends),
        cmocka_unit_test(a_conflict_that_a_broken_connection_cuts_off_ends),
        cmocka_unit_test(a_primary_that_crashed_gets_what_the_frozen_one_had_written),
        cmocka_unit_test(a_node_that_asks_to_detach_reads_nothing_old),
        cmocka_unit_test(a_verify_does_not_report_what_lost_a_conflict),
    };
    return cmocka_run_group_tests_name("concurrent writes", tests, nullptr, nullptr);
}
