// When a write is said to be done, and what of it must be there after a crash.
#include "pair_story.hpp"

namespace {

using namespace lockstep;
using operation = replica::io_request::operation;
using options::protocol;
using simulation::millisecond;
using simulation::second;
using story = simulation::pair_story;

simulation::node_settings with_protocol(protocol wanted) {
    auto settings = simulation::small_pair();
    settings.net.protocol = wanted;
    settings.net.ko_count = 0;
    settings.net.timeout_ds = 600;
    settings.net.ping_int_s = 120;
    return settings;
}

// --- completion points ---

bool done_within_a_second(story& it) {
    return it.run_until([&] { return it.quiet(); }, second);
}

void stall_peer_disk(story& it) {
    it.nodes[1]->data_disk(0).faults.hung = true;
}

void protocol_a_completes_at_the_local_disk(void**) {
    story it(with_protocol(protocol::a));
    it.up_and_synced();
    it.net.faults.cut_from[0] = true; // nothing arrives, the send buffer takes it
    it.write(0, 0, 0, 8);
    it.expect(done_within_a_second(it), "done without the peer");
    it.nodes[0]->data_disk(0).faults.hung = true;
    it.write(0, 0, 8, 8);
    it.expect(!done_within_a_second(it), "not done without the own disk");
}

void protocol_a_waits_for_room_in_the_send_buffer(void**) {
    story it(with_protocol(protocol::a));
    it.up_and_synced();
    it.net.faults.cut_from[0] = true;
    for (std::uint64_t sent = 0; sent <= it.net.faults.window_bytes; sent += 64 * 1024) {
        it.write(0, 0, sent / 512, 128);
    }
    it.expect(!done_within_a_second(it), "the last one is not handed over");
}

void protocol_b_completes_when_the_peer_has_received(void**) {
    story it(with_protocol(protocol::b));
    it.up_and_synced();
    stall_peer_disk(it);
    it.write(0, 0, 0, 8);
    it.expect(done_within_a_second(it), "done though the peer's disk hangs");
    it.net.faults.cut_from[0] = true;
    it.write(0, 0, 8, 8);
    it.expect(!done_within_a_second(it), "not done before the peer has it");
}

// Received is as good as written, also if it waits for an earlier flush when the link breaks.
void under_protocol_b_what_was_received_is_written(void**) {
    story it(with_protocol(protocol::b));
    it.up_and_synced();
    it.nodes[1]->data_disk(0).faults.flush_latency = 2 * second;
    for (std::uint64_t first = 0; first < 64; first += 8) {
        it.write(0, 0, first, 16);
        it.expect(done_within_a_second(it), "received");
    }
    it.nodes[0]->crash(true);
    it.run_for(10 * second);
    it.expect(it.primary(1), "the other one takes over");
    it.read(1, 0, 0, 72); // checked against what was written
    it.expect_within([&] { return it.quiet(); }, "read");
    it.expect(it.reads_failed == 0, "without an error");
}

void protocol_c_completes_when_the_peer_has_written(void**) {
    story it(with_protocol(protocol::c));
    it.up_and_synced();
    stall_peer_disk(it);
    it.write(0, 0, 0, 8);
    it.expect(!done_within_a_second(it), "not done while the peer's disk hangs");
    it.nodes[1]->data_disk(0).unhang();
    it.expect(done_within_a_second(it), "done with the peer's disk");
}

// Before version 95 the peer is not told of FUA: it has the write for certain when it has
// acknowledged the epoch.
void under_protocol_c_fua_waits_for_the_flush_of_a_peer_of_an_old_version(void**) {
    for (const std::uint32_t version : {93U, 101U}) {
        story it(with_protocol(protocol::c));
        it.net.dialect.version_max = version;
        it.up_and_synced();
        it.nodes[1]->data_disk(0).faults.flush_latency = 5 * second;
        it.write(0, 0, 0, 8, true);
        const bool done = done_within_a_second(it);
        it.expect(done == (version == 101), "done only where FUA does it");
        it.expect(it.run_until([&] { return it.quiet(); }, 10 * second), "done in the end");
    }
}

// Begun while the peer was away, and larger than what that one takes when it is back.
void a_peer_of_an_old_version_gets_no_write_that_is_too_large(void**) {
    for (const std::uint32_t version : {93U, 96U}) {
        for (const bool zeroes : {false, true}) {
            auto settings = with_protocol(protocol::c);
            settings.external_metadata = true;
            story it(settings);
            it.up_and_synced();
            it.nodes[0]->data_disk(0).faults.hung = true;
            it.write(0, 0, 0, 8);
            it.net.dialect.version_max = version;
            it.net.dialect.features = 0;
            it.net.break_connection();
            it.expect_within([&] { return !it.net.connected(); }, "the link is lost");
            if (zeroes) {
                it.write_zeroes(0, 0, 0, 4096);
            } else {
                it.write(0, 0, 0, 1024);
            }
            it.run_for(10 * second);
            it.nodes[0]->data_disk(0).unhang();
            it.all_requests_end();
            it.expect(it.writes_failed == 0, "no error");
            it.converge();
        }
    }
}

// --- order ---

// Writes one block after the other, each when the one before is done (and flushed, if it says so),
// over all volumes in turn.
struct chain {
    chain(story& of, replica::volume_number volumes, bool flushes)
        : it(of), volumes_(volumes), flushes_(flushes) {
        next();
    }

