// fence-peer: when it is asked, what its answers do, and what makes an answer void.
#include "story.hpp"

namespace {

using namespace lockstep;
using simulation::second;
using simulation::story;
using state::connection;
using state::disk;
using state::role;

simulation::node_settings settings_with(options::fencing policy) {
    auto settings = story::small_pair();
    settings.disk.fencing = policy;
    settings.disk.on_io_error = options::on_io_error::detach;
    return settings;
}

constexpr auto stonith = options::fencing::resource_and_stonith;

struct fenced_pair : story {
    explicit fenced_pair(options::fencing policy = stonith) : story(settings_with(policy)) {}
    explicit fenced_pair(const simulation::node_settings& settings) : story(settings) {}

    void lose_link() {
        net.faults.cut = true;
        wait([this] { return volume(a).state.connection < connection::connected; },
             "the loss is noticed");
    }
    // A write that is not completed as long as nobody has answered.
    void write_frozen(std::uint64_t at = 0) {
        write(a, 0, at, 8);
        run_for(5 * second);
        expect(frozen() && !quiet(), "the write is held");
    }
    void resume_io() {
        run([this](replica::on_outcome done) { nodes[a]->machine().resume_io(std::move(done)); });
    }
    bool asked_for(const char* verb, const char* reason) {
        const auto& call = last_call(a);
        return call.name == verb && call.reason == reason && !call.for_volume;
    }
};

// --- the link is lost ---

void a_lost_link_freezes_until_3_4_5_or_7(void**) {
    for (const int code : {3, 4, 5, 7}) {
        fenced_pair it;
        it.handler_hangs(it.a, "fence-peer");
        it.lose_link();
        it.wait_called(it.a, "fence-peer");
        it.expect(it.asked_for("fence-peer", "peer-lost"), "the reason is given");
        it.write_frozen();
        it.nodes[it.a]->end_helper(it.last_call(it.a).id, code);
        it.wait_quiet();
        it.expect(!it.frozen(), "the answer ends the freeze");
        assert_int_equal(it.peer_disk_of(it.a), code == 3 ? disk::inconsistent : disk::outdated);
        assert_int_equal(it.writes_failed, 0);
        it.net.faults.cut = false;
        it.converge();
    }
}

void a_broken_handler_leaves_frozen_what_is_frozen(void**) {
    for (const int code : {0, 1, 2, 6, 8, 20, 124, 255}) {
        fenced_pair it;
        it.handler_exits(it.a, "fence-peer", code);
        it.lose_link();
        it.write_frozen();
        assert_int_equal(it.peer_disk_of(it.a), disk::unknown);
        assert_int_equal(it.disk_of(it.a), disk::up_to_date);
        if (code % 2 == 0) {
            it.resume_io();
        } else {
            it.net.faults.cut = false; // the connection is the answer
        }
        it.wait_quiet();
        it.expect(!it.frozen(), "thawed");
        assert_int_equal(it.called(it.a, "fence-peer"), 1);
        it.net.faults.cut = false;
        it.converge();
    }
}

// It can't become Outdated while Primary: it is demoted, and what was frozen is not kept.
void exit_6_keeps_a_primary_frozen_until_it_is_demoted(void**) {
    for (const bool disk_lost : {false, true}) {
        fenced_pair it;
        it.handler_exits(it.a, "fence-peer", 6);
        if (disk_lost) {
            it.break_writes(it.b);
        } else {
            it.lose_link();
        }
        for (std::uint64_t block = 0; block < 40; ++block) {
            it.write(it.a, 0, 8 * block, 16); // they overlap
        }
        it.run_for(20 * second);
        it.expect(it.frozen() && !it.quiet(), "held");
        assert_int_equal(it.writes_failed, 0);
        it.nodes[it.a]->device_in_use = true;
        it.expect(!it.secondary(it.a), "refused while in use");
        assert_int_equal(it.writes_failed, 0);
        it.nodes[it.a]->device_in_use = false;
        it.expect(it.secondary(it.a), "demoted");
        it.expect(it.quiet() && it.writes_failed >= 39, "what was frozen ends with errors");
        assert_int_equal(it.nodes[it.a]->status().role, role::secondary);
        it.break_writes(it.b, false);
        it.net.faults.cut = false;
        it.expect(it.attach(it.b), "attached again");
        it.converge();
    }
}

void resource_only_asks_without_freezing(void**) {
    fenced_pair it(options::fencing::resource_only);
    it.handler_hangs(it.a, "fence-peer");
    it.lose_link();
    it.wait_called(it.a, "fence-peer");
    it.write(it.a, 0, 0, 8);
    it.wait_quiet();
    assert_int_equal(it.peer_disk_of(it.a), disk::unknown);
    it.nodes[it.a]->end_helper(it.last_call(it.a).id, 4);
    it.wait([&] { return it.peer_disk_of(it.a) == disk::outdated; }, "the peer counts as Outdated");
    it.net.faults.cut = false;
    it.converge();
}

void dont_care_asks_nobody_and_goes_on_with_a_new_generation(void**) {
    fenced_pair it(options::fencing::dont_care);
    const auto before = it.volume(it.a).current_uuid;
    it.lose_link();
    assert_int_not_equal(it.volume(it.a).current_uuid, before);
    it.write(it.a, 0, 0, 8);
    it.wait_quiet();
    assert_int_equal(it.called(it.a, "fence-peer"), 0);
    it.net.faults.cut = false;
    it.converge();
}

void the_handler_may_wait_as_long_as_the_link_is_down(void**) {
    fenced_pair it;
    it.handler_hangs(it.a, "fence-peer");
    it.lose_link();
    it.run_for(7200 * second);
    it.expect(it.frozen(), "still asking");
    assert_int_equal(it.called(it.a, "fence-peer"), 1);
    it.nodes[it.a]->end_helper(it.last_call(it.a).id, 7);
    it.wait([&] { return !it.frozen(); }, "answered");
    it.net.faults.cut = false;
    it.converge();
}

void an_answer_for_an_earlier_connection_is_dropped_and_the_new_loss_asked_about(void**) {
    fenced_pair it;
    it.handler_hangs(it.a, "fence-peer");
    it.lose_link();
    it.wait_called(it.a, "fence-peer");
    const auto first = it.last_call(it.a).id;
    it.net.faults.cut = false;
    it.converge();
    it.lose_link();
    it.wait_called(it.a, "fence-peer", 2);
    const auto second_call = it.last_call(it.a).id;
    it.write(it.a, 0, 0, 8);
    it.nodes[it.a]->end_helper(first, 4);
    it.run_for(5 * second);
    it.expect(it.frozen() && !it.quiet(), "the old answer does not count");
    assert_int_equal(it.peer_disk_of(it.a), disk::unknown);
    it.nodes[it.a]->end_helper(second_call, 4);
    it.wait_quiet();
    assert_int_equal(it.peer_disk_of(it.a), disk::outdated);
}

void a_handler_whose_question_is_void_gets_the_time_limit_of_all(void**) {
    fenced_pair it;
    bool told = false;
    it.handler_hangs(it.a, "fence-peer");
    it.nodes[it.a]->on_log = [&](unsigned, std::string_view text) {
        told |= text.find("exit code 124") != std::string_view::npos;
    };
    it.lose_link();
    it.net.faults.cut = false;
    it.converge();
    it.run_for(200 * second);
    it.expect(!told, "not yet");
    it.run_for(200 * second);
    it.expect(told, "ended, and logged");
    it.expect(!it.frozen(), "it concerns nobody");
}

void a_waiting_handler_blocks_no_command(void**) {
    fenced_pair it;
    it.handler_hangs(it.a, "fence-peer");
    it.lose_link();
    it.wait_called(it.a, "fence-peer");
    it.write_frozen();
    auto& machine = it.nodes[it.a]->machine();
    using replica::on_outcome;
    const auto ends = [&](const std::function<void(on_outcome)>& command) {
        const auto begun = it.events.now();
        auto result = it.run(command);
        it.expect(it.events.now() - begun <= 11 * second, "a command returns within its bound");
        return result;
    };
    const auto demotion = ends([&](on_outcome done) { machine.secondary(std::move(done)); });
    it.expect(!demotion.ok && !demotion.remedy.empty(), "demotion says what is pending");
    ends([&](on_outcome done) { machine.outdate(0, std::move(done)); });
    ends([&](on_outcome done) { machine.suspend_io(std::move(done)); });
    ends([&](on_outcome done) { machine.disconnect(false, std::move(done)); });
    it.expect(machine.status().volumes[0].waiting_for == "waiting for the fence-peer handler",
              "status says why");
    ends([&](on_outcome done) { machine.resume_io(std::move(done)); });
    it.wait_quiet();
    it.expect(ends([&](on_outcome done) { machine.secondary(std::move(done)); }).ok, "demoted");
    it.expect(ends([&](on_outcome done) { machine.detach(0, false, std::move(done)); }).ok,
              "detached");
}

// --- promotion without the peer ---

struct lone_survivor : fenced_pair {
    // B is alone, and does not know what has become of A.
    explicit lone_survivor(options::fencing policy = stonith) : fenced_pair(policy) {
        nodes[a]->crash(true);
        wait([this] { return nodes[b]->status().connection == connection::wf_connection; },
             "alone");
    }
};

void promotion_without_the_peer_asks_first(void**) {
    for (const auto policy : {stonith, options::fencing::resource_only}) {
        for (const int code : {3, 4, 5, 7}) {
            lone_survivor it(policy);
            it.handler_exits(it.b, "fence-peer", code);
            it.expect(it.primary(it.b), "promoted");
            assert_string_equal(it.last_call(it.b).reason.c_str(), "promotion");
            assert_int_equal(it.peer_disk_of(it.b),
                             code == 3 ? disk::inconsistent : disk::outdated);
            it.expect(!it.frozen(it.b), "nothing is frozen");
        }
        for (const int code : {0, 1, 2, 8, 124}) {
            lone_survivor it(policy);
            it.handler_exits(it.b, "fence-peer", code);
            it.expect(!it.primary(it.b), "refused");
            assert_int_equal(it.disk_of(it.b), disk::up_to_date);
            it.expect(it.primary(it.b, true), "forced");
        }
    }
}

void exit_6_outdates_a_node_that_is_not_primary(void**) {
    lone_survivor it;
    it.handler_exits(it.b, "fence-peer", 6);
    it.expect(!it.primary(it.b), "refused");
    assert_int_equal(it.disk_of(it.b), disk::outdated);
    it.expect(!it.primary(it.b), "and again");
    assert_int_equal(it.nodes[it.b]->status().role, role::secondary);
}

// After a restart a disk is only Consistent: nobody knows whether the peer went on.
void exit_5_counts_only_with_an_up_to_date_disk(void**) {
    for (const int code : {5, 4}) {
        lone_survivor it;
        it.nodes[it.b]->crash(true);
        it.nodes[it.b]->start();
        it.expect(it.attach(it.b), "attached");
        assert_int_equal(it.disk_of(it.b), disk::consistent);
        it.handler_exits(it.b, "fence-peer", code);
        const bool promoted = it.primary(it.b);
        assert_int_equal(promoted, code == 4);
        assert_int_equal(it.disk_of(it.b), code == 4 ? disk::up_to_date : disk::consistent);
    }
}

void exit_7_without_stonith_is_complained_about(void**) {
    for (const auto policy : {stonith, options::fencing::resource_only}) {
        lone_survivor it(policy);
        bool told = false;
        it.nodes[it.b]->on_log = [&](unsigned, std::string_view text) {
            told |= text.find("fence-peer() = 7 && fencing != Stonith") != std::string_view::npos;
        };
        it.handler_exits(it.b, "fence-peer", 7);
        it.expect(it.primary(it.b), "it counts all the same");
        assert_int_equal(told, policy != stonith);
    }
}

void a_peer_that_comes_back_during_the_question_is_asked_itself(void**) {
    fenced_pair it;
    it.expect(it.secondary(it.a), "nobody is Primary");
    it.lose_link();
    it.handler_hangs(it.b, "fence-peer");
    bool promoted = false;
    it.nodes[it.b]->machine().primary(false,
                                      [&](const replica::outcome& got) { promoted = got.ok; });
    it.wait_called(it.b, "fence-peer");
    it.net.faults.cut = false;
    it.expect(it.wait_in_sync(), "connected again");
    it.expect(!promoted, "not yet");
    it.nodes[it.b]->end_helper(it.last_call(it.b).id, 6);
    it.wait([&] { return promoted; }, "promoted with the peer's consent");
    assert_int_equal(it.disk_of(it.b), disk::up_to_date); // the answer came too late
}

void a_promotion_does_not_wait_for_ever(void**) {
    lone_survivor it;
    it.handler_hangs(it.b, "fence-peer");
    it.nodes[it.b]->helper_limit = 60 * second;
    it.expect(!it.primary(it.b), "refused after the time limit of handlers");
}

void protocol_a_is_refused_with_stonith(void**) {
    auto settings = settings_with(stonith);
    fenced_pair it(settings);
    options::net_options asynchronous = settings.net;
    asynchronous.protocol = options::protocol::a;
    const auto refused = it.nodes[it.a]->machine().change_net_options(asynchronous);
    assert_int_equal(refused.code, 154);
    fenced_pair other(options::fencing::dont_care);
    assert_true(other.nodes[0]->machine().change_net_options(asynchronous).ok);
    other.run_for(second);
    assert_int_equal(other.nodes[0]->machine().change_disk_options(0, settings.disk).code, 154);
}

// --- a disk is lost, the connection stands ---

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
        auto settings = settings_with(stonith);
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
    auto settings = settings_with(stonith);
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
    auto settings = settings_with(stonith);
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
    auto settings = settings_with(stonith);
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
        cmocka_unit_test(a_lost_link_freezes_until_3_4_5_or_7),
        cmocka_unit_test(a_broken_handler_leaves_frozen_what_is_frozen),
        cmocka_unit_test(exit_6_keeps_a_primary_frozen_until_it_is_demoted),
        cmocka_unit_test(resource_only_asks_without_freezing),
        cmocka_unit_test(dont_care_asks_nobody_and_goes_on_with_a_new_generation),
        cmocka_unit_test(the_handler_may_wait_as_long_as_the_link_is_down),
        cmocka_unit_test(
            an_answer_for_an_earlier_connection_is_dropped_and_the_new_loss_asked_about),
        cmocka_unit_test(a_handler_whose_question_is_void_gets_the_time_limit_of_all),
        cmocka_unit_test(a_waiting_handler_blocks_no_command),
        cmocka_unit_test(promotion_without_the_peer_asks_first),
        cmocka_unit_test(exit_6_outdates_a_node_that_is_not_primary),
        cmocka_unit_test(exit_5_counts_only_with_an_up_to_date_disk),
        cmocka_unit_test(exit_7_without_stonith_is_complained_about),
        cmocka_unit_test(a_peer_that_comes_back_during_the_question_is_asked_itself),
        cmocka_unit_test(a_promotion_does_not_wait_for_ever),
        cmocka_unit_test(protocol_a_is_refused_with_stonith),
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
    return cmocka_run_group_tests_name("fencing", tests, nullptr, nullptr);
}
