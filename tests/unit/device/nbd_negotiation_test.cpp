// What the NBD server says before the first request, and to clients that do not keep the rules.
#include "unit/device/memory_volume.hpp"
#include "unit/device/nbd_client.hpp"

#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::device;

namespace {

constexpr std::uint32_t option_number(nbd::option which) {
    return static_cast<std::uint32_t>(which);
}

struct world {
    test_arena arena{4U << 20};
    replica::buffer_pool pool{arena.span()};
    memory_volume engine{8U << 20};
    nbd_exports exports{"r0", engine};
    nbd_client client{exports, pool, 2U << 20};

    world() {
        volume_properties volume;
        volume.volume = 0;
        volume.minor = 7;
        volume.size_bytes = engine.bytes.size();
        volume.logical_block_bytes = 512;
        volume.can_discard = true;
        exports.add(volume);
        volume.volume = 3;
        volume.minor = 12;
        volume.size_bytes = 1U << 20;
        volume.logical_block_bytes = 4096;
        volume.can_discard = false;
        volume.read_only = true;
        exports.add(volume);
    }
    ~world() { client.session.end(); }
};

struct parsed_reply {
    std::uint32_t option = 0;
    std::uint32_t type = 0;
    bytes data;
};

parsed_reply take_option_reply(nbd_client& client) {
    const bytes head = client.take(20);
    byte_reader reader{head};
    parsed_reply reply;
    assert_true(reader.take<std::uint64_t>() == nbd::option_reply_magic);
    reply.option = reader.take<std::uint32_t>();
    reply.type = reader.take<std::uint32_t>();
    const auto length = reader.take<std::uint32_t>();
    assert_true(reader.ok());
    reply.data = client.take(length);
    assert_int_equal(reply.data.size(), length);
    return reply;
}

void expect_type(nbd_client& client, nbd::option_reply type) {
    assert_int_equal(take_option_reply(client).type, static_cast<std::uint32_t>(type));
}

void greeting_offers_fixed_newstyle_without_zeroes(void**) {
    world w;
    w.client.pump();
    assert_int_equal(w.client.received.size(), 18);
    assert_memory_equal(w.client.received.data(), "NBDMAGICIHAVEOPT\0\3", 18);
}

void unknown_client_flags_end_the_connection(void**) {
    world w;
    w.client.send(nbd_client::hello(4));
    assert_true(w.client.session.finished());
}

void list_names_every_published_volume(void**) {
    world w;
    w.client.send(nbd_client::hello());
    w.client.take(18);
    w.client.send(nbd_client::option(option_number(nbd::option::list)));
    for (const char* name : {"r0/0", "r0/3"}) {
        const parsed_reply reply = take_option_reply(w.client);
        assert_int_equal(reply.type, static_cast<std::uint32_t>(nbd::option_reply::server));
        assert_int_equal(reply.data.size(), 8);
        assert_memory_equal(reply.data.data() + 4, name, 4);
    }
    expect_type(w.client, nbd::option_reply::ack);
    assert_true(w.client.received.empty());
}

void go_finds_an_export_by_every_name_it_has(void**) {
    const struct {
        const char* name;
        int volume; // -1: refused
    } rows[] = {{"", 0},         {"r0", 0},  {"r0/0", 0},     {"0", 0},   {"minor-7", 0},
                {"r0/3", 3},     {"3", 3},   {"minor-12", 3}, {"r1", -1}, {"r0/1", -1},
                {"minor-0", -1}, {"/0", -1}, {"r0/", -1},     {"R0", -1}};
    for (const auto& row : rows) {
        world w;
        w.client.send(nbd_client::hello());
        w.client.take(18);
        w.client.send(
            nbd_client::option(option_number(nbd::option::go), nbd_client::go_data(row.name)));
        if (row.volume < 0) {
            expect_type(w.client, nbd::option_reply::error_unknown);
            assert_null(w.client.session.chosen());
        } else {
            assert_non_null(w.client.session.chosen());
            assert_int_equal(w.client.session.chosen()->properties.volume, row.volume);
            assert_int_equal(w.client.session.chosen()->clients, 1);
        }
    }
}

void info_tells_size_flags_and_block_sizes(void**) {
    world w;
    w.client.send(nbd_client::hello());
    w.client.take(18);
    w.client.send(
        nbd_client::option(option_number(nbd::option::info), nbd_client::go_data("3", {1, 3})));

    const parsed_reply size = take_option_reply(w.client);
    byte_reader size_reader{size.data};
    assert_int_equal(size_reader.take<std::uint16_t>(), 0);
    assert_int_equal(size_reader.take<std::uint64_t>(), 1U << 20);
    assert_int_equal(size_reader.take<std::uint16_t>(), nbd::flag_has_flags | nbd::flag_read_only |
                                                            nbd::flag_send_flush |
                                                            nbd::flag_can_multi_conn);

    const parsed_reply blocks = take_option_reply(w.client);
    byte_reader block_reader{blocks.data};
    assert_int_equal(block_reader.take<std::uint16_t>(), 3);
    assert_int_equal(block_reader.take<std::uint32_t>(), 4096);
    assert_int_equal(block_reader.take<std::uint32_t>(), 4096);
    assert_int_equal(block_reader.take<std::uint32_t>(), 1U << 20);

    const parsed_reply name = take_option_reply(w.client);
    assert_int_equal(name.data.size(), 6);
    assert_memory_equal(name.data.data() + 2, "r0/3", 4);
    expect_type(w.client, nbd::option_reply::ack);
    assert_null(w.client.session.chosen()); // INFO does not enter the transmission
}

void a_writable_export_offers_fua_trim_and_write_zeroes(void**) {
    world w;
    const std::uint16_t flags = w.exports.find(volume_number{0})->transmission_flags();
    assert_int_equal(flags, nbd::flag_has_flags | nbd::flag_send_flush | nbd::flag_send_fua |
                                nbd::flag_send_trim | nbd::flag_send_write_zeroes |
                                nbd::flag_can_multi_conn);
}

void export_name_answers_with_or_without_padding(void**) {
    for (const bool no_zeroes : {false, true}) {
        world w;
        w.client.send(nbd_client::hello(no_zeroes ? 3 : 1));
        w.client.take(18);
        w.client.send(
            nbd_client::option(option_number(nbd::option::export_name), nbd_client::text("r0/0")));
        assert_int_equal(w.client.received.size(), no_zeroes ? 10 : 134);
        assert_int_equal(load_big<std::uint64_t>(w.client.received.data()), 8U << 20);
        assert_non_null(w.client.session.chosen());
    }
}

void an_unknown_export_name_ends_the_connection(void**) {
    world w;
    w.client.send(nbd_client::hello());
    w.client.take(18);
    w.client.send(
        nbd_client::option(option_number(nbd::option::export_name), nbd_client::text("nobody")));
    assert_true(w.client.session.finished());
    assert_true(w.client.received.empty());
}

void tls_is_refused_with_a_reason(void**) {
    world w;
    w.client.send(nbd_client::hello());
    w.client.take(18);
    w.client.send(nbd_client::option(option_number(nbd::option::starttls)));
    const parsed_reply reply = take_option_reply(w.client);
    assert_int_equal(reply.type, static_cast<std::uint32_t>(nbd::option_reply::error_unsupported));
    const std::string why(reinterpret_cast<const char*>(reply.data.data()), reply.data.size());
    assert_non_null(std::strstr(why.c_str(), "no TLS"));
}

void options_it_does_not_know_leave_the_negotiation_usable(void**) {
    world w;
    w.client.send(nbd_client::hello());
    w.client.take(18);
    for (const std::uint32_t which : {4U, 8U, 9U, 10U, 11U, 0U, 0xffffffffU}) {
        w.client.send(nbd_client::option(which, nbd_client::text("anything")));
        expect_type(w.client, nbd::option_reply::error_unsupported);
    }
    w.client.send(nbd_client::option(option_number(nbd::option::go), nbd_client::go_data("")));
    assert_non_null(w.client.session.chosen());
}

void malformed_options_are_refused_one_by_one(void**) {
    bytes long_name = nbd_client::go_data("r0/0");
    store_big(long_name.data(), std::uint32_t{0xfffffff0});
    bytes too_many = nbd_client::go_data("r0/0");
    store_big(too_many.data() + 8, std::uint16_t{9});
    bytes trailing = nbd_client::go_data("r0/0");
    trailing.push_back(std::byte{0});
    const bytes nothing;
    for (const bytes& data : {long_name, too_many, trailing, nothing}) {
        for (const nbd::option which : {nbd::option::go, nbd::option::info}) {
            world w;
            w.client.send(nbd_client::hello());
            w.client.take(18);
            w.client.send(nbd_client::option(option_number(which), data));
            expect_type(w.client, nbd::option_reply::error_invalid);
            assert_null(w.client.session.chosen());
            assert_false(w.client.session.finished());
        }
    }
    world w;
    w.client.send(nbd_client::hello());
    w.client.take(18);
    w.client.send(nbd_client::option(option_number(nbd::option::list), nbd_client::text("x")));
    expect_type(w.client, nbd::option_reply::error_invalid);
}

void an_option_that_is_too_long_is_skipped(void**) {
    world w;
    w.client.send(nbd_client::hello());
    w.client.take(18);
    w.client.send(nbd_client::option(option_number(nbd::option::info), bytes(300000)));
    expect_type(w.client, nbd::option_reply::error_too_big);
    w.client.send(nbd_client::option(option_number(nbd::option::go), nbd_client::go_data("r0/0")),
                  100);
    assert_non_null(w.client.session.chosen());
}

void absurd_lengths_and_bad_magic_end_the_connection(void**) {
    bytes absurd = nbd_client::option(option_number(nbd::option::info));
    store_big(absurd.data() + 12, std::uint32_t{0xffffffff});
    bytes bad_magic = nbd_client::option(option_number(nbd::option::list));
    bad_magic[0] = std::byte{0};
    for (const bytes& one : {absurd, bad_magic}) {
        world w;
        w.client.send(nbd_client::hello());
        w.client.send(one);
        assert_true(w.client.session.closing());
        assert_true(w.client.session.finished());
    }
}

void abort_is_acknowledged_and_ends_the_connection(void**) {
    world w;
    w.client.send(nbd_client::hello());
    w.client.take(18);
    w.client.send(nbd_client::option(option_number(nbd::option::abort)));
    expect_type(w.client, nbd::option_reply::ack);
    assert_true(w.client.session.finished());
}

void a_client_that_reads_no_answers_does_not_make_them_pile_up(void**) {
    world w;
    w.client.send(nbd_client::hello());
    w.client.received.clear();
    w.client.reading = false;
    bytes questions;
    constexpr std::size_t count = 6000;
    for (std::size_t i = 0; i < count; ++i) {
        const bytes one = nbd_client::option(option_number(nbd::option::list));
        questions.insert(questions.end(), one.begin(), one.end());
    }
    w.client.send(questions);
    nbd_session::segment segments[4];
    std::size_t piled_up = 0;
    const std::size_t parts = w.client.session.gather(segments);
    for (std::size_t i = 0; i < parts; ++i) {
        piled_up += segments[i].size;
    }
    w.client.session.sent(0);
    assert_true(piled_up < nbd_negotiation::output_bytes_max + 1000);
    w.client.reading = true;
    w.client.pump();
    for (std::size_t i = 0; i < count; ++i) {
        expect_type(w.client, nbd::option_reply::server);
        expect_type(w.client, nbd::option_reply::server);
        expect_type(w.client, nbd::option_reply::ack);
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(greeting_offers_fixed_newstyle_without_zeroes),
        cmocka_unit_test(unknown_client_flags_end_the_connection),
        cmocka_unit_test(list_names_every_published_volume),
        cmocka_unit_test(go_finds_an_export_by_every_name_it_has),
        cmocka_unit_test(info_tells_size_flags_and_block_sizes),
        cmocka_unit_test(a_writable_export_offers_fua_trim_and_write_zeroes),
        cmocka_unit_test(export_name_answers_with_or_without_padding),
        cmocka_unit_test(an_unknown_export_name_ends_the_connection),
        cmocka_unit_test(tls_is_refused_with_a_reason),
        cmocka_unit_test(options_it_does_not_know_leave_the_negotiation_usable),
        cmocka_unit_test(malformed_options_are_refused_one_by_one),
        cmocka_unit_test(an_option_that_is_too_long_is_skipped),
        cmocka_unit_test(absurd_lengths_and_bad_magic_end_the_connection),
        cmocka_unit_test(a_client_that_reads_no_answers_does_not_make_them_pile_up),
        cmocka_unit_test(abort_is_acknowledged_and_ends_the_connection),
    };
    return cmocka_run_group_tests_name("nbd_negotiation", tests, nullptr, nullptr);
}
