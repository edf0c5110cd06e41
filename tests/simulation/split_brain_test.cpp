// Two nodes that went on apart and meet again: refused, solved by a policy, or by hand. What each
// wrote is known by its pattern; whoever survives, both disks must hold it, and nothing of the
// other.
#include <algorithm>
#include <array>
#include <cstdlib>

#include "world.hpp"

// Last: it makes a macro of the name fail.
#include "unit/cmocka.hpp"

namespace {

using namespace lockstep;
using options::after_split_brain;
using simulation::second;
using state::connection;

simulation::node_settings settings_with(after_split_brain zero, after_split_brain one) {
    simulation::node_settings settings;
    settings.device_sectors = 16384; // 8 MiB
    settings.disk.c_max_rate_kib = 1 << 20;
    settings.net.after_sb_0pri = zero;
    settings.net.after_sb_1pri = one;
    return settings;
}

constexpr std::uint64_t block_sectors = 8;

// Node A was Primary when the two were parted; then B was promoted, and both wrote.
struct parted_pair : simulation::world {
    explicit parted_pair(const simulation::node_settings& settings) : world(1, settings) {
        for (auto& each : nodes) {
            for (replica::volume_number number = 0; number < settings.volumes; ++number) {
                simulation::create_metadata(each->metadata_at(number));
            }
            each->start();
        }
        assert_true(attach(0) && attach(1));
        connect_both();
        assert_true(run_until([this] { return both(connection::connected); }));
        assert_true(primary(0, true));
        assert_true(wait_in_sync());
        disconnect(0);
        assert_true(run_until(
            [this] { return nodes[1]->status().connection == connection::wf_connection; }));
        assert_true(primary(1));
    }

    bool both(connection wanted) const {
        return std::all_of(nodes.begin(), nodes.end(), [wanted](const auto& each) {
            return each->status().volumes[0].state.connection == wanted;
        });
    }

    // Writes blocks first..first+count-1 with the node's pattern, past the model of the clients.
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
        assert_true(run_until([this] { return quiet(); }));
    }

    static std::byte pattern(unsigned side) {
        return side == 0 ? std::byte{0xaa} : std::byte{0xbb};
    }

    std::byte content(unsigned side, unsigned block) {
        simulation::sector found;
        nodes[side]->data_disk(0).read_now(block * block_sectors * 512, found);
        return found[0];
    }

    void meet(bool a_discards = false, bool b_discards = false) {
        const std::array<bool, 2> discards = {a_discards, b_discards};
        for (unsigned side = 0; side < 2; ++side) {
            if (nodes[side]->status().connection == connection::standalone) {
                nodes[side]->connect(discards[side]);
            }
        }
    }

    // A wrote blocks 0..3, B wrote 2..7: the overlap tells who survived, and the victim's own
    // blocks are gone.
    void expect_survivor(unsigned side) {
        assert_true(wait_in_sync());
        run_for(second);
        for (unsigned at = 0; at < 2; ++at) {
            assert_true(content(at, 0) == (side == 0 ? pattern(0) : std::byte{0}));
            assert_true(content(at, 2) == pattern(side));
            assert_true(content(at, 7) == (side == 1 ? pattern(1) : std::byte{0}));
            assert_int_equal(nodes[at]->status().volumes[0].out_of_sync_kib, 0);
            assert_int_equal(nodes[at]->helpers_called["initial-split-brain"], 1);
            assert_int_equal(nodes[at]->helpers_called["split-brain"], 0);
        }
        assert_string_equal(failure().c_str(), "");
    }

    // Neither has lost anything, and neither tries again by itself.
    void expect_refused() {
        assert_true(run_until([this] {
            return nodes[0]->status().connection == connection::standalone ||
                   nodes[1]->status().connection == connection::standalone;
        }));
        run_for(30 * second);
        assert_false(is_in_sync());
        assert_true(content(0, 2) == pattern(0));
        assert_true(content(1, 2) == pattern(1));
        assert_string_equal(failure().c_str(), "");
    }

    void both_write() {
        scribble(0, 0, 4);
        scribble(1, 2, 6);
    }
};

using asb = after_split_brain;

void split_brain_without_policy_parts_both_and_calls_the_handlers(void**) {
    parted_pair it(settings_with(asb::disconnect, asb::disconnect));
    it.both_write();
    it.meet();
    it.expect_refused();
    // The slower one may only see the connection end; it waits for the other then.
    unsigned decided = 0;
    for (auto& each : it.nodes) {
        const connection now = each->status().connection;
        assert_true(now == connection::standalone || now == connection::wf_connection);
        const unsigned calls = now == connection::standalone ? 1 : 0;
        assert_int_equal(each->helpers_called["initial-split-brain"], calls);
        assert_int_equal(each->helpers_called["split-brain"], calls);
        decided += calls;
    }
    assert_true(decided > 0);
}

