// A walk over all classes of the handshake's inputs: records, flags, weights, disks, roles,
// policies.
#include "unit/state/meetings.hpp"

#include <array>
#include <cstdlib>
#include <set>
#include <utility>
#include <vector>

#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::state;
using namespace lockstep::test;
using options::after_split_brain;
using options::rr_conflict;

namespace {

// All assignments of a few identifiers to the eight slots.
template <class Visit>
void for_all_records(const Visit& visit) {
    const std::array<std::uint64_t, 6> values = {0, fresh, a, sync_of(a), b, sync_of(b)};
    std::array<std::size_t, 8> at = {};
    while (true) {
        const auto value = [&](std::size_t slot) { return values[at[slot]]; };
        visit(generation{value(0), value(1), {value(2), value(3)}},
              generation{value(4), value(5), {value(6), value(7)}});
        std::size_t slot = 0;
        while (slot < at.size() && ++at[slot] == values.size()) {
            at[slot++] = 0;
        }
        if (slot == at.size()) {
            return;
        }
    }
}

// Every pair of records, sane or damaged: both nodes come to complementary answers, or both refuse.
void every_pair_of_records_is_answered_alike_on_both_sides(void**) {
    for (const std::uint32_t version : {90U, 95U, 101U}) {
        for_all_records([version](const generation& self, const generation& peer) {
            handshake_input input;
            input.self = good(self);
            input.peer = good(peer);
            input.disk_in_state = disk::up_to_date;
            input.protocol_version = version;
            const handshake_decision here = decide(input);
            const handshake_decision there = decide(mirrored(input));
            if (here.refused() != there.refused() || here.full != there.full ||
                (here.sync == sync_role::source) != (there.sync == sync_role::target) ||
                (here.sync == sync_role::none) != (there.sync == sync_role::none)) {
                print_error("version %u: self %.67s, peer %.67s: rules %d and %d\n", version,
                            text(self).characters.data(), text(peer).characters.data(),
                            here.compared.rule, there.compared.rule);
                fail();
            }
        });
    }
}

struct walk_counts {
    std::uint64_t meetings = 0;
    std::set<int> rules;
    std::set<state::refusal> refusals;
    std::uint64_t demotions = 0;
    std::uint64_t lockstep_syncs = 0;
};

void expect(bool holds, const char* what, const handshake_input& input,
            const handshake_decision& decision) {
    if (holds) {
        return;
    }
    print_error("%s\n self %.67s bits %d disk %d role %d\n peer %.67s bits %d disk %d role %d\n"
                " result %d by rule %d, sync %d full %d refusal %d\n",
                what, text(input.self.uuids).characters.data(), static_cast<int>(input.self.bits),
                static_cast<int>(input.self.disk), static_cast<int>(input.self.role),
                text(input.peer.uuids).characters.data(), static_cast<int>(input.peer.bits),
                static_cast<int>(input.peer.disk), static_cast<int>(input.peer.role),
                decision.compared.result, decision.compared.rule, static_cast<int>(decision.sync),
                decision.full, static_cast<int>(decision.refusal));
    fail();
}

void check_bits_survive(const handshake_input& input, const handshake_decision& decision) {
    if (decision.refused() || decision.sync != sync_role::none) {
        return; // the exchange of bitmaps unites them
    }
    expect(decision.kept_bits == input.self.bits && decision.kept_bits_peer == input.peer.bits,
           "bits are neither synced nor kept", input, decision);
    const bool could_sync = input.peer_is_lockstep && input.self.disk > disk::inconsistent &&
                            input.peer.disk > disk::inconsistent &&
                            !(input.self.role == role::primary && input.peer.role == role::primary);
    expect(!could_sync || (input.self.bits == 0 && input.peer.bits == 0),
           "two of ours leave bits unsynced", input, decision);
}

void check_direction(const handshake_input& input, const handshake_decision& decision) {
    if (decision.refused()) {
        return;
    }
    if (decision.sync == sync_role::source) {
        expect(input.self.disk > disk::inconsistent, "the source has no usable data", input,
               decision);
    }
    const bool primary =
        input.self.role == role::primary && input.disk_in_state >= disk::consistent;
    if (decision.sync == sync_role::target && primary) {
        expect(decision.demote_first, "a Primary becomes target", input, decision);
    }
    expect(decision.sync != sync_role::none || !decision.full, "full sync of nothing", input,
           decision);
    const bool ambiguous = decision.compared.result == compare_split_brain_full;
    expect(!ambiguous || decision.sync == sync_role::none || decision.full,
           "an ambiguous split brain is synced by bitmap", input, decision);
}

// Both see the same of what does not depend on one side's configuration alone.
void check_complement(const handshake_input& input, const handshake_decision& here,
                      const handshake_decision& there) {
    expect(here.by_disk_states == there.by_disk_states, "disk states", input, here);
    expect(here.split_brain_found == there.split_brain_found, "split brain", input, here);
    expect(here.both_lockstep == there.both_lockstep, "lockstep", input, here);
    if (input.demotion_refused) {
        return;
    }
    expect((here.sync == sync_role::source) == (there.sync == sync_role::target) &&
               (here.sync == sync_role::target) == (there.sync == sync_role::source),
           "not complementary", input, here);
    expect(here.full == there.full, "full on one side only", input, here);
    const bool one_sided = here.refusal == refusal::source_inconsistent ||
                           here.refusal == refusal::target_is_primary ||
                           there.refusal == refusal::source_inconsistent ||
                           there.refusal == refusal::target_is_primary;
    expect(one_sided || here.refusal == there.refusal, "refused on one side only", input, here);
}

void check_words(const handshake_input& input, const handshake_decision& decision) {
    expect(!decision.text().empty(), "no sentence", input, decision);
    const bool wants_help = decision.refused() && decision.refusal != refusal::dry_run;
    expect(decision.remedy().empty() != wants_help, "remedy", input, decision);
    expect(decision.handlers.split_brain == (decision.refusal == refusal::split_brain),
           "split-brain handler", input, decision);
    expect(decision.handlers.initial_split_brain == decision.split_brain_found,
           "initial-split-brain handler", input, decision);
    expect(decision.next_connection() != connection::standalone || decision.refused(),
           "StandAlone without a reason", input, decision);
}

void check_meeting(const handshake_input& input, walk_counts& counts) {
    const handshake_decision here = decide(input);
    const handshake_decision there = decide(mirrored(input));
    check_bits_survive(input, here);
    check_direction(input, here);
    check_complement(input, here, there);
    check_words(input, here);
    ++counts.meetings;
    counts.rules.insert(here.compared.rule);
    counts.refusals.insert(here.refusal);
    counts.demotions += here.demote_first ? 1 : 0;
    counts.lockstep_syncs += here.both_lockstep ? 1 : 0;
}

// Calls visit(step) for each step of a mixed-radix counter: step(n) takes the next digit, 0..n-1.
class all_choices {
public:
    template <class Visit>
    void run(const Visit& visit) {
        do {
            position_ = 0;
            visit(*this);
        } while (advance());
    }

