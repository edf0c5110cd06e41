// on-io-error: what becomes of the disk, of the request and of the bits, for each policy, in both
// roles, for data and metadata.
#include <array>

#include "story.hpp"

namespace {

using namespace lockstep;
using options::on_io_error;
using simulation::second;
using simulation::story;
using state::disk;

constexpr std::array policies{on_io_error::pass_on, on_io_error::call_local_io_error,
                              on_io_error::detach};

simulation::node_settings settings_with(on_io_error policy, bool external = false) {
    auto settings = story::small_pair();
    settings.disk.on_io_error = policy;
    settings.external_metadata = external;
    return settings;
}

struct failing_pair : story {
    explicit failing_pair(on_io_error policy, bool external = false)
        : story(settings_with(policy, external)), policy_(policy) {
        write(a, 0, 0, 64);
        wait_quiet();
        flush(a, 0); // the peer's disk has it for certain, and what it misses is counted from here
        wait_quiet();
        check_converged();
    }

    // What a data error makes of a disk by the policy.
    void expect_disk(unsigned side) {
        const disk expected = policy_ == on_io_error::pass_on ? disk::inconsistent : disk::diskless;
        wait([&] { return disk_of(side) == expected; }, "the disk is what the policy says");
        wait([&] { return peer_disk_of(1 - side) == expected; }, "the peer knows");
        assert_int_equal(called(side, "local-io-error"),
                         policy_ == on_io_error::call_local_io_error ? 1 : 0);
        assert_int_equal(disk_of(1 - side), disk::up_to_date);
    }
    // What was done meanwhile goes on, and nothing is lost when the disk is mended.
    void expect_recovery(unsigned side) {
        write(a, 0, 128, 8);
        read(a, 0, 0, 64);
        wait_quiet();
        assert_int_equal(writes_failed + reads_failed, 0);
        break_writes(side, false);
        break_reads(side, false);
        run([&](replica::on_outcome done) {
            nodes[side]->machine().detach(0, false, std::move(done));
        });
        expect(attach(side), "attached again");
        converge();
    }

private:
    on_io_error policy_;
};

void a_write_error_of_the_primary(void**) {
    for (const auto policy : policies) {
        failing_pair it(policy);
        it.break_writes(it.a);
        it.write(it.a, 0, 8, 8);
        it.wait_quiet();
        assert_int_equal(it.writes_failed, 0);
        it.expect_disk(it.a);
        it.expect_recovery(it.a);
    }
}

void a_read_error_of_the_primary(void**) {
    for (const auto policy : policies) {
        failing_pair it(policy);
        it.break_reads(it.a);
        it.read(it.a, 0, 8, 8);
        it.wait_quiet();
        assert_int_equal(it.reads_failed, 0);
        it.expect_disk(it.a);
        if (policy == on_io_error::pass_on) {
            assert_int_equal(it.volume(it.a).out_of_sync_kib, 4); // just the bad block
        }
        it.expect_recovery(it.a);
    }
}

void a_write_error_of_the_secondary(void**) {
    for (const auto policy : policies) {
        failing_pair it(policy);
        it.break_writes(it.b);
        it.write(it.a, 0, 8, 8);
        it.wait_quiet();
        assert_int_equal(it.writes_failed, 0);
        it.expect_disk(it.b);
        it.expect(it.volume(it.a).out_of_sync_kib >= 4, "the block is marked");
        it.expect_recovery(it.b);
    }
}

// The Primary has no disk and reads from the Secondary, which cannot.
void a_read_error_of_the_secondary(void**) {
    for (const auto policy : policies) {
        failing_pair it(policy);
        it.run([&](replica::on_outcome done) {
            it.nodes[it.a]->machine().detach(0, false, std::move(done));
        });
        it.break_reads(it.b);
        it.read(it.a, 0, 8, 8);
        it.wait_quiet();
        assert_int_equal(it.reads_failed, 1); // there is no other copy
        const disk expected = policy == on_io_error::pass_on ? disk::inconsistent : disk::diskless;
        it.wait([&] { return it.disk_of(it.b) == expected; }, "the disk is what the policy says");
        assert_int_equal(it.called(it.b, "local-io-error"),
                         policy == on_io_error::call_local_io_error ? 1 : 0);
        it.wait_called(it.a, "pri-on-incon-degr");
    }
}

void a_metadata_error_detaches_whatever_the_policy(void**) {
    for (const auto policy : policies) {
        for (const unsigned side : {0U, 1U}) {
            failing_pair it(policy, true);
            it.nodes[side]->metadata_disk(0).faults.write_error_permille = 1000;
            // A change of role is stored; so is the extent of a first write.
            it.write(it.a, 0, 8192, 8);
            if (side == it.b) {
                it.run([&](replica::on_outcome done) {
                    it.nodes[it.b]->machine().outdate(0, std::move(done));
                });
                it.expect(it.secondary(it.a) && it.primary(it.b), "roles change");
            }
            it.wait_quiet();
            it.wait([&] { return it.disk_of(side) == disk::diskless; }, "detached");
            assert_int_equal(it.writes_failed, 0);
            assert_int_equal(it.disk_of(1 - side), disk::up_to_date);
        }
    }
}

void without_a_peer_the_error_goes_up(void**) {
    for (const auto policy : policies) {
        failing_pair it(policy);
        it.disconnect(it.a);
        it.break_reads(it.a);
        it.read(it.a, 0, 8, 8);
        it.wait_quiet();
        assert_int_equal(it.reads_failed, 1);
        it.break_reads(it.a, false);
        // With pass_on one bad block costs one bad block.
        it.read(it.a, 0, 32, 8);
        it.wait_quiet();
        assert_int_equal(it.reads_failed, policy == on_io_error::pass_on ? 1 : 2);
        it.write(it.a, 0, 32, 8);
        it.wait_quiet();
        assert_int_equal(it.writes_failed, 1); // there is no UpToDate copy
    }
}

void a_disk_that_comes_back_gets_just_what_it_missed(void**) {
    for (const unsigned side : {0U, 1U}) {
        // Metadata apart: its writes would fail as well, and then nothing less than all will do.
        failing_pair it(on_io_error::detach, true);
        it.break_writes(side);
        it.write(it.a, 0, 8, 8);
        it.wait_quiet();
        it.wait([&] { return it.disk_of(side) == disk::diskless; }, "dropped");
        for (std::uint64_t block = 0; block < 5; ++block) {
            it.write(it.a, 0, 1024 + 8 * block, 8);
        }
        it.wait_quiet();
        it.break_writes(side, false);
        std::uint64_t most = 0;
        it.nodes[1 - side]->on_changed = [&] {
            most = std::max(most, it.volume(1 - side).progress.total_bits);
        };
        it.expect(it.attach(side), "attached again");
        it.converge();
        it.nodes[1 - side]->on_changed = {};
        it.expect(most >= 6, "everything that was missed is resynced");
        // A Primary's log covers what was under way: 4 MiB extents of an 8 MiB device; a Secondary
        // has no such extents.
        it.expect(side == it.a ? most <= 2048 : most <= 8, "and hardly more");
    }
}

// The peer is told only afterwards: until then it would not note what our disk lacks.
void nothing_is_written_between_the_failure_and_its_handlers_end(void**) {
    failing_pair it(on_io_error::call_local_io_error);
    it.handler_hangs(it.a, "local-io-error");
    it.nodes[it.a]->helper_limit = 150 * second;
    it.break_writes(it.a);
    it.write(it.a, 0, 8, 8);
    it.wait_called(it.a, "local-io-error");
    assert_int_equal(it.peer_disk_of(it.b), disk::up_to_date);
    it.write(it.a, 0, 1024, 8);
    it.read(it.a, 0, 0, 8);
    it.run_for(100 * second);
    assert_int_equal(it.nodes[it.a]->requests_open(), 1); // the second write
    assert_string_equal(it.volume(it.a).waiting_for.c_str(),
                        "waiting for the local-io-error handler");
    it.wait_quiet(); // the handler is ended by its time limit
    it.wait([&] { return it.disk_of(it.a) == disk::diskless; }, "dropped");
    it.expect(it.volume(it.b).out_of_sync_kib >= 4, "the peer has noted it");
    it.break_writes(it.a, false);
    it.expect(it.attach(it.a), "attached again");
    it.converge();
}

// G16: whatever the policy, the users of the active node notice nothing, and a second failure after
// the repair neither.
void users_of_the_active_node_notice_nothing_of_a_disk_error(void**) {
    for (const auto policy : policies) {
        failing_pair it(policy);
        for (int round = 0; round < 3; ++round) {
            if (round % 2 == 0) {
                it.break_writes(it.a);
            } else {
                it.break_reads(it.a);
            }
            for (int index = 0; index < 20; ++index) {
                it.write(it.a, 0, 8 * it.random.below(512), 8);
                it.read(it.a, 0, 8 * it.random.below(512), 8);
                it.run_for(it.random.below(2'000'000));
            }
            it.wait_quiet();
            it.expect_recovery(it.a);
        }
        assert_int_equal(it.writes_failed + it.reads_failed, 0);
    }
}

// The peer, the source, has it and says that both are in sync there.
void a_primary_that_is_target_syncs_the_block_that_it_could_not_write(void**) {
    auto settings = story::small_pair();
    settings.disk.on_io_error = options::on_io_error::pass_on;
    settings.external_metadata = true;
    story it(settings);
    it.run([&](replica::on_outcome done) {
        it.nodes[it.a]->machine().detach(0, false, std::move(done));
    });
    for (std::uint64_t first = 0; first < 8192; first += 128) {
        it.write(it.a, 0, first, 128);
    }
    it.wait_quiet();
    it.expect(it.attach(it.a), "attached again");
    it.wait([&] { return it.volume(it.a).state.connection == state::connection::sync_target; },
            "sync target");
    it.net.faults.delay_max = 20 * simulation::millisecond;
    it.break_writes(it.a);
    it.write(it.a, 0, 8000, 64);
    it.run_for(5 * simulation::millisecond);
    it.break_writes(it.a, false);
    it.wait_quiet();
    it.converge();
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_write_error_of_the_primary),
        cmocka_unit_test(a_read_error_of_the_primary),
        cmocka_unit_test(a_write_error_of_the_secondary),
        cmocka_unit_test(a_read_error_of_the_secondary),
        cmocka_unit_test(a_metadata_error_detaches_whatever_the_policy),
        cmocka_unit_test(without_a_peer_the_error_goes_up),
        cmocka_unit_test(a_disk_that_comes_back_gets_just_what_it_missed),
        cmocka_unit_test(nothing_is_written_between_the_failure_and_its_handlers_end),
        cmocka_unit_test(users_of_the_active_node_notice_nothing_of_a_disk_error),
        cmocka_unit_test(a_primary_that_is_target_syncs_the_block_that_it_could_not_write),
    };
    return cmocka_run_group_tests_name("io errors", tests, nullptr, nullptr);
}
