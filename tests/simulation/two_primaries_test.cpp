// Two Primaries that lost each other, and met again after both had written: after-sb-2pri, and what
// after-sb-1pri does to a Primary that would lose.
#include <algorithm>
#include <array>

#include "story.hpp"

namespace {

using namespace lockstep;
using asb = options::after_split_brain;
using options::rr_conflict;
using simulation::second;
using simulation::story;
using state::connection;
using state::role;

struct policies {
    asb zero = asb::disconnect;
    asb one = asb::disconnect;
    asb two = asb::disconnect;
    rr_conflict conflict = rr_conflict::disconnect;
};

constexpr std::uint64_t block_sectors = 8;

struct parted_primaries : story {
    explicit parted_primaries(const policies& given) : story(settings_with(given)) {
        expect(primary(b), "two Primaries");
        net.faults.cut = true;
        wait([this] { return parted(a) && parted(b); }, "both have noticed");
        // A writes less: discard-least-changes makes it the victim.
        scribble(a, 0, 4);
        scribble(b, 2, 6);
    }

    static simulation::node_settings settings_with(const policies& given) {
        auto settings = small_pair();
        settings.net.allow_two_primaries = true;
        settings.net.after_sb_0pri = given.zero;
        settings.net.after_sb_1pri = given.one;
        settings.net.after_sb_2pri = given.two;
        settings.net.rr_conflict = given.conflict;
        return settings;
    }

    bool parted(unsigned side) const {
        return volume(side).state.connection < connection::connected;
    }
    role role_of(unsigned side) const { return nodes[side]->status().role; }
    void meet() { net.faults.cut = false; }

    // Past the model of the clients: it knows one writer.
    void scribble(unsigned side, unsigned first, unsigned count) {
        for (unsigned block = first; block < first + count; ++block) {
            auto request = std::make_unique<simulation::client_request>();
            request->io.op = replica::io_request::operation::write;
            request->io.offset = block * block_sectors * 512;
            request->io.size = block_sectors * 512;
            request->io.buffer = nodes[side]->client_buffer(request->io.size);
            std::fill_n(request->io.buffer.data(), request->io.size, pattern(side));
            request->done = [](simulation::client_request&, int error) {
                assert_int_equal(error, 0);
            };
            nodes[side]->submit(std::move(request));
        }
        wait_quiet();
    }
    static std::byte pattern(unsigned side) {
        return side == a ? std::byte{0xaa} : std::byte{0xbb};
    }
    std::byte content(unsigned side, unsigned block) {
        simulation::sector found;
        nodes[side]->data_disk(0).read_now(block * block_sectors * 512, found);
        return found[0];
    }

