// The run-length code of COMPRESSED_BITMAP, and transfers of whole bitmaps with it.
#include <algorithm>
#include <fmt/format.h>
#include <rapidcheck.h>

#include "kernel/wire/bitmap_transfer.hpp"
#include "kernel/wire/packet.hpp"
#include "kernel/wire/run_length.hpp"
#include "support/plain_bits.hpp"

// Last: its macro fail() must not meet the function of that name.
#include "unit/cmocka.hpp"

namespace lockstep {

namespace {

using support::plain_bits;

constexpr wire::protocol newest{wire::version_max, wire::feature::all};

std::vector<std::byte> bytes(std::initializer_list<unsigned> values) {
    std::vector<std::byte> out;
    std::transform(values.begin(), values.end(), std::back_inserter(out),
                   [](unsigned value) { return static_cast<std::byte>(value); });
    return out;
}

// All runs of one packet, or the error.
result<std::vector<wire::bit_range>> runs_of(const_byte_span payload, std::uint64_t from,
                                             std::uint64_t bit_count) {
    auto decoder = wire::run_decoder::start(payload, from, bit_count);
    if (!decoder) {
        return tl::unexpected(decoder.error());
    }
    std::vector<wire::bit_range> out;
    for (;;) {
        const auto run = decoder->next();
        if (!run) {
            return tl::unexpected(run.error());
        }
        if (!*run) {
            return out;
        }
        out.push_back(**run);
    }
}

void assert_refused(const result<std::vector<wire::bit_range>>& outcome, const std::string& what) {
    assert_false(outcome.has_value());
    assert_string_equal(outcome.error().what.c_str(), what.c_str());
}

void all_of_310_bits_set_is_the_captured_code(void**) {
    plain_bits bits(310);
    bits.set(0, 310);
    std::vector<std::byte> payload(64);
    const auto part = wire::encode_runs(payload, 0, 310, bits);
    payload.resize(part.payload_bytes);
    assert_true(payload == bytes({0xb2, 0x3f, 0x05, 0x00}));
    assert_int_equal(part.next_bit, 310);
    const auto runs = runs_of(payload, 0, 310);
    assert_true(runs.has_value());
    assert_true(*runs == std::vector<wire::bit_range>({{0, 310, true}}));
}

// First and last length of each class with the bits that it takes.
void every_run_length_takes_the_bits_of_its_class(void**) {
    const struct {
        std::uint64_t first;
        std::uint64_t last;
        std::size_t bits;
    } classes[] = {
        {1, 2, 2},
        {3, 4, 3},
        {5, 8, 5},
        {9, 16, 7},
        {17, 48, 10},
        {49, 304, 14},
        {305, 0x2130, 21},
        {0x2131, 0x202130, 29},
        {0x202131, 0x400202130, 42},
        {0x400202131, 0x100000400202130, 64},
    };
    for (const auto& row : classes) {
        for (const auto length : {row.first, row.last}) {
            std::vector<std::byte> payload(9, std::byte{0xff});
            wire::run_encoder code(byte_span(payload).subspan(1));
            assert_true(code.put(length));
            assert_int_equal(code.bytes() * 8 - code.unused_bits(), row.bits);
            payload[0] = wire::detail::compressed_bitmap_mark(true, code.unused_bits());
            payload.resize(1 + code.bytes());
            const auto runs = runs_of(payload, 0, length);
            assert_true(runs.has_value());
            assert_true(*runs == std::vector<wire::bit_range>({{0, length, true}}));
        }
    }
}

// Bits made of runs whose lengths come from all the classes that a test can afford.
plain_bits make_bits(const std::vector<std::uint32_t>& lengths, bool first_is_set) {
    std::uint64_t count = 0;
    for (const auto length : lengths) {
        count += length;
    }
    plain_bits out(count);
    std::uint64_t at = 0;
    for (bool set = first_is_set; const auto length : lengths) {
        if (set) {
            out.set(at, length);
        }
        set = !set;
        at += length;
    }
    return out;
}

rc::Gen<std::uint32_t> run_lengths() {
    return rc::gen::oneOf(rc::gen::inRange(1U, 5U), rc::gen::inRange(1U, 60U),
                          rc::gen::inRange(40U, 400U), rc::gen::inRange(300U, 9000U));
}

void random_runs_decode_to_what_was_encoded(void**) {
    assert_true(rc::check("round trip of one packet", [] {
        auto lengths =
            *rc::gen::nonEmpty(rc::gen::container<std::vector<std::uint32_t>>(run_lengths()));
        const auto bits = make_bits(lengths, *rc::gen::arbitrary<bool>());
        std::vector<std::byte> payload(*rc::gen::inRange<std::size_t>(2, 4080));
        const auto part = wire::encode_runs(payload, 0, bits.count(), bits);
        if (part.payload_bytes == 0) {
            return; // incompressible: covered by whole_bitmaps_arrive...
        }
        RC_ASSERT(part.payload_bytes <= payload.size());
        payload.resize(part.payload_bytes);
        const auto runs = runs_of(payload, 0, bits.count());
        RC_ASSERT(runs.has_value());
        std::uint64_t at = 0;
        for (const auto& run : *runs) {
            RC_ASSERT(run.first == at);
            RC_ASSERT(run.set == bits.test(at));
            const auto end = run.set ? bits.find_next_clear(at) : bits.find_next_set(at);
            RC_ASSERT(run.count == end - at);
            at = end;
        }
        RC_ASSERT(at == part.next_bit);
    }));
}

// A sender and a receiver that share nothing but packets.
struct transfer_counts {
    std::size_t compressed = 0;
    std::size_t plain = 0;
};

transfer_counts transfer(const plain_bits& from, plain_bits& to, const wire::protocol& rules,
                         bool compress, std::size_t payload_limit) {
    wire::bitmap_transfer sender(from.count(), rules);
    wire::bitmap_transfer receiver(from.count(), rules);
    transfer_counts counts;
    while (!sender.done()) {
        std::vector<std::byte> payload(payload_limit);
        wire::compressed_part part;
        if (compress && !sender.covered()) {
            part = wire::encode_runs(payload, sender.next_bit(), from.count(), from);
        }
        if (part.payload_bytes > 0) {
            payload.resize(part.payload_bytes);
            sender.passed_runs(part.next_bit);
            auto decoder = receiver.decode_runs(payload);
            RC_ASSERT(decoder.has_value());
            for (auto run = decoder->next(); run.has_value() && run->has_value();
                 run = decoder->next()) {
                if ((*run)->set) {
                    to.set((*run)->first, (*run)->count);
                }
            }
            receiver.passed_runs(decoder->next_bit());
            ++counts.compressed;
        } else {
            const auto length = sender.plain_bytes();
            RC_ASSERT(receiver.check_plain(length).has_value());
            RC_ASSERT(!receiver.check_plain(length + 8).has_value());
            for (std::size_t i = 0; i < length / 8; ++i) {
                to.words()[receiver.next_word() + i] |= from.words()[sender.next_word() + i];
            }
            sender.passed_plain();
            receiver.passed_plain();
            ++counts.plain;
        }
        RC_ASSERT(sender.next_bit() == receiver.next_bit());
    }
    RC_ASSERT(receiver.done());
    RC_ASSERT(!receiver.check_plain(0).has_value());
    return counts;
}

void whole_bitmaps_arrive_in_plain_and_compressed_packets(void**) {
    std::size_t mixed = 0;
    assert_true(rc::check("transfer of a bitmap", [&mixed] {
        // Stretches of dense noise and of long runs make senders change between the two kinds.
        std::vector<std::uint32_t> lengths;
        for (const bool noise : *rc::gen::nonEmpty<std::vector<bool>>()) {
            const auto more =
                noise
                    ? *rc::gen::container<std::vector<std::uint32_t>>(400, rc::gen::inRange(1U, 3U))
                    : *rc::gen::container<std::vector<std::uint32_t>>(
                          3, rc::gen::inRange(100U, 5000U));
            lengths.insert(lengths.end(), more.begin(), more.end());
        }
        const auto from = make_bits(lengths, *rc::gen::arbitrary<bool>());
        const wire::protocol rules{*rc::gen::element(90U, 95U, 101U), 0};
        plain_bits to(from.count());
        const auto limit = *rc::gen::inRange<std::size_t>(2, 4080);
        const auto counts = transfer(from, to, rules, *rc::gen::arbitrary<bool>(), limit);
        RC_ASSERT(to == from);
        mixed += counts.compressed > 0 && counts.plain > 1 ? 1 : 0;
    }));
    assert_true(mixed > 0);
}

void plain_transfer_ends_with_an_empty_packet(void**) {
    const auto bits = make_bits({70000}, true);
    plain_bits to(bits.count());
    // 70000 bits are 1094 words; a packet has 510 behind h100 and 511 behind h80.
    const auto counts = transfer(bits, to, newest, false, 16);
    assert_int_equal(counts.plain, 4);
    assert_int_equal(counts.compressed, 0);
    assert_int_equal(newest.bitmap_bytes(), 4080);
    assert_int_equal((wire::protocol{95, 0}.bitmap_bytes()), 4088);
}

void compressed_transfer_has_no_end_mark(void**) {
    const auto bits = make_bits({70000}, true);
    plain_bits to(bits.count());
    const auto counts = transfer(bits, to, newest, true, 4079);
    assert_int_equal(counts.compressed, 1);
    assert_int_equal(counts.plain, 0);
}

void encoder_gives_up_where_plain_bits_are_shorter(void**) {
    // Alternating bits take two bits each.
    const auto bits = make_bits(std::vector<std::uint32_t>(1000, 1), true);
    std::vector<std::byte> payload(4079);
    const auto part = wire::encode_runs(payload, 130, bits.count(), bits);
    assert_int_equal(part.payload_bytes, 0);
    assert_int_equal(part.next_bit, 128);
}

// Counts the questions: walking a huge bitmap for one packet must not walk all of it.
class asked_bits {
public:
    std::uint64_t find_next_set(std::uint64_t from) const { return answer(from, 0); }
    std::uint64_t find_next_clear(std::uint64_t from) const { return answer(from, 100); }
    mutable std::uint64_t questions = 0;
    mutable std::uint64_t farthest = 0;

private:
    // Runs of 100, the first one set.
    std::uint64_t answer(std::uint64_t from, std::uint64_t offset) const {
        ++questions;
        farthest = std::max(farthest, from);
        const bool here = (from / 100 * 100) % 200 == offset;
        return here ? from : (from / 100 + 1) * 100;
    }
};

void encoder_walks_no_further_than_the_packet_reaches(void**) {
    constexpr std::uint64_t bit_count = std::uint64_t{1} << 40;
    const asked_bits bits;
    std::vector<std::byte> payload(4079);
    const auto part = wire::encode_runs(payload, 0, bit_count, bits);
    // 14 bits a run in 4078 bytes.
    assert_int_equal(part.next_bit, 4078 * 8 / 14 * 100);
    assert_true(bits.questions <= 4078 * 8 / 14 + 2);
    assert_true(bits.farthest <= part.next_bit);
}

void malformed_codes_are_refused_with_their_reason(void**) {
    assert_refused(runs_of({}, 0, 310), "COMPRESSED_BITMAP: length 0, expected at least 2");
    assert_refused(runs_of(bytes({0xb2}), 0, 310),
                   "COMPRESSED_BITMAP: length 1, expected at least 2");
    assert_refused(runs_of(bytes({0xb1, 0x3f, 0x05, 0x00}), 0, 310),
                   "COMPRESSED_BITMAP: code 1, expected 2");
    // One bit fewer than the golden code.
    assert_refused(runs_of(bytes({0xc2, 0x3f, 0x05, 0x00}), 0, 310),
                   "COMPRESSED_BITMAP: code ends within the run at bit 0");
    assert_refused(runs_of(bytes({0xb2, 0x3f, 0x05}), 0, 310),
                   "COMPRESSED_BITMAP: code ends within the run at bit 0");
    // A bit more at the end makes a run that the bitmap has no room for, or has no end.
    assert_refused(runs_of(bytes({0xa2, 0x3f, 0x05, 0x00}), 0, 310),
                   "COMPRESSED_BITMAP: code ends within the run at bit 310");
    assert_refused(runs_of(bytes({0x92, 0x3f, 0x05, 0x00}), 0, 310),
                   "COMPRESSED_BITMAP: run of 1 at bit 310 goes past the last of 310");
    for (const unsigned mark : {0xb2U, 0x32U}) { // a set run, a clear run
        assert_refused(runs_of(bytes({mark, 0x3f, 0x06, 0x00}), 0, 310),
                       "COMPRESSED_BITMAP: run of 311 at bit 0 goes past the last of 310");
        assert_refused(runs_of(bytes({mark, 0x3f, 0x05, 0x00}), 1, 310),
                       "COMPRESSED_BITMAP: run of 310 at bit 1 goes past the last of 310");
    }
    assert_refused(runs_of(std::vector<std::byte>(9, std::byte{0xff}), 0, 310),
                   "COMPRESSED_BITMAP: code 15, expected 2");
    auto longest = std::vector<std::byte>(9, std::byte{0xff});
    longest[0] = std::byte{0x82};
    assert_refused(runs_of(longest, 0, ~std::uint64_t{0} >> 12),
                   fmt::format("COMPRESSED_BITMAP: run of {} at bit 0 goes past the last of {}",
                               std::uint64_t{0x100000400202130}, ~std::uint64_t{0} >> 12));
}

void plain_packets_of_a_wrong_length_are_refused(void**) {
    wire::bitmap_transfer transfer(310, newest);
    assert_string_equal(transfer.check_plain(48).error().what.c_str(),
                        "BITMAP: length 48, expected 40 at bit 0 of 310");
    assert_string_equal(transfer.check_plain(0).error().what.c_str(),
                        "BITMAP: length 0, expected 40 at bit 0 of 310");
    assert_true(transfer.check_plain(40).has_value());
    transfer.passed_plain();
    assert_false(transfer.done());
    assert_string_equal(transfer.check_plain(40).error().what.c_str(),
                        "BITMAP: length 40, expected 0 at bit 310 of 310");
    transfer.passed_plain();
    assert_true(transfer.done());
    assert_string_equal(transfer.check_plain(0).error().what.c_str(),
                        "BITMAP: comes after the end of the transfer");
    assert_string_equal(transfer.decode_runs(bytes({0xb2, 0x3f, 0x05, 0x00})).error().what.c_str(),
                        "COMPRESSED_BITMAP: comes after the end of the transfer");
}

void runs_after_the_last_word_are_refused(void**) {
    wire::bitmap_transfer transfer(310, newest);
    transfer.passed_plain();
    const auto payload = bytes({0xb2, 0x3f, 0x05, 0x00});
    auto decoder = transfer.decode_runs(payload);
    assert_true(decoder.has_value());
    assert_string_equal(decoder->next().error().what.c_str(),
                        "COMPRESSED_BITMAP: run of 310 at bit 310 goes past the last of 310");
}

void any_bytes_decode_within_the_bitmap_or_are_refused(void**) {
    assert_true(rc::check("decoder on noise", [] {
        auto payload = *rc::gen::container<std::vector<std::byte>>(
            rc::gen::map(rc::gen::arbitrary<std::uint8_t>(),
                         [](std::uint8_t value) { return static_cast<std::byte>(value); }));
        if (!payload.empty() && *rc::gen::arbitrary<bool>()) {
            payload[0] = (payload[0] & std::byte{0xf0}) | std::byte{2};
        }
        const auto bit_count = *rc::gen::inRange<std::uint64_t>(0, 5000);
        const auto from = *rc::gen::inRange<std::uint64_t>(0, bit_count + 1);
        const auto runs = runs_of(payload, from, bit_count);
        std::uint64_t at = from;
        for (const auto& run : runs.value_or(std::vector<wire::bit_range>{})) {
            RC_ASSERT(run.first == at && run.count >= 1);
            at += run.count;
            RC_ASSERT(at <= bit_count);
        }
        RC_ASSERT(runs.has_value() || runs.error().what.starts_with("COMPRESSED_BITMAP: "));
    }));
}

} // namespace

} // namespace lockstep

int main() {
    using namespace lockstep;
    const CMUnitTest tests[] = {
        cmocka_unit_test(all_of_310_bits_set_is_the_captured_code),
        cmocka_unit_test(every_run_length_takes_the_bits_of_its_class),
        cmocka_unit_test(random_runs_decode_to_what_was_encoded),
        cmocka_unit_test(whole_bitmaps_arrive_in_plain_and_compressed_packets),
        cmocka_unit_test(plain_transfer_ends_with_an_empty_packet),
        cmocka_unit_test(compressed_transfer_has_no_end_mark),
        cmocka_unit_test(encoder_gives_up_where_plain_bits_are_shorter),
        cmocka_unit_test(encoder_walks_no_further_than_the_packet_reaches),
        cmocka_unit_test(malformed_codes_are_refused_with_their_reason),
        cmocka_unit_test(plain_packets_of_a_wrong_length_are_refused),
        cmocka_unit_test(runs_after_the_last_word_are_refused),
        cmocka_unit_test(any_bytes_decode_within_the_bitmap_or_are_refused),
    };
    return cmocka_run_group_tests_name("run-length code", tests, nullptr, nullptr);
}
