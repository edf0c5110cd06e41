// fence-peer before a promotion without the peer.
#include "fenced_pair.hpp"

namespace {

using namespace lockstep;
using simulation::fenced_pair;
using simulation::second;
using simulation::stonith;
using state::connection;
using state::disk;
using state::role;

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

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(promotion_without_the_peer_asks_first),
        cmocka_unit_test(exit_6_outdates_a_node_that_is_not_primary),
        cmocka_unit_test(exit_5_counts_only_with_an_up_to_date_disk),
        cmocka_unit_test(exit_7_without_stonith_is_complained_about),
        cmocka_unit_test(a_peer_that_comes_back_during_the_question_is_asked_itself),
        cmocka_unit_test(a_promotion_does_not_wait_for_ever),
    };
    return cmocka_run_group_tests_name("fencing_promotion", tests, nullptr, nullptr);
}
