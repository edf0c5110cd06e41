// Each way in which a packet can be malformed gives an error that names the packet and the field.
#include <algorithm>
#include <fmt/format.h>

#include "kernel/wire/payloads.hpp"
#include "support/payload_types.hpp"

// Last: its macro fail() must not meet the function of that name.
#include "unit/cmocka.hpp"

namespace lockstep {

namespace {

using wire::command;
using wire::socket_kind;

constexpr wire::protocol newest{wire::version_max, wire::feature::all};

void assert_error(const error& problem, const std::string& what) {
    assert_string_equal(problem.what.c_str(), what.c_str());
}

socket_kind home(command code) {
    for (const auto socket : {socket_kind::data, socket_kind::meta}) {
        if (wire::belongs_on(code, socket)) {
            return socket;
        }
    }
    return socket_kind::fresh;
}

bool unused(command code) {
    return code == command::write_same || code == command::become_sync_target ||
           code == command::become_sync_source;
}

// First and last version of packets that not all versions have.
struct span_of_versions {
    command code;
    std::uint32_t first;
    std::uint32_t last;
};

constexpr span_of_versions limited[] = {
    {command::sync_param, 80, 88},        {command::ov_request, 88, 101},
    {command::ov_reply, 88, 101},         {command::ov_result, 88, 101},
    {command::csum_rs_request, 89, 101},  {command::rs_is_in_sync, 89, 101},
    {command::sync_param89, 89, 101},     {command::compressed_bitmap, 90, 101},
    {command::out_of_sync, 95, 101},      {command::rs_cancel, 95, 101},
    {command::conn_st_chg_req, 100, 101}, {command::conn_st_chg_reply, 100, 101},
    {command::retry_write, 100, 101},     {command::protocol_update, 100, 101},
};

bool in_version(command code, std::uint32_t version) {
    return std::none_of(std::begin(limited), std::end(limited), [=](const auto& row) {
        return row.code == code && (version < row.first || version > row.last);
    });
}

void unknown_and_unused_commands_are_refused(void**) {
    for (unsigned value = 0; value <= UINT16_MAX; ++value) {
        const command code{static_cast<std::uint16_t>(value)};
        if (wire::is_known(code) && !unused(code)) {
            continue;
        }
        const auto outcome = wire::check_packet(code, 0, socket_kind::data, newest);
        assert_false(outcome.has_value());
        assert_error(
            outcome.error(),
            unused(code)
                ? fmt::format("{}: command is not in use", name(code))
                : fmt::format("unknown packet {:#06x}: no such command in DRBD 8.4", value));
    }
}

void packets_on_the_wrong_socket_are_refused(void**) {
    for (const auto code : support::all_commands) {
        if (unused(code)) {
            continue;
        }
        const auto rules = code == command::sync_param ? wire::protocol{88, 0} : newest;
        const auto length = wire::lengths(code, rules).minimum;
        for (const auto socket : {socket_kind::data, socket_kind::meta, socket_kind::fresh}) {
            const auto outcome = wire::check_packet(code, length, socket, rules);
            if (wire::belongs_on(code, socket)) {
                assert_true(outcome.has_value());
            } else {
                assert_error(outcome.error(),
                             fmt::format("{}: command does not belong on the {} socket", name(code),
                                         name(socket)));
            }
        }
    }
}

void packets_of_other_versions_are_refused(void**) {
    for (const auto& row : limited) {
        for (std::uint32_t version = 86; version <= 101; ++version) {
            const wire::protocol rules{version, 0};
            const auto length = wire::lengths(row.code, rules).minimum;
            const auto outcome = wire::check_packet(row.code, length, home(row.code), rules);
            assert_int_equal(outcome.has_value(), in_version(row.code, version));
            if (!outcome) {
                assert_error(outcome.error(),
                             fmt::format("{}: command is not in protocol version {}",
                                         name(row.code), version));
            }
        }
    }
}

std::string length_error(command code, std::uint64_t length, const wire::protocol& rules) {
    const auto range = wire::lengths(code, rules);
    return range.minimum == range.maximum
               ? fmt::format("{}: length {}, expected {}", name(code), length, range.minimum)
               : fmt::format("{}: length {}, expected {} to {}", name(code), length, range.minimum,
                             range.maximum);
}

// By the header alone, and again by the decoder, which does not rely on the first.
void wrong_lengths_are_refused_for_every_packet_and_version(void**) {
    for (std::uint32_t version = 86; version <= 101; ++version) {
        for (const auto features : {0U, wire::feature::all}) {
            const wire::protocol rules{version, features};
            for (const auto code : support::all_commands) {
                if (unused(code) || !in_version(code, version)) {
                    continue;
                }
                const auto range = wire::lengths(code, rules);
                for (const auto length : {range.minimum - 1, range.maximum + 1}) {
                    const auto outcome = wire::check_packet(code, length, home(code), rules);
                    assert_false(outcome.has_value());
                    assert_error(outcome.error(), length_error(code, length, rules));
                }
            }
        }
    }
}

void decoders_refuse_payloads_of_the_wrong_length(void**) {
    const std::vector<std::byte> zeros(5000);
    for (const auto code : support::all_commands) {
        const auto rules = code == command::sync_param ? wire::protocol{88, 0} : newest;
        support::with_payload_type(code, [&](auto type) {
            using X = typename decltype(type)::type;
            if constexpr (requires(const X& x) { wire::encoded_bytes(x, rules); }) {
                const auto range = wire::lengths(code, rules);
                const auto fixed = wire::fixed_bytes(code, rules);
                const bool data = wire::carries_data(code);
                for (const std::size_t size :
                     {std::size_t{0}, std::size_t{data ? fixed - 1 : range.minimum - 1},
                      std::size_t{data ? fixed + 1 : range.maximum + 1}}) {
                    const auto value =
                        wire::decode<X>(code, const_byte_span(zeros).first(size), rules);
                    assert_false(value.has_value());
                    assert_error(value.error(),
                                 data ? fmt::format("{}: fixed part {} bytes, expected {}",
                                                    name(code), size, fixed)
                                      : length_error(code, size, rules));
                }
            }
        });
    }
}

// A payload that decodes, for one place of it to be spoiled.
template <class X>
X good_payload() {
    X out{};
    if constexpr (requires { out.size_bytes; }) {
        out.size_bytes = 4096;
    }
    if constexpr (std::is_same_v<X, wire::block_ack>) {
        out.block_id = wire::block_id_resync;
    }
    if constexpr (std::is_same_v<X, wire::digest_request>) {
        out.block.size_bytes = 4096;
        out.of_block.size = 20;
    }
    if constexpr (std::is_same_v<X, wire::connection_settings>) {
        out.integrity = wire::make_algorithm_name("crc32c");
    }
    if constexpr (std::is_same_v<X, wire::auth_response>) {
        out.hmac.size = 20;
    }
    return out;
}

struct spoiled {
    std::size_t offset;
    std::vector<unsigned> bytes;
    std::string field_error; // after "NAME: "
};

// With its decoder, all rows of one packet: spoiled as said, the error is as said.
void check_spoiled(command code, const wire::protocol& rules, const std::vector<spoiled>& rows) {
    support::with_payload_type(code, [&](auto type) {
        using X = typename decltype(type)::type;
        if constexpr (requires(const X& x) { wire::encoded_bytes(x, rules); }) {
            std::vector<std::byte> good(wire::encoded_bytes(good_payload<X>(), rules));
            byte_writer to(good);
            wire::encode(to, good_payload<X>(), rules);
            assert_true(wire::decode<X>(code, good, rules).has_value());
            for (const auto& row : rows) {
                auto bad = good;
                std::transform(row.bytes.begin(), row.bytes.end(),
                               bad.begin() + static_cast<std::ptrdiff_t>(row.offset),
                               [](unsigned value) { return static_cast<std::byte>(value); });
                const auto outcome = wire::decode<X>(code, bad, rules);
                assert_false(outcome.has_value());
                assert_error(outcome.error(), fmt::format("{}: {}", name(code), row.field_error));
            }
        } else {
            fail();
        }
    });
}

const spoiled far_sector{0, {0x00, 0x40}, "sector 18014398509481984 is past any device"};

void sectors_past_any_device_are_refused(void**) {
    std::size_t packets = 0;
    for (const auto code : support::all_commands) {
        support::with_payload_type(code, [&](auto type) {
            using X = typename decltype(type)::type;
            if constexpr (std::is_same_v<X, wire::digest_request> ||
                          requires(const X& x) { x.sector; }) {
                check_spoiled(code, newest, {far_sector});
                ++packets;
            }
        });
    }
    assert_int_equal(packets, 24);
}

void sizes_that_no_request_has_are_refused(void**) {
    const std::string request = "expected whole sectors, 512 to 1048576";
    for (const auto code : {command::data_request, command::rs_data_request, command::ov_request,
                            command::rs_thin_req, command::ov_reply, command::csum_rs_request}) {
        check_spoiled(code, newest,
                      {{16, {0, 0, 0, 0}, "size 0, " + request},
                       {16, {0, 0, 2, 1}, "size 513, " + request},
                       {16, {0, 0x10, 2, 0}, "size 1049088, " + request},
                       {16, {0xff, 0xff, 0xfe, 0}, "size 4294966784, " + request}});
        check_spoiled(code, {94, 0},
                      {{16, {0, 0, 0x82, 0}, "size 33280, expected whole sectors, 512 to 32768"}});
    }
    const std::string discard = "expected whole sectors, 512 to 134217728";
    for (const auto code : {command::trim, command::zeroes}) {
        check_spoiled(code, newest,
                      {{24, {0, 0, 0, 0}, "size 0, " + discard},
                       {24, {0, 0, 2, 1}, "size 513, " + discard},
                       {24, {8, 0, 2, 0}, "size 134218240, " + discard}});
    }
    for (const auto code : {command::out_of_sync, command::rs_deallocated}) {
        check_spoiled(code, newest,
                      {{8, {0, 0, 0, 0}, "size 0, " + discard},
                       {8, {0, 0, 2, 1}, "size 513, " + discard},
                       {8, {8, 0, 2, 0}, "size 134218240, " + discard}});
    }
    const std::string ack = "expected whole sectors, 0 to 134217728";
    for (const auto code :
         {command::recv_ack, command::write_ack, command::rs_write_ack, command::superseded,
          command::retry_write, command::neg_ack, command::neg_dreply, command::neg_rs_dreply,
          command::ov_result, command::rs_is_in_sync, command::rs_cancel}) {
        check_spoiled(
            code, newest,
            {{16, {0, 0, 2, 1}, "size 513, " + ack}, {16, {8, 0, 2, 0}, "size 134218240, " + ack}});
    }
}

void malformed_settings_are_refused(void**) {
    const std::string letter = "expected 1 (A), 2 (B) or 3 (C)";
    for (const auto code : {command::protocol, command::protocol_update}) {
        check_spoiled(code, newest,
                      {{0, {0, 0, 0, 0}, "protocol 0, " + letter},
                       {0, {0, 0, 0, 4}, "protocol 4, " + letter},
                       {24, {0, 0}, "integrity-alg has bytes after its NUL"},
                       {30, {'x'}, "integrity-alg does not end in NUL"}});
    }
    // Several NULs are not the one string that the packet ends with.
    std::vector<std::byte> two_nuls(26);
    two_nuls[3] = std::byte{3};
    assert_error(
        wire::decode<wire::connection_settings>(command::protocol, two_nuls, newest).error(),
        "PROTOCOL: integrity-alg has bytes after its NUL");
    assert_error(wire::decode<wire::sync_settings>(command::sync_param, two_nuls, {88, 0}).error(),
                 "SYNC_PARAM: verify-alg has bytes after its NUL");
    assert_error(wire::decode<wire::sync_settings>(command::sync_param, {}, newest).error(),
                 "SYNC_PARAM: command is not in protocol version 101");
    const std::vector<unsigned> no_nul(64, 'x');
    check_spoiled(command::sync_param89, newest,
                  {{4, no_nul, "verify-alg does not end in NUL"},
                   {68, no_nul, "csums-alg does not end in NUL"},
                   {4, {'a', 0, 'b'}, "verify-alg has bytes after its NUL"},
                   {68, {0, 'b'}, "csums-alg has bytes after its NUL"}});
    check_spoiled(command::sync_param89, {89, 0}, {{68, no_nul, "csums-alg does not end in NUL"}});
    check_spoiled(command::sync_param, {88, 0}, {{4, {'x'}, "verify-alg does not end in NUL"}});
}

void malformed_offers_and_device_sizes_are_refused(void**) {
    check_spoiled(command::connection_features, {},
                  {{8, {0, 0, 0, 85}, "version max 85 is below version min 86"}});
    check_spoiled(command::sizes, newest,
                  {{0, {0x00, 0x40}, "sector 18014398509481984 is past any device"},
                   {8, {0x00, 0x40}, "sector 18014398509481984 is past any device"},
                   {16, {0xff}, "sector 18374686479671623680 is past any device"}});
}

// A diskless 8.4 answers TRIM so, with and without a data-integrity-alg.
void a_negative_ack_of_a_write_may_have_any_size(void**) {
    for (const std::uint32_t size : {0U, 0U - 4U, 0U - 20U}) {
        const wire::block_ack sent{8, 0x1234, size, 7};
        std::array<std::byte, 24> raw{};
        byte_writer to(raw);
        wire::encode(to, sent, newest);
        assert_true(wire::decode<wire::block_ack>(command::neg_ack, raw, newest) == sent);
        const auto positive = wire::decode<wire::block_ack>(command::write_ack, raw, newest);
        assert_int_equal(positive.has_value(), size == 0);
    }
}

// The in-kernel sender leaves these words as they were in its memory.
void words_that_senders_leave_uninitialised_are_kept_and_ignored(void**) {
    const std::size_t offsets[][2] = {
        {static_cast<std::size_t>(command::data_request), 20},
        {static_cast<std::size_t>(command::rs_data_request), 20},
        {static_cast<std::size_t>(command::ov_reply), 20},
        {static_cast<std::size_t>(command::barrier), 4},
        {static_cast<std::size_t>(command::out_of_sync), 12},
        {static_cast<std::size_t>(command::sizes), 55},
    };
    for (const auto& [value, offset] : offsets) {
        const command code{static_cast<std::uint16_t>(value)};
        const std::size_t at = offset;
        support::with_payload_type(code, [&](auto type) {
            using X = typename decltype(type)::type;
            if constexpr (requires(const X& x) { wire::encoded_bytes(x, newest); }) {
                std::vector<std::byte> raw(wire::encoded_bytes(good_payload<X>(), newest));
                byte_writer first(raw);
                wire::encode(first, good_payload<X>(), newest);
                raw[at] = std::byte{0xa5};
                const auto decoded = wire::decode<X>(code, raw, newest);
                assert_true(decoded.has_value());
                std::vector<std::byte> again(raw.size());
                byte_writer second(again);
                wire::encode(second, *decoded, newest);
                assert_true(again == raw);
            }
        });
    }
}

} // namespace

} // namespace lockstep

int main() {
    using namespace lockstep;
    const CMUnitTest tests[] = {
        cmocka_unit_test(unknown_and_unused_commands_are_refused),
        cmocka_unit_test(packets_on_the_wrong_socket_are_refused),
        cmocka_unit_test(packets_of_other_versions_are_refused),
        cmocka_unit_test(wrong_lengths_are_refused_for_every_packet_and_version),
        cmocka_unit_test(decoders_refuse_payloads_of_the_wrong_length),
        cmocka_unit_test(sectors_past_any_device_are_refused),
        cmocka_unit_test(sizes_that_no_request_has_are_refused),
        cmocka_unit_test(malformed_settings_are_refused),
        cmocka_unit_test(malformed_offers_and_device_sizes_are_refused),
        cmocka_unit_test(a_negative_ack_of_a_write_may_have_any_size),
        cmocka_unit_test(words_that_senders_leave_uninitialised_are_kept_and_ignored),
    };
    return cmocka_run_group_tests_name("rejections", tests, nullptr, nullptr);
}
