#include "kernel/wire/handshake_payloads.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "kernel/wire/fields.hpp"

namespace lockstep::wire {

namespace {

const_byte_span bytes_of(const algorithm_name& value, std::size_t count) {
    return std::as_bytes(std::span(value.text)).first(count);
}

std::size_t bytes_with_nul(const algorithm_name& value) {
    return value.view().size() + 1;
}

// SYNC_PARAM until 88, SYNC_PARAM89 of two sizes.
enum class sync_form : std::uint8_t { rate, rate_and_verify, algorithms, controller };

sync_form form(const protocol& rules) {
    if (rules.has_resync_controller()) {
        return sync_form::controller;
    }
    if (rules.has_checksum_resync()) {
        return sync_form::algorithms;
    }
    return rules.has_verify() ? sync_form::rate_and_verify : sync_form::rate;
}

// Reads the names that this form has. The payload's length has been checked.
result<> take_names(command code, byte_reader& from, sync_form as, sync_settings& out) {
    if (as == sync_form::rate) {
        return {};
    }
    const bool two = as != sync_form::rate_and_verify;
    auto verify = two ? take_name(code, "verify-alg", from.take_bytes(algorithm_bytes_max))
                      : take_last_name(code, "verify-alg", from.rest());
    if (!verify) {
        return tl::unexpected(std::move(verify.error()));
    }
    out.verify = *verify;
    if (two) {
        auto checksum = take_name(code, "csums-alg", from.take_bytes(algorithm_bytes_max));
        if (!checksum) {
            return tl::unexpected(std::move(checksum.error()));
        }
        out.checksum = *checksum;
    }
    return {};
}

} // namespace

bool auth_challenge::operator==(const auth_challenge& other) const {
    return std::ranges::equal(view(), other.view());
}

command sync_settings_command(const protocol& rules) {
    return rules.has_checksum_resync() ? command::sync_param89 : command::sync_param;
}

std::size_t encoded_bytes(const connection_features&, const protocol&) {
    return 72;
}
std::size_t encoded_bytes(const auth_challenge& value, const protocol&) {
    return value.size;
}
std::size_t encoded_bytes(const auth_response& value, const protocol&) {
    return value.hmac.size;
}

std::size_t encoded_bytes(const connection_settings& value, const protocol& rules) {
    return 24 + (rules.has_integrity_algorithm() ? bytes_with_nul(value.integrity) : 0);
}

std::size_t encoded_bytes(const sync_settings& value, const protocol& rules) {
    switch (form(rules)) {
    case sync_form::rate:
        return 4;
    case sync_form::rate_and_verify:
        return 4 + bytes_with_nul(value.verify);
    case sync_form::algorithms:
        return 132;
    case sync_form::controller:
        return 148;
    }
    return 0;
}

void encode(byte_writer& to, const connection_features& value, const protocol&) {
    to.put(value.version_min);
    to.put(value.features);
    to.put(value.version_max);
    to.put_zeros(60);
}

void encode(byte_writer& to, const auth_challenge& value, const protocol&) {
    LOCKSTEP_CHECK(value.size >= 64 && value.size <= value.bytes.size());
    to.put_bytes(value.view());
}

void encode(byte_writer& to, const auth_response& value, const protocol&) {
    LOCKSTEP_CHECK(value.hmac.size > 0);
    to.put_bytes(value.hmac.view());
}

void encode(byte_writer& to, const connection_settings& value, const protocol& rules) {
    to.put(value.wire_protocol);
    to.put(value.after_sb_0pri);
    to.put(value.after_sb_1pri);
    to.put(value.after_sb_2pri);
    to.put(value.flags);
    to.put(value.two_primaries);
    if (rules.has_integrity_algorithm()) {
        to.put_bytes(bytes_of(value.integrity, bytes_with_nul(value.integrity)));
    }
}

void encode(byte_writer& to, const sync_settings& value, const protocol& rules) {
    const auto as = form(rules);
    to.put(value.rate_kib);
    if (as == sync_form::rate_and_verify) {
        to.put_bytes(bytes_of(value.verify, bytes_with_nul(value.verify)));
    }
    if (as == sync_form::algorithms || as == sync_form::controller) {
        to.put_bytes(bytes_of(value.verify, algorithm_bytes_max));
        to.put_bytes(bytes_of(value.checksum, algorithm_bytes_max));
    }
    if (as == sync_form::controller) {
        to.put(value.plan_ahead_ds);
        to.put(value.delay_target_ds);
        to.put(value.fill_target_sectors);
        to.put(value.max_rate_kib);
    }
}

// The words after the versions are reserved: zero today, and not looked at, so that a later
// version may use them.
template <>
result<connection_features> decode(command code, const_byte_span payload, const protocol& rules) {
    if (auto good = check_length(code, payload.size(), rules); !good) {
        return tl::unexpected(std::move(good.error()));
    }
    byte_reader from(payload);
    connection_features out;
    out.version_min = from.take<std::uint32_t>();
    out.features = from.take<std::uint32_t>();
    out.version_max = from.take<std::uint32_t>();
    LOCKSTEP_CHECK(from.ok());
    if (out.version_max != 0 && out.version_max < out.version_min) {
        return fail(fmt::format("{}: version max {} is below version min {}", name(code),
                                out.version_max, out.version_min));
    }
    return out;
}

template <>
result<auth_challenge> decode(command code, const_byte_span payload, const protocol& rules) {
    if (auto good = check_length(code, payload.size(), rules); !good) {
        return tl::unexpected(std::move(good.error()));
    }
    auth_challenge out;
    std::copy(payload.begin(), payload.end(), out.bytes.begin());
    out.size = static_cast<std::uint8_t>(payload.size());
    return out;
}

template <>
result<auth_response> decode(command code, const_byte_span payload, const protocol& rules) {
    if (auto good = check_length(code, payload.size(), rules); !good) {
        return tl::unexpected(std::move(good.error()));
    }
    return auth_response{make_digest(payload)};
}

template <>
result<connection_settings> decode(command code, const_byte_span payload, const protocol& rules) {
    if (auto good = check_length(code, payload.size(), rules); !good) {
        return tl::unexpected(std::move(good.error()));
    }
    byte_reader from(payload);
    connection_settings out;
    out.wire_protocol = from.take<std::uint32_t>();
    out.after_sb_0pri = from.take<std::uint32_t>();
    out.after_sb_1pri = from.take<std::uint32_t>();
    out.after_sb_2pri = from.take<std::uint32_t>();
    out.flags = from.take<std::uint32_t>();
    out.two_primaries = from.take<std::uint32_t>();
    LOCKSTEP_CHECK(from.ok());
    if (out.wire_protocol < 1 || out.wire_protocol > 3) {
        return fail(fmt::format("{}: protocol {}, expected 1 (A), 2 (B) or 3 (C)", name(code),
                                out.wire_protocol));
    }
    if (!rules.has_integrity_algorithm()) {
        return out;
    }
    auto integrity = take_last_name(code, "integrity-alg", from.rest());
    if (!integrity) {
        return tl::unexpected(std::move(integrity.error()));
    }
    out.integrity = *integrity;
    return out;
}

template <>
result<sync_settings> decode(command code, const_byte_span payload, const protocol& rules) {
    if (code != sync_settings_command(rules)) {
        return fail(
            fmt::format("{}: command is not in protocol version {}", name(code), rules.version));
    }
    if (auto good = check_length(code, payload.size(), rules); !good) {
        return tl::unexpected(std::move(good.error()));
    }
    byte_reader from(payload);
    sync_settings out;
    out.rate_kib = from.take<std::uint32_t>();
    const auto as = form(rules);
    if (auto good = take_names(code, from, as, out); !good) {
        return tl::unexpected(std::move(good.error()));
    }
    if (as == sync_form::controller) {
        out.plan_ahead_ds = from.take<std::uint32_t>();
        out.delay_target_ds = from.take<std::uint32_t>();
        out.fill_target_sectors = from.take<std::uint32_t>();
        out.max_rate_kib = from.take<std::uint32_t>();
    }
    LOCKSTEP_CHECK(from.ok());
    return out;
}

} // namespace lockstep::wire
