// Commands that come in the middle of a handshake, between the two STATE packets: they wait for its
// end, and are done then.
#include <functional>
#include <optional>
#include <string>

#include "fenced_pair.hpp"
#include "pair_story.hpp"

namespace {

using namespace lockstep;
using simulation::create_metadata_in_sync;
using simulation::fenced_pair;
using simulation::millisecond;
using simulation::pair_story;
using simulation::second;
using state::connection;
using state::disk;

constexpr unsigned a = 0;
constexpr unsigned b = 1;

// A command for B, given when its STATE is out and A's has not come.
struct meeting_pair : pair_story {
    explicit meeting_pair(std::uint64_t seed) : pair_story(simulation::small_pair(), seed) {
        for (auto& each : nodes) {
            create_metadata_in_sync(each->metadata_at(0), 0x1234567812345678U);
        }
        net.faults.delay_max = 5 * millisecond;
    }

    using command = std::function<void(replica::on_outcome)>;
    void meet_and(const command& given) {
        on_event = [this, given] {
            if (!asked && nodes[b]->alive() &&
                nodes[b]->state().connection == connection::wf_report_params) {
                asked = true;
                given([this](const replica::outcome& end) { ended = end; });
            }
        };
        connect_both();
        expect_within([this] { return asked || both(connection::connected); }, "the two meet");
        if (asked) { // else everything has come at once
            expect_within([this] { return ended.has_value(); }, "the command ends", 3 * second);
            expect(ended->ok, ended->text.c_str());
        }
        met_in_between += asked ? 1 : 0;
    }
    static inline unsigned met_in_between = 0;

    bool asked = false;
    std::optional<replica::outcome> ended;
};

void an_attach_waits_for_the_end_of_the_handshake(void**) {
    for (std::uint64_t seed = 1; seed <= 30; ++seed) {
        meeting_pair it(seed);
        it.expect(it.attach(a), "A attaches");
        it.meet_and([&](replica::on_outcome done) { it.nodes[b]->attach(0, std::move(done)); });
        if (it.asked) {
            it.expect(it.wait_in_sync(), "in sync");
        }
    }
    assert_true(meeting_pair::met_in_between > 10);
}

void other_commands_wait_as_well(void**) {
    for (std::uint64_t seed = 1; seed <= 30; ++seed) {
        for (const char* name : {"detach", "outdate", "disconnect"}) {
            meeting_pair it(seed);
            it.expect(it.attach(a) && it.attach(b), "both attach");
            replica::resource& machine = it.nodes[b]->machine();
            it.meet_and([&](replica::on_outcome done) {
                if (name == std::string("detach")) {
                    machine.detach(0, false, std::move(done));
                } else if (name == std::string("outdate")) {
                    machine.outdate(0, std::move(done));
                } else {
                    machine.disconnect(false, std::move(done));
                }
            });
        }
    }
}

// A frozen Primary goes on by command as the two meet again: the generation that it makes must not
// fall between what each has told the other.
void resume_io_waits_as_well(void**) {
    unsigned met = 0;
    for (unsigned round = 1; round <= 40; ++round) {
        fenced_pair it;
        it.handler_exits(a, "fence-peer", 1);
        it.lose_link();
        it.write_frozen();
        it.net.faults.delay_max = round * millisecond / 4;
        it.net.faults.cut = false;
        std::optional<replica::outcome> ended;
        bool asked = false;
        it.on_event = [&] {
            if (!asked && it.volume(a).state.connection == connection::wf_report_params) {
                asked = true;
                it.nodes[a]->machine().resume_io([&](const auto& end) { ended = end; });
            }
        };
        it.wait([&] { return asked || it.volume(a).state.connection == connection::connected; },
                "the two meet");
        met += asked ? 1 : 0;
        it.wait([&] { return !asked || ended.has_value(); }, "resume-io ends");
        it.wait_quiet();
        it.converge();
    }
    assert_true(met > 10);
}

// A peer that says nothing more does not hold the command for ever.
void a_silent_peer_holds_it_only_so_long(void**) {
    meeting_pair it(1);
    it.expect(it.attach(a), "A attaches");
    it.nodes[b]->settings().net.ping_int_s = 120; // it is not missed before
    it.on_event = [&] {
        if (!it.asked && it.nodes[b]->state().connection == connection::wf_report_params) {
            it.asked = true;
            it.net.faults.cut_from[a] = true;
            it.nodes[b]->attach(0, [&](const replica::outcome& end) { it.ended = end; });
        }
    };
    it.connect_both();
    it.expect_within([&] { return it.ended.has_value(); }, "it ends", 5 * second);
    it.net.faults.cut_from[a] = false;
    it.expect(it.ended->ok || it.attach(b), "attached, at once or later");
    it.expect(it.wait_in_sync(), "in sync");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(an_attach_waits_for_the_end_of_the_handshake),
        cmocka_unit_test(other_commands_wait_as_well),
        cmocka_unit_test(resume_io_waits_as_well),
        cmocka_unit_test(a_silent_peer_holds_it_only_so_long),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
