#include "daemon/arbiter/change.hpp"
#include "daemon/arbiter/votes.hpp"
#include "unit/cmocka.hpp"

namespace {

using namespace lockstep::arbiter;

constexpr node_id a = 1;
constexpr node_id b = 2;
constexpr node_id c = 3;

resource_record with(std::optional<node_id> primary, node_set in_sync) {
    resource_record out;
    out.at = {5, 3};
    out.incarnation = 1;
    out.epoch = 4;
    out.primary = primary;
    out.in_sync = std::move(in_sync);
    return out;
}

circumstances by(node_id proposer, node_set members = {a, b, c}) {
    return {proposer, std::move(members)};
}

void a_change_counts_one_up_in_its_view(void**) {
    const resource_record before = with({}, {a, b});
    const auto after = changed(before, claim{}, by(a));
    assert_true(after.has_value());
    assert_true(after->at == (version{5, 4}));
    assert_true(after->lineage != before.lineage);
    assert_int_equal(after->epoch, 5);
    assert_true(after->primary == a);
    assert_true(after->in_sync == (node_set{a, b}));
}

void histories_that_differ_have_different_lineages(void**) {
    const resource_record before = with(a, {a, b});
    const auto one = changed(before, leave_set{b}, by(a));
    const auto other = changed(before, leave_set{b}, by(b));
    const auto third = changed(before, resign{}, by(a));
    assert_true(one && other && third);
    assert_true(one->lineage != other->lineage && one->lineage != third->lineage);
}

void only_a_member_of_the_set_becomes_primary(void**) {
    assert_false(changed(with({}, {a}), claim{}, by(b)).has_value());
    assert_false(changed(with({}, {a}), claim{true}, by(b)).has_value());
    assert_true(changed(with({}, {a}), claim{}, by(a)).has_value());
}

void a_primary_that_is_there_is_not_replaced(void**) {
    assert_false(changed(with(a, {a, b}), claim{}, by(b)).has_value());
    assert_false(changed(with(a, {a, b}), claim{true}, by(b)).has_value());
    const auto survivor = changed(with(a, {a, b}), claim{true}, by(b, {b, c}));
    assert_true(survivor.has_value());
    assert_true(survivor->primary == b);
    assert_true(survivor->in_sync == node_set{b});
}

void a_peer_is_taken_out_by_the_primary_or_by_itself(void**) {
    assert_true(changed(with(a, {a, b}), leave_set{b}, by(a))->in_sync == node_set{a});
    assert_true(changed(with(a, {a, b}), leave_set{b}, by(b))->in_sync == node_set{a});
    assert_false(changed(with(a, {a, b}), leave_set{b}, by(c)).has_value());
    assert_false(changed(with({}, {a, b}), leave_set{b}, by(a)).has_value());
    assert_false(changed(with(b, {a, b}), leave_set{b}, by(a)).has_value());
    // A primary whose own disk has failed.
    assert_true(changed(with(a, {a, b}), leave_set{a}, by(a))->in_sync == node_set{b});
}

void the_last_member_stays(void**) {
    assert_false(changed(with(a, {a}), leave_set{a}, by(a)).has_value());
    assert_false(changed(with(a, {b}), leave_set{b}, by(a)).has_value());
}

void a_peer_comes_back_by_the_primary_or_with_none_by_a_member(void**) {
    assert_true(changed(with(a, {a}), join_set{b}, by(a))->in_sync == (node_set{a, b}));
    assert_true(changed(with({}, {a}), join_set{b}, by(a))->in_sync == (node_set{a, b}));
    assert_false(changed(with({}, {a}), join_set{b}, by(b)).has_value());
    assert_false(changed(with(a, {a, c}), join_set{b}, by(c)).has_value());
    assert_false(changed(with(a, {b}), join_set{a}, by(a)).has_value()); // it has no good disk
}

void a_primary_resigns_for_itself_only(void**) {
    assert_false(changed(with(a, {a, b}), resign{}, by(b)).has_value());
    const auto after = changed(with(a, {a, b}), resign{}, by(a));
    assert_true(after.has_value() && !after->primary);
    assert_int_equal(after->epoch, 4);
}

void the_first_member_is_named_once(void**) {
    assert_true(changed(with({}, {}), found_set{b}, by(a))->in_sync == node_set{b});
    assert_false(changed(with({}, {a}), found_set{b}, by(b)).has_value());
}

void a_resource_is_made_once_and_removed_while_nobody_is_primary(void**) {
    const auto made = changed(resource_record{}, create_resource{8}, by(a));
    assert_true(made.has_value());
    assert_int_equal(made->incarnation, 8);
    assert_false(changed(*made, create_resource{9}, by(a)).has_value());
    assert_false(changed(resource_record{}, claim{}, by(a)).has_value());
    assert_false(changed(resource_record{}, create_resource{0}, by(a)).has_value());
    assert_false(changed(with(a, {a}), remove_resource{}, by(a)).has_value());
    const auto gone = changed(with({}, {a}), remove_resource{}, by(a));
    assert_true(gone.has_value() && gone->removed && gone->in_sync.empty());
    assert_false(changed(*gone, found_set{a}, by(a)).has_value());
    assert_true(changed(*gone, create_resource{9}, by(a)).has_value());
}

void a_list_of_nodes_is_followed_by_the_next_when_it_is_finished(void**) {
    cluster_record before;
    before.incarnation = 1;
    before.nodes = {{a, 1}};
    const auto joint = changed(before, set_nodes{{{a, 1}, {b, 1}}}, by(a));
    assert_true(joint.has_value());
    assert_true(joint->before == before.nodes);
    assert_false(changed(*joint, set_nodes{{{c, 1}}}, by(a)).has_value());
    const auto done = changed(*joint, finish_nodes{}, by(a));
    assert_true(done.has_value() && done->before.empty());
    assert_false(changed(*done, finish_nodes{}, by(a)).has_value());
    assert_false(changed(before, set_nodes{{}}, by(a)).has_value());
    assert_false(changed(before, set_nodes{{{a, 0}}}, by(a)).has_value());
    assert_false(changed(before, claim{}, by(a)).has_value());
}

cluster_record list(vote_list nodes, vote_list before = {}) {
    cluster_record out;
    out.nodes = std::move(nodes);
    out.before = std::move(before);
    return out;
}

void more_than_half_of_the_votes_decide(void**) {
    const electorate all{{a, b, c}, {}, {}};
    assert_true(decisive(list({{a, 1}, {b, 1}, {c, 1}}), {a, b}, all));
    assert_false(decisive(list({{a, 1}, {b, 1}, {c, 1}}), {a}, all));
    assert_false(decisive(list({{a, 1}, {b, 1}}), {a}, all));
    assert_true(decisive(list({{a, 3}, {b, 1}, {c, 1}}), {a}, all));
    assert_false(decisive(list({}), {a}, all));
    // One that lost its state, or is not on the list, has none.
    assert_false(decisive(list({{a, 1}, {b, 1}, {c, 1}}), {a, b}, {{a}, {}, {}}));
    assert_false(decisive(list({{a, 1}, {b, 1}}), {a, c}, all));
}

void half_decide_if_the_others_are_off_and_they_were_there_themselves(void**) {
    const cluster_record two = list({{a, 1}, {b, 1}});
    assert_true(decisive(two, {a}, {{a}, {a}, {b}}));
    assert_false(decisive(two, {a}, {{a}, {}, {b}}));
    assert_false(decisive(two, {a}, {{a}, {a}, {}}));
    const cluster_record four = list({{a, 1}, {b, 1}, {c, 1}, {4, 1}});
    assert_true(decisive(four, {a, b}, {{a, b}, {a, b}, {c}}));
    assert_false(decisive(four, {a}, {{a}, {a}, {b, c, 4}}));
}

void both_lists_decide_while_they_change(void**) {
    const electorate all{{a, b, c}, {}, {}};
    const cluster_record joint = list({{a, 1}, {b, 1}, {c, 1}}, {{a, 1}});
    assert_true(decisive(joint, {a, b}, all));
    assert_false(decisive(joint, {b, c}, all));
    assert_false(decisive(joint, {a}, all));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_change_counts_one_up_in_its_view),
        cmocka_unit_test(histories_that_differ_have_different_lineages),
        cmocka_unit_test(only_a_member_of_the_set_becomes_primary),
        cmocka_unit_test(a_primary_that_is_there_is_not_replaced),
        cmocka_unit_test(a_peer_is_taken_out_by_the_primary_or_by_itself),
        cmocka_unit_test(the_last_member_stays),
        cmocka_unit_test(a_peer_comes_back_by_the_primary_or_with_none_by_a_member),
        cmocka_unit_test(a_primary_resigns_for_itself_only),
        cmocka_unit_test(the_first_member_is_named_once),
        cmocka_unit_test(a_resource_is_made_once_and_removed_while_nobody_is_primary),
        cmocka_unit_test(a_list_of_nodes_is_followed_by_the_next_when_it_is_finished),
        cmocka_unit_test(more_than_half_of_the_votes_decide),
        cmocka_unit_test(half_decide_if_the_others_are_off_and_they_were_there_themselves),
        cmocka_unit_test(both_lists_decide_while_they_change),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
