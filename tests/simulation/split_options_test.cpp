// after-sb-2pri, always-asbp and rr-conflict: the same split brain with another value ends
// otherwise. What each node wrote is known by its pattern.
#include <algorithm>

#include "option_story.hpp"

namespace {

using namespace lockstep;
using asb = options::after_split_brain;
using simulation::second;
using simulation::small_pair;
using simulation::story;
using state::connection;
using state::role;

// A and B were parted, both were promoted, and both wrote; B wrote more.
struct split : story {
    explicit split(const simulation::node_settings& settings) : story(settings) {
        up_and_synced();
        disconnect(0);
        wait([this] { return connection(1) == connection::wf_connection; }, "parted");
        check(primary(1), "B is promoted");
        scribble(0, 0, 4);
        scribble(1, 2, 6);
    }

    static std::byte pattern(unsigned side) {
        return side == 0 ? std::byte{0xaa} : std::byte{0xbb};
    }
    void scribble(unsigned side, std::uint64_t first, std::uint64_t count) {
        for (std::uint64_t block = first; block < first + count; ++block) {
            auto request = std::make_unique<simulation::client_request>();
            request->io.op = replica::io_request::operation::write;
            request->io.offset = block * 4096;
            request->io.size = 4096;
            request->io.buffer = nodes[side]->client_buffer(4096);
            std::fill_n(request->io.buffer.data(), 4096, pattern(side));
            nodes[side]->submit(std::move(request));
        }
        wait([this] { return quiet(); }, "written");
    }
    // Block 2 was written by both.
    unsigned data_of(unsigned side) {
        simulation::sector found;
        nodes[side]->data_disk(0).read_now(2UL * 4096, found);
        return found[0] == pattern(0) ? 0 : 1;
    }
    void meet() {
        for (auto& each : nodes) {
            if (each->status().connection == connection::standalone) {
                each->connect();
            }
        }
        run_until([this] { return is_in_sync(); }, 20 * second);
    }
    bool solved_for(unsigned survivor) {
        return is_in_sync() && data_of(0) == survivor && data_of(1) == survivor;
    }
    bool refused() { return !is_in_sync() && data_of(0) == 0 && data_of(1) == 1; }
};

void after_sb_2pri_decides_between_two_primaries(void**) {
    auto settings = small_pair();
    settings.net.allow_two_primaries = true;
    settings.net.after_sb_0pri = asb::discard_least_changes;
    settings.net.after_sb_2pri = asb::disconnect;
    split parted(settings);
    parted.meet();
    parted.check(parted.refused(), "disconnect: neither loses anything");
    settings.net.after_sb_2pri = asb::call_pri_lost;
    split decided(settings);
    decided.meet();
    decided.check(decided.solved_for(1),
                  "call-pri-lost-after-sb: the one with fewer changes loses");
    decided.check(decided.nodes[0]->status().role == role::secondary, "and is demoted");
}

void always_asbp_applies_the_policies_to_an_older_split(void**) {
    for (const bool always : {false, true}) {
        auto settings = small_pair();
        settings.net.always_asbp = always;
        split it(settings);
        it.nodes[0]->settings().net.after_sb_0pri = asb::discard_local;
        it.nodes[1]->settings().net.after_sb_0pri = asb::discard_remote;
        it.check(it.secondary(0) && it.secondary(1), "demoted");
        for (unsigned side = 0; side < 2; ++side) {
            it.disconnect(side);
            // What they had in common is no longer their last but one generation.
            it.check(it.run([&](replica::on_outcome done) {
                           it.nodes[side]->machine().new_current_uuid(0, true, std::move(done));
                       }).ok,
                     "new-current-uuid --clear-bitmap");
        }
        it.meet();
        it.check(always ? it.solved_for(1) : it.refused(), "as always-asbp says");
    }
}

void rr_conflict_decides_when_a_primary_would_have_to_sync(void**) {
    using options::rr_conflict;
    for (const rr_conflict policy :
         {rr_conflict::disconnect, rr_conflict::call_pri_lost, rr_conflict::violently}) {
        auto settings = small_pair();
        settings.net.rr_conflict = policy;
        settings.net.after_sb_0pri = asb::discard_least_changes;
        settings.net.after_sb_1pri = asb::violently_as_0p;
        split it(settings);
        it.check(it.secondary(1), "only A is Primary, and has to lose");
        it.meet();
        it.check(it.refused(), "a Primary is no sync target, whatever rr-conflict says");
        assert_int_equal(it.nodes[0]->helpers_called["pri-lost"],
                         policy == rr_conflict::call_pri_lost ? 1 : 0);
        // Violently: the decision stands, and the loser's I/O is frozen until it is demoted.
        assert_int_equal(it.nodes[0]->status().suspended, policy == rr_conflict::violently);
        if (policy == rr_conflict::violently) {
            it.check(it.secondary(0), "demoted");
            it.meet();
            it.check(it.solved_for(1), "then it gets the data of the other");
        }
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(after_sb_2pri_decides_between_two_primaries),
        cmocka_unit_test(always_asbp_applies_the_policies_to_an_older_split),
        cmocka_unit_test(rr_conflict_decides_when_a_primary_would_have_to_sync),
    };
    return cmocka_run_group_tests_name("split_options", tests, nullptr, nullptr);
}
