// The data path allocates nothing: neither what encodes nor what splits and decodes.
#include "kernel/wire/bitmap_transfer.hpp"
#include "kernel/wire/payloads.hpp"
#include "kernel/wire/run_length.hpp"
#include "kernel/wire/stream.hpp"
#include "support/allocation_count.hpp"
#include "support/plain_bits.hpp"

// Last: its macro fail() must not meet the function of that name.
#include "unit/cmocka.hpp"

namespace lockstep {

namespace {

using wire::command;
using step = wire::packet_stream::step;

constexpr wire::protocol newest{wire::version_max, wire::feature::all};

void packets_are_encoded_split_and_decoded_without_allocation(void**) {
    std::vector<std::byte> connection(65536);
    std::vector<std::byte> memory(4096);
    wire::packet_stream stream(wire::socket_kind::data);
    stream.set_rules(newest);
    const auto before = support::allocation_count();
    assert_true(before > 0);
    byte_span free_part = connection;
    const wire::data_header head{8, 1, 2, wire::data_flag::send_write_ack};
    auto size = wire::encode_packet(free_part, newest, 0, command::data, head, 4096);
    free_part = free_part.subspan(size + 4096);
    size = wire::encode_packet(free_part, newest, 0, command::trim, wire::discard{8, 1, 2, 0, 512});
    free_part = free_part.subspan(size);
    size = wire::encode_packet(free_part, newest, 0, command::barrier, wire::barrier{});
    free_part = free_part.subspan(size);
    const_byte_span left = const_byte_span(connection).first(connection.size() - free_part.size());
    std::size_t steps = 0;
    for (auto next = stream.take(left); *next != step::more; next = stream.take(left), ++steps) {
        if (*next == step::data) {
            stream.place_data(memory);
            assert_true(wire::decode<wire::data_header>(stream.head().code,
                                                        stream.data_fixed_part(), newest) == head);
        } else if (stream.head().code == command::trim) {
            assert_true(
                wire::decode<wire::discard>(command::trim, stream.payload(), newest).has_value());
        }
    }
    assert_int_equal(support::allocation_count(), before);
    assert_int_equal(steps, 4);
}

void acknowledgements_are_encoded_split_and_decoded_without_allocation(void**) {
    std::array<std::byte, wire::small_packet_bytes_max> packet{};
    wire::packet_stream stream(wire::socket_kind::meta);
    stream.set_rules(newest);
    const auto before = support::allocation_count();
    const wire::block_ack ack{8, 1, 4096, 3};
    const auto size = wire::encode_packet(packet, newest, 0, command::write_ack, ack);
    const_byte_span left = const_byte_span(packet).first(size);
    assert_true(stream.take(left) == step::packet);
    assert_true(wire::decode<wire::block_ack>(command::write_ack, stream.payload(), newest) == ack);
    assert_int_equal(support::allocation_count(), before);
}

void bitmaps_are_encoded_and_decoded_without_allocation(void**) {
    support::plain_bits bits(100000);
    for (std::uint64_t at = 0; at < bits.count(); at += 1000) {
        bits.set(at, 300);
    }
    std::array<std::byte, 4079> payload{};
    const auto before = support::allocation_count();
    wire::bitmap_transfer transfer(bits.count(), newest);
    const auto part = wire::encode_runs(payload, 0, bits.count(), bits);
    auto decoder = transfer.decode_runs(const_byte_span(payload).first(part.payload_bytes));
    while (decoder->next()->has_value()) {
    }
    transfer.passed_runs(decoder->next_bit());
    assert_true(transfer.done());
    assert_int_equal(support::allocation_count(), before);
}

} // namespace

} // namespace lockstep

int main() {
    using namespace lockstep;
    const CMUnitTest tests[] = {
        cmocka_unit_test(packets_are_encoded_split_and_decoded_without_allocation),
        cmocka_unit_test(acknowledgements_are_encoded_split_and_decoded_without_allocation),
        cmocka_unit_test(bitmaps_are_encoded_and_decoded_without_allocation),
    };
    return cmocka_run_group_tests_name("allocation", tests, nullptr, nullptr);
}
