#include "daemon/arbiter/resource_arbiter.hpp"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "unit/cmocka.hpp"

namespace {

using namespace lockstep::arbiter;
using reason = resource_arbiter::reason;
using enum resource_arbiter::fence_cause;

constexpr node_id self = 1;
constexpr node_id peer = 2;
constexpr node_id third = 3;
constexpr instant lease = 3'000;
constexpr instant outdate_limit = 5'000;

// The group, the engine and the handlers of one node. What is proposed becomes the record when the
// test says so, by the rules of the record itself.
struct node final : resource_ports {
    explicit node(bool device = false)
        : arbiter({"data", self, peer, lease, outdate_limit, device}, *this) {
        kept.at = {4, 10};
        kept.incarnation = 7;
        kept.epoch = 1;
        kept.in_sync = {self, peer};
    }

    const resource_record* record() const override { return open ? &kept : nullptr; }
    const node_set& members() const override { return present; }
    bool propose(const change& what) override {
        assert_false(proposed.has_value());
        proposed = what;
        return true;
    }
    void tell(const outdate_request& what) override { asked.push_back(what); }
    void tell(const outdate_confirmed& what) override { confirmed.push_back(what); }
    void command(engine_command what) override { commands.push_back(what); }
    void answer(std::uint64_t /*request*/, fence_answer with) override { answers.push_back(with); }
    void fence(node_id which) override { fenced.push_back(which); }
    void keep_dropped(bool is) override { dropped = is; }
    void set_timer(instant when) override { wakes = when; }
    instant now() const override { return clock; }

    // A majority has what was proposed. Text of it; empty: nothing was.
    std::string commit() {
        if (!proposed) {
            return {};
        }
        const change what = *std::exchange(proposed, std::nullopt);
        auto next = changed(kept, what, {self, present});
        assert_true(next.has_value());
        kept = *next;
        arbiter.judged(true);
        arbiter.record_committed();
        return text(what);
    }
    // The members of the group are others now; what was under way is lost.
    void regroup(const node_set& members, bool majority = true) {
        present = members;
        proposed.reset();
        open = false;
        arbiter.view_moved();
        if (majority) {
            open = true;
            ++kept.at.view;
            arbiter.view_moved();
            arbiter.record_committed();
        }
    }
    void wake_at(instant when) {
        assert_int_equal(wakes, when);
        clock = when;
        arbiter.timer();
    }
    void engine(void (*change)(engine_facts&)) {
        change(facts);
        arbiter.engine(facts);
    }
    void is_primary() {
        kept.primary = self;
        engine([](engine_facts& its) {
            its.running = its.primary = its.up_to_date = its.connected = its.peer_up_to_date = true;
        });
    }
    void is_secondary_of_the_peer() {
        kept.primary = peer;
        engine([](engine_facts& its) {
            its.running = its.up_to_date = its.connected = its.peer_up_to_date = its.peer_primary =
                true;
        });
    }
    void loses_the_link() {
        facts.separated = clock;
        engine([](engine_facts& its) {
            its.connected = its.peer_up_to_date = its.peer_primary = false;
            ++its.connection;
        });
    }