void discard_my_data_gives_up_one_side(void**) {
    for (const unsigned victim : {0U, 1U}) {
        parted_pair it(settings_with(asb::disconnect, asb::disconnect));
        it.both_write();
        assert_true(it.secondary(victim));
        if (victim == 1) {
            it.disconnect(1); // it was waiting without the flag
        }
        it.meet(victim == 0, victim == 1);
        it.expect_survivor(1 - victim);
    }
}

// The volumes are not compared at the same moment if one of them grows first.
void discard_my_data_is_said_for_each_volume(void**) {
    for (const unsigned victim : {0U, 1U}) {
        for (const replica::volume_number grows : {0, 1}) {
            auto settings = settings_with(asb::disconnect, asb::disconnect);
            settings.volumes = 2;
            parted_pair it(settings);
            it.both_write();
            assert_true(it.secondary(victim));
            if (victim == 1) {
                it.disconnect(1);
            }
            it.nodes[0]->grow_device(grows, 24576);
            it.nodes[1]->grow_device(grows, 24576);
            it.meet(victim == 0, victim == 1);
            assert_true(it.wait_in_sync());
            it.run_for(second);
            assert_true(it.content(victim, 2) == it.pattern(1 - victim));
            assert_string_equal(it.failure().c_str(), "");
        }
    }
}

void after_sb_0pri_chooses_the_victim(void**) {
    struct expectation {
        asb policy;
        unsigned survivor;
    };
    // A was the Primary when they parted, and wrote less.
    for (const expectation& one :
         {expectation{asb::discard_younger_primary, 0}, expectation{asb::discard_older_primary, 1},
          expectation{asb::discard_least_changes, 1}}) {
        parted_pair it(settings_with(one.policy, asb::disconnect));
        it.both_write();
        assert_true(it.secondary(0) && it.secondary(1));
        it.meet();
        it.expect_survivor(one.survivor);
    }
}

void after_sb_0pri_discard_zero_changes_needs_a_side_without_changes(void**) {
    {
        parted_pair it(settings_with(asb::discard_zero_changes, asb::disconnect));
        it.both_write();
        assert_true(it.secondary(0) && it.secondary(1));
        it.meet();
        it.expect_refused();
    }
    parted_pair it(settings_with(asb::discard_zero_changes, asb::disconnect));
    it.scribble(0, 0, 4);
    assert_true(it.secondary(0) && it.secondary(1));
    it.meet();
    it.expect_survivor(0);
}

void after_sb_1pri_discard_secondary_keeps_the_primary(void**) {
    for (const unsigned primary : {0U, 1U}) {
        parted_pair it(settings_with(asb::disconnect, asb::discard_secondary));
        it.both_write();
        assert_true(it.secondary(1 - primary));
        it.meet();
        it.expect_survivor(primary);
    }
}

void after_sb_1pri_consensus_never_discards_the_primary(void**) {
    // discard-least-changes would keep B.
    parted_pair agreed(settings_with(asb::discard_least_changes, asb::consensus));
    agreed.both_write();
    assert_true(agreed.secondary(0));
    agreed.meet();
    agreed.expect_survivor(1);
    parted_pair refused(settings_with(asb::discard_least_changes, asb::consensus));
    refused.both_write();
    assert_true(refused.secondary(1));
    refused.meet();
    refused.expect_refused();
}

void call_pri_lost_after_sb_demotes_a_primary_that_nobody_uses(void**) {
    parted_pair it(settings_with(asb::discard_least_changes, asb::call_pri_lost));
    it.both_write();
    assert_true(it.secondary(1));
    it.meet();
    it.expect_survivor(1);
    assert_int_equal(it.nodes[0]->status().role, state::role::secondary);
    assert_int_equal(it.nodes[0]->helpers_called["pri-lost-after-sb"], 0);
}

void call_pri_lost_after_sb_calls_the_handler_of_a_primary_in_use(void**) {
    parted_pair it(settings_with(asb::discard_least_changes, asb::call_pri_lost));
    it.both_write();
    assert_true(it.secondary(1));
    it.nodes[0]->device_in_use = true;
    it.meet();
    it.expect_refused();
    assert_int_equal(it.nodes[0]->status().role, state::role::primary);
    assert_int_equal(it.nodes[0]->helpers_called["pri-lost-after-sb"], 1);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(split_brain_without_policy_parts_both_and_calls_the_handlers),
        cmocka_unit_test(discard_my_data_gives_up_one_side),
        cmocka_unit_test(discard_my_data_is_said_for_each_volume),
        cmocka_unit_test(after_sb_0pri_chooses_the_victim),
        cmocka_unit_test(after_sb_0pri_discard_zero_changes_needs_a_side_without_changes),
        cmocka_unit_test(after_sb_1pri_discard_secondary_keeps_the_primary),
        cmocka_unit_test(after_sb_1pri_consensus_never_discards_the_primary),
        cmocka_unit_test(call_pri_lost_after_sb_demotes_a_primary_that_nobody_uses),
        cmocka_unit_test(call_pri_lost_after_sb_calls_the_handler_of_a_primary_in_use),
    };
    return cmocka_run_group_tests_name("split brain", tests, nullptr, nullptr);
}
