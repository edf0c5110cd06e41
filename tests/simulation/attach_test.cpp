// A disk that fails and is attached again at once, while the nodes stay connected: at whatever
// moment it happens, both compare their generations and get in sync.
#include <functional>

#include "story.hpp"

namespace {

using namespace lockstep;
using options::on_io_error;
using simulation::instant;
using simulation::millisecond;
using simulation::second;
using simulation::story;
using state::connection;
using state::disk;

simulation::node_settings settings_with(on_io_error policy) {
    auto settings = story::small_pair();
    settings.disk.on_io_error = policy;
    settings.external_metadata = true;
    return settings;
}

// A is Primary, B's disk fails and comes back.
struct returning_disk : story {
    explicit returning_disk(on_io_error policy = on_io_error::detach)
        : returning_disk(settings_with(policy)) {}
    explicit returning_disk(const simulation::node_settings& settings) : story(settings) {
        write(a, 0, 0, 64);
        wait_quiet();
    }

    void handler_takes(unsigned side, const std::string& handler, instant time) {
        nodes[side]->helper_answers[handler] = {0, time, false};
    }
    void break_metadata(bool broken = true) {
        nodes[b]->metadata_disk(0).faults.write_error_permille = broken ? 1000 : 0;
    }
    // B's disks answer more slowly than A's, so that A is ahead.
    void invalidate_and_lose_disk() {
        for (const unsigned side : {a, b}) {
            for (auto* each : {&nodes[side]->data_disk(0), &nodes[side]->metadata_disk(0)}) {
                each->faults.latency_max = side == a ? 30'000 : 4 * millisecond;
            }
        }
        break_metadata();
        run([&](replica::on_outcome done) { nodes[b]->machine().invalidate(0, std::move(done)); });
        wait([&] { return disk_of(b) == disk::diskless; }, "the disk is dropped");
        break_metadata(false);
    }
    void comes_back() {
        expect(attach(b), "attached again");
        write(a, 0, 256, 8);
        wait_quiet();
        converge();
    }
};

// The handler ends when the disk for which it was called is gone, or another one is there.
void a_source_forgets_the_handler_of_a_resync_whose_target_has_failed(void**) {
    for (instant takes = millisecond; takes < 40 * millisecond; takes += millisecond) {
        returning_disk it;
        it.handler_takes(it.a, "before-resync-source", takes);
        it.invalidate_and_lose_disk();
        it.run_for(5 * millisecond);
        it.comes_back();
    }
}

void a_connection_that_is_lost_meanwhile_costs_no_disk(void**) {
    for (instant at = 0; at < 20 * millisecond; at += millisecond) {
        returning_disk it;
        it.run([&](replica::on_outcome done) {
            it.nodes[it.b]->machine().detach(0, false, std::move(done));
        });
        std::optional<bool> attached;
        it.nodes[it.b]->attach(0, [&](const replica::outcome& ended) { attached = ended.ok; });
        it.run_for(at);
        it.net.faults.cut = true;
        it.net.break_connection();
        it.wait([&] { return attached.has_value(); }, "the command ends");
        it.expect(*attached, "attached");
        it.run_for(second);
        it.expect(it.disk_of(it.b) >= disk::inconsistent && it.disk_of(it.b) <= disk::outdated,
                  "the disk is there, and is known not to be current");
        it.net.faults.cut = false;
        it.converge();
    }
}

// A Primary whose disk came back, and is sync target for a long time.
struct slow_target : story {
    explicit slow_target(options::protocol protocol = options::protocol::c)
        : story(settings_of(protocol)) {
        run([&](replica::on_outcome done) {
            nodes[a]->machine().detach(0, false, std::move(done));
        });
        for (std::uint64_t at = 0; at < 1024; at += 64) {
            write(a, 0, at, 64);
        }
        wait_quiet();
        expect(attach(a), "attached again");
        wait([&] { return volume(a).state.connection == connection::sync_target; }, "target");
    }
    static simulation::node_settings settings_of(options::protocol protocol) {
        auto settings = settings_with(on_io_error::detach);
        settings.net.protocol = protocol;
        settings.disk.c_plan_ahead_ds = 0;
        settings.disk.resync_rate_kib = 4;
        return settings;
    }
};

void a_flush_of_a_sync_target_is_the_sources_under_any_protocol(void**) {
    for (const auto protocol : {options::protocol::a, options::protocol::b, options::protocol::c}) {
        slow_target it(protocol);
        it.write(it.a, 0, 8192, 8);
        it.wait_quiet();
        it.nodes[it.b]->data_disk(0).faults.hung = true;
        it.flush(it.a, 0);
        it.run_for(second);
        it.expect(!it.quiet(), "the flush waits for the disk that counts");
        it.nodes[it.b]->crash(false);
        it.wait_quiet();
        it.expect(it.flushes_failed == 1, "and fails with it");
    }
}

// The source comes back, and overwrites what only the target took.
void a_primary_that_is_sync_target_acknowledges_nothing_without_its_source(void**) {
    slow_target it;
    it.net.faults.cut = true;
    it.write(it.a, 0, 8192, 8);
    it.run_for(second);
    it.flush(it.a, 0);
    it.run_for(second);
    it.expect(it.nodes[it.a]->requests_open() == 2, "the source has not answered");
    const auto failed = it.writes_failed;
    const auto flushed = it.flushes_failed;
    it.net.break_connection();
    it.wait_quiet();
    it.expect(it.disk_of(it.a) == disk::inconsistent, "the disk is that of a target");
    it.expect(it.writes_failed == failed + 1, "the write fails");
    it.flush(it.a, 0);
    it.wait_quiet();
    it.expect(it.flushes_failed == flushed + 2, "both flushes fail");
}

// Whenever it comes, it finds metadata that have been read, and what it says stays.
void a_command_for_a_disk_that_is_being_attached_waits_for_it(void**) {
    using command = void (replica::resource::*)(replica::volume_number, replica::on_outcome);
    const std::pair<command, disk> commands[] = {
        {&replica::resource::outdate, disk::outdated},
        {&replica::resource::invalidate, disk::inconsistent},
    };
    for (const auto& [asked, becomes] : commands) {
        for (instant at = 0; at < 20 * millisecond; at += millisecond / 2) {
            returning_disk it;
            it.nodes[it.b]->metadata_disk(0).faults.latency_max = 4 * millisecond;
            it.disconnect(it.a);
            it.disconnect(it.b);
            const std::uint64_t generation = it.volume(it.b).current_uuid;
            it.run([&](replica::on_outcome done) {
                it.nodes[it.b]->machine().detach(0, false, std::move(done));
            });
            std::optional<bool> attached;
            std::optional<bool> ended;
            it.nodes[it.b]->attach(0, [&](const replica::outcome& out) { attached = out.ok; });
            it.run_for(at);
            std::invoke(asked, it.nodes[it.b]->machine(), 0,
                        [&](const replica::outcome& out) { ended = out.ok; });
            it.wait([&] { return attached && ended; }, "both commands end");
            it.expect(*attached && *ended, "both succeed");
            it.expect(it.disk_of(it.b) == becomes, "the disk is what the command said");
            it.expect(it.volume(it.b).current_uuid == generation, "with its generation");
            it.connect_both();
            it.converge();
        }
    }
}

// Connected while it is being attached: the peer is told at first that there is no disk.
void a_connection_that_is_made_meanwhile_compares_the_generations(void**) {
    // Slow enough for the attach to end at each step of the handshake.
    for (instant at = 210 * millisecond; at < 600 * millisecond; at += millisecond) {
        for (const unsigned side : {story::a, story::b}) {
            returning_disk it;
            it.net.faults.delay_max = 20 * millisecond;
            it.net.faults.window_bytes = 64;
            it.nodes[side]->metadata_disk(0).faults.latency_max = 60 * millisecond;
            it.expect(it.secondary(it.a), "demoted");
            it.disconnect(side);
            it.disconnect(1 - side);
            it.run([&](replica::on_outcome done) {
                it.nodes[side]->machine().detach(0, false, std::move(done));
            });
            it.expect(it.primary(1 - side), "the other one is Primary");
            it.write(1 - side, 0, 512, 64);
            it.wait_quiet();
            it.connect_both();
            it.nodes[1 - side]->on_changed = [&] {
                const auto now = it.volume(1 - side);
                if (now.state.connection >= connection::connected &&
                    now.state.peer_disk == disk::up_to_date && now.out_of_sync_kib > 0) {
                    it.fail_with("the disk is taken for UpToDate before it was compared");
                }
            };
            it.run_for(at);
            // Just between the two STATEs it can't begin.
            it.wait([&] { return it.attach(side); }, "attached");
            it.converge();
        }
    }
}

// A wrote alone, and its disk fails at some moment while B gets what it missed: B's data do not
// become current by that.
void a_source_that_fails_does_not_make_its_target_current(void**) {
    for (instant at = 0; at < 90 * millisecond; at += 500'000) {
        returning_disk it;
        it.handler_takes(it.a, "before-resync-source", 5 * millisecond);
        it.handler_takes(it.b, "before-resync-target", 5 * millisecond);
        it.disconnect(it.a);
        it.disconnect(it.b);
        it.write(it.a, 0, 0, 64);
        it.wait_quiet();
        it.connect_both();
        it.run_for(at);
        it.nodes[it.a]->data_disk(0).faults.dead = true;
        it.write(it.a, 0, 1024, 8);
        it.wait([&] { return it.disk_of(it.a) == disk::diskless; }, "the disk is dropped");
        it.read(it.a, 0, 0, 64); // of B, if that has it; checked against what was written
        it.run_for(second);
        it.nodes[it.a]->data_disk(0).faults.dead = false;
        it.expect(it.attach(it.a), "attached again");
        it.connect_both(); // A may have refused what B has
        it.converge();
    }
}

// The disk is lost while it is to say that this node went on alone: nothing was completed under the
// generation that it does not know, so what the peer has is what the users have seen.
void a_generation_that_was_not_stored_is_undone(void**) {
    for (instant at = 0; at < 6 * millisecond; at += 100'000) {
        for (const bool by_force : {false, true}) {
            returning_disk it;
            it.net.faults.cut = true;
            it.net.break_connection();
            it.write(it.a, 0, 64, 64);
            it.wait([&] { return !it.net.connected(); }, "the link is lost");
            it.run_for(at);
            if (by_force) {
                it.run([&](replica::on_outcome done) {
                    it.nodes[it.a]->machine().detach(0, true, std::move(done));
                });
            } else {
                it.nodes[it.a]->metadata_disk(0).faults.dead = true;
                it.write(it.a, 0, 8192, 8); // an extent that is not in the log
                it.wait([&] { return it.disk_of(it.a) == disk::diskless; }, "dropped");
                it.nodes[it.a]->metadata_disk(0).faults.dead = false;
            }
            it.wait_quiet();
            it.net.faults.cut = false;
            it.run_for(second); // until the device has answered to everything
            it.expect(it.attach(it.a), "attached again");
            it.connect_both();
            it.converge();
        }
    }
}

// Frozen for want of the peer, and then the disk is lost that alone has what was written: it is
// written again, to the peer that has restarted meanwhile.
void what_only_a_lost_disk_has_is_written_again(void**) {
    for (instant at = 0; at < 6 * millisecond; at += 500'000) {
        auto settings = settings_with(on_io_error::detach);
        settings.disk.fencing = options::fencing::resource_and_stonith;
        settings.resource.on_no_data_accessible = options::on_no_data::suspend_io;
        returning_disk it(settings);
        it.nodes[it.a]->helper_answers["fence-peer"].hangs = true;
        it.nodes[it.b]->crash(false);
        it.write(it.a, 0, 64, 64);
        it.wait([&] { return it.frozen(); }, "frozen");
        it.run_for(at);
        it.run([&](replica::on_outcome done) {
            it.nodes[it.a]->machine().detach(0, true, std::move(done));
        });
        it.nodes[it.b]->start();
        it.expect(it.attach(it.b), "B is back");
        it.connect_both();
        it.wait_quiet();
        assert_int_equal(it.writes_failed, 0);
        it.expect(it.attach(it.a), "attached again");
        it.converge();
    }
}

// Frozen by hand, the link is lost and comes back: the generation that would have been due is not,
// or the peer's data would seem to be of another one.
void resuming_io_with_the_peer_there_makes_no_generation(void**) {
    returning_disk it;
    const auto suspend = [&] {
        it.run([&](replica::on_outcome done) {
            it.nodes[it.a]->machine().suspend_io(std::move(done));
        });
    };
    suspend();
    it.net.break_connection();
    it.wait([&] { return !it.is_in_sync(); }, "the link is lost");
    it.wait([&] { return it.is_in_sync(); }, "and is back");
    it.run_for(second); // both have stored the end of the resync
    it.run([&](replica::on_outcome done) { it.nodes[it.a]->machine().resume_io(std::move(done)); });
    it.nodes[it.a]->data_disk(0).faults.dead = true;
    it.write(it.a, 0, 1024, 8);
    it.wait([&] { return it.disk_of(it.a) == disk::diskless; }, "the disk is dropped");
    it.nodes[it.a]->data_disk(0).faults.dead = false;
    it.wait_quiet();
    it.expect(it.attach(it.a), "attached again");
    it.converge();
}

// Both disks are attached while each node still hears of the loss of the other's: what the other
// had said before seems to be its answer, and both may take themselves for the source. Who is to be
// it is asked again, and then perhaps of the administrator.
void two_that_attach_at_once_do_not_both_stay_source(void**) {
    for (instant at = 0; at < 200 * millisecond; at += 5 * millisecond) {
        returning_disk it;
        it.run_for(second);
        it.net.faults.delay_max = 300 * millisecond;
        for (const unsigned side : {it.b, it.a}) {
            it.run([&](replica::on_outcome done) {
                it.nodes[side]->machine().detach(0, true, std::move(done));
            });
        }
        it.expect(it.attach(it.b), "attached again");
        it.run_for(at);
        it.expect(it.attach(it.a), "attached again");
        it.run_for(20 * second);
        it.net.faults.delay_max = millisecond;
        if (!it.is_in_sync()) {
            const auto refused = [&](unsigned side) {
                return it.volume(side).state.connection == connection::standalone;
            };
            it.expect(refused(it.a) || refused(it.b), "the contradiction is found");
            it.disconnect(it.a);
            it.disconnect(it.b);
            it.nodes[it.b]->connect(true);
            it.nodes[it.a]->connect(false);
        }
        it.converge();
    }
}

// outdate (of a fence-peer handler, say) and invalidate have to wait for the end of an attach.
void commands_during_an_attach_do_not_disturb_it(void**) {
    for (instant at = 0; at < 8 * millisecond; at += 250'000) {
        returning_disk it;
        it.expect(it.secondary(it.a), "demoted");
        it.disconnect(it.a);
        it.disconnect(it.b);
        it.run([&](replica::on_outcome done) {
            it.nodes[it.b]->machine().detach(0, false, std::move(done));
        });
        std::optional<bool> attached;
        it.nodes[it.b]->attach(0, [&](const replica::outcome& ended) { attached = ended.ok; });
        it.run_for(at);
        const auto ignore = [](const replica::outcome&) {};
        it.nodes[it.b]->machine().outdate(0, ignore);
        it.nodes[it.b]->machine().invalidate(0, ignore);
        it.wait([&] { return attached.has_value(); }, "the attach ends");
        it.expect(*attached, "attached");
        it.connect_both();
        it.converge();
    }
}

// The peer is not asked for leave to detach a disk that is none yet.
void a_detach_during_an_attach_comes_after_it(void**) {
    for (const unsigned side : {0U, 1U}) {
        for (instant at = 0; at < 8 * millisecond; at += 250'000) {
            returning_disk it;
            it.run([&](replica::on_outcome done) {
                it.nodes[side]->machine().detach(0, false, std::move(done));
            });
            std::optional<bool> attached;
            std::optional<bool> detached;
            it.nodes[side]->attach(0, [&](const replica::outcome& out) { attached = out.ok; });
            it.run_for(at);
            it.nodes[side]->machine().detach(
                0, false, [&](const replica::outcome& out) { detached = out.ok; });
            it.write(it.a, 0, 0, 64);
            it.wait([&] { return attached && detached; }, "both commands end");
            it.expect(*attached, "attached");
            it.wait_quiet();
            if (*detached) {
                it.expect(it.attach(side), "attached again");
            }
            it.converge();
        }
    }
}

// A Primary without a disk has written through its peer, which dies: the old data of the disk do
// not take the place of what the users have seen.
void a_disk_that_missed_writes_is_not_current_without_the_peer(void**) {
    for (instant at = 0; at < 20 * millisecond; at += millisecond) {
        returning_disk it;
        it.run([&](replica::on_outcome done) {
            it.nodes[it.a]->machine().detach(0, false, std::move(done));
        });
        it.write(it.a, 0, 0, 64);
        it.wait_quiet();
        it.flush(it.a, 0); // B is to have it after a crash
        it.wait_quiet();
        it.nodes[it.b]->crash(false);
        it.nodes[it.a]->attach(0, [](const replica::outcome&) {});
        it.run_for(at);
        it.net.break_connection();
        it.run_for(second);
        it.expect(it.disk_of(it.a) < disk::up_to_date, "what A's disk has is not current");
        it.nodes[it.b]->start();
        it.expect(it.attach(it.b), "B is back");
        it.connect_both();
        it.wait([&] { return it.attach(it.a) && it.is_in_sync(); }, "A attaches again");
        it.converge();
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_source_forgets_the_handler_of_a_resync_whose_target_has_failed),
        cmocka_unit_test(a_connection_that_is_lost_meanwhile_costs_no_disk),
        cmocka_unit_test(a_flush_of_a_sync_target_is_the_sources_under_any_protocol),
        cmocka_unit_test(a_primary_that_is_sync_target_acknowledges_nothing_without_its_source),
        cmocka_unit_test(a_command_for_a_disk_that_is_being_attached_waits_for_it),
        cmocka_unit_test(a_connection_that_is_made_meanwhile_compares_the_generations),
        cmocka_unit_test(a_source_that_fails_does_not_make_its_target_current),
        cmocka_unit_test(a_generation_that_was_not_stored_is_undone),
        cmocka_unit_test(what_only_a_lost_disk_has_is_written_again),
        cmocka_unit_test(resuming_io_with_the_peer_there_makes_no_generation),
        cmocka_unit_test(two_that_attach_at_once_do_not_both_stay_source),
        cmocka_unit_test(commands_during_an_attach_do_not_disturb_it),
        cmocka_unit_test(a_detach_during_an_attach_comes_after_it),
        cmocka_unit_test(a_disk_that_missed_writes_is_not_current_without_the_peer),
    };
    return cmocka_run_group_tests_name("attach", tests, nullptr, nullptr);
}