    bool open = true;
    node_set present = {self, peer, third};
    resource_record kept;
    instant clock = 100'000;
    instant wakes = never;
    bool dropped = false;
    engine_facts facts;
    std::optional<change> proposed;
    std::vector<outdate_request> asked;
    std::vector<outdate_confirmed> confirmed;
    std::vector<engine_command> commands;
    std::vector<fence_answer> answers;
    std::vector<node_id> fenced;
    resource_arbiter arbiter;
};

using answer_list = std::vector<fence_answer>;
using command_list = std::vector<engine_command>;

// --- a Primary has lost its peer ---

void a_peer_that_outdates_its_disk_is_left_out_and_then_answered_for(void**) {
    node here;
    here.is_primary();
    here.loses_the_link();
    here.arbiter.fence_asked(1, link);
    assert_int_equal(here.asked.size(), 1);
    assert_true(here.asked[0].at == here.kept.at);
    assert_false(here.proposed.has_value());
    here.arbiter.told(third, outdate_confirmed{"data", here.kept.at});
    assert_false(here.proposed.has_value());
    here.arbiter.told(peer, outdate_confirmed{"data", here.kept.at});
    here.arbiter.judged(true);
    assert_true(here.answers.empty()); // it is proposed, not committed
    assert_string_equal(here.commit().c_str(), "leave 2");
    assert_true(here.answers == answer_list{fence_answer::outdated});
    assert_true(here.kept.in_sync == node_set{self});
}

void a_peer_in_the_group_that_does_not_confirm_counts_as_gone(void**) {
    node here;
    here.is_primary();
    here.loses_the_link();
    here.arbiter.fence_asked(1, link);
    here.wake_at(here.clock + outdate_limit);
    // Too late: it may mean an older question.
    assert_string_equal(here.commit().c_str(), "leave 2");
    assert_true(here.answers == answer_list{fence_answer::unreachable});
}

void a_peer_that_is_gone_is_fenced_first_where_there_is_a_device(void**) {
    for (const bool works : {true, false}) {
        node here(true);
        here.is_primary();
        here.loses_the_link();
        here.regroup({self, third});
        here.arbiter.fence_asked(1, link);
        assert_true(here.asked.empty());
        assert_true(here.fenced == std::vector<node_id>{peer});
        assert_false(here.proposed.has_value());
        here.arbiter.fenced(peer, works);
        here.commit();
        assert_true(here.answers ==
                    answer_list{works ? fence_answer::fenced : fence_answer::unreachable});
    }
}

void every_answer_follows_a_version_committed_after_the_question(void**) {
    node here;
    here.is_primary();
    here.kept.in_sync = {self};
    here.present = {self, third};
    here.engine([](engine_facts& its) { its.peer_up_to_date = false; });
    here.loses_the_link();
    here.arbiter.fence_asked(1, link);
    assert_true(here.answers.empty());
    assert_string_equal(here.commit().c_str(), "leave 2"); // who is out already
    assert_true(here.answers == answer_list{fence_answer::unreachable});
    here.arbiter.fence_asked(2, link);
    assert_int_equal(here.answers.size(), 1);
    here.commit();
    assert_int_equal(here.answers.size(), 2);
}

void a_minority_answers_nothing_and_fences_nobody(void**) {
    node here(true);
    here.is_primary();
    here.loses_the_link();
    here.regroup({self}, false);
    here.arbiter.fence_asked(1, link);
    assert_true(here.answers.empty() && here.fenced.empty() && !here.proposed);
    assert_true(here.arbiter.waits_for() == reason::no_majority);
    here.regroup({self, third});
    assert_true(here.fenced == std::vector<node_id>{peer});
    here.arbiter.fenced(peer, true);
    here.commit();
    assert_true(here.answers == answer_list{fence_answer::fenced});
}

void what_was_found_out_in_one_view_is_not_used_in_the_next(void**) {
    node here;
    here.is_primary();
    here.loses_the_link();
    here.arbiter.fence_asked(1, link);
    here.arbiter.told(peer, outdate_confirmed{"data", here.kept.at});
    assert_true(here.proposed.has_value());
    const version before = here.kept.at;
    here.regroup({self, peer});
    assert_true(here.answers.empty());
    assert_int_equal(here.asked.size(), 2);
    here.arbiter.told(peer, outdate_confirmed{"data", before});
    assert_false(here.proposed.has_value());
    here.arbiter.told(peer, outdate_confirmed{"data", here.kept.at});
    here.commit();
    assert_true(here.answers == answer_list{fence_answer::outdated});
}

void a_link_that_is_back_makes_the_question_void(void**) {
    node here;
    here.is_primary();
    here.loses_the_link();
    here.arbiter.fence_asked(1, link);
    here.engine([](engine_facts& its) { its.connected = its.peer_up_to_date = true; });
    assert_true(here.answers == answer_list{fence_answer::void_now});
    // Lost again: another question, and the peer is asked again.
    here.loses_the_link();
    here.arbiter.told(peer, outdate_confirmed{"data", here.kept.at});
    assert_false(here.proposed.has_value());
    here.arbiter.fence_asked(2, link);
    assert_int_equal(here.asked.size(), 2);
}

void a_handler_that_is_faster_than_the_engine_is_answered_for_its_own_loss(void**) {
    node here;
    here.present = {self, third};
    here.is_primary();
    here.arbiter.fence_asked(1, link);
    assert_true(here.arbiter.waits_for() == reason::link);
    assert_false(here.proposed.has_value());
    here.loses_the_link();
    here.commit();
    assert_true(here.answers == answer_list{fence_answer::unreachable});
}

void a_peer_whose_disk_has_failed_is_left_out_while_it_is_connected(void**) {
    node here;
    here.is_primary();
    here.engine([](engine_facts& its) { its.peer_up_to_date = false; });
    here.arbiter.fence_asked(1, disk);
    here.arbiter.told(peer, outdate_confirmed{"data", here.kept.at});
    assert_string_equal(here.commit().c_str(), "leave 2");
    assert_true(here.answers == answer_list{fence_answer::outdated});
}

void a_primary_that_the_record_is_without_is_demoted(void**) {
    node here;
    here.is_primary();
    here.loses_the_link();
    here.regroup({self}, false);
    here.arbiter.fence_asked(1, link);
    here.kept.primary = peer; // the others went on
    here.kept.in_sync = {peer};
    here.regroup({self, peer, third});
    assert_true(here.answers == answer_list{fence_answer::self});
    assert_true(here.commands == command_list{engine_command::demote_with_errors});
    here.arbiter.record_committed();
    assert_int_equal(here.commands.size(), 1);
    assert_false(here.proposed.has_value());
}

void a_void_proposal_is_made_again_upon_the_new_record(void**) {
    node here;
    here.present = {self, third};
    here.is_primary();
    here.loses_the_link();
    here.arbiter.fence_asked(1, link);
    here.proposed.reset();
    ++here.kept.at.counter; // another change came first
    here.arbiter.judged(false);
    assert_true(here.proposed.has_value());
    here.commit();
    assert_true(here.answers == answer_list{fence_answer::unreachable});
}

// --- the survivor ---

void a_survivor_claims_waits_out_the_lease_and_is_promoted(void**) {
    node here;
    here.is_secondary_of_the_peer();
    here.arbiter.want_primary(true);
    assert_true(here.arbiter.waits_for() == reason::other_primary);
    here.regroup({self, third});
    // Its daemon is gone, and it still writes.
    assert_true(here.arbiter.waits_for() == reason::link_shows_primary);
    here.loses_the_link();
    const instant lost = here.clock;
    here.clock += 10;
    assert_string_equal(here.commit().c_str(), "claim alone");
    assert_true(here.kept.in_sync == node_set{self});
    assert_true(here.arbiter.waits_for() == reason::lease);
    assert_true(here.commands.empty());
    here.wake_at(lost + lease);
    assert_true(here.commands == command_list{engine_command::promote});
    assert_int_equal(here.kept.epoch, 2);
}

void a_link_to_a_peer_that_is_not_in_the_group_is_dropped_before_the_claim(void**) {
    node here;
    here.is_secondary_of_the_peer();
    here.engine([](engine_facts& its) { its.peer_primary = false; });
    here.regroup({self, third});
    here.arbiter.want_primary(true);
    assert_true(here.commands == command_list{engine_command::drop_link});
    assert_true(here.dropped);
    assert_false(here.proposed.has_value());
    here.facts.stands_alone = true;
    here.loses_the_link();
    assert_string_equal(here.commit().c_str(), "claim alone");
    // Somebody connects it again: the lease begins anew.
    here.engine([](engine_facts& its) {
        its.connected = true;
        its.stands_alone = false;
    });
    assert_int_equal(here.commands.size(), 2);
    assert_true(here.commands[1] == engine_command::drop_link);
    here.clock += 100;
    here.loses_the_link();
    here.wake_at(here.clock + lease);
    assert_true(here.commands.back() == engine_command::promote);
    here.engine([](engine_facts& its) { its.primary = its.stands_alone = true; });
    assert_true(here.commands.back() == engine_command::connect);
    here.engine([](engine_facts& its) { its.stands_alone = false; });
    assert_true(here.dropped); // until they are connected
    here.engine([](engine_facts& its) { its.connected = true; });
    assert_false(here.dropped);
}

// The old Primary is there again before its daemon has demoted it: both engines give up.
void two_primaries_that_have_met_are_connected_again(void**) {
    node here;
    here.is_secondary_of_the_peer();
    here.regroup({self, third});
    here.loses_the_link();
    here.arbiter.want_primary(true);
    assert_string_equal(here.commit().c_str(), "claim alone");
    here.wake_at(here.facts.separated + lease);
    here.engine([](engine_facts& its) { its.primary = true; });
    here.engine([](engine_facts& its) { its.stands_alone = true; });
    assert_true(here.commands == (command_list{engine_command::promote, engine_command::connect}));
    // And once more.
    here.engine([](engine_facts& its) { its.stands_alone = false; });
    here.engine([](engine_facts& its) { its.stands_alone = true; });
    assert_int_equal(here.commands.size(), 3);
    assert_true(here.commands.back() == engine_command::connect);
    here.engine([](engine_facts& its) {
        its.stands_alone = false;
        its.connected = true;
    });
    // What somebody disconnects after that stays so.
    here.facts.stands_alone = true;
    here.loses_the_link();
    assert_int_equal(here.commands.size(), 3);
}

void a_primary_that_was_replaced_is_connected_when_it_is_demoted(void**) {
    node here;
    here.is_primary();
    here.facts.stands_alone = true;
    here.loses_the_link();
    here.kept.primary = peer;
    here.kept.in_sync = {peer};
    here.arbiter.record_committed();
    assert_true(here.commands == command_list{engine_command::demote_with_errors});
    here.engine([](engine_facts& its) { its.primary = false; });
    assert_int_equal(here.commands.size(), 2);
    assert_true(here.commands.back() == engine_command::outdate);
    here.engine([](engine_facts& its) { its.up_to_date = false; });
    assert_int_equal(here.commands.size(), 3);
    assert_true(here.commands.back() == engine_command::connect);
}

// Somebody has disconnected them before: that is not this daemon's to end.
void a_link_that_was_disconnected_by_hand_stays_so_after_a_promotion(void**) {
    node here;
    here.is_secondary_of_the_peer();
    here.regroup({self, third});
    here.facts.stands_alone = true;
    here.loses_the_link();
    here.arbiter.want_primary(true);
    assert_string_equal(here.commit().c_str(), "claim alone");
    here.wake_at(here.facts.separated + lease);
    here.engine([](engine_facts& its) { its.primary = true; });
    assert_true(here.commands == command_list{engine_command::promote});
    assert_false(here.dropped);
}

void an_engine_that_was_just_started_waits_out_the_lease_too(void**) {
    node here;
    here.present = {self, third};
    here.facts.started = here.clock - 10;
    here.engine([](engine_facts& its) { its.running = its.up_to_date = true; });
    here.arbiter.want_primary(true);
    assert_string_equal(here.commit().c_str(), "claim alone");
    here.wake_at(here.facts.started + lease);
    assert_true(here.commands == command_list{engine_command::promote});
}

void who_is_not_in_sync_or_has_no_good_disk_is_not_promoted(void**) {
    node here;
    here.present = {self, third};
    here.kept.in_sync = {peer};
    here.engine([](engine_facts& its) { its.running = its.up_to_date = true; });
    here.arbiter.want_primary(true);
    assert_true(here.arbiter.waits_for() == reason::not_in_sync);
    // Nor is its data taken for the newer when the peer comes back.
    assert_true(here.commands == command_list{engine_command::outdate});
    here.arbiter.record_committed();
    assert_int_equal(here.commands.size(), 1);
    here.kept.in_sync = {self};
    here.engine([](engine_facts& its) { its.up_to_date = false; });
    assert_true(here.arbiter.waits_for() == reason::disk);
    assert_int_equal(here.commands.size(), 1);
    assert_false(here.proposed.has_value());
}

// The engine does not outdate its disk as long as it waits to be promoted.
void who_is_not_in_sync_and_asks_is_told_so_before_the_disk_is_outdated(void**) {
    node here;
    here.present = {self, third};
    here.kept.in_sync = {peer};
    here.engine([](engine_facts& its) { its.running = its.up_to_date = true; });
    here.arbiter.outdated(false);
    here.arbiter.fence_asked(1, link);
    assert_true(here.answers == answer_list{fence_answer::self});
    assert_true(here.commands == (command_list{engine_command::outdate, engine_command::outdate}));
}

void with_its_peer_a_node_is_promoted_without_waiting(void**) {
    node here;
    here.is_secondary_of_the_peer();
    here.arbiter.want_primary(true);
    here.kept.primary.reset();
    here.engine([](engine_facts& its) { its.peer_primary = false; });
    assert_string_equal(here.commit().c_str(), "claim");
    assert_true(here.commands == command_list{engine_command::promote});
    assert_true(here.kept.in_sync == (node_set{self, peer}));
}

void a_promotion_that_failed_is_tried_again(void**) {
    node here;
    here.is_secondary_of_the_peer();
    here.kept.primary.reset();
    here.engine([](engine_facts& its) { its.peer_primary = false; });
    here.arbiter.want_primary(true);
    here.commit();
    here.arbiter.promoted(false);
    assert_int_equal(here.commands.size(), 2);
}

void a_peer_that_is_lost_during_a_promotion_is_left_out_first(void**) {
    node here;
    here.is_secondary_of_the_peer();
    here.kept.primary.reset();
    here.engine([](engine_facts& its) { its.peer_primary = false; });
    here.arbiter.want_primary(true);
    here.commit();
    here.loses_the_link();
    here.arbiter.promoted(false);
    assert_int_equal(here.commands.size(), 1);
    assert_string_equal(here.commit().c_str(), "claim alone");
    here.wake_at(here.facts.separated + lease);
    assert_int_equal(here.commands.size(), 2);
}

void an_engine_that_asks_before_it_is_promoted_by_hand_gets_the_lease_waited_out(void**) {
    node here;
    here.is_secondary_of_the_peer();
    here.regroup({self, third});
    here.loses_the_link();
    assert_false(here.proposed.has_value());
    here.arbiter.fence_asked(1, link);
    assert_string_equal(here.commit().c_str(), "claim alone");
    assert_true(here.answers.empty());
    here.wake_at(here.facts.separated + lease);
    assert_true(here.answers == answer_list{fence_answer::unreachable});
}

void a_promotion_by_hand_beside_a_primary_is_refused(void**) {
    node here;
    here.is_secondary_of_the_peer();
    here.loses_the_link();
    here.arbiter.fence_asked(1, link);
    assert_true(here.answers == answer_list{fence_answer::void_now});
    here.kept.primary.reset();
    here.kept.in_sync = {peer};
    here.engine([](engine_facts& its) { its.up_to_date = false; });
    here.arbiter.fence_asked(2, link);
    assert_true(here.answers.back() == fence_answer::self);
    assert_false(here.proposed.has_value());
}

// --- the record follows the engine ---

void a_primary_that_is_none_any_more_resigns(void**) {
    node here;
    here.is_primary();
    assert_false(here.proposed.has_value());
    here.engine([](engine_facts& its) { its.primary = false; });
    assert_string_equal(here.commit().c_str(), "resign");
}

void a_primary_that_the_record_does_not_know_claims(void**) {
    node here;
    here.is_primary();
    here.kept.primary.reset();
    here.arbiter.record_committed();
    assert_string_equal(here.commit().c_str(), "claim");
}

void a_peer_is_put_back_when_the_engine_says_that_it_has_everything(void**) {
    node here;
    here.is_primary();
    here.kept.in_sync = {self};
    here.engine([](engine_facts& its) { its.peer_up_to_date = false; });
    assert_false(here.proposed.has_value());
    here.engine([](engine_facts& its) { its.peer_up_to_date = true; });
    assert_string_equal(here.commit().c_str(), "join 2");
    assert_true(here.kept.in_sync == (node_set{self, peer}));
}

void a_peer_is_not_put_back_while_the_engine_asks_to_leave_it_out(void**) {
    node here;
    here.is_primary();
    here.kept.in_sync = {self};
    here.arbiter.fence_asked(1, disk);
    assert_false(here.proposed.has_value());
    assert_int_equal(here.asked.size(), 1);
}

void who_lacks_something_himself_puts_nobody_back(void**) {
    node here;
    here.is_primary();
    here.kept.in_sync = {self};
    here.engine([](engine_facts& its) { its.up_to_date = false; });
    assert_false(here.proposed.has_value());
}

void a_node_whose_disk_is_not_good_leaves(void**) {
    node here;
    here.is_secondary_of_the_peer();
    here.engine([](engine_facts& its) { its.up_to_date = false; });
    assert_string_equal(here.commit().c_str(), "leave 1");
    assert_true(here.kept.in_sync == node_set{peer});
}

void a_disk_is_outdated_for_the_primary_of_this_record_only(void**) {
    node here;
    here.is_secondary_of_the_peer();
    here.loses_the_link();
    here.arbiter.told(third, outdate_request{"data", here.kept.at});
    here.arbiter.told(peer, outdate_request{"data", {here.kept.at.view, 9}});
    assert_true(here.commands.empty());
    here.arbiter.told(peer, outdate_request{"data", here.kept.at});
    assert_true(here.commands == command_list{engine_command::outdate});
    assert_true(here.confirmed.empty());
    here.arbiter.outdated(true);
    assert_int_equal(here.confirmed.size(), 1);
    here.kept.primary.reset();
    here.arbiter.told(peer, outdate_request{"data", here.kept.at});
    assert_int_equal(here.commands.size(), 1);
}

void a_disk_that_was_outdated_for_an_earlier_view_is_not_confirmed(void**) {
    node here;
    here.is_secondary_of_the_peer();
    here.loses_the_link();
    here.arbiter.told(peer, outdate_request{"data", here.kept.at});
    here.regroup({self, peer});
    here.arbiter.outdated(true);
    assert_true(here.confirmed.empty());
}

void before_the_engine_was_heard_of_nothing_is_done(void**) {
    node here;
    here.kept.primary = self;
    here.arbiter.record_committed();
    assert_false(here.proposed.has_value());
    assert_true(here.arbiter.waits_for() == reason::no_engine);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_peer_that_outdates_its_disk_is_left_out_and_then_answered_for),
        cmocka_unit_test(a_peer_in_the_group_that_does_not_confirm_counts_as_gone),
        cmocka_unit_test(a_peer_that_is_gone_is_fenced_first_where_there_is_a_device),
        cmocka_unit_test(every_answer_follows_a_version_committed_after_the_question),
        cmocka_unit_test(a_minority_answers_nothing_and_fences_nobody),
        cmocka_unit_test(what_was_found_out_in_one_view_is_not_used_in_the_next),
        cmocka_unit_test(a_link_that_is_back_makes_the_question_void),
        cmocka_unit_test(a_handler_that_is_faster_than_the_engine_is_answered_for_its_own_loss),
        cmocka_unit_test(a_peer_whose_disk_has_failed_is_left_out_while_it_is_connected),
        cmocka_unit_test(a_primary_that_the_record_is_without_is_demoted),
        cmocka_unit_test(a_void_proposal_is_made_again_upon_the_new_record),
        cmocka_unit_test(a_survivor_claims_waits_out_the_lease_and_is_promoted),
        cmocka_unit_test(a_link_to_a_peer_that_is_not_in_the_group_is_dropped_before_the_claim),
        cmocka_unit_test(two_primaries_that_have_met_are_connected_again),
        cmocka_unit_test(a_primary_that_was_replaced_is_connected_when_it_is_demoted),
        cmocka_unit_test(a_link_that_was_disconnected_by_hand_stays_so_after_a_promotion),
        cmocka_unit_test(an_engine_that_was_just_started_waits_out_the_lease_too),
        cmocka_unit_test(who_is_not_in_sync_or_has_no_good_disk_is_not_promoted),
        cmocka_unit_test(who_is_not_in_sync_and_asks_is_told_so_before_the_disk_is_outdated),
        cmocka_unit_test(with_its_peer_a_node_is_promoted_without_waiting),
        cmocka_unit_test(a_promotion_that_failed_is_tried_again),
        cmocka_unit_test(a_peer_that_is_lost_during_a_promotion_is_left_out_first),
        cmocka_unit_test(
            an_engine_that_asks_before_it_is_promoted_by_hand_gets_the_lease_waited_out),
        cmocka_unit_test(a_promotion_by_hand_beside_a_primary_is_refused),
        cmocka_unit_test(a_primary_that_is_none_any_more_resigns),
        cmocka_unit_test(a_primary_that_the_record_does_not_know_claims),
        cmocka_unit_test(a_peer_is_put_back_when_the_engine_says_that_it_has_everything),
        cmocka_unit_test(a_peer_is_not_put_back_while_the_engine_asks_to_leave_it_out),
        cmocka_unit_test(who_lacks_something_himself_puts_nobody_back),
        cmocka_unit_test(a_node_whose_disk_is_not_good_leaves),
        cmocka_unit_test(a_disk_is_outdated_for_the_primary_of_this_record_only),
        cmocka_unit_test(a_disk_that_was_outdated_for_an_earlier_view_is_not_confirmed),
        cmocka_unit_test(before_the_engine_was_heard_of_nothing_is_done),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