    std::size_t operator()(std::size_t radix) {
        if (position_ == digits_.size()) {
            digits_.push_back({0, radix});
        }
        return digits_[position_++].value;
    }

    template <class Container>
    const auto& of(const Container& values) {
        return values[(*this)(std::size(values))];
    }

    bool flag() { return (*this)(2) == 1; }

private:
    struct digit {
        std::size_t value;
        std::size_t radix;
    };

    bool advance() {
        while (!digits_.empty() && ++digits_.back().value == digits_.back().radix) {
            digits_.pop_back();
        }
        return !digits_.empty();
    }

    std::vector<digit> digits_;
    std::size_t position_ = 0;
};

constexpr std::array<std::pair<int, int>, 5> bit_classes = {
    {{0, 0}, {0, 9}, {9, 0}, {9, 9}, {9, 5}}};
constexpr std::array<role, 2> roles = {role::primary, role::secondary};
constexpr std::array<rr_conflict, 2> conflicts = {rr_conflict::disconnect, rr_conflict::violently};

void choose_common(handshake_input& input, all_choices& pick) {
    const auto bits = pick.of(bit_classes);
    input.self.bits = static_cast<std::uint64_t>(bits.first);
    input.peer.bits = static_cast<std::uint64_t>(bits.second);
    input.self.role = pick.of(roles);
    input.peer.role = pick.of(roles);
    input.resolve_conflicts = pick.flag();
    input.rr_conflict = pick.of(conflicts);
}

// Rules x bits x disks x roles x crashes x versions x features x who is ours x rr-conflict.
void every_class_of_meetings_keeps_the_invariants(void**) {
    constexpr std::array<disk, 4> disks = {disk::inconsistent, disk::outdated, disk::consistent,
                                           disk::up_to_date};
    constexpr std::array<std::uint32_t, 3> versions = {90, 95, 101};
    constexpr std::array<std::uint32_t, 2> features = {0, 0xf};
    walk_counts counts;
    all_choices().run([&](all_choices& pick) {
        handshake_input input = input_of(pick.of(rule_classes()));
        choose_common(input, pick);
        input.self.disk = pick.of(disks);
        input.peer.disk = pick.of(disks);
        input.disk_in_state = input.self.disk;
        input.self.crashed_primary = pick.flag();
        input.peer.crashed_primary = pick.flag();
        input.protocol_version = pick.of(versions);
        input.features = pick.of(features);
        input.peer_is_lockstep = pick.flag();
        check_meeting(input, counts);
    });
    const std::set<int> all_rules = {10, 20, 30, 34, 35, 36, 37, 40, 41,
                                     50, 51, 60, 70, 71, 80, 90, 100};
    assert_true(counts.rules == all_rules);
    assert_true(counts.lockstep_syncs > 0);
    assert_int_equal(counts.refusals.size(), 7); // all but dry_run
    print_message("# %llu meetings\n", static_cast<unsigned long long>(counts.meetings));
}

// Split brains x bits x disks x roles x low bits x all policies x discard-my-data.
void every_split_brain_is_solved_alike_or_refused(void**) {
    constexpr std::array<disk, 2> disks = {disk::inconsistent, disk::up_to_date};
    constexpr std::array<after_split_brain, 8> base = {
        after_split_brain::disconnect,
        after_split_brain::discard_younger_primary,
        after_split_brain::discard_older_primary,
        after_split_brain::discard_zero_changes,
        after_split_brain::discard_least_changes,
        after_split_brain::discard_local,
        after_split_brain::discard_remote,
        after_split_brain::consensus, // not defined without a Primary
    };
    constexpr std::array<after_split_brain, 6> with_primaries = {
        after_split_brain::disconnect,        after_split_brain::consensus,
        after_split_brain::discard_secondary, after_split_brain::call_pri_lost,
        after_split_brain::violently_as_0p,   after_split_brain::discard_zero_changes,
    };
    constexpr std::array<std::size_t, 4> split = {17, 18, 19, 21}; // of rule_classes()
    walk_counts counts;
    all_choices().run([&](all_choices& pick) {
        handshake_input input = input_of(rule_classes()[pick.of(split)]);
        choose_common(input, pick);
        input.self.disk = pick.of(disks);
        input.peer.disk = pick.of(disks);
        input.disk_in_state = input.self.disk;
        input.self.uuids.bitmap |= pick.flag() ? 1U : 0U;
        input.peer.uuids.bitmap |= pick.flag() ? 1U : 0U;
        input.after_sb_0pri = pick.of(base);
        input.after_sb_1pri = input.after_sb_2pri = pick.of(with_primaries);
        input.always_asbp = pick.flag();
        const auto discards = pick(4);
        input.self.discard_my_data = (discards & 1U) != 0;
        input.peer.discard_my_data = (discards & 2U) != 0;
        check_meeting(input, counts);
        input.demotion_refused = true;
        check_meeting(input, counts);
    });
    assert_true(counts.demotions > 0);
    print_message("# %llu meetings\n", static_cast<unsigned long long>(counts.meetings));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_of_records_is_answered_alike_on_both_sides),
        cmocka_unit_test(every_class_of_meetings_keeps_the_invariants),
        cmocka_unit_test(every_split_brain_is_solved_alike_or_refused),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
