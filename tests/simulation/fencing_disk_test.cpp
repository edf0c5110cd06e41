// fence-disk: a disk is lost while the connection stands, and resources of several volumes.
#include "fenced_pair.hpp"

namespace {

using namespace lockstep;
using simulation::fenced_pair;
using simulation::fencing_settings;
using simulation::second;
using simulation::stonith;
using simulation::story;
using state::connection;
using state::disk;

void a_write_that_the_peers_disk_refuses_is_held_until_the_answer(void**) {
    for (const int code : {3, 4, 5, 7}) {
        fenced_pair it;
        it.handler_hangs(it.a, "fence-peer");
        it.break_writes(it.b);
        it.write(it.a, 0, 0, 8);
        it.wait_called(it.a, "fence-disk");
        it.expect(it.last_call(it.a).name == "fence-disk" &&
                      (it.last_call(it.a).reason == "peer-disk" ||
                       it.last_call(it.a).reason == "write-refused"),
                  "the reason is given");
        it.run_for(60 * second);
        it.expect(it.frozen() && !it.quiet(), "the write is held");
        assert_int_equal(it.peer_disk_of(it.a), disk::diskless);
        it.nodes[it.a]->end_helper(it.last_call(it.a).id, code);
        it.wait_quiet();
        assert_int_equal(it.writes_failed, 0);
        assert_int_equal(it.called(it.a, "fence-disk"), 1);
        assert_int_equal(it.called(it.a, "fence-peer"), 0);
        // What its disk is, the peer itself has said; no answer makes it Outdated.
        assert_int_equal(it.peer_disk_of(it.a), disk::diskless);
        it.expect(it.volume(it.a).out_of_sync_kib > 0, "what the peer lacks is noted");
        it.break_writes(it.b, false);
        it.expect(it.attach(it.b), "attached again");
        it.converge();
    }
}

void a_broken_answer_about_a_disk_leaves_frozen_what_is_frozen(void**) {
    for (const int code : {0, 1, 2, 6, 124}) {
        fenced_pair it;
        it.handler_exits(it.a, "fence-peer", code);
        it.break_writes(it.b);
        it.write(it.a, 0, 0, 8);
        it.run_for(60 * second);
        it.expect(it.frozen() && !it.quiet(), "the write is held");
        it.resume_io();
        it.wait_quiet();
        it.expect(!it.frozen(), "by hand");
        it.write(it.a, 0, 8, 8);
        it.wait_quiet();
    }
}

void a_disk_that_is_good_again_voids_the_question(void**) {
    fenced_pair it;
    it.handler_hangs(it.a, "fence-peer");
    it.break_writes(it.b);
    it.write(it.a, 0, 0, 8);
    it.wait_called(it.a, "fence-disk");
    const auto question = it.last_call(it.a).id;
    it.break_writes(it.b, false);
    it.wait([&] { return !it.volume(it.b).attached; }, "dropped");
    it.expect(it.attach(it.b), "attached again");
    it.converge();
    it.wait_quiet();
    it.expect(!it.frozen(), "thawed by itself");
    // The next loss is a new question; the old answer does not count for it.
    it.break_writes(it.b);
    it.write(it.a, 0, 8, 8);
    it.wait_called(it.a, "fence-disk", 2);
    it.nodes[it.a]->end_helper(question, 4);
    it.run_for(5 * second);
    it.expect(it.frozen() && !it.quiet(), "the old answer does not count");
    it.nodes[it.a]->end_helper(it.last_call(it.a).id, 4);
    it.wait_quiet();
}

void an_answer_about_a_disk_does_not_count_for_a_lost_link(void**) {
    fenced_pair it;
    it.handler_hangs(it.a, "fence-peer");
    it.break_writes(it.b);
    it.write(it.a, 0, 0, 8);
    it.wait_called(it.a, "fence-disk");
    const auto about_disk = it.last_call(it.a).id;
    it.lose_link();
    it.wait_called(it.a, "fence-peer");
    it.nodes[it.a]->end_helper(about_disk, 4);
    it.run_for(5 * second);
    it.expect(it.frozen() && !it.quiet(), "the link is another question");
    it.nodes[it.a]->end_helper(it.last_call(it.a).id, 4);
    it.wait_quiet();
}

void a_detached_peer_is_asked_about_like_a_failed_one(void**) {
    fenced_pair it;
    it.handler_exits(it.a, "fence-peer", 4);
    it.run([&](replica::on_outcome done) {
        it.nodes[it.b]->machine().detach(0, false, std::move(done));
    });
    it.wait_called(it.a, "fence-disk");
    it.expect(it.asked_for("fence-disk", "peer-disk"), "the reason is given");
    it.wait([&] { return !it.frozen(); }, "answered");
    it.write(it.a, 0, 0, 8);
    it.wait_quiet();
    it.expect(it.attach(it.b), "attached again");
    it.converge();
}

// The peer has the only good copy: no answer may make it worse.
void our_own_failed_disk_is_asked_about_and_the_peers_goes_on(void**) {
    for (const auto policy : {options::on_io_error::detach, options::on_io_error::pass_on}) {
        auto settings = fencing_settings(stonith);
        settings.disk.on_io_error = policy;
        fenced_pair it(settings);
        it.handler_hangs(it.a, "fence-peer");
        it.write(it.a, 0, 0, 8); // so that the next one needs no metadata
        it.wait_quiet();
        it.break_writes(it.a);
        it.write(it.a, 0, 0, 8);
        it.wait_called(it.a, "fence-disk");
        it.expect(it.asked_for("fence-disk", "own-disk"), "the reason is given");
        it.run_for(60 * second);
        it.expect(it.frozen() && !it.quiet(), "the write is held though the peer has it");
        it.nodes[it.a]->end_helper(it.last_call(it.a).id, 4);
        it.wait_quiet();
        it.write(it.a, 0, 8, 8);
        it.read(it.a, 0, 0, 16);
        it.wait_quiet();
        assert_int_equal(it.writes_failed + it.reads_failed, 0);
        assert_int_equal(it.peer_disk_of(it.a), disk::up_to_date);
        assert_int_equal(it.disk_of(it.b), disk::up_to_date);
        it.break_writes(it.a, false);
        it.run([&](replica::on_outcome done) {
            it.nodes[it.a]->machine().detach(0, false, std::move(done));
        });
        it.expect(it.attach(it.a), "attached again");
        it.converge();
    }
}

void a_disk_is_not_asked_about_without_stonith(void**) {
    for (const auto policy : {options::fencing::dont_care, options::fencing::resource_only}) {
        for (const unsigned side : {0U, 1U}) {
            fenced_pair it(policy);
            it.break_writes(side);
            it.write(it.a, 0, 0, 8);
            it.wait_quiet();
            it.wait([&] { return !it.volume(side).attached; }, "dropped");
            it.expect(!it.frozen(), "nothing is frozen");
            assert_int_equal(it.called(it.a, "fence-disk"), 0);
        }
    }
}

void one_volumes_disk_freezes_the_whole_resource(void**) {
    auto settings = fencing_settings(stonith);
    settings.volumes = 2;
    fenced_pair it(settings);
    it.handler_hangs(it.a, "fence-peer");
    it.break_writes(it.b); // of volume 0
    it.write(it.a, 0, 0, 8);
    it.wait_called(it.a, "fence-disk");
    it.write(it.a, 1, 0, 8);
    it.run_for(10 * second);
    assert_int_equal(it.nodes[it.a]->requests_open(), 2);
    it.nodes[it.a]->end_helper(it.last_call(it.a).id, 4);
    it.wait_quiet();
    assert_int_equal(it.called(it.a, "fence-disk"), 1);
}

// The handshakes of all volumes may end at once, and each thaws the resource: the peer gets once
// what it had not answered.
void what_was_frozen_is_sent_again_once(void**) {
    auto settings = fencing_settings(stonith);
    settings.volumes = 3;
    fenced_pair it(settings);
    it.handler_hangs(it.a, "fence-peer");
    for (std::uint64_t round = 0; round < 20; ++round) {
        const std::uint64_t before = it.volume(it.a).sent_kib;
        it.net.faults.cut = true;
        for (unsigned volume = 0; volume < settings.volumes; ++volume) {
            it.write(it.a, volume, 8 * round, 8);
        }
        it.lose_link();
        it.expect(it.frozen() && !it.quiet(), "the writes are held");
        it.net.faults.cut = false;
        it.wait_quiet();
        assert_int_equal(it.volume(it.a).sent_kib - before, 8); // with the first time
    }
    it.converge();
}

// One volume of two hears first, while they connect, that the peer has no disk for it. And what
// that disk had acknowledged and not flushed is lost with it.
void a_volume_without_a_disk_there_does_not_thaw_the_other(void**) {
    auto settings = story::small_pair();
    settings.disk.fencing = options::fencing::resource_and_stonith;
    settings.volumes = 2;
    story it(settings);
    it.handler_hangs(it.a, "fence-peer");
    it.handler_exits(it.a, "fence-disk", 4);
    it.net.faults.window_bytes = 64; // one packet at a time
    it.on_event = [&it] {
        const auto other = it.nodes[it.a]->state(1);
        if (other.connection < connection::connected && !other.suspended()) {
            it.fail_with("volume 1 goes on, and its peer is not there");
        }
    };
    for (replica::volume_number number = 0; number < 2; ++number) {
        it.write(it.a, number, 0, 64);
    }
    it.wait_quiet();
    it.nodes[it.b]->data_disk(0).faults.flush_error_permille = 1000;
    it.flush(it.a, 0);
    it.wait([&] { return it.disk_of(it.b) == disk::diskless; }, "B has lost its disk");
    it.wait([&] { return it.nodes[it.a]->state(1).connection < connection::connected; }, "parted");
    it.wait([&] { return it.nodes[it.a]->state(1).connection == connection::connected; }, "back");
    it.wait([&] { return !it.nodes[it.a]->state(1).suspended(); }, "thawed");
    it.on_event = nullptr;
    it.net.faults.window_bytes = 256 * 1024;
    it.handler_exits(it.a, "fence-peer", 4);
    it.nodes[it.b]->crash(true);
    it.nodes[it.b]->data_disk(0).faults = {};
    it.nodes[it.b]->start();
    it.expect(it.attach(it.b), "attached again");
    it.connect_both();
    it.converge();
}

// One volume of two connects, the other is refused, as the peer has been told that our disk goes
// and we have not been told that it may: what was frozen stays so.
void a_refused_volume_keeps_the_other_frozen(void**) {
    auto settings = fencing_settings(stonith);
    settings.volumes = 2;
    fenced_pair it(settings);
    it.handler_hangs(it.a, "fence-peer");
    it.net.faults.cut_from[it.b] = true;
    const auto ignored = [](const replica::outcome&) {};
    it.nodes[it.a]->machine().detach(1, false, ignored);
    it.run_for(second / 10);
    it.nodes[it.a]->machine().disconnect(true, ignored);
    it.wait([&] { return it.volume(it.b).state.connection < connection::connected; }, "parted");
    it.expect(it.frozen(), "frozen");
    it.write(it.a, 0, 0, 8);
    it.net.faults.cut_from[it.b] = false;
    it.connect_both();
    it.wait([&] { return it.volume(it.a).state.connection == connection::standalone; },
            "volume 1 is refused");
    it.run_for(10 * second);
    it.expect(it.frozen() && !it.quiet(), "the write is held");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_write_that_the_peers_disk_refuses_is_held_until_the_answer),
        cmocka_unit_test(a_broken_answer_about_a_disk_leaves_frozen_what_is_frozen),
        cmocka_unit_test(a_disk_that_is_good_again_voids_the_question),
        cmocka_unit_test(an_answer_about_a_disk_does_not_count_for_a_lost_link),
        cmocka_unit_test(a_detached_peer_is_asked_about_like_a_failed_one),
        cmocka_unit_test(our_own_failed_disk_is_asked_about_and_the_peers_goes_on),
        cmocka_unit_test(a_disk_is_not_asked_about_without_stonith),
        cmocka_unit_test(one_volumes_disk_freezes_the_whole_resource),
        cmocka_unit_test(what_was_frozen_is_sent_again_once),
        cmocka_unit_test(a_volume_without_a_disk_there_does_not_thaw_the_other),
        cmocka_unit_test(a_refused_volume_keeps_the_other_frozen),
    };
    return cmocka_run_group_tests_name("fencing_disk", tests, nullptr, nullptr);
}
