// The packet splitter: any pieces in, whole packets out, data in the caller's memory.
#include <algorithm>
#include <rapidcheck.h>

#include "kernel/wire/payloads.hpp"
#include "kernel/wire/stream.hpp"

// Last: its macro fail() must not meet the function of that name.
#include "unit/cmocka.hpp"

namespace lockstep {

namespace {

using wire::command;
using wire::packet_stream;
using wire::socket_kind;
using step = packet_stream::step;

constexpr wire::protocol newest{wire::version_max, wire::feature::all};
constexpr std::size_t crc_bytes = 4;

using buffer = std::vector<std::byte>;

template <class X>
void append(buffer& to, const wire::protocol& rules, command code, const X& value,
            const_byte_span behind = {}) {
    std::array<std::byte, wire::small_packet_bytes_max> small{};
    const auto size = wire::encode_packet(small, rules, 0, code, value,
                                          static_cast<std::uint32_t>(behind.size()));
    to.insert(to.end(), small.begin(), small.begin() + static_cast<std::ptrdiff_t>(size));
    to.insert(to.end(), behind.begin(), behind.end());
}

void append_empty(buffer& to, const wire::protocol& rules, command code) {
    std::array<std::byte, wire::header_bytes_max> small{};
    const auto size = wire::encode_empty_packet(small, rules, 0, code);
    to.insert(to.end(), small.begin(), small.begin() + static_cast<std::ptrdiff_t>(size));
}

buffer pattern(std::size_t size, unsigned seed) {
    buffer out(size);
    for (std::size_t i = 0; i < size; ++i) {
        out[i] = static_cast<std::byte>(i * 7 + seed);
    }
    return out;
}

// What a receiver saw of one packet.
struct seen {
    command code = command::ping;
    buffer payload; // without data
    buffer data;

    bool operator==(const seen&) const = default;
};

// A connection with everything that makes the splitter change its state.
struct script {
    buffer bytes;
    std::vector<seen> packets;
};

void add_data(script& to, const wire::protocol& rules, std::size_t digest, std::size_t size,
              unsigned seed) {
    const auto behind = pattern(digest + size, seed);
    const wire::data_header head{seed, 0x1122334455667788, seed, 0};
    seen packet{command::data, {}, {}};
    const auto start = to.bytes.size();
    append(to.bytes, rules, command::data, head, behind);
    const auto fixed_start =
        to.bytes.begin() +
        static_cast<std::ptrdiff_t>(start + wire::header_bytes(rules.header_for(
                                                static_cast<std::uint32_t>(24 + digest + size))));
    packet.payload.assign(fixed_start, to.bytes.end() - static_cast<std::ptrdiff_t>(size));
    packet.data.assign(to.bytes.end() - static_cast<std::ptrdiff_t>(size), to.bytes.end());
    to.packets.push_back(std::move(packet));
}

void add_barrier(script& to, const wire::protocol& rules, unsigned number) {
    const wire::barrier value{{static_cast<std::byte>(number)}, 0};
    append(to.bytes, rules, command::barrier, value);
    to.packets.push_back({command::barrier, {to.bytes.end() - 8, to.bytes.end()}, {}});
}

// A receiver as the engine is one; `pieces` says how the bytes arrive, `in_place` whether it puts
// data into the target itself.
class receiver {
public:
    receiver(packet_stream& stream, std::size_t digest) : stream_(stream), digest_(digest) {}

    result<> feed(const_byte_span bytes, bool in_place) {
        for (;;) {
            if (in_place && !stream_.target().empty()) {
                const auto count = std::min(stream_.target().size(), bytes.size());
                std::copy_n(bytes.begin(), count, stream_.target().begin());
                stream_.put_in_place(count);
                bytes = bytes.subspan(count);
            }
            const auto next = stream_.take(bytes);
            if (!next) {
                return tl::unexpected(next.error());
            }
            if (*next == step::more) {
                RC_ASSERT(bytes.empty());
                return {};
            }
            handle(*next);
        }
    }

    std::vector<seen> packets;

private:
    void handle(step next) {
        const auto bytes = stream_.payload();
        switch (next) {
        case step::packet:
            packets.push_back({stream_.head().code, {bytes.begin(), bytes.end()}, {}});
            return;
        case step::data:
            RC_ASSERT(stream_.data_digest().size() == digest_);
            RC_ASSERT(stream_.data_fixed_part().size() == 24U);
            data_.assign(stream_.data_bytes(), std::byte{0});
            stream_.place_data(data_);
            return;
        case step::filled:
            packets.push_back({stream_.head().code, {bytes.begin(), bytes.end()}, data_});
            return;
        case step::blocked:
        case step::more:
            RC_FAIL("unexpected step");
        }
    }