    // Who decides first closes the connection; the other may only see that, and tries again.
    void expect_refused() {
        wait(
            [this] {
                return std::ranges::any_of(nodes, [](const auto& each) {
                    return each->status().connection == connection::standalone;
                });
            },
            "given up");
        run_for(60 * second);
        for (const unsigned side : {a, b}) {
            expect(parted(side), "they stay apart");
            assert_true(content(side, 0) == (side == a ? pattern(a) : std::byte{0}));
            assert_true(content(side, 2) == pattern(side));
        }
    }
    void expect_survivor(unsigned side) {
        expect(wait_in_sync(), "in sync");
        run_for(second);
        for (const unsigned at : {a, b}) {
            assert_true(content(at, 0) == (side == a ? pattern(a) : std::byte{0}));
            assert_true(content(at, 2) == pattern(side));
            assert_true(content(at, 7) == (side == b ? pattern(b) : std::byte{0}));
        }
    }
    unsigned calls(const std::string& handler) { return called(a, handler) + called(b, handler); }
};

void two_primaries_part_without_a_policy(void**) {
    parted_primaries it({});
    it.meet();
    it.expect_refused();
    assert_true(it.calls("initial-split-brain") >= 1);
    assert_int_equal(it.calls("split-brain"), it.calls("initial-split-brain"));
    assert_int_equal(it.role_of(it.a), role::primary);
    assert_int_equal(it.role_of(it.b), role::primary);
    // By hand: the victim is demoted first.
    it.run([&](replica::on_outcome done) {
        it.nodes[it.a]->machine().disconnect(false, std::move(done));
    });
    assert_false(it.nodes[it.a]->connect(true).ok); // --discard-my-data as Primary
    it.expect(it.secondary(it.a), "demoted");
    assert_true(it.nodes[it.a]->connect(true).ok);
    it.connect_both();
    it.expect_survivor(it.b);
}

void call_pri_lost_demotes_the_victim_of_two(void**) {
    parted_primaries it({.zero = asb::discard_least_changes, .two = asb::call_pri_lost});
    it.meet();
    it.expect_survivor(it.b);
    assert_int_equal(it.role_of(it.a), role::secondary);
    assert_int_equal(it.role_of(it.b), role::primary);
    assert_int_equal(it.calls("pri-lost-after-sb"), 0);
    assert_int_equal(it.calls("split-brain"), 0);
}

void a_victim_in_use_gets_its_handler_and_stays_primary(void**) {
    parted_primaries it({.zero = asb::discard_least_changes, .two = asb::call_pri_lost});
    it.nodes[it.a]->device_in_use = true;
    it.meet();
    it.wait_called(it.a, "pri-lost-after-sb");
    assert_int_equal(it.called(it.b, "pri-lost-after-sb"), 0);
    it.expect_refused();
    assert_int_equal(it.role_of(it.a), role::primary);
    assert_true(it.called(it.a, "split-brain") >= 1);
}

// The victim is decided violently, and then is a Primary that would have to be sync target.
void violently_as0p_never_makes_a_primary_a_target(void**) {
    for (const auto conflict :
         {rr_conflict::disconnect, rr_conflict::violently, rr_conflict::call_pri_lost}) {
        parted_primaries it({.zero = asb::discard_least_changes,
                             .two = asb::violently_as_0p,
                             .conflict = conflict});
        it.meet();
        it.expect_refused();
        assert_int_equal(it.role_of(it.a), role::primary);
        assert_int_equal(it.frozen(it.a), conflict == rr_conflict::violently);
        assert_int_equal(it.frozen(it.b), false);
        assert_int_equal(it.called(it.a, "pri-lost"),
                         conflict == rr_conflict::call_pri_lost ? 1 : 0);
    }
}

void violently_as0p_with_one_primary_keeps_it_or_parts(void**) {
    for (const bool primary_wins : {true, false}) {
        parted_primaries it({.zero = asb::discard_least_changes, .one = asb::violently_as_0p});
        it.expect(it.secondary(primary_wins ? it.a : it.b), "demoted");
        it.meet();
        if (primary_wins) {
            it.expect_survivor(it.b);
        } else {
            it.expect_refused();
            assert_int_equal(it.role_of(it.a), role::primary);
        }
    }
}

void without_allow_two_primaries_a_second_one_is_refused(void**) {
    story it(story::small_pair());
    it.expect(!it.primary(it.b), "refused while connected");
    it.net.faults.cut = true;
    it.wait([&] { return it.volume(it.b).state.connection < connection::connected; }, "alone");
    it.expect(it.primary(it.b), "promoted alone");
    it.net.faults.cut = false;
    it.run_for(60 * second);
    for (const unsigned side : {it.a, it.b}) {
        it.expect(it.volume(side).state.connection < connection::connected, "they stay apart");
        assert_int_equal(it.nodes[side]->status().role, role::primary);
    }
}

// One crashed and met the other, which went on; before it was in sync both crashed. Of one
// generation and both a Primary that crashed: only the disks tell who went on.
void a_crashed_primary_that_was_outdated_is_not_the_source(void**) {
    for (const unsigned behind : {0U, 1U}) {
        const unsigned ahead = 1 - behind;
        auto settings = story::small_pair();
        settings.net.allow_two_primaries = true;
        settings.disk.fencing = options::fencing::resource_and_stonith;
        story it(settings);
        it.expect(it.primary(it.b), "two Primaries");
        it.write(behind, 0, 0, 8);
        it.wait_quiet();
        it.handler_hangs(ahead, "fence-peer");
        it.handler_hangs(ahead, "before-resync-source");
        it.nodes[behind]->crash(true);
        it.wait([&] { return it.frozen(ahead); }, "the crash is noticed");
        it.nodes[behind]->start();
        it.expect(it.attach(behind), "attached again");
        it.connect_both();
        it.wait([&] { return it.disk_of(behind) == state::disk::outdated; }, "sync target");
        it.write(ahead, 0, 8, 8, true);
        it.wait_quiet();
        it.expect(it.disk_of(behind) == state::disk::outdated, "not in sync yet");
        for (const unsigned side : {0U, 1U}) {
            it.nodes[side]->crash(true);
            it.nodes[side]->helper_answers.clear();
        }
        for (const unsigned side : {0U, 1U}) {
            it.nodes[side]->start();
            it.expect(it.attach(side), "attached once more");
        }
        it.connect_both();
        it.converge();
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(two_primaries_part_without_a_policy),
        cmocka_unit_test(call_pri_lost_demotes_the_victim_of_two),
        cmocka_unit_test(a_victim_in_use_gets_its_handler_and_stays_primary),
        cmocka_unit_test(violently_as0p_never_makes_a_primary_a_target),
        cmocka_unit_test(violently_as0p_with_one_primary_keeps_it_or_parts),
        cmocka_unit_test(without_allow_two_primaries_a_second_one_is_refused),
        cmocka_unit_test(a_crashed_primary_that_was_outdated_is_not_the_source),
    };
    return cmocka_run_group_tests_name("two primaries", tests, nullptr, nullptr);
}
