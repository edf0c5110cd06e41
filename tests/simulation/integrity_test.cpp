// Damage between and below the nodes: a bit flipped on the wire, blocks changed under a replica,
// and how verify, data-integrity-alg and csums-alg find them.
#include <algorithm>
#include <cstring>

#include "pair_story.hpp"

namespace {

using namespace lockstep;
using simulation::second;
using story = simulation::pair_story;
using state::connection;

const char* const algorithms[] = {"md5", "sha1", "crc32c"};

// Flips one bit of each of `count` blocks of a node's disk.
void damage(story& it, unsigned side, std::uint64_t first_block, unsigned count) {
    for (unsigned index = 0; index < count; ++index) {
        const std::uint64_t offset = (first_block + index) * 4096 + 1024;
        simulation::sector content;
        it.nodes[side]->data_disk(0).read_now(offset, content);
        content[17] ^= std::byte{4};
        it.nodes[side]->data_disk(0).write_now(offset, content);
    }
}

replica::outcome verify(story& it, unsigned side, std::uint64_t first, std::uint64_t stop) {
    return it.run([&](replica::on_outcome done) {
        it.nodes[side]->machine().verify(0, first, stop, std::move(done));
    });
}

constexpr std::uint64_t to_the_end = ~std::uint64_t{0};
constexpr std::uint64_t where_it_stopped = replica::verify_from_where_it_stopped;

void wait_verified(story& it) {
    it.expect_within([&] { return it.both(connection::connected); }, "the verify ends");
    it.run_for(second);
}

void a_bit_flipped_on_the_wire_is_detected(void**) {
    for (const char* algorithm : algorithms) {
        auto settings = simulation::small_pair();
        settings.net.data_integrity_alg = algorithm;
        story it(settings);
        it.up_and_synced();
        it.some_writes_succeed(0, 5);
        std::vector<std::string> log;
        it.nodes[1]->on_log = [&](unsigned, std::string_view text) { log.emplace_back(text); };
        // In the middle of 64 KiB of data that A sends.
        bool flipped = false;
        std::size_t passed = 0;
        it.net.tamper = [&](unsigned from, replica::channel which, std::vector<std::byte>& bytes) {
            if (from != 0 || which != replica::channel::data || flipped) {
                return;
            }
            passed += bytes.size();
            if (passed > 30'000) {
                bytes[bytes.size() - std::min<std::size_t>(bytes.size(), passed - 30'000)] ^=
                    std::byte{1};
                flipped = true;
            }
        };
        it.write(0, 0, 1024, 128);
        it.all_requests_end();
        assert_true(flipped);
        const bool told = std::ranges::any_of(log, [](const auto& line) {
            return line.find("digest mismatch") != std::string::npos;
        });
        it.expect(told, "the receiver's log names the digest");
        it.expect(it.writes_failed == 0, "the application does not notice");
        it.converge();
    }
}

void verify_lists_what_was_changed_below(void**) {
    for (const char* algorithm : algorithms) {
        auto settings = simulation::small_pair();
        settings.net.verify_alg = algorithm;
        story it(settings);
        it.up_and_synced();
        it.some_writes_succeed(0, 10);
        damage(it, 1, 300, 3);
        damage(it, 0, 700, 2);
        it.expect(verify(it, 0, where_it_stopped, to_the_end).ok, "verify");
        wait_verified(it);
        it.expect(it.out_of_sync_kib(0) == 20 && it.out_of_sync_kib(1) == 20,
                  "five blocks are marked on both");
        it.expect(it.nodes[0]->helpers_called["out-of-sync"] == 1, "the handler is called");
        it.disconnect(0);
        it.connect_both();
        it.converge();
        it.data_areas_are_equal();
    }
}

void checksums_find_the_one_block_that_differs(void**) {
    for (const char* algorithm : algorithms) {
        auto settings = simulation::small_pair();
        settings.net.csums_alg = algorithm;
        story it(settings);
        it.up_and_synced();
        it.some_writes_succeed(0, 10);
        damage(it, 1, 300, 3);
        const std::uint64_t sent = it.nodes[0]->status().volumes[0].sent_kib;
        const auto done = it.run([&](replica::on_outcome then) {
            it.nodes[1]->machine().invalidate(0, std::move(then));
        });
        it.expect(done.ok, "invalidate");
        it.expect_within([&] { return it.state_of(1).disk == state::disk::inconsistent; },
                         "the resync begins");
        it.converge();
        it.data_areas_are_equal();
        const std::uint64_t copied = it.nodes[0]->status().volumes[0].sent_kib - sent;
        it.expect(copied == 12, "three blocks were copied, though all were compared");
    }
}

void verify_covers_the_part_that_is_asked_for(void**) {
    auto settings = simulation::small_pair();
    settings.net.verify_alg = "crc32c";
    story it(settings);
    it.up_and_synced();
    damage(it, 1, 100, 1);
    damage(it, 1, 500, 1);
    damage(it, 1, 900, 1);
    it.expect(verify(it, 0, 400 * 8, 600 * 8).ok, "verify --start --stop");
    wait_verified(it);
    it.expect(it.out_of_sync_kib(0) == 4 && it.out_of_sync_kib(1) == 4, "one block is found");
}

// A verify at 400 KiB a second, to be interrupted.
simulation::node_settings slow_verify() {
    auto settings = simulation::small_pair();
    settings.net.verify_alg = "crc32c";
    settings.disk.c_plan_ahead_ds = 0;
    settings.disk.resync_rate_kib = 1 << 18;
    return settings;
}

void slow_down(story& it) {
    for (auto& each : it.nodes) {
        auto options = each->settings().disk;
        options.resync_rate_kib = 400;
        it.expect(each->machine().change_disk_options(0, options).ok, "disk-options");
    }
}

void an_interrupted_verify_goes_on_where_it_stopped(void**) {
    story it(slow_verify());
    it.up_and_synced();
    slow_down(it);
    damage(it, 1, 20, 1);
    it.expect(verify(it, 0, where_it_stopped, to_the_end).ok, "verify");
    it.run_for(5 * second);
    it.expect(it.state_of(0).connection == connection::verify_s, "under way");
    it.expect(it.out_of_sync_kib(0) == 4, "the first block was found");
    it.disconnect(0);
    it.connect_both();
    it.expect(it.wait_in_sync(), "connected, and what was found is repaired");
    // Damage where it has been already is not found, behind that it is.
    damage(it, 1, 20, 1);
    damage(it, 1, 1500, 1);
    it.expect(verify(it, 0, where_it_stopped, to_the_end).ok, "verify again");
    wait_verified(it);
    it.expect(it.out_of_sync_kib(0) == 4, "only what is behind the place where it stopped");
    it.expect(verify(it, 0, where_it_stopped, to_the_end).ok, "and once more");
    wait_verified(it);
    it.expect(it.out_of_sync_kib(0) == 8, "which begins at the start");
}

void a_verify_ends_when_a_disk_becomes_inconsistent(void**) {
    for (const unsigned failing : {0U, 1U}) {
        auto settings = slow_verify();
        settings.disk.on_io_error = options::on_io_error::pass_on;
        settings.external_metadata = true; // data errors only
        story it(settings);
        it.up_and_synced();
        slow_down(it);
        it.expect(verify(it, 0, where_it_stopped, to_the_end).ok, "verify");
        it.run_for(second);
        it.nodes[failing]->data_disk(0).faults.write_error_permille = 1000;
        it.write(0, 0, 8000, 8);
        it.all_requests_end();
        it.nodes[failing]->data_disk(0).faults.write_error_permille = 0;
        it.expect_within([&] { return it.both(connection::connected); }, "the verify has ended",
                         5 * second);
        it.expect(it.state_of(failing).disk == state::disk::inconsistent, "the disk says so");
    }
}

// What was asked for and is refused when the verify is over: the writes there go on.
void a_disk_that_is_detached_during_a_verify_holds_up_no_write(void**) {
    auto settings = simulation::small_pair();
    settings.net.verify_alg = "crc32c";
    story it(settings);
    it.up_and_synced();
    it.net.faults.window_bytes = 64; // one packet at a time
    it.expect(verify(it, 0, 0, to_the_end).ok, "verify");
    it.run([&](replica::on_outcome done) {
        it.nodes[1]->machine().detach(0, false, std::move(done));
    });
    it.net.faults.window_bytes = 256 * 1024;
    for (std::uint64_t at = 0; at < it.size_of(0); at += 128) {
        it.write(0, 0, at, 128);
    }
    it.all_requests_end();
    it.expect(it.attach(1), "attached again");
    it.converge();
}

void writes_during_a_verify_raise_no_false_alarm(void**) {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        auto settings = simulation::small_pair();
        settings.net.verify_alg = "crc32c";
        settings.disk.c_max_rate_kib = 8000;
        story it(settings, seed);
        it.up_and_synced();
        it.expect(verify(it, seed % 2, where_it_stopped, to_the_end).ok, "verify");
        while (!it.both(connection::connected)) {
            it.some_writes(0, 5, 0, 16000);
        }
        it.all_requests_end();
        it.run_for(second);
        it.expect(it.out_of_sync_kib(0) == 0 && it.out_of_sync_kib(1) == 0, "nothing is marked");
        it.converge();
    }
}

// The in-kernel DRBD leaves such bits, as nobody has written since; two of ours do not.
void bits_found_between_two_secondaries_are_resynced(void**) {
    auto settings = simulation::small_pair();
    settings.net.verify_alg = "sha1";
    story it(settings);
    it.up_and_synced();
    it.some_writes_succeed(0, 10);
    it.expect(it.secondary(0), "demoted");
    damage(it, 1, 300, 3);
    it.expect(verify(it, 0, where_it_stopped, to_the_end).ok, "verify");
    wait_verified(it);
    it.expect(it.out_of_sync_kib(0) == 12, "found");
    it.disconnect(1);
    it.connect_both();
    it.expect_within([&] { return it.out_of_sync_kib(0) == 0 && it.is_in_sync(); }, "repaired");
    it.converge();
    it.data_areas_are_equal();
}

// Once, not with every attempt: who has the secret gives up, so there are no more of them.
void a_secret_on_one_node_only_is_said_on_both(void**) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        story it(simulation::small_pair(), seed);
        options::net_options with_secret;
        with_secret.cram_hmac_alg = "sha256";
        with_secret.shared_secret = "one";
        it.nodes[1]->settings().net = with_secret;
        std::array<unsigned, 2> told{};
        std::array<unsigned, 2> lines{};
        unsigned closed = 0;
        for (auto& each : it.nodes) {
            each->on_log = [&](unsigned side, std::string_view text) {
                ++lines[side];
                closed += text.find("its log may say why") != std::string_view::npos ? 1 : 0;
                told[side] +=
                    text.find(side == 0 ? "this node has no cram-hmac-alg"
                                        : "the peer has no cram-hmac-alg") != std::string_view::npos
                        ? 1
                        : 0;
            };
        }
        it.expect(it.attach(0) && it.attach(1), "attached");
        it.connect_both();
        it.run_for(simulation::second);
        const auto before = lines;
        it.run_for(20 * simulation::second);
        // The other may be gone before its challenge is read.
        it.expect(told[1] == 1 && told[0] + closed == 1, "both say what the other has or lacks");
        it.expect(lines == before, "and no more");
        it.expect(it.state_of(1).connection == connection::standalone, "who has it gives up");
        it.expect(it.state_of(0).connection == connection::wf_connection, "the other waits");
        it.expect(it.nodes[0]->machine().change_net_options(with_secret).ok, "set there, too");
        it.connect_both();
        it.expect_within([&] { return it.both(connection::connected); }, "connected");
    }
}

