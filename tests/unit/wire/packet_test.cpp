// Versions, headers and the packet table.
#include <algorithm>
#include <fmt/format.h>

#include "kernel/wire/payloads.hpp"
#include "support/payload_types.hpp"

// Last: its macro fail() must not meet the function of that name.
#include "unit/cmocka.hpp"

namespace lockstep {

namespace {

using wire::command;
using wire::header_kind;
using wire::socket_kind;

std::vector<std::byte> bytes(std::initializer_list<unsigned> values) {
    std::vector<std::byte> out;
    std::transform(values.begin(), values.end(), std::back_inserter(out),
                   [](unsigned value) { return static_cast<std::byte>(value); });
    return out;
}

template <class T>
void assert_refused(const result<T>& outcome, const std::string& what) {
    assert_false(outcome.has_value());
    assert_string_equal(outcome.error().what.c_str(), what.c_str());
}

void the_highest_common_version_is_agreed(void**) {
    const struct {
        wire::connection_features peer;
        std::uint32_t version; // 0: none
        std::uint32_t features;
    } cases[] = {
        {{86, 101, 15}, 101, 15}, {{86, 101, 3}, 101, 3},      {{86, 86, 0}, 86, 0},
        {{80, 95, 15}, 95, 15},   {{101, 118, 0xff}, 101, 15}, {{96, 0, 0}, 96, 0},
        {{80, 85, 0}, 0, 0},      {{102, 118, 0}, 0, 0},       {{85, 0, 0}, 0, 0},
    };
    for (const auto& row : cases) {
        const auto agreed = wire::agree({}, row.peer);
        assert_int_equal(agreed.has_value(), row.version != 0);
        if (agreed) {
            assert_int_equal(agreed->version, row.version);
            assert_int_equal(agreed->features, row.features);
        }
    }
    assert_refused(wire::agree({}, {80, 85, 0}),
                   "the peer speaks protocol versions 80 to 85, this node 86 to 101");
}

void header_form_follows_version_and_payload(void**) {
    const struct {
        std::uint32_t version;
        std::uint32_t payload;
        header_kind kind;
    } cases[] = {
        {80, 72, header_kind::h80},    {86, 32792, header_kind::h80},
        {94, 32792, header_kind::h80}, {95, 32768, header_kind::h80},
        {95, 32769, header_kind::h95}, {99, 131096, header_kind::h95},
        {100, 0, header_kind::h100},   {101, 1048600, header_kind::h100},
    };
    for (const auto& row : cases) {
        assert_int_equal((wire::protocol{row.version, 0}.header_for(row.payload)), row.kind);
    }
}

void headers_are_these_bytes(void**) {
    const struct {
        wire::header head;
        std::uint32_t version;
        std::vector<std::byte> raw;
    } cases[] = {
        {{header_kind::h80, 0, command::state, 4},
         86,
         bytes({0x83, 0x74, 0x02, 0x67, 0x00, 0x0e, 0x00, 0x04})},
        {{header_kind::h95, 0, command::data, 0x20018},
         95,
         bytes({0x83, 0x5a, 0x00, 0x00, 0x00, 0x02, 0x00, 0x18})},
        {{header_kind::h100, 0x0102, command::trim, 28},
         101,
         bytes({0x86, 0x20, 0xec, 0x20, 0x01, 0x02, 0x00, 0x31, 0, 0, 0, 28, 0, 0, 0, 0})},
    };
    for (const auto& row : cases) {
        std::array<std::byte, wire::header_bytes_max> buffer{};
        byte_writer to(buffer);
        wire::encode_header(to, row.head);
        assert_int_equal(to.written(), row.head.bytes());
        assert_true(std::ranges::equal(const_byte_span(buffer).first(to.written()), row.raw));
        const auto back = wire::decode_header(row.raw, {row.version, 0});
        assert_true(back.has_value());
        assert_true(*back == row.head);
    }
}

void headers_that_do_not_fit_the_version_are_refused(void**) {
    const auto h80 = bytes({0x83, 0x74, 0x02, 0x67, 0x00, 0x0e, 0x00, 0x04});
    auto h100 = bytes({0x86, 0x20, 0xec, 0x20, 0, 0, 0x00, 0x0e, 0, 0, 0, 4, 0, 0, 0, 0});
    assert_refused(wire::decode_header(h100, {99, 0}),
                   "header: magic 0x8620ec20 is not one of version 99");
    auto long_h80 = h80;
    long_h80.resize(16);
    assert_refused(wire::decode_header(long_h80, {100, 0}),
                   "header: magic 0x83740267 is not one of version 100");
    assert_refused(wire::decode_header(bytes({'G', 'E', 'T', ' ', '/', ' ', 'H', 'T'}), {}),
                   "header: magic 0x47455420 is not one of version 80");
    h100[15] = std::byte{7};
    assert_refused(wire::decode_header(h100, {101, 0}), "STATE: header pad 0x7, expected 0");
    for (const std::uint32_t version : {86U, 101U}) {
        const wire::protocol rules{version, 0};
        const std::vector<std::byte> cut(rules.header_bytes() - 1);
        assert_refused(
            wire::decode_header(cut, rules),
            fmt::format("header: {} bytes, expected {}", cut.size(), rules.header_bytes()));
    }
}

void limits_follow_the_version(void**) {
    const struct {
        std::uint32_t version;
        std::uint32_t data;
        std::size_t bitmap;
    } cases[] = {{86, 32768, 4088},  {94, 32768, 4088},    {95, 131072, 4088},
                 {99, 131072, 4088}, {100, 1048576, 4080}, {101, 1048576, 4080}};
    for (const auto& row : cases) {
        const wire::protocol rules{row.version, 0};
        assert_int_equal(rules.data_bytes(), row.data);
        assert_int_equal(rules.bitmap_bytes(), row.bitmap);
    }
    assert_int_equal((wire::protocol{101, 0}.trim_bytes()), 4 << 20);
    assert_int_equal((wire::protocol{101, wire::feature::write_same}.trim_bytes()), 128 << 20);
}

void lengths_follow_version_and_features(void**) {
    const struct {
        command code;
        wire::protocol rules;
        std::uint32_t minimum;
        std::uint32_t maximum;
    } cases[] = {
        {command::sync_param, {86, 0}, 4, 4},
        {command::sync_param, {87, 0}, 4, 4},
        {command::sync_param, {88, 0}, 5, 68},
        {command::sync_param89, {89, 0}, 132, 132},
        {command::sync_param89, {94, 0}, 132, 132},
        {command::sync_param89, {95, 0}, 148, 148},
        {command::protocol, {86, 0}, 24, 24},
        {command::protocol, {87, 0}, 25, 88},
        {command::protocol_update, {100, 0}, 25, 88},
        {command::sizes, {101, 0}, 32, 32},
        {command::sizes, {101, wire::feature::write_same}, 56, 56},
        {command::data, {94, 0}, 24, 24 + 64 + 32768},
        {command::data, {101, 0}, 24, 24 + 64 + 1048576},
        {command::rs_data_reply, {95, 0}, 24 + 512, 24 + 64 + 131072},
        {command::bitmap, {95, 0}, 0, 4088},
        {command::bitmap, {101, 0}, 0, 4080},
        {command::compressed_bitmap, {95, 0}, 2, 4088},
        {command::compressed_bitmap, {101, 0}, 2, 4080},
        {command::auth_challenge, {101, 0}, 64, 128},
        {command::auth_response, {101, 0}, 1, 64},
        {command::ov_reply, {101, 0}, 25, 88},
        {command::connection_features, {}, 72, 72},
    };
    for (const auto& row : cases) {
        const auto range = wire::lengths(row.code, row.rules);
        assert_int_equal(range.minimum, row.minimum);
        assert_int_equal(range.maximum, row.maximum);
    }
}

void data_part_is_what_header_and_digest_leave(void**) {
    const wire::protocol rules{101, 0};
    assert_int_equal(*wire::data_part(command::data, 24 + 4096, 0, rules), 4096);
    assert_int_equal(*wire::data_part(command::data, 24 + 20 + 4096, 20, rules), 4096);
    assert_int_equal(*wire::data_part(command::data, 24, 0, rules), 0);
    assert_refused(wire::data_part(command::data_reply, 24, 0, rules),
                   "DATA_REPLY: length 24, expected 536 to 1048600");
    assert_refused(wire::data_part(command::data, 24 + 4095, 0, rules),
                   "DATA: length 4119 leaves 4095 bytes of data, not whole sectors");
    assert_refused(wire::data_part(command::data, 24 + (1 << 20) + 512, 0, rules),
                   "DATA: length 1049112, expected 24 to 1048600");
    assert_refused(wire::data_part(command::data, 43, 20, rules),
                   "DATA: length 43, expected 44 to 1048620");
}

void every_command_has_a_name_and_a_socket(void**) {
    for (unsigned value = 0; value <= UINT16_MAX; ++value) {
        const command code{static_cast<std::uint16_t>(value)};
        const bool listed = std::ranges::count(support::all_commands, code) == 1;
        assert_int_equal(wire::is_known(code), listed);
        const auto sockets = wire::belongs_on(code, socket_kind::data) +
                             wire::belongs_on(code, socket_kind::meta) +
                             wire::belongs_on(code, socket_kind::fresh);
        const int expected = code == command::delay_probe ? 2 : 1;
        assert_int_equal(sockets, listed ? expected : 0);
        assert_int_equal(name(code) != "unknown packet", listed);
    }
}

// The least and the greatest payload of every packet goes through its decoder's length check, and
// what the table calls fixed is what the encoder writes.
void the_table_agrees_with_the_structures(void**) {
    for (const std::uint32_t version : {86U, 87U, 88U, 89U, 94U, 95U, 97U, 100U, 101U}) {
        const wire::protocol rules{version, version % 2 == 0 ? 0U : wire::feature::all};
        for (const auto code : support::all_commands) {
            support::with_payload_type(code, [&](auto type) {
                using X = typename decltype(type)::type;
                if constexpr (std::is_same_v<X, wire::sync_settings>) {
                    if (code != wire::sync_settings_command(rules)) {
                        return;
                    }
                }
                if constexpr (requires(const X& x) { wire::encoded_bytes(x, rules); }) {
                    if (code == command::protocol_update && !rules.has_ack_flags()) {
                        return;
                    }
                    const auto size = wire::encoded_bytes(X{}, rules);
                    const auto range = wire::lengths(code, rules);
                    const bool has_digest = std::is_same_v<X, wire::digest_request> ||
                                            std::is_same_v<X, wire::auth_response>;
                    if (wire::carries_data(code) || has_digest) {
                        assert_int_equal(size, wire::fixed_bytes(code, rules));
                    } else {
                        assert_int_equal(size, range.minimum);
                    }
                }
            });
        }
    }
}

void default_payloads_fit_the_small_buffer(void**) {
    const wire::protocol rules{101, wire::feature::all};
    wire::sync_settings settings;
    settings.verify = wire::make_algorithm_name(std::string(63, 'x'));
    std::array<std::byte, wire::small_packet_bytes_max> buffer{};
    assert_int_equal(wire::encode_packet(buffer, rules, 0, command::sync_param89, settings),
                     wire::small_packet_bytes_max);
    const auto back = wire::decode<wire::sync_settings>(command::sync_param89,
                                                        const_byte_span(buffer).subspan(16), rules);
    assert_true(back == settings);
}

} // namespace

} // namespace lockstep

int main() {
    using namespace lockstep;
    const CMUnitTest tests[] = {
        cmocka_unit_test(the_highest_common_version_is_agreed),
        cmocka_unit_test(header_form_follows_version_and_payload),
        cmocka_unit_test(headers_are_these_bytes),
        cmocka_unit_test(headers_that_do_not_fit_the_version_are_refused),
        cmocka_unit_test(limits_follow_the_version),
        cmocka_unit_test(lengths_follow_version_and_features),
        cmocka_unit_test(data_part_is_what_header_and_digest_leave),
        cmocka_unit_test(every_command_has_a_name_and_a_socket),
        cmocka_unit_test(the_table_agrees_with_the_structures),
        cmocka_unit_test(default_payloads_fit_the_small_buffer),
    };
    return cmocka_run_group_tests_name("packets", tests, nullptr, nullptr);
}