    packet_stream& stream_;
    std::size_t digest_;
    buffer data_;
};

void any_pieces_give_the_same_packets(void**) {
    assert_true(rc::check("random pieces", [] {
        const wire::protocol rules{*rc::gen::element(86U, 94U, 95U, 99U, 100U, 101U), 0};
        const auto digest = *rc::gen::element<std::size_t>(0, crc_bytes, 20);
        script sent;
        for (const auto kind :
             *rc::gen::container<std::vector<unsigned>>(rc::gen::inRange(0U, 4U))) {
            if (kind == 0) {
                add_barrier(sent, rules, *rc::gen::inRange(0U, 256U));
            } else if (kind == 1) {
                append_empty(sent.bytes, rules, command::unplug_remote);
                sent.packets.push_back({command::unplug_remote, {}, {}});
            } else {
                const auto sectors = *rc::gen::inRange<std::size_t>(0, 65);
                add_data(sent, rules, digest, sectors * 512, *rc::gen::inRange(0U, 256U));
            }
        }
        packet_stream stream(socket_kind::data);
        stream.set_rules(rules);
        stream.set_digest_bytes(digest);
        receiver to(stream, digest);
        const bool in_place = *rc::gen::arbitrary<bool>();
        const_byte_span left = sent.bytes;
        while (!left.empty()) {
            const auto most = *rc::gen::element<std::size_t>(2, 40, 5000, 100000);
            const auto count = std::min(left.size(), *rc::gen::inRange<std::size_t>(1, most));
            RC_ASSERT(to.feed(left.first(count), in_place).has_value());
            left = left.subspan(count);
        }
        RC_ASSERT(to.packets == sent.packets);
        RC_ASSERT(stream.between_packets());
    }));
}

void nothing_is_taken_until_the_data_has_a_place(void**) {
    script sent;
    add_data(sent, newest, 0, 512, 1);
    add_barrier(sent, newest, 2);
    packet_stream stream(socket_kind::data);
    stream.set_rules(newest);
    const_byte_span left = sent.bytes;
    assert_true(stream.take(left) == step::data);
    assert_int_equal(stream.data_bytes(), 512);
    const auto before = left.size();
    assert_true(stream.take(left) == step::blocked);
    assert_int_equal(left.size(), before);
    assert_false(stream.between_packets());
    buffer data(512);
    stream.place_data(data);
    assert_int_equal(stream.target().size(), 512);
    assert_true(stream.take(left) == step::filled);
    assert_true(data == sent.packets[0].data);
    assert_true(stream.take(left) == step::packet);
    assert_true(stream.head().code == command::barrier);
    assert_true(left.empty());
}

void skipped_data_is_read_and_dropped(void**) {
    script sent;
    add_data(sent, newest, 0, 4096, 1);
    add_barrier(sent, newest, 2);
    packet_stream stream(socket_kind::data);
    stream.set_rules(newest);
    const_byte_span left = sent.bytes;
    assert_true(stream.take(left) == step::data);
    stream.skip_data();
    assert_true(stream.target().empty());
    assert_true(stream.take(left) == step::filled);
    assert_true(stream.take(left) == step::packet);
}

void a_flush_without_data_fills_nothing(void**) {
    buffer sent;
    append(sent, newest, command::data, wire::data_header{0, 1, 2, wire::data_flag::flush});
    packet_stream stream(socket_kind::data);
    stream.set_rules(newest);
    const_byte_span left = sent;
    assert_true(stream.take(left) == step::data);
    assert_int_equal(stream.data_bytes(), 0);
    stream.place_data({});
    assert_true(stream.take(left) == step::filled);
}

void a_connection_starts_with_short_headers_and_changes_after_the_features(void**) {
    buffer sent;
    append_empty(sent, {}, command::initial_data);
    append(sent, {}, command::connection_features, wire::connection_features{});
    append(sent, newest, command::sync_uuid, wire::sync_uuid{42});
    packet_stream stream(socket_kind::fresh);
    const_byte_span left = sent;
    assert_true(stream.take(left) == step::packet);
    assert_true(stream.head().code == command::initial_data);
    stream.restart(socket_kind::data);
    assert_true(stream.take(left) == step::packet);
    const auto offer = wire::decode<wire::connection_features>(stream.head().code, stream.payload(),
                                                               stream.rules());
    assert_true(offer.has_value());
    stream.set_rules(*wire::agree({}, *offer));
    assert_true(stream.take(left) == step::packet);
    assert_int_equal(stream.head().kind, wire::header_kind::h100);
    assert_true(stream.take(left) == step::more);
}

// What a peer sends on the meta connection before the versions are agreed must not matter more than
// any other nonsense.
void rules_may_change_between_any_two_bytes(void**) {
    buffer early;
    append(early, {86, 0}, command::write_ack, wire::block_ack{8, 1, 4096, 1});
    append(early, {86, 0}, command::write_ack, wire::block_ack{8, 1, 4096, 2});
    for (std::size_t cut = 0; cut < early.size(); ++cut) {
        packet_stream stream(socket_kind::meta);
        stream.set_rules({86, 0});
        std::size_t packets = 0;
        const auto take_all = [&](const_byte_span left) {
            auto outcome = stream.take(left);
            for (; outcome == step::packet; outcome = stream.take(left)) {
                ++packets;
            }
            return outcome.has_value();
        };
        assert_true(take_all(const_byte_span(early).first(cut)));
        stream.set_rules(newest);
        const bool taken = take_all(const_byte_span(early).subspan(cut));
        // A packet whose header was complete is still one; the next header is not of version 101.
        const std::size_t headers = (cut + 24) / 32;
        assert_int_equal(packets, headers);
        assert_int_equal(taken, headers == 2);
    }
}

void errors_are_final_and_the_same_again(void**) {
    buffer sent;
    append_empty(sent, newest, command::ping);
    packet_stream stream(socket_kind::data);
    stream.set_rules(newest);
    const_byte_span left = sent;
    const auto first = stream.take(left);
    assert_false(first.has_value());
    assert_string_equal(first.error().what.c_str(),
                        "PING: command does not belong on the data socket");
    const auto again = stream.take(left);
    assert_false(again.has_value());
    assert_string_equal(again.error().what.c_str(), first.error().what.c_str());
    assert_true(stream.refused_command());
    stream.restart(socket_kind::meta);
    stream.set_rules(newest);
    left = sent;
    assert_true(stream.take(left) == step::packet);
}

// The length is judged from the header alone: no payload byte is waited for, none is stored.
void a_length_out_of_range_is_refused_before_the_payload(void**) {
    buffer sent(16);
    byte_writer to(sent);
    wire::encode_header(to, {wire::header_kind::h100, 0, command::data, 0xffffffff});
    packet_stream stream(socket_kind::data);
    stream.set_rules(newest);
    const_byte_span left = sent;
    const auto outcome = stream.take(left);
    assert_false(outcome.has_value());
    assert_string_equal(outcome.error().what.c_str(),
                        "DATA: length 4294967295, expected 24 to 1048664");
    assert_false(stream.refused_command());
}

void data_that_is_not_whole_sectors_is_refused(void**) {
    for (const std::size_t digest : {std::size_t{0}, crc_bytes}) {
        buffer sent(16);
        byte_writer to(sent);
        const auto length = static_cast<std::uint32_t>(24 + 512 + crc_bytes - digest);
        wire::encode_header(to, {wire::header_kind::h100, 0, command::data, length});
        packet_stream stream(socket_kind::data);
        stream.set_rules(newest);
        stream.set_digest_bytes(digest);
        const_byte_span left = sent;
        const auto outcome = stream.take(left);
        assert_false(outcome.has_value());
        assert_non_null(std::strstr(outcome.error().what.c_str(), "not whole sectors"));
    }
}

} // namespace

} // namespace lockstep

int main() {
    using namespace lockstep;
    const CMUnitTest tests[] = {
        cmocka_unit_test(any_pieces_give_the_same_packets),
        cmocka_unit_test(nothing_is_taken_until_the_data_has_a_place),
        cmocka_unit_test(skipped_data_is_read_and_dropped),
        cmocka_unit_test(a_flush_without_data_fills_nothing),
        cmocka_unit_test(a_connection_starts_with_short_headers_and_changes_after_the_features),
        cmocka_unit_test(rules_may_change_between_any_two_bytes),
        cmocka_unit_test(errors_are_final_and_the_same_again),
        cmocka_unit_test(a_length_out_of_range_is_refused_before_the_payload),
        cmocka_unit_test(data_that_is_not_whole_sectors_is_refused),
    };
    return cmocka_run_group_tests_name("packet stream", tests, nullptr, nullptr);
}