    void next() {
        if (!it.nodes[0]->alive() || begun == count_max) {
            return;
        }
        auto request = std::make_unique<simulation::client_request>();
        request->io.op = operation::write;
        request->io.volume = static_cast<replica::volume_number>(begun % volumes_);
        request->io.offset = begun * 4096;
        request->io.size = 4096;
        request->io.buffer = it.nodes[0]->client_buffer(4096);
        for (std::uint64_t at = 0; at < 8; ++at) {
            simulation::model::fill(begun + 1, begun * 8 + at,
                                    request->io.buffer.data() + at * 512);
        }
        request->done = [this](simulation::client_request&, int error) {
            assert_int_equal(error, 0);
            if (flushes_) {
                flush();
            } else {
                next();
            }
        };
        ++begun;
        it.nodes[0]->submit(std::move(request));
    }
    void flush() {
        auto request = std::make_unique<simulation::client_request>();
        request->io.op = operation::flush;
        request->io.volume = static_cast<replica::volume_number>((begun - 1) % volumes_);
        request->done = [this](simulation::client_request&, int) { next(); };
        it.nodes[0]->submit(std::move(request));
    }
    // Whether any sector of that write is on the disk of this node.
    bool any_of(unsigned side, std::uint64_t index) const { return sectors_of(side, index) > 0; }
    bool all_of(unsigned side, std::uint64_t index) const { return sectors_of(side, index) == 8; }

    static constexpr std::uint64_t count_max = 400;
    story& it;
    std::uint64_t begun = 0;

private:
    unsigned sectors_of(unsigned side, std::uint64_t index) const {
        unsigned found = 0;
        for (std::uint64_t at = 0; at < 8; ++at) {
            simulation::sector content;
            simulation::model::write_id id = 0;
            auto& disk =
                it.nodes[side]->data_disk(static_cast<replica::volume_number>(index % volumes_));
            disk.read_now((index * 8 + at) * 512, content);
            found +=
                simulation::model::identify(index * 8 + at, content.data(), id) && id == index + 1
                    ? 1
                    : 0;
        }
        return found;
    }
    replica::volume_number volumes_;
    bool flushes_;
};

// Under protocols A and B the peer begins a write only when the epoch before is flushed, under C
// when what it may depend on is: whatever survives a loss of power there has no hole.
void no_hole_after_power_loss(replica::volume_number volumes, protocol wanted) {
    std::uint64_t seen = 0;
    for (std::uint64_t seed = 1; seed <= 30; ++seed) {
        auto settings = with_protocol(wanted);
        settings.volumes = volumes;
        story it(settings, seed);
        it.up_and_synced();
        chain writes(it, volumes, wanted == protocol::c);
        it.run_for(it.random.between(1, 200) * millisecond);
        it.nodes[1]->crash(false);
        it.nodes[0]->crash(false);
        std::uint64_t last = writes.begun;
        while (last > 0 && !writes.any_of(1, last - 1)) {
            --last;
        }
        for (std::uint64_t index = 0; index + 1 < last; ++index) {
            if (!writes.all_of(1, index)) {
                it.fail_with("seed " + std::to_string(seed) + ": write " + std::to_string(index) +
                             " is missing, " + std::to_string(last - 1) + " is there");
                break;
            }
        }
        it.expect(true, "");
        seen += last;
    }
    assert_true(seen > 300);
}

void the_peer_has_no_hole_after_a_power_loss(void**) {
    no_hole_after_power_loss(1, protocol::c);
    no_hole_after_power_loss(1, protocol::b);
    no_hole_after_power_loss(1, protocol::a);
}

void volumes_of_a_resource_have_one_order(void**) {
    no_hole_after_power_loss(3, protocol::c);
    no_hole_after_power_loss(3, protocol::a);
}

void flushed_writes_survive_the_loss_of_both_nodes(void**) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        story it(simulation::small_pair(), seed);
        it.up_and_synced();
        it.some_writes_succeed(0, 20);
        it.flush(0, 0);
        it.all_requests_end();
        it.some_writes(0, 10);
        it.nodes[0]->crash(false);
        it.nodes[1]->crash(false);
        it.models[0].forget_unflushed();
        for (unsigned side = 0; side < 2; ++side) {
            for (const auto& [at, history] : it.models[0].touched()) {
                simulation::sector content;
                it.nodes[side]->data_disk(0).read_now(at * 512, content);
                const auto wrong = it.models[0].check(at, content.data(), it.models[0].now());
                if (!wrong.empty()) {
                    it.fail_with("after the power loss: " + wrong);
                    break;
                }
            }
        }
        it.expect(true, "");
    }
}

