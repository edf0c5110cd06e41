// Two nodes whose net options have to be alike: what is said when they are not, and what becomes of
// those that one changes while they are connected.
#include <array>
#include <string>

#include "kernel/options/table.hpp"
#include "option_story.hpp"

namespace {

using namespace lockstep;
using options::after_split_brain;
using simulation::second;
using simulation::small_pair;
using simulation::story;
using state::connection;

struct difference {
    const char* option;
    std::array<const char*, 2> values;
    std::array<std::string, 2> told;
};

const std::string way_out =
    "Make them alike in the net sections, then on both nodes: drbdadm adjust.";

void meet(story& it, const difference& row) {
    for (unsigned side = 0; side < 2; ++side) {
        auto& net = it.nodes[side]->settings().net;
        assert_true(options::set(net, row.option, row.values[side]).has_value());
    }
    it.attach_both();
    it.connect_both();
    it.run_for(5 * second);
}

void what_differs_is_in_the_log_with_both_values_and_the_way_out(void**) {
    const difference rows[] = {
        {"protocol",
         {"C", "A"},
         {"incompatible protocol settings: C here, A on the peer. ",
          "incompatible protocol settings: A here, C on the peer. "}},
        {"after-sb-1pri",
         {"consensus", "disconnect"},
         {"incompatible after-sb-1pri settings: consensus here, disconnect on the peer. ",
          "incompatible after-sb-1pri settings: disconnect here, consensus on the peer. "}},
        {"verify-alg",
         {"sha1", "crc32c"},
         {"different verify-alg settings. me=\"sha1\" peer=\"crc32c\". ",
          "different verify-alg settings. me=\"crc32c\" peer=\"sha1\". "}},
    };
    for (const difference& row : rows) {
        std::array<unsigned, 2> gave_up{};
        for (std::uint64_t seed = 1; seed <= 10; ++seed) {
            story it(small_pair(), seed);
            meet(it, row);
            for (unsigned side = 0; side < 2; ++side) {
                const bool alone = it.connection(side) == connection::standalone;
                // Who hears of the other's end before it hears its settings knows where to look.
                it.check(it.logged(side, alone ? row.told[side] + way_out
                                               : "before the two had agreed: its log may say why"),
                         "it is told");
                gave_up[side] += alone ? 1 : 0;
            }
            it.check(it.connection(0) == connection::standalone ||
                         it.connection(1) == connection::standalone,
                     "one gives up");
        }
        assert_true(gave_up[0] > 0 && gave_up[1] > 0);
    }
}

// Who discards its own changes has a peer that discards those of the other side.
void a_policy_that_is_changed_on_a_live_connection_is_turned_round_on_the_peer(void**) {
    story it;
    it.up_and_synced();
    auto net = it.nodes[0]->status().net;
    net.after_sb_0pri = after_split_brain::discard_local;
    assert_true(it.nodes[0]->machine().change_net_options(net).ok);
    it.run_for(second);
    assert_true(it.nodes[1]->status().net.after_sb_0pri == after_split_brain::discard_remote);
    // And the two meet again.
    it.net.break_connection();
    it.run_for(second);
    it.wait([&] { return it.connection(0) == connection::connected; }, "connected again");
}

void a_policy_that_does_not_exist_is_not_taken_over(void**) {
    story it;
    it.up_and_synced();
    auto net = it.nodes[0]->status().net;
    net.after_sb_1pri = after_split_brain::discard_younger_primary; // after-sb-0pri has it
    assert_true(it.nodes[0]->machine().change_net_options(net).ok);
    it.run_for(second);
    assert_string_equal(options::get(it.nodes[1]->status().net, "after-sb-1pri").c_str(),
                        "disconnect");
    assert_int_equal(it.connection(1), connection::standalone);
    it.check(it.logged(1, "number 1, which is no policy of after-sb-1pri"), "it is told");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(what_differs_is_in_the_log_with_both_values_and_the_way_out),
        cmocka_unit_test(a_policy_that_is_changed_on_a_live_connection_is_turned_round_on_the_peer),
        cmocka_unit_test(a_policy_that_does_not_exist_is_not_taken_over),
    };
    return cmocka_run_group_tests_name("peer_settings", tests, nullptr, nullptr);
}
