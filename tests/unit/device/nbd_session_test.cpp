// Requests of NBD clients: what reaches the engine, and what the client is told.
#include <rapidcheck.h>

#include <map>

#include "unit/device/memory_volume.hpp"
#include "unit/device/nbd_client.hpp"

#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::device;
using operation = memory_volume::operation;

namespace {

constexpr std::size_t mib = 1U << 20;
constexpr std::size_t volume_bytes = 6 * mib;

struct world {
    test_arena arena;
    replica::buffer_pool pool;
    memory_volume engine;
    nbd_exports exports{"r0", engine};
    std::vector<std::unique_ptr<nbd_client>> clients;

    explicit world(std::size_t pool_bytes = 8 * mib, bool read_only = false,
                   bool can_discard = true, std::uint32_t block = 512)
        : arena(pool_bytes), pool(arena.span()), engine(volume_bytes) {
        volume_properties volume;
        volume.size_bytes = engine.bytes.size();
        volume.logical_block_bytes = block;
        volume.read_only = read_only;
        volume.can_discard = can_discard;
        exports.add(volume);
        connect();
    }
    ~world() {
        engine.run();
        for (auto& one : clients) {
            one->session.end();
        }
    }
    nbd_client& connect(std::size_t quota = 6 * mib) {
        clients.push_back(std::make_unique<nbd_client>(exports, pool, quota));
        clients.back()->enter();
        return *clients.back();
    }
    nbd_client& client() { return *clients.front(); }
    // Lets the engine and the clients go on until nothing moves.
    void settle() {
        do {
            engine.run();
            for (auto& one : clients) {
                one->pump();
            }
        } while (!engine.waiting.empty());
    }
};

bytes pattern(std::size_t size, unsigned seed) {
    bytes out(size);
    for (std::size_t i = 0; i < size; ++i) {
        out[i] = static_cast<std::byte>((i * 31 + i / 4096 + seed) & 0xff);
    }
    return out;
}

void a_write_reaches_the_engine_aligned_and_is_answered_after_it_ended(void**) {
    world w;
    const bytes data = pattern(8192, 1);
    w.client().send(nbd_client::request(nbd::command::write, 77, 4096, 8192, 0, data));
    assert_int_equal(w.engine.waiting.size(), 1);
    assert_true(w.client().received.empty());
    w.settle();
    const nbd_reply reply = w.client().take_reply();
    assert_int_equal(reply.error, 0);
    assert_int_equal(reply.cookie, 77);
    assert_memory_equal(w.engine.bytes.data() + 4096, data.data(), data.size());
    assert_true(w.engine.aligned);
    assert_int_equal(w.pool.used_bytes(), 0);
}

void a_read_returns_what_was_written(void**) {
    world w;
    const bytes data = pattern(4096, 9);
    std::memcpy(w.engine.bytes.data() + 512, data.data(), data.size());
    w.client().send(nbd_client::request(nbd::command::read, 5, 512, 4096));
    w.settle();
    assert_int_equal(w.client().take_reply().error, 0);
    assert_true(w.client().received == data);
}

void replies_come_in_the_order_in_which_requests_end(void**) {
    world w;
    for (std::uint64_t cookie = 0; cookie < 4; ++cookie) {
        w.client().send(nbd_client::request(nbd::command::read, cookie, cookie * 512, 512));
    }
    for (const std::uint64_t expected : {2U, 0U, 3U, 1U}) {
        std::size_t index = 0;
        while (w.engine.waiting[index]->offset != expected * 512) {
            ++index;
        }
        w.engine.run_one(index);
    }
    w.client().pump();
    for (const std::uint64_t expected : {2U, 0U, 3U, 1U}) {
        assert_int_equal(w.client().take_reply().cookie, expected);
        w.client().take(512);
    }
}

void flags_reach_the_engine(void**) {
    world w;
    w.client().send(
        nbd_client::request(nbd::command::write, 1, 0, 512, nbd::command_fua, bytes(512)));
    w.client().send(
        nbd_client::request(nbd::command::write_zeroes, 2, 512, 1024, nbd::command_no_hole));
    w.client().send(
        nbd_client::request(nbd::command::write_zeroes, 3, 512, 1024, nbd::command_fua));
    w.client().send(nbd_client::request(nbd::command::trim, 4, 0, 3 * mib));
    w.client().send(nbd_client::request(nbd::command::flush, 5, 0, 0));
    w.client().send(nbd_client::request(nbd::command::read, 6, 0, 512, nbd::command_fua));
    const memory_volume::seen expected[] = {
        {operation::write, 0, 512, true, true},
        {operation::write_zeroes, 512, 1024, false, false},
        {operation::write_zeroes, 512, 1024, true, true},
        {operation::discard, 0, 3 * mib, false, true},
        {operation::flush, 0, 0, false, true},
        {operation::read, 0, 512, false, true},
    };
    assert_int_equal(w.engine.log.size(), std::size(expected));
    for (std::size_t i = 0; i < std::size(expected); ++i) {
        const memory_volume::seen& seen = w.engine.log[i];
        assert_int_equal(static_cast<int>(seen.op), static_cast<int>(expected[i].op));
        assert_int_equal(seen.size, expected[i].size);
        assert_int_equal(seen.fua, expected[i].fua);
        assert_int_equal(seen.may_unmap, expected[i].may_unmap);
    }
}

struct refusal {
    const char* what;
    nbd::command command;
    std::uint16_t flags;
    std::uint64_t offset;
    std::uint32_t length;
    nbd::failure answer;
    bool read_only = false;
    bool can_discard = true;
};

void refused_requests_tell_why_and_leave_the_connection_usable(void**) {
    constexpr std::uint64_t end = volume_bytes;
    const refusal rows[] = {
        {"empty read", nbd::command::read, 0, 0, 0, nbd::failure::invalid},
        {"unaligned offset", nbd::command::read, 0, 1, 512, nbd::failure::invalid},
        {"unaligned length", nbd::command::write, 0, 0, 513, nbd::failure::invalid},
        {"read past the end", nbd::command::read, 0, end - 512, 1024, nbd::failure::invalid},
        {"read far past the end", nbd::command::read, 0, ~std::uint64_t{511}, 512,
         nbd::failure::invalid},
        {"write past the end", nbd::command::write, 0, end, 512, nbd::failure::no_space},
        {"trim past the end", nbd::command::trim, 0, end - 512, 1024, nbd::failure::no_space},
        {"read too long", nbd::command::read, 0, 0, 40 * mib, nbd::failure::invalid},
        {"fast zero", nbd::command::write_zeroes, 1U << 4, 0, 512, nbd::failure::invalid},
        {"no hole on a write", nbd::command::write, nbd::command_no_hole, 0, 512,
         nbd::failure::invalid},
        {"unknown flag", nbd::command::read, 1U << 15, 0, 512, nbd::failure::invalid},
        {"unknown command", static_cast<nbd::command>(5), 0, 0, 512, nbd::failure::invalid},
        {"block status", static_cast<nbd::command>(7), 0, 0, 512, nbd::failure::invalid},
        {"flush with a range", nbd::command::flush, 0, 0, 512, nbd::failure::invalid},
        {"write, read-only", nbd::command::write, 0, 0, 512, nbd::failure::not_permitted, true},
        {"trim, read-only", nbd::command::trim, 0, 0, 512, nbd::failure::not_permitted, true},
        {"zeroes, read-only", nbd::command::write_zeroes, 0, 0, 512, nbd::failure::not_permitted,
         true},
        {"trim, none here", nbd::command::trim, 0, 0, 512, nbd::failure::invalid, false, false},
        {"zeroes, none here", nbd::command::write_zeroes, 0, 0, 512, nbd::failure::invalid, false,
         false},
    };
    for (const refusal& row : rows) {
        world w(8 * mib, row.read_only, row.can_discard);
        const bytes payload(row.command == nbd::command::write ? row.length : 0);
        w.client().send(
            nbd_client::request(row.command, 9, row.offset, row.length, row.flags, payload));
        w.settle();
        const nbd_reply reply = w.client().take_reply();
        if (reply.error != static_cast<std::uint32_t>(row.answer) || !w.engine.log.empty()) {
            fail_msg("%s: answered %u", row.what, reply.error);
        }
        assert_int_equal(reply.cookie, 9);
        w.client().send(nbd_client::request(nbd::command::read, 10, 0, 512));
        w.settle();
        assert_int_equal(w.client().take_reply().cookie, 10);
    }
}

void a_read_longer_than_any_client_may_ask_for_is_refused(void**) {
    world w;
    w.exports.find(volume_number{0})->properties.size_bytes = std::uint64_t{1} << 40;
    w.client().send(nbd_client::request(nbd::command::read, 1, 0, 32 * mib + 512));
    assert_int_equal(w.client().take_reply().error,
                     static_cast<std::uint32_t>(nbd::failure::overflow));
    assert_true(w.engine.log.empty());
}

void offsets_must_be_multiples_of_a_4096_byte_block(void**) {
    world w(8 * mib, false, true, 4096);
    w.client().send(nbd_client::request(nbd::command::read, 1, 512, 4096));
    assert_int_equal(w.client().take_reply().error,
                     static_cast<std::uint32_t>(nbd::failure::invalid));
    w.client().send(nbd_client::request(nbd::command::read, 2, 8192, 4096));
    w.settle();
    assert_int_equal(w.client().take_reply().error, 0);
}

void errors_of_the_engine_are_told_in_the_numbers_of_the_protocol(void**) {
    const struct {
        int error;
        nbd::failure told;
    } rows[] = {{EIO, nbd::failure::input_output},         {EPERM, nbd::failure::not_permitted},
                {EROFS, nbd::failure::not_permitted},      {ENOSPC, nbd::failure::no_space},
                {ENOMEM, nbd::failure::no_memory},         {EINVAL, nbd::failure::invalid},
                {EOPNOTSUPP, nbd::failure::not_supported}, {ESHUTDOWN, nbd::failure::shutdown},
                {ENODEV, nbd::failure::input_output}};
    for (const auto& row : rows) {
        for (const nbd::command command : {nbd::command::read, nbd::command::write}) {
            world w;
            w.engine.fail_next = row.error;
            const bytes payload(command == nbd::command::write ? 512 : 0);
            w.client().send(nbd_client::request(command, 1, 0, 512, 0, payload));
            w.settle();
            assert_int_equal(w.client().take_reply().error, static_cast<std::uint32_t>(row.told));
            assert_true(w.client().received.empty());
        }
    }
}

void a_long_write_is_split_and_answered_once(void**) {
    world w;
    const bytes data = pattern(5 * mib + 512, 4);
    w.client().send(nbd_client::request(nbd::command::write, 3, 1024,
                                        static_cast<std::uint32_t>(data.size()), nbd::command_fua,
                                        data));
    w.client().send(nbd_client::request(nbd::command::flush, 4, 0, 0));
    w.settle();
    assert_int_equal(w.engine.log.size(), 7);
    assert_true(w.engine.fitting);
    for (std::size_t i = 0; i < 6; ++i) {
        assert_true(w.engine.log[i].fua);
    }
    assert_int_equal(w.client().take_reply().cookie, 3);
    assert_int_equal(w.client().take_reply().cookie, 4);
    assert_true(w.client().received.empty());
    assert_memory_equal(w.engine.bytes.data() + 1024, data.data(), data.size());
}

void a_long_write_that_fails_in_the_middle_is_read_to_its_end(void**) {
    world w;
    const bytes data = pattern(4 * mib, 4);
    w.client().send(nbd_client::request(nbd::command::write, 3, 0, 4 * mib, 0, data));
    w.engine.run_one();
    w.client().pump();
    w.engine.fail_next = EIO;
    w.settle();
    w.client().send(nbd_client::request(nbd::command::read, 4, 0, 512));
    w.settle();
    assert_int_equal(w.client().take_reply().error,
                     static_cast<std::uint32_t>(nbd::failure::input_output));
    assert_int_equal(w.client().take_reply().cookie, 4);
    assert_int_equal(w.engine.log.size(), 3);
}

void a_long_read_is_sent_part_by_part_with_one_header(void**) {
    world w;
    const bytes data = pattern(4 * mib + 512, 8);
    std::memcpy(w.engine.bytes.data(), data.data(), data.size());
    w.client().send(
        nbd_client::request(nbd::command::read, 3, 0, static_cast<std::uint32_t>(data.size())));
    w.client().send(nbd_client::request(nbd::command::read, 4, 0, 512));
    w.settle();
    assert_int_equal(w.client().take_reply().cookie, 3);
    assert_true(w.client().take(data.size()) == data);
    assert_int_equal(w.client().take_reply().cookie, 4);
    assert_int_equal(w.client().received.size(), 512);
    assert_true(w.engine.fitting);
}

void a_long_read_that_fails_after_its_header_ends_the_connection(void**) {
    world w;
    w.client().send(nbd_client::request(nbd::command::read, 3, 0, 3 * mib));
    w.engine.run_one();
    w.client().pump();
    w.engine.fail_next = EIO;
    w.engine.run_one();
    w.client().pump();
    assert_true(w.client().session.finished());
    assert_int_equal(w.exports.find(volume_number{0})->clients, 0);
}

void a_write_too_long_to_skip_is_refused_and_ends_the_connection(void**) {
    world w;
    w.client().send(nbd_client::request(nbd::command::write, 1, 0, 0xfffffe00));
    assert_int_equal(w.client().take_reply().error,
                     static_cast<std::uint32_t>(nbd::failure::no_space));
    assert_true(w.client().session.finished());
}

void garbage_instead_of_a_request_ends_the_connection_after_what_is_under_way(void**) {
    world w;
    w.client().send(nbd_client::request(nbd::command::read, 1, 0, 512));
    w.client().send(bytes(28));
    assert_false(w.client().session.finished());
    w.settle();
    assert_int_equal(w.client().take_reply().cookie, 1);
    assert_true(w.client().session.finished());
}

void disconnect_is_obeyed_after_what_is_under_way(void**) {
    world w;
    w.client().send(nbd_client::request(nbd::command::write, 1, 0, 512, 0, pattern(512, 3)));
    w.client().send(nbd_client::request(nbd::command::disconnect, 0, 0, 0));
    assert_false(w.client().session.finished());
    w.settle();
    assert_int_equal(w.client().take_reply().cookie, 1);
    assert_true(w.client().session.finished());
}

// What CAN_MULTI_CONN promises.
void a_flush_on_one_connection_covers_writes_answered_on_another(void**) {
    world w;
    nbd_client& second = w.connect();
    assert_int_equal(w.exports.find(volume_number{0})->clients, 2);
    const bytes data = pattern(4096, 6);
    w.client().send(nbd_client::request(nbd::command::write, 1, 8192, 4096, 0, data));
    w.settle();
    assert_int_equal(w.client().take_reply().error, 0);
    assert_memory_not_equal(w.engine.durable.data() + 8192, data.data(), data.size());
    second.send(nbd_client::request(nbd::command::flush, 1, 0, 0));
    w.settle();
    assert_int_equal(second.take_reply().error, 0);
    assert_memory_equal(w.engine.durable.data() + 8192, data.data(), data.size());
}

void an_empty_pool_makes_the_client_wait_and_nothing_is_lost(void**) {
    world w(2 * mib);
    replica::buffer_ref all[2] = {w.pool.allocate(mib), w.pool.allocate(mib)};
    const bytes data = pattern(4096, 2);
    w.client().send(nbd_client::request(nbd::command::write, 1, 0, 4096, 0, data));
    w.client().send(nbd_client::request(nbd::command::read, 2, 0, 512));
    assert_true(w.engine.log.empty());
    all[0].reset();
    w.settle();
    assert_int_equal(w.client().take_reply().cookie, 1);
    assert_int_equal(w.client().take_reply().cookie, 2);
    assert_memory_equal(w.engine.bytes.data(), data.data(), data.size());
}

void a_client_that_reads_no_replies_holds_no_more_than_its_share(void**) {
    world w;
    nbd_client& greedy = w.connect(2 * mib);
    greedy.reading = false;
    for (std::uint64_t i = 0; i < 6; ++i) {
        greedy.send(nbd_client::request(nbd::command::read, i, 0, mib));
        w.engine.run();
    }
    greedy.pump();
    w.engine.run();
    assert_int_equal(w.pool.used_bytes(), 2 * mib);
    w.client().send(nbd_client::request(nbd::command::read, 50, 0, mib));
    w.settle();
    assert_int_equal(w.client().take_reply().cookie, 50);
    greedy.reading = true;
    w.settle();
    for (std::uint64_t i = 0; i < 6; ++i) {
        assert_int_equal(greedy.take_reply().cookie, i);
        assert_int_equal(greedy.take(mib).size(), mib);
    }
}

void more_requests_than_slots_are_taken_as_slots_become_free(void**) {
    world w;
    constexpr std::size_t count = nbd_session::slots_max + 50;
    for (std::uint64_t i = 0; i < count; ++i) {
        w.client().send(nbd_client::request(nbd::command::flush, i, 0, 0));
    }
    assert_int_equal(w.engine.waiting.size(), nbd_session::slots_max);
    w.settle();
    for (std::uint64_t i = 0; i < count; ++i) {
        assert_int_equal(w.client().take_reply().cookie, i);
    }
}

void ending_a_session_lets_the_engine_finish_and_gives_everything_back(void**) {
    world w;
    w.client().send(nbd_client::request(nbd::command::read, 1, 0, 4096));
    w.client().send(nbd_client::request(nbd::command::write, 2, 0, 8192, 0, bytes(4096)));
    w.client().session.end();
    assert_true(w.client().session.finished());
    assert_false(w.client().session.idle());
    w.engine.run();
    assert_true(w.client().session.idle());
    w.clients.clear();
    assert_int_equal(w.pool.used_bytes(), 0);
    assert_int_equal(w.exports.find(volume_number{0})->clients, 0);
}

// A script of requests, cut into pieces of any size on the way in and on the way out, gives the
// same volume and the same replies as when it comes whole.
void pieces_of_any_size_make_no_difference(void**) {
    const bool held = rc::check([] {
        const auto steps = *rc::gen::inRange(1, 16);
        bytes script;
        bytes model(volume_bytes);
        std::map<std::uint64_t, std::pair<std::uint64_t, std::uint32_t>> reads;
        for (int i = 0; i < steps; ++i) {
            const auto cookie = static_cast<std::uint64_t>(i);
            // The first write may be longer than one part; each has a place of its own, and reads
            // are of a part that no write touches: the order in which requests end is free.
            const auto longest = i == 0 ? 2500 : 256;
            const auto size = static_cast<std::uint32_t>(
                512 * *rc::gen::weightedElement<int>({{6, 8}, {4, 1}, {2, 256}, {1, longest}}));
            const std::uint64_t place = i == 0 ? 2 * mib : cookie * mib / 8;
            if (*rc::gen::arbitrary<bool>()) {
                const bytes data = pattern(size, static_cast<unsigned>(i));
                const bytes one =
                    nbd_client::request(nbd::command::write, cookie, place, size, 0, data);
                script.insert(script.end(), one.begin(), one.end());
                std::memcpy(model.data() + place, data.data(), size);
            } else {
                const auto offset = 4 * mib + std::uint64_t{512} * *rc::gen::inRange(0U, 1000U);
                const bytes one = nbd_client::request(nbd::command::read, cookie, offset, size);
                script.insert(script.end(), one.begin(), one.end());
                reads[cookie] = {offset, size};
            }
        }
        world w(2 * mib);
        const bytes fixed = pattern(2 * mib, 99);
        std::memcpy(w.engine.bytes.data() + 4 * mib, fixed.data(), fixed.size());
        std::memcpy(model.data() + 4 * mib, fixed.data(), fixed.size());
        const auto chunk = static_cast<std::size_t>(*rc::gen::inRange(1000, 200000));
        w.client().send(script, chunk);
        for (int guard = 0; !w.engine.waiting.empty(); ++guard) {
            RC_ASSERT(guard < 100000);
            const auto which = static_cast<std::size_t>(guard) * 7 % w.engine.waiting.size();
            w.engine.run_one(which);
            w.client().pump(chunk);
        }
        RC_ASSERT(w.client().wire.empty());
        RC_ASSERT(w.engine.aligned && w.engine.fitting);
        RC_ASSERT(w.engine.bytes == model);
        for (int i = 0; i < steps; ++i) {
            const nbd_reply reply = w.client().take_reply();
            RC_ASSERT(reply.error == 0U);
            const auto read = reads.find(reply.cookie);
            if (read != reads.end()) {
                const auto [offset, size] = read->second;
                const bytes got = w.client().take(size);
                RC_ASSERT(got.size() == size);
                RC_ASSERT(std::memcmp(got.data(), model.data() + offset, size) == 0);
            }
        }
        RC_ASSERT(w.client().received.empty());
        RC_ASSERT(w.pool.used_bytes() == 0U);
    });
    assert_true(held);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_write_reaches_the_engine_aligned_and_is_answered_after_it_ended),
        cmocka_unit_test(a_read_returns_what_was_written),
        cmocka_unit_test(replies_come_in_the_order_in_which_requests_end),
        cmocka_unit_test(flags_reach_the_engine),
        cmocka_unit_test(refused_requests_tell_why_and_leave_the_connection_usable),
        cmocka_unit_test(a_read_longer_than_any_client_may_ask_for_is_refused),
        cmocka_unit_test(offsets_must_be_multiples_of_a_4096_byte_block),
        cmocka_unit_test(errors_of_the_engine_are_told_in_the_numbers_of_the_protocol),
        cmocka_unit_test(a_long_write_is_split_and_answered_once),
        cmocka_unit_test(a_long_write_that_fails_in_the_middle_is_read_to_its_end),
        cmocka_unit_test(a_long_read_is_sent_part_by_part_with_one_header),
        cmocka_unit_test(a_long_read_that_fails_after_its_header_ends_the_connection),
        cmocka_unit_test(a_write_too_long_to_skip_is_refused_and_ends_the_connection),
        cmocka_unit_test(garbage_instead_of_a_request_ends_the_connection_after_what_is_under_way),
        cmocka_unit_test(disconnect_is_obeyed_after_what_is_under_way),
        cmocka_unit_test(a_flush_on_one_connection_covers_writes_answered_on_another),
        cmocka_unit_test(an_empty_pool_makes_the_client_wait_and_nothing_is_lost),
        cmocka_unit_test(a_client_that_reads_no_replies_holds_no_more_than_its_share),
        cmocka_unit_test(more_requests_than_slots_are_taken_as_slots_become_free),
        cmocka_unit_test(ending_a_session_lets_the_engine_finish_and_gives_everything_back),
        cmocka_unit_test(pieces_of_any_size_make_no_difference),
    };
    return cmocka_run_group_tests_name("nbd_session", tests, nullptr, nullptr);
}