// Else a crash would leave nothing that tells whose data was flushed, and the other's might win.
void a_flush_alone_waits_until_the_disk_says_that_it_went_on_alone(void**) {
    auto settings = simulation::small_pair();
    settings.external_metadata = true;
    story it(settings);
    it.up_and_synced();
    it.some_writes_succeed(0, 4);
    it.nodes[0]->crash(true);
    it.expect_within(
        [&] { return it.nodes[1]->status().connection == state::connection::wf_connection; },
        "the loss is noticed");
    it.nodes[1]->metadata_disk(0).faults.hung = true;
    it.nodes[1]->machine().primary(false, [](const replica::outcome&) {});
    it.run_for(10 * millisecond);
    it.flush(1, 0);
    it.expect(!done_within_a_second(it), "not done before the metadata is stored");
    it.nodes[1]->metadata_disk(0).unhang();
    it.all_requests_end();
    it.expect(it.flushes_failed == 0, "done");
}

// --- the activity log ---

void a_crashed_primary_resyncs_the_extents_of_its_log_and_no_more(void**) {
    auto settings = simulation::small_pair(8 * 8192 + 128); // a bit more than eight extents
    story it(settings);
    it.up_and_synced();
    // A new life of A, so that its log knows nothing of the first sync.
    it.expect(it.secondary(0), "demoted");
    it.run([&](replica::on_outcome done) { it.nodes[0]->machine().detach(0, false, done); });
    it.expect(it.attach(0), "attached");
    it.expect(it.wait_in_sync(), "in sync");
    it.expect(it.primary(0), "promoted");
    it.some_writes_succeed(0, 10, 2 * 8192, 8192);
    it.some_writes_succeed(0, 10, 5 * 8192, 8192);
    it.some_writes(0, 3, 5 * 8192, 8192);
    it.nodes[0]->crash(true);
    it.models[0].forget_unflushed(); // A comes back as the source, without what its cache had
    it.expect_within(
        [&] { return it.nodes[1]->status().connection == state::connection::wf_connection; },
        "the loss is noticed");
    std::vector<std::string> began;
    it.nodes[0]->start();
    for (auto& each : it.nodes) {
        each->on_log = [&](unsigned, std::string_view text) {
            if (text.find("Began resync") != std::string_view::npos) {
                began.emplace_back(text);
            }
        };
    }
    it.expect(it.attach(0), "attached after the crash");
    it.expect(it.out_of_sync_kib(0) == 2 * 4096, "two extents are marked");
    it.connect_both();
    it.converge();
    it.expect(began.size() == 2, "one resync, of both nodes' words");
    for (const auto& each : began) {
        it.expect(each.find("will sync 8192 KB") != std::string::npos, each.c_str());
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(protocol_a_completes_at_the_local_disk),
        cmocka_unit_test(protocol_a_waits_for_room_in_the_send_buffer),
        cmocka_unit_test(protocol_b_completes_when_the_peer_has_received),
        cmocka_unit_test(under_protocol_b_what_was_received_is_written),
        cmocka_unit_test(protocol_c_completes_when_the_peer_has_written),
        cmocka_unit_test(a_peer_of_an_old_version_gets_no_write_that_is_too_large),
        cmocka_unit_test(under_protocol_c_fua_waits_for_the_flush_of_a_peer_of_an_old_version),
        cmocka_unit_test(the_peer_has_no_hole_after_a_power_loss),
        cmocka_unit_test(volumes_of_a_resource_have_one_order),
        cmocka_unit_test(flushed_writes_survive_the_loss_of_both_nodes),
        cmocka_unit_test(a_flush_alone_waits_until_the_disk_says_that_it_went_on_alone),
        cmocka_unit_test(a_crashed_primary_resyncs_the_extents_of_its_log_and_no_more),
    };
    return cmocka_run_group_tests_name("simulation_completion", tests, nullptr, nullptr);
}