void a_wrong_secret_makes_no_connection_and_both_say_so(void**) {
    for (const char* algorithm : {"sha1", "sha256", "md5"}) {
        auto settings = simulation::small_pair();
        settings.net.cram_hmac_alg = algorithm;
        settings.net.shared_secret = "one";
        story it(settings);
        it.nodes[1]->settings().net.shared_secret = "other";
        std::array<std::vector<std::string>, 2> log;
        for (auto& each : it.nodes) {
            each->on_log = [&](unsigned side, std::string_view text) {
                log[side].emplace_back(text);
            };
        }
        it.expect(it.attach(0) && it.attach(1), "attached");
        it.connect_both();
        const auto alone = [&](unsigned side) {
            return it.nodes[side]->status().connection == connection::standalone;
        };
        it.expect_within([&] { return alone(0) || alone(1); }, "who finds out stands alone");
        it.run_for(10 * simulation::second);
        // Who hears the other hang up before it could judge goes on trying, as in DRBD.
        for (unsigned side = 0; side < 2; ++side) {
            const bool told = std::ranges::any_of(log[side], [&](const auto& line) {
                return line.find(alone(side) ? "giving up the connection: Authentication"
                                             : "connection lost: the peer closed the connection "
                                               "during the authentication") != std::string::npos;
            });
            it.expect(told, "the log says why there is no connection");
            it.expect(it.nodes[side]->status().connection < connection::connected, "not connected");
        }
        it.nodes[1]->settings().net.shared_secret = "one";
        if (!alone(1)) {
            it.disconnect(1);
        }
        it.connect_both();
        it.expect_within([&] { return it.both(connection::connected); }, "the right one fits");
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_bit_flipped_on_the_wire_is_detected),
        cmocka_unit_test(verify_lists_what_was_changed_below),
        cmocka_unit_test(checksums_find_the_one_block_that_differs),
        cmocka_unit_test(verify_covers_the_part_that_is_asked_for),
        cmocka_unit_test(an_interrupted_verify_goes_on_where_it_stopped),
        cmocka_unit_test(a_verify_ends_when_a_disk_becomes_inconsistent),
        cmocka_unit_test(a_disk_that_is_detached_during_a_verify_holds_up_no_write),
        cmocka_unit_test(writes_during_a_verify_raise_no_false_alarm),
        cmocka_unit_test(bits_found_between_two_secondaries_are_resynced),
        cmocka_unit_test(a_wrong_secret_makes_no_connection_and_both_say_so),
        cmocka_unit_test(a_secret_on_one_node_only_is_said_on_both),
    };
    return cmocka_run_group_tests_name("simulation_integrity", tests, nullptr, nullptr);
}
