#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "unit/arbiter/group.hpp"
#include "unit/cmocka.hpp"

namespace {

using namespace lockstep::arbiter;
using test::group;
using test::member;

constexpr std::uint64_t cluster_id = 0xC1;

bool all_open(group& in) {
    for (node_id node = 1; node <= in.size(); ++node) {
        if (in.at(node).up() && !in.at(node).book->open()) {
            return false;
        }
    }
    return true;
}

// A cluster whose nodes all vote, with the resource "data" whose first member is node 1.
void found(group& in) {
    in.settle();
    assert_true(in.at(1).book->found_cluster(cluster_id, 1));
    in.settle();
    vote_list all;
    for (node_id node = 1; node <= in.size(); ++node) {
        all[node] = 1;
    }
    if (all.size() > 1) {
        assert_true(in.at(1).book->propose_cluster(set_nodes{all}));
        in.settle();
    }
    assert_true(in.at(1).book->propose("data", create_resource{7}));
    in.settle();
    assert_true(in.at(1).book->propose("data", found_set{1}));
    in.settle();
    assert_string_equal(in.fault().c_str(), "");
    assert_true(all_open(in));
}

const resource_record& data_of(group& in, node_id node) {
    const resource_record* const record = in.at(node).book->committed_resource("data");
    assert_non_null(record);
    return *record;
}

void a_cluster_grows_from_the_node_that_founded_it(void**) {
    group nodes(1, 3);
    nodes.settle();
    assert_false(all_open(nodes)); // no file never means new
    found(nodes);
    for (node_id node = 1; node <= 3; ++node) {
        const ledger& book = *nodes.at(node).book;
        assert_true(book.state().votes);
        assert_int_equal(book.state().cluster.incarnation, cluster_id);
        assert_int_equal(book.state().cluster.nodes.size(), 3);
        assert_true(book.state().cluster.before.empty());
        assert_true(*nodes.at(node).disk == book.state());
        assert_true(data_of(nodes, node).in_sync == node_set{1});
    }
}

void a_cluster_is_founded_once(void**) {
    group nodes(2, 3);
    found(nodes);
    assert_false(nodes.at(2).book->found_cluster(0xC2, 1));
    assert_false(nodes.at(1).book->found_cluster(0xC2, 1));
}

void a_minority_changes_nothing_and_the_majority_goes_on(void**) {
    group nodes(3, 3);
    found(nodes);
    nodes.split({{1, 1}});
    nodes.settle();
    assert_false(nodes.at(1).book->open());
    assert_false(nodes.at(1).book->propose("data", claim{}));
    assert_true(nodes.at(2).book->open());
    assert_true(nodes.at(2).book->propose("data", create_resource{9}));
    assert_true(nodes.at(2).book->propose("more", create_resource{9}));
    nodes.settle();
    assert_non_null(nodes.at(3).book->committed_resource("more"));
    assert_int_equal(data_of(nodes, 3).incarnation, 7); // it was there already
    nodes.heal();
    nodes.settle();
    assert_non_null(nodes.at(1).book->committed_resource("more"));
    assert_string_equal(nodes.fault().c_str(), "");
}

void of_two_proposals_upon_one_version_one_is_void(void**) {
    group nodes(4, 3);
    found(nodes);
    assert_true(nodes.at(1).book->propose("data", join_set{2}));
    assert_true(nodes.at(1).book->propose("data", claim{}));
    nodes.settle();
    assert_true(data_of(nodes, 3).in_sync == (node_set{1, 2}));
    assert_false(data_of(nodes, 3).primary.has_value());
}

void nothing_is_committed_before_a_majority_has_it_on_disk(void**) {
    group nodes(5, 3);
    found(nodes);
    assert_true(nodes.at(1).book->propose("data", claim{}));
    // All deliver it; nobody's disk is done.
    while (nodes.at(1).book->state().resources.at("data").epoch == 0) {
        nodes.deliver_everything();
    }
    assert_null(nodes.at(1).book->committed_resource("data"));
    nodes.finish_store(2);
    nodes.deliver_everything();
    assert_null(nodes.at(1).book->committed_resource("data"));
    nodes.finish_store(3);
    nodes.deliver_everything();
    assert_int_equal(data_of(nodes, 1).epoch, 1); // without its own disk
}

void a_node_that_lost_its_state_gets_it_back_and_votes_again(void**) {
    group nodes(6, 3);
    found(nodes);
    nodes.crash(3, false);
    nodes.settle();
    nodes.crash(2);
    nodes.start(3);
    nodes.settle();
    assert_false(nodes.at(1).book->open()); // with one that knows nothing there is no majority
    nodes.start(2);
    nodes.settle();
    assert_true(nodes.at(3).disk->votes);
    nodes.crash(2);
    nodes.settle();
    assert_true(nodes.at(1).book->open());
    assert_string_equal(nodes.fault().c_str(), "");
}

void half_of_the_votes_decide_if_the_rest_is_off(void**) {
    group nodes(7, 2);
    found(nodes);
    nodes.crash(2);
    nodes.settle();
    assert_false(nodes.at(1).book->open());
    nodes.at(1).book->say_off(2);
    nodes.settle();
    assert_true(nodes.at(1).book->open());
    assert_true(nodes.at(1).book->propose("data", claim{}));
    nodes.settle();
    // After a restart it cannot know whether the other went on without it.
    nodes.crash(1);
    nodes.start(2);
    nodes.settle();
    nodes.at(2).book->say_off(1);
    nodes.settle();
    assert_false(nodes.at(2).book->open());
    nodes.start(1);
    nodes.settle();
    assert_int_equal(data_of(nodes, 2).epoch, 1);
}

void less_than_half_do_not_decide_though_the_rest_is_off(void**) {
    group nodes(8, 3);
    found(nodes);
    nodes.split({{1, 1}}); // the others may go on now
    nodes.settle();
    nodes.crash(2);
    nodes.crash(3);
    nodes.at(1).book->say_off(2);
    nodes.at(1).book->say_off(3);
    nodes.settle();
    assert_false(nodes.at(1).book->open());
}

void nodes_of_another_cluster_have_no_say(void**) {
    group nodes(9, 3);
    nodes.split({{3, 1}});
    nodes.settle();
    assert_true(nodes.at(3).book->found_cluster(0xC3, 1));
    assert_true(nodes.at(1).book->found_cluster(cluster_id, 1));
    nodes.settle();
    nodes.heal();
    nodes.settle();
    assert_non_null(std::strstr(nodes.fault().c_str(), "nodes of different clusters"));
    assert_false(nodes.at(1).book->open());
    nodes.split({{3, 1}});
    nodes.forgive(); // what others say of the same
    nodes.settle();
    assert_true(nodes.at(1).book->open());
    assert_int_equal(nodes.at(2).book->state().cluster.incarnation, cluster_id);
}

void a_store_that_failed_is_tried_again(void**) {
    group nodes(10, 1);
    found(nodes);
    assert_true(nodes.at(1).book->propose("data", claim{}));
    while (!nodes.at(1).storing) {
        nodes.deliver_everything();
    }
    nodes.at(1).storing.reset();
    nodes.at(1).book->store_failed();
    assert_non_null(std::strstr(nodes.fault().c_str(), "could not be written"));
    nodes.forgive();
    nodes.settle();
    assert_null(nodes.at(1).book->committed_resource("data"));
    nodes.at(1).book->retry();
    nodes.settle();
    assert_int_equal(data_of(nodes, 1).epoch, 1);
}

// --- random histories ---

change some_change(group& in) {
    const auto node = static_cast<node_id>(1 + in.pick(in.size()));
    switch (in.pick(8)) {
    case 0:
        return create_resource{1 + in.pick(100)};
    case 1:
        return remove_resource{};
    case 2:
        return found_set{node};
    case 3:
        return leave_set{node};
    case 4:
        return join_set{node};
    case 5:
        return claim{in.one_in(2)};
    default:
        return resign{};
    }
}

void propose_something(group& in, member& by) {
    if (in.one_in(12)) {
        vote_list list;
        for (node_id node = 1; node <= in.size(); ++node) {
            if (!in.one_in(4)) {
                list[node] = static_cast<std::uint32_t>(in.pick(3));
            }
        }
        by.book->propose_cluster(set_nodes{list});
        return;
    }
    by.book->propose(in.one_in(2) ? "data" : "more", some_change(in));
}

void disturb(group& in, bool& state_was_lost) {
    const auto node = static_cast<node_id>(1 + in.pick(in.size()));
    member& its = in.at(node);
    switch (in.pick(10)) {
    case 0: {
        std::map<node_id, unsigned> parts;
        for (node_id each = 1; each <= in.size(); ++each) {
            parts[each] = static_cast<unsigned>(in.pick(3));
        }
        in.split(parts);
        return;
    }
    case 1:
    case 2:
        in.heal();
        return;
    case 3:
        if (its.up()) {
            in.crash(node, state_was_lost || !in.one_in(8));
            state_was_lost |= !its.disk.has_value();
        }
        return;
    case 4:
    case 5:
        if (!its.up()) {
            in.start(node);
        }
        return;
    case 6:
        for (node_id each = 1; each <= in.size(); ++each) {
            if (its.up() && !in.at(each).up()) {
                its.book->say_off(each);
            }
        }
        return;
    default:
        if (its.up()) {
            propose_something(in, its);
        }
        return;
    }
}

// Whether those that have their state are enough. Not if the only one with votes has lost it.
bool can_decide(group& in) {
    cluster_record best;
    electorate who;
    node_set all;
    for (node_id node = 1; node <= in.size(); ++node) {
        const ledger_state& state = in.at(node).book->state();
        all.insert(node);
        if (state.votes) {
            who.voters.insert(node);
        }
        if (best.incarnation == 0 || best.at < state.cluster.at) {
            best = state.cluster;
        }
    }
    return decisive(best, all, who);
}

// Returns how much was committed, so that the test can tell whether it tested anything.
std::size_t random_history(std::uint64_t seed) {
    group nodes(seed, static_cast<node_id>(2 + seed % 4));
    found(nodes);
    bool state_was_lost = false;
    for (int i = 0; i < 300 && nodes.fault().empty(); ++i) {
        disturb(nodes, state_was_lost);
        nodes.run(nodes.one_in(3) ? nodes.pick(200) : nodes.pick(40));
    }
    nodes.heal();
    for (node_id node = 1; node <= nodes.size(); ++node) {
        if (!nodes.at(node).up()) {
            nodes.start(node);
        }
    }
    nodes.settle();
    if (!nodes.fault().empty()) {
        fail_msg("seed %llu: %s", static_cast<unsigned long long>(seed), nodes.fault().c_str());
    }
    if (!all_open(nodes)) {
        if (can_decide(nodes)) {
            fail_msg("seed %llu: all are there, and there is no view",
                     static_cast<unsigned long long>(seed));
        }
        return nodes.commits();
    }
    for (node_id node = 1; node <= nodes.size(); ++node) {
        const ledger& book = *nodes.at(node).book;
        assert_true(book.committed_cluster() != nullptr);
        assert_true(book.state().cluster == nodes.at(1).book->state().cluster);
        assert_true(book.state().resources == nodes.at(1).book->state().resources);
        assert_true(*nodes.at(node).disk == book.state());
    }
    return nodes.commits();
}

void what_is_committed_is_one_history_whatever_happens(void**) {
    // $LOCKSTEP_SEEDS: FIRST or FIRST-LAST, to see one again or many more.
    std::uint64_t first = 1;
    std::uint64_t last = 400;
    if (const char* const given = std::getenv("LOCKSTEP_SEEDS"); given != nullptr) {
        char* rest = nullptr;
        first = std::strtoull(given, &rest, 10);
        last = *rest == '-' ? std::strtoull(rest + 1, nullptr, 10) : first;
    }
    std::size_t commits = 0;
    for (std::uint64_t seed = first; seed <= last; ++seed) {
        commits += random_history(seed);
    }
    assert_true(commits > (last - first + 1) * 20);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_cluster_grows_from_the_node_that_founded_it),
        cmocka_unit_test(a_cluster_is_founded_once),
        cmocka_unit_test(a_minority_changes_nothing_and_the_majority_goes_on),
        cmocka_unit_test(of_two_proposals_upon_one_version_one_is_void),
        cmocka_unit_test(nothing_is_committed_before_a_majority_has_it_on_disk),
        cmocka_unit_test(a_node_that_lost_its_state_gets_it_back_and_votes_again),
        cmocka_unit_test(half_of_the_votes_decide_if_the_rest_is_off),
        cmocka_unit_test(less_than_half_do_not_decide_though_the_rest_is_off),
        cmocka_unit_test(nodes_of_another_cluster_have_no_say),
        cmocka_unit_test(a_store_that_failed_is_tried_again),
        cmocka_unit_test(what_is_committed_is_one_history_whatever_happens),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
