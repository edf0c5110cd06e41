// Random histories of two nodes: no decision loses an acknowledged write without calling it a split
// brain, and no two UpToDate copies differ in a block that nobody has marked.
#include "unit/state/history_model.hpp"

#include <cstdio>
#include <cstdlib>
#include <string>

#include "unit/cmocka.hpp"

using namespace lockstep::test;

namespace {

// LOCKSTEP_HISTORIES=N runs more of them; LOCKSTEP_HISTORY_SEED=N exactly one.
std::uint64_t number_from_environment(const char* name, std::uint64_t usual) {
    const char* text = std::getenv(name);
    return text == nullptr ? usual : std::strtoull(text, nullptr, 0);
}

void add(history_model::counts& to, const history_model::counts& more) {
    to.writes += more.writes;
    to.syncs += more.syncs;
    to.split_brains += more.split_brains;
    to.corrections += more.corrections;
    to.in_sync_meetings += more.in_sync_meetings;
    to.lost_sync_starts += more.lost_sync_starts;
    to.lost_sync_ends += more.lost_sync_ends;
}

// Empty: nothing broke.
std::string play(history_model& model) {
    for (unsigned step = 0; step < 80; ++step) {
        if (!model.step()) {
            return model.failure();
        }
    }
    return {};
}

history_model::counts run(std::uint64_t seed, model_options options) {
    history_model model(seed, options);
    const std::string failure = play(model);
    if (!failure.empty()) {
        print_error("version %u, lockstep %d, LOCKSTEP_HISTORY_SEED=%llu: %s\n",
                    options.protocol_version, options.both_lockstep,
                    static_cast<unsigned long long>(seed), failure.c_str());
        options.keep_trace = true;
        history_model again(seed, options);
        play(again);
        std::fputs(again.trace().c_str(), stderr); // longer than print_error takes
        fail();
    }
    return model.seen();
}

void run_histories(const model_options& options) {
    const std::uint64_t seed = number_from_environment("LOCKSTEP_HISTORY_SEED", 0);
    if (seed != 0) {
        run(seed, options);
        return;
    }
    history_model::counts all;
    const std::uint64_t count = number_from_environment("LOCKSTEP_HISTORIES", 50000);
    for (std::uint64_t at = 1; at <= count; ++at) {
        add(all, run(at, options));
    }
    // The histories were not idle.
    assert_true(all.writes > count);
    assert_true(all.syncs > count / 2);
    assert_true(all.split_brains > count / 10);
    assert_true(all.corrections > count / 50);
    assert_true(all.in_sync_meetings > count / 10);
    assert_true(all.lost_sync_starts > count / 50);
    assert_true(all.lost_sync_ends > count / 50);
}

void histories_with_a_foreign_peer_keep_every_write_or_mark_it(void**) {
    run_histories({101, false, false});
}

void histories_of_two_lockstep_nodes_keep_every_write(void**) {
    run_histories({101, true, false});
}

void histories_at_protocol_95_keep_every_write_or_mark_it(void**) {
    run_histories({95, false, false});
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(histories_with_a_foreign_peer_keep_every_write_or_mark_it),
        cmocka_unit_test(histories_of_two_lockstep_nodes_keep_every_write),
        cmocka_unit_test(histories_at_protocol_95_keep_every_write_or_mark_it),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
