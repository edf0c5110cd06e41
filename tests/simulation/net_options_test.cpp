// What each option of net {} and options {} does, seen from outside: the same course with another
// value ends otherwise.
#include <cstring>

#include "option_story.hpp"

namespace {

using namespace lockstep;
using simulation::millisecond;
using simulation::packet_tap;
using simulation::second;
using simulation::small_pair;
using simulation::story;
using state::connection;
using state::disk;

// --- protocol ---

// Which writes are done while the peer's disk hangs, and while nothing arrives there.
struct done_with {
    bool hung_disk;
    bool silent_peer;
};

done_with protocol_with(options::protocol protocol) {
    const auto done = [&](auto&& disturb) {
        auto settings = small_pair();
        settings.net.protocol = protocol;
        story it(settings);
        it.up_and_synced();
        disturb(it);
        it.write(0, 0, 0, 8);
        it.run_for(second);
        return it.quiet();
    };
    return {done([](story& it) { it.nodes[1]->data_disk(0).faults.hung = true; }),
            done([](story& it) { it.net.faults.cut = true; })};
}

void protocol_decides_when_a_write_is_done(void**) {
    const auto a = protocol_with(options::protocol::a);
    const auto b = protocol_with(options::protocol::b);
    const auto c = protocol_with(options::protocol::c);
    assert_true(a.hung_disk && a.silent_peer);
    assert_true(b.hung_disk && !b.silent_peer);
    assert_true(!c.hung_disk && !c.silent_peer);
}

// --- timeouts ---

double expelled_after(std::uint32_t timeout_ds, std::uint32_t ko_count) {
    auto settings = small_pair();
    settings.net.timeout_ds = timeout_ds;
    settings.net.ko_count = ko_count;
    story it(settings);
    it.up_and_synced();
    it.nodes[1]->data_disk(0).faults.hung = true;
    it.write(0, 0, 0, 8);
    const auto begun = it.events.now();
    if (!it.run_until([&] { return it.quiet(); }, 600 * second)) {
        return 0;
    }
    assert_int_equal(it.writes_failed, 0);
    it.check(it.logged(0, "conn( Connected -> Timeout )"), "the peer is expelled");
    return static_cast<double>(it.events.now() - begun) / 1e9;
}

void ko_count_times_timeout_expels_a_peer_that_does_not_write(void**) {
    const double first = expelled_after(60, 7);
    assert_true(first >= 42 && first <= 50);
    const double fewer = expelled_after(60, 2);
    assert_true(fewer >= 12 && fewer <= 20);
    const double shorter = expelled_after(20, 7);
    assert_true(shorter >= 14 && shorter <= 17);
}

void ko_count_0_waits_for_ever(void**) {
    assert_true(expelled_after(60, 0) == 0);
}

double noticed_after(std::uint32_t ping_int_s, std::uint32_t ping_timeout_ds) {
    auto settings = small_pair();
    settings.net.ping_int_s = ping_int_s;
    settings.net.ping_timeout_ds = ping_timeout_ds;
    story it(settings);
    it.up_and_synced();
    it.run_for(65 * second);
    assert_true(it.connection(0) == connection::connected);
    it.net.faults.cut = true;
    return it.time_until([&] { return it.connection(0) < connection::connected; },
                         "the silence is noticed");
}

void ping_int_and_ping_timeout_find_a_silent_peer(void**) {
    const double usual = noticed_after(10, 5);
    assert_true(usual <= 20.5);
    const double eager = noticed_after(2, 5);
    assert_true(eager <= 4.5);
    const double patient = noticed_after(2, 100);
    assert_true(patient >= 10 && patient <= 14);
    const double lazy = noticed_after(60, 5);
    assert_true(lazy > 20.5 && lazy <= 120.5);
}

// --- epochs and buffers ---

std::uint64_t barriers_for_a_burst(std::uint32_t max_epoch_size) {
    auto settings = small_pair();
    settings.net.max_epoch_size = max_epoch_size;
    story it(settings);
    packet_tap tap(it);
    it.up_and_synced();
    const auto before = tap.packets(0, wire::command::barrier);
    for (std::uint64_t at = 0; at < 100; ++at) {
        it.write(0, 0, at * 8, 8);
    }
    it.wait([&] { return it.quiet(); }, "the writes end");
    it.run_for(second);
    return tap.packets(0, wire::command::barrier) - before;
}

void max_epoch_size_is_the_most_writes_between_two_barriers(void**) {
    assert_true(barriers_for_a_burst(2048) < 60);
    assert_true(barriers_for_a_burst(1) == 100);
}

std::uint32_t most_in_flight(std::uint32_t max_buffers) {
    auto settings = small_pair();
    settings.net.max_buffers = max_buffers;
    settings.device_sectors = 65536;
    settings.disk.c_fill_target_sectors = 1 << 20;
    story it(settings);
    it.net.faults.delay_max = 20 * millisecond;
    it.up();
    std::uint32_t most = 0;
    it.check(it.primary(0, true), "primary --force");
    it.wait(
        [&] {
            std::uint64_t sectors = 0;
            sectors = it.nodes[0]->status().volumes[0].unacked;
            most = std::max<std::uint32_t>(most, static_cast<std::uint32_t>(sectors));
            return it.is_in_sync();
        },
        "synced");
    return most;
}

void max_buffers_bounds_what_a_resync_has_under_way(void**) {
    // Half of it, in pages of 4 KiB; a request has one page at least.
    const auto few = most_in_flight(32);
    const auto many = most_in_flight(8000);
    assert_true(few <= 16);
    assert_true(many > 16);
}

// --- authentication ---

void cram_hmac_alg_and_shared_secret_keep_strangers_out(void**) {
    struct side {
        const char* algorithm;
        const char* secret;
    };
    const auto meet = [](side a, side b) {
        story it;
        const std::array sides{a, b};
        for (unsigned at = 0; at < 2; ++at) {
            it.nodes[at]->settings().net.cram_hmac_alg = sides[at].algorithm;
            it.nodes[at]->settings().net.shared_secret = sides[at].secret;
        }
        it.attach_both();
        it.connect_both();
        it.run_for(20 * second);
        return it.connection(0) == connection::connected;
    };
    assert_true(meet({"sha1", "one"}, {"sha1", "one"}));
    assert_true(meet({"sha256", "one"}, {"sha256", "one"}));
    assert_false(meet({"sha1", "one"}, {"sha1", "two"}));
    assert_false(meet({"sha1", "one"}, {"sha256", "one"}));
    assert_false(meet({"sha1", "one"}, {"", ""}));
}

int connect_code(const options::net_options& net) {
    story it;
    it.nodes[0]->settings().net = net;
    it.attach_both();
    const auto ended = it.nodes[0]->connect();
    assert_int_equal(ended.ok, ended.code == 0);
    return ended.code;
}

void unknown_digests_are_refused_with_the_code_of_their_option(void**) {
    const auto code_with = [](std::string options::net_options::*member, const char* name) {
        options::net_options net;
        net.*member = name;
        return connect_code(net);
    };
    using net = options::net_options;
    assert_int_equal(code_with(&net::cram_hmac_alg, "nonsense"), 120);
    assert_int_equal(code_with(&net::cram_hmac_alg, "crc32c"), 121);
    assert_int_equal(code_with(&net::data_integrity_alg, "nonsense"), 141);
    assert_int_equal(code_with(&net::csums_alg, "nonsense"), 144);
    assert_int_equal(code_with(&net::verify_alg, "nonsense"), 146);
    for (const auto member :
         {&net::cram_hmac_alg, &net::data_integrity_alg, &net::csums_alg, &net::verify_alg}) {
        assert_int_equal(code_with(member, "sha1"), 0);
    }
}

// --- two primaries ---

void allow_two_primaries_lets_both_be_primary(void**) {
    for (const bool allowed : {false, true}) {
        auto settings = small_pair();
        settings.net.allow_two_primaries = allowed;
        story it(settings);
        it.up_and_synced();
        const auto ended = it.run([&](replica::on_outcome done) {
            it.nodes[1]->machine().primary(false, std::move(done));
        });
        assert_int_equal(ended.ok, allowed);
        if (!allowed) {
            assert_int_equal(ended.code, static_cast<int>(state::verdict::two_primaries));
            continue;
        }
        auto without = it.nodes[0]->status().net;
        without.allow_two_primaries = false;
        const auto refused = it.nodes[0]->machine().change_net_options(without);
        assert_int_equal(refused.code, 164);
    }
}

void policies_need_their_protocol(void**) {
    options::net_options net;
    net.protocol = options::protocol::a;
    net.allow_two_primaries = true;
    assert_int_equal(connect_code(net), 139);
    net = {};
    net.on_congestion = options::on_congestion::pull_ahead;
    assert_int_equal(connect_code(net), 155);
    net.on_congestion = options::on_congestion::disconnect;
    assert_int_equal(connect_code(net), 155);
    net.protocol = options::protocol::a;
    assert_int_equal(connect_code(net), 0);
    story it;
    it.nodes[0]->settings().disk.fencing = options::fencing::resource_and_stonith;
    it.nodes[0]->settings().net.protocol = options::protocol::a;
    it.attach_both();
    assert_int_equal(it.nodes[0]->connect().code, 154);
}

// --- digests over data ---

// Flips a byte of the first 4 KiB write that A sends.
struct corruption {
    explicit corruption(story& of) {
        of.net.tamper = [this](unsigned side, replica::channel which, auto& bytes) {
            if (armed && side == 0 && which == replica::channel::data && bytes.size() > 4096) {
                bytes[bytes.size() - 1000] ^= std::byte{0x10};
                armed = false;
            }
        };
    }
    bool armed = false;
};

bool corruption_gets_through(const char* algorithm) {
    auto settings = small_pair();
    settings.net.data_integrity_alg = algorithm;
    story it(settings);
    it.up_and_synced();
    corruption flip(it);
    // A whole block in one piece, with nothing behind it.
    it.net.faults.window_bytes = 1 << 20;
    flip.armed = true;
    for (unsigned tries = 0; flip.armed && tries < 50; ++tries) {
        it.write(0, 0, 800, 128);
        it.wait([&] { return it.quiet(); }, "the write ends");
    }
    assert_false(flip.armed);
    it.wait([&] { return it.is_in_sync(); }, "in sync again");
    it.run_for(second);
    bool same = true;
    for (std::uint64_t at = 800; at < 928; ++at) {
        std::array<simulation::sector, 2> content;
        for (unsigned side = 0; side < 2; ++side) {
            it.nodes[side]->data_disk(0).read_now(at * 512, content[side]);
        }
        same = same && content[0] == content[1];
    }
    it.net.tamper = nullptr;
    return !same;
}

void data_integrity_alg_finds_what_was_changed_on_the_way(void**) {
    assert_true(corruption_gets_through(""));
    assert_false(corruption_gets_through("crc32c"));
    assert_false(corruption_gets_through("sha1"));
}

// --- checksums and verify ---

std::uint64_t kib_sent_by_a_second_sync(const char* algorithm, bool after_crash_only, bool crash) {
    auto settings = small_pair();
    settings.net.csums_alg = algorithm;
    settings.net.csums_after_crash_only = after_crash_only;
    settings.external_metadata = true;
    story it(settings);
    it.up_and_synced();
    if (crash) {
        it.some_writes(0, 3);
        it.nodes[0]->crash(true);
        it.wait([&] { return it.connection(1) == connection::wf_connection; }, "noticed");
        it.check(it.primary(1), "the survivor is promoted");
        it.some_writes(1, 3);
        it.nodes[0]->start();
        it.check(it.attach(0), "attached again");
        it.connect_both();
        it.wait([&] { return it.is_in_sync(); }, "in sync again");
        // The crashed Primary is the target of this one.
        return it.status(1).sent_kib;
    }
    const auto before = it.status(0).sent_kib;
    it.check(it.run([&](replica::on_outcome done) {
                   it.nodes[1]->machine().invalidate(0, std::move(done));
               }).ok,
             "invalidate");
    it.wait([&] { return it.connection(1) == connection::sync_target; }, "it syncs");
    it.wait([&] { return it.is_in_sync(); }, "in sync again");
    return it.status(0).sent_kib - before;
}

void csums_alg_sends_only_blocks_that_differ(void**) {
    assert_true(kib_sent_by_a_second_sync("", false, false) > 7000);
    assert_int_equal(kib_sent_by_a_second_sync("crc32c", false, false), 0);
    assert_int_equal(kib_sent_by_a_second_sync("sha1", false, false), 0);
}

void csums_after_crash_only_copies_in_all_other_resyncs(void**) {
    assert_true(kib_sent_by_a_second_sync("crc32c", true, false) > 7000);
    // What the crashed node had acknowledged is on both: checksums find that.
    const auto copied = kib_sent_by_a_second_sync("", true, true);
    const auto compared = kib_sent_by_a_second_sync("crc32c", true, true);
    assert_true(copied >= 4096);
    assert_true(compared < copied / 10);
}

void verify_alg_is_what_online_verify_needs(void**) {
    for (const char* algorithm : {"", "crc32c", "sha1"}) {
        auto settings = small_pair();
        settings.net.verify_alg = algorithm;
        story it(settings);
        it.up_and_synced();
        // Changed below: only a digest over the blocks finds it.
        simulation::sector changed{};
        changed[7] = std::byte{1};
        it.nodes[1]->data_disk(0).write_now(512 * 80, changed);
        const auto ended = it.run([&](replica::on_outcome done) {
            it.nodes[0]->machine().verify(0, 0, ~std::uint64_t{0}, std::move(done));
        });
        if (algorithm[0] == 0) {
            assert_false(ended.ok);
            assert_int_equal(ended.code, static_cast<int>(state::verdict::no_verify_algorithm));
            continue;
        }
        assert_true(ended.ok);
        it.wait([&] { return it.connection(0) == connection::connected; }, "the verify ends");
        assert_int_equal(it.status(0).out_of_sync_kib, 4);
    }
}

std::uint64_t bitmap_bytes(bool use_rle) {
    auto settings = small_pair();
    settings.net.use_rle = use_rle;
    story it(settings);
    packet_tap tap(it);
    it.up_and_synced();
    const auto plain = tap.sent[0][wire::command::bitmap];
    const auto coded = tap.sent[0][wire::command::compressed_bitmap];
    assert_true(use_rle ? plain.packets == 0 || coded.packets > 0 : coded.packets == 0);
    return plain.bytes + coded.bytes;
}

void use_rle_sends_the_bitmap_shorter(void**) {
    assert_true(bitmap_bytes(true) * 4 < bitmap_bytes(false));
}

// --- on-congestion ---

simulation::node_settings congested_pair(options::on_congestion how) {
    auto settings = small_pair();
    settings.net.protocol = options::protocol::a;
    settings.net.on_congestion = how;
    settings.net.congestion_fill_sectors = 256; // 128 KiB
    settings.net.ko_count = 0;
    return settings;
}

void on_congestion_block_waits_for_the_link(void**) {
    story it(congested_pair(options::on_congestion::block));
    it.up_and_synced();
    it.net.faults.window_bytes = 4096;
    it.nodes[1]->data_disk(0).faults.hung = true;
    for (std::uint64_t at = 0; at < 64; ++at) {
        it.write(0, 0, at * 128, 128);
    }
    it.run_for(3 * second);
    assert_true(it.connection(0) == connection::connected);
    it.nodes[1]->data_disk(0).unhang();
    it.net.faults.window_bytes = 1 << 18;
    it.converge();
}

void pull_ahead_at_congestion_fill_and_a_resync_when_the_peer_has_caught_up(void**) {
    story it(congested_pair(options::on_congestion::pull_ahead));
    packet_tap tap(it);
    it.up_and_synced();
    it.nodes[1]->data_disk(0).faults.hung = true;
    for (std::uint64_t at = 0; at < 64; ++at) {
        it.write(0, 0, at * 128, 128);
    }
    it.wait([&] { return it.connection(0) == connection::ahead; }, "Ahead");
    it.wait([&] { return it.connection(1) == connection::behind; }, "Behind");
    it.wait([&] { return it.quiet(); }, "the application is not held up");
    assert_int_equal(it.writes_failed, 0);
    assert_true(it.disk_of(1) == disk::outdated);
    assert_true(it.status(0).out_of_sync_kib > 0);
    assert_true(tap.packets(0, wire::command::out_of_sync) > 0);
    it.run_for(10 * second);
    assert_true(it.connection(0) == connection::ahead);
    it.nodes[1]->data_disk(0).unhang();
    it.wait([&] { return it.connection(0) == connection::sync_source; }, "left with a resync");
    it.converge();
    it.write_one(0, 0);
    it.converge();
}

void below_congestion_fill_nothing_happens(void**) {
    auto settings = congested_pair(options::on_congestion::pull_ahead);
    settings.net.congestion_fill_sectors = 64 * 128 + 1;
    story it(settings);
    it.up_and_synced();
    it.nodes[1]->data_disk(0).faults.hung = true;
    for (std::uint64_t at = 0; at < 64; ++at) {
        it.write(0, 0, at * 128, 128);
    }
    it.run_for(3 * second);
    assert_true(it.connection(0) == connection::connected);
    it.nodes[1]->data_disk(0).unhang();
    it.converge();
}

void on_congestion_disconnect_gives_up_the_connection(void**) {
    story it(congested_pair(options::on_congestion::disconnect));
    it.up_and_synced();
    it.nodes[1]->data_disk(0).faults.hung = true;
    for (std::uint64_t at = 0; at < 64; ++at) {
        it.write(0, 0, at * 128, 128);
    }
    it.wait([&] { return it.connection(0) == connection::standalone; }, "StandAlone");
    it.wait([&] { return it.quiet(); }, "the application goes on");
    assert_int_equal(it.writes_failed, 0);
    it.nodes[1]->data_disk(0).unhang();
    it.run_for(second);
    it.connect_both();
    it.converge();
}

void congestion_extents_counts_hot_extents(void**) {
    for (const std::uint32_t extents : {67U, 90U}) {
        auto settings = congested_pair(options::on_congestion::pull_ahead);
        settings.net.congestion_fill_sectors = 0;
        settings.net.congestion_extents = extents;
        settings.device_sectors = 100 * 8192 + 16384;
        settings.external_metadata = true;
        story it(settings);
        it.up_without_sync();
        it.check(it.primary(0), "promoted");
        it.nodes[1]->data_disk(0).faults.hung = true;
        for (std::uint64_t extent = 0; extent < 80; ++extent) {
            it.write(0, 0, extent * 8192, 8);
            it.run_for(50 * millisecond);
        }
        it.check((it.connection(0) == connection::ahead) == (extents == 67),
                 "80 hot extents are congestion from 67 on");
        it.nodes[1]->data_disk(0).unhang();
        it.converge();
    }
}

// --- on-no-data-accessible ---

// The peer is gone, and then the disk.
void lose_all_data(story& it) {
    it.up_and_synced();
    it.write_one(0, 0);
    it.nodes[1]->crash(true);
    it.wait([&] { return it.connection(0) == connection::wf_connection; }, "the peer is lost");
    it.run_for(second); // the new generation is stored
    it.nodes[0]->data_disk(0).faults.dead = true;
    it.flush(0, 0);
    it.wait([&] { return it.disk_of(0) == disk::diskless; }, "the disk is lost");
}

void on_no_data_accessible_freezes_or_fails(void**) {
    for (const auto policy : {options::on_no_data::io_error, options::on_no_data::suspend_io}) {
        auto settings = small_pair();
        settings.resource.on_no_data_accessible = policy;
        settings.external_metadata = true;
        story it(settings);
        lose_all_data(it);
        it.write(0, 0, 8, 8);
        it.read(0, 0, 0, 8);
        it.run_for(10 * second);
        if (policy == options::on_no_data::io_error) {
            assert_true(it.quiet());
            assert_int_equal(it.writes_failed, 1);
            assert_int_equal(it.reads_failed, 1);
            continue;
        }
        assert_false(it.quiet());
        it.check(it.nodes[0]->status().suspended_no_data, "frozen");
        // The data is back with its disk.
        it.nodes[0]->data_disk(0).faults.dead = false;
        it.check(it.attach(0), "attached again");
        it.wait([&] { return it.quiet(); }, "what was frozen ends");
        assert_int_equal(it.writes_failed + it.reads_failed, 0);
    }
}

void resume_io_gives_up_what_on_no_data_accessible_froze(void**) {
    auto settings = small_pair();
    settings.resource.on_no_data_accessible = options::on_no_data::suspend_io;
    settings.external_metadata = true;
    story it(settings);
    lose_all_data(it);
    it.write(0, 0, 8, 8);
    it.run_for(10 * second);
    assert_false(it.quiet());
    it.run([&](replica::on_outcome done) { it.nodes[0]->machine().resume_io(std::move(done)); });
    it.wait([&] { return it.quiet(); }, "it ends");
    assert_int_equal(it.writes_failed, 1);
}

// --- degr-wfc-timeout ---

void a_primary_that_went_down_without_its_peer_was_degraded(void**) {
    for (const bool alone : {false, true}) {
        story it;
        it.up_and_synced();
        if (alone) {
            it.nodes[1]->crash(true);
            it.wait([&] { return it.connection(0) == connection::wf_connection; }, "alone");
            it.run_for(second);
        }
        it.nodes[0]->crash(true);
        it.run_for(second);
        it.nodes[0]->start();
        it.check(it.attach(0), "attached again");
        it.check(it.status(0).was_degraded == alone, "as the metadata say");
        if (alone) {
            it.nodes[1]->start();
            it.check(it.attach(1), "the peer is back");
            it.connect_both();
            it.converge();
            it.check(!it.status(0).was_degraded, "not any more");
        }
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(protocol_decides_when_a_write_is_done),
        cmocka_unit_test(ko_count_times_timeout_expels_a_peer_that_does_not_write),
        cmocka_unit_test(ko_count_0_waits_for_ever),
        cmocka_unit_test(ping_int_and_ping_timeout_find_a_silent_peer),
        cmocka_unit_test(max_epoch_size_is_the_most_writes_between_two_barriers),
        cmocka_unit_test(max_buffers_bounds_what_a_resync_has_under_way),
        cmocka_unit_test(cram_hmac_alg_and_shared_secret_keep_strangers_out),
        cmocka_unit_test(unknown_digests_are_refused_with_the_code_of_their_option),
        cmocka_unit_test(allow_two_primaries_lets_both_be_primary),
        cmocka_unit_test(policies_need_their_protocol),
        cmocka_unit_test(data_integrity_alg_finds_what_was_changed_on_the_way),
        cmocka_unit_test(csums_alg_sends_only_blocks_that_differ),
        cmocka_unit_test(csums_after_crash_only_copies_in_all_other_resyncs),
        cmocka_unit_test(verify_alg_is_what_online_verify_needs),
        cmocka_unit_test(use_rle_sends_the_bitmap_shorter),
        cmocka_unit_test(on_congestion_block_waits_for_the_link),
        cmocka_unit_test(pull_ahead_at_congestion_fill_and_a_resync_when_the_peer_has_caught_up),
        cmocka_unit_test(below_congestion_fill_nothing_happens),
        cmocka_unit_test(on_congestion_disconnect_gives_up_the_connection),
        cmocka_unit_test(congestion_extents_counts_hot_extents),
        cmocka_unit_test(on_no_data_accessible_freezes_or_fails),
        cmocka_unit_test(resume_io_gives_up_what_on_no_data_accessible_froze),
        cmocka_unit_test(a_primary_that_went_down_without_its_peer_was_degraded),
    };
    return cmocka_run_group_tests_name("net_options", tests, nullptr, nullptr);
}
