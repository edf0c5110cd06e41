#include "kernel/wire/packet.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>

#include "kernel/base/check.hpp"

namespace lockstep::wire {

namespace {

// Where a packet may come.
enum class place : std::uint8_t { data, meta, both, fresh };

// What follows the fixed part.
enum class tail : std::uint8_t {
    none,
    data,         // a digest or none, then data
    digest,       // 1..64 bytes
    challenge,    // 64..128 bytes, nothing before
    words,        // u64 words, as many as fit a bitmap packet
    code,         // run-length code, at least a byte, as much as fits a bitmap packet
    integrity,    // algorithm name with NUL from version 87 on
    verify,       // algorithm name with NUL in version 88
    queue_limits, // 24 bytes with feature::write_same
    controller,   // 16 bytes from version 95 on
    unused,       // never sent by 8.4, refused
};

struct row {
    command code;
    std::string_view name;
    place where;
    std::uint8_t fixed;
    tail rest = tail::none;
    std::uint8_t since = 0; // first version that has it
    std::uint8_t until = 255;
};

using c = command;

constexpr std::array rows{
    row{c::data, "DATA", place::data, 24, tail::data},
    row{c::data_reply, "DATA_REPLY", place::data, 24, tail::data},
    row{c::rs_data_reply, "RS_DATA_REPLY", place::data, 24, tail::data},
    row{c::barrier, "BARRIER", place::data, 8},
    row{c::bitmap, "BITMAP", place::data, 0, tail::words},
    row{c::become_sync_target, "BECOME_SYNC_TARGET", place::data, 0, tail::unused},
    row{c::become_sync_source, "BECOME_SYNC_SOURCE", place::data, 0, tail::unused},
    row{c::unplug_remote, "UNPLUG_REMOTE", place::data, 0},
    row{c::data_request, "DATA_REQUEST", place::data, 24},
    row{c::rs_data_request, "RS_DATA_REQUEST", place::data, 24},
    row{c::sync_param, "SYNC_PARAM", place::data, 4, tail::verify, 0, 88},
    row{c::protocol, "PROTOCOL", place::data, 24, tail::integrity},
    row{c::uuids, "UUIDS", place::data, 48},
    row{c::sizes, "SIZES", place::data, 32, tail::queue_limits},
    row{c::state, "STATE", place::data, 4},
    row{c::sync_uuid, "SYNC_UUID", place::data, 8},
    row{c::auth_challenge, "AUTH_CHALLENGE", place::data, 0, tail::challenge},
    row{c::auth_response, "AUTH_RESPONSE", place::data, 0, tail::digest},
    row{c::state_chg_req, "STATE_CHG_REQ", place::data, 8},
    row{c::ping, "PING", place::meta, 0},
    row{c::ping_ack, "PING_ACK", place::meta, 0},
    row{c::recv_ack, "RECV_ACK", place::meta, 24},
    row{c::write_ack, "WRITE_ACK", place::meta, 24},
    row{c::rs_write_ack, "RS_WRITE_ACK", place::meta, 24},
    row{c::superseded, "SUPERSEDED", place::meta, 24},
    row{c::neg_ack, "NEG_ACK", place::meta, 24},
    row{c::neg_dreply, "NEG_DREPLY", place::meta, 24},
    row{c::neg_rs_dreply, "NEG_RS_DREPLY", place::meta, 24},
    row{c::barrier_ack, "BARRIER_ACK", place::meta, 8},
    row{c::state_chg_reply, "STATE_CHG_REPLY", place::meta, 4},
    row{c::ov_request, "OV_REQUEST", place::data, 24, tail::none, 88},
    row{c::ov_reply, "OV_REPLY", place::data, 24, tail::digest, 88},
    row{c::ov_result, "OV_RESULT", place::meta, 24, tail::none, 88},
    row{c::csum_rs_request, "CSUM_RS_REQUEST", place::data, 24, tail::digest, 89},
    row{c::rs_is_in_sync, "RS_IS_IN_SYNC", place::meta, 24, tail::none, 89},
    row{c::sync_param89, "SYNC_PARAM89", place::data, 132, tail::controller, 89},
    row{c::compressed_bitmap, "COMPRESSED_BITMAP", place::data, 1, tail::code, 90},
    row{c::delay_probe, "DELAY_PROBE", place::both, 8},
    row{c::out_of_sync, "OUT_OF_SYNC", place::data, 16, tail::none, 95},
    row{c::rs_cancel, "RS_CANCEL", place::meta, 24, tail::none, 95},
    row{c::conn_st_chg_req, "CONN_ST_CHG_REQ", place::data, 8, tail::none, 100},
    row{c::conn_st_chg_reply, "CONN_ST_CHG_REPLY", place::meta, 4, tail::none, 100},
    row{c::retry_write, "RETRY_WRITE", place::meta, 24, tail::none, 100},
    row{c::protocol_update, "PROTOCOL_UPDATE", place::data, 24, tail::integrity, 100},
    row{c::trim, "TRIM", place::data, 28},
    row{c::rs_thin_req, "RS_THIN_REQ", place::data, 24},
    row{c::rs_deallocated, "RS_DEALLOCATED", place::data, 16},
    row{c::write_same, "WSAME", place::data, 28, tail::unused},
    row{c::zeroes, "ZEROES", place::data, 28},
    row{c::initial_meta, "INITIAL_META", place::fresh, 0},
    row{c::initial_data, "INITIAL_DATA", place::fresh, 0},
    row{c::connection_features, "CONNECTION_FEATURES", place::data, 72},
};

constexpr std::uint8_t no_row = 255;

// Row of each small code: the check of every packet that arrives starts here.
constexpr std::array<std::uint8_t, 64> index_of_rows() {
    std::array<std::uint8_t, 64> out{};
    out.fill(no_row);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const auto value = static_cast<std::size_t>(rows[i].code);
        if (value < out.size()) {
            out[value] = static_cast<std::uint8_t>(i);
        }
    }
    return out;
}

constexpr auto row_index = index_of_rows();

const row* find(command code) {
    const auto value = static_cast<std::size_t>(code);
    if (value < row_index.size()) {
        return row_index[value] == no_row ? nullptr : &rows[row_index[value]];
    }
    const auto* const found =
        std::find_if(rows.begin(), rows.end(), [code](const row& r) { return r.code == code; });
    return found == rows.end() ? nullptr : found;
}

bool fits(place where, socket_kind socket) {
    switch (where) {
    case place::data:
        return socket == socket_kind::data;
    case place::meta:
        return socket == socket_kind::meta;
    case place::both:
        return socket != socket_kind::fresh;
    case place::fresh:
        return socket == socket_kind::fresh;
    }
    return false;
}

std::uint32_t name_bytes_max(bool present) {
    return present ? static_cast<std::uint32_t>(algorithm_bytes_max) : 0;
}

length_range tail_lengths(const row& r, const protocol& rules) {
    constexpr auto digest = static_cast<std::uint32_t>(digest_bytes_max);
    const auto bitmap_bytes =
        static_cast<std::uint32_t>(bitmap_packet_bytes_max - rules.header_bytes());
    switch (r.rest) {
    case tail::none:
    case tail::unused:
        return {0, 0};
    case tail::data:
        return {r.code == c::data ? 0 : 512U, rules.data_bytes() + digest};
    case tail::digest:
        return {1, digest};
    case tail::challenge:
        return {64, 128};
    case tail::words:
        return {0, static_cast<std::uint32_t>(rules.bitmap_bytes())};
    case tail::code:
        return {1, bitmap_bytes - r.fixed};
    case tail::integrity: {
        const bool present = rules.has_integrity_algorithm();
        return {present ? 1U : 0U, name_bytes_max(present)};
    }
    case tail::verify: {
        const bool present = rules.version == 88;
        return {present ? 1U : 0U, name_bytes_max(present)};
    }
    case tail::queue_limits: {
        const std::uint32_t extra = rules.has_queue_limits() ? 24 : 0;
        return {extra, extra};
    }
    case tail::controller: {
        const std::uint32_t extra = rules.has_resync_controller() ? 16 : 0;
        return {extra, extra};
    }
    }
    return {0, 0};
}

bool whole_payload_is_fixed(tail rest) {
    return rest == tail::queue_limits || rest == tail::controller;
}

std::string unknown(command code) {
    return fmt::format("unknown packet {:#06x}", static_cast<unsigned>(code));
}

} // namespace

std::string_view name(socket_kind socket) {
    switch (socket) {
    case socket_kind::data:
        return "data";
    case socket_kind::meta:
        return "meta";
    case socket_kind::fresh:
        return "new";
    }
    return "?";
}

std::string_view name(command code) {
    const auto* const r = find(code);
    return r == nullptr ? "unknown packet" : r->name;
}

bool is_known(command code) {
    return find(code) != nullptr;
}

bool belongs_on(command code, socket_kind socket) {
    const auto* const r = find(code);
    return r != nullptr && fits(r->where, socket);
}

bool carries_data(command code) {
    return code == command::data || code == command::data_reply || code == command::rs_data_reply;
}

std::uint32_t fixed_bytes(command code, const protocol& rules) {
    const auto* const r = find(code);
    LOCKSTEP_CHECK(r != nullptr);
    return r->fixed + (whole_payload_is_fixed(r->rest) ? tail_lengths(*r, rules).maximum : 0);
}

length_range lengths(command code, const protocol& rules) {
    const auto* const r = find(code);
    LOCKSTEP_CHECK(r != nullptr);
    const auto rest = tail_lengths(*r, rules);
    return {r->fixed + rest.minimum, r->fixed + rest.maximum};
}

result<> check_command(command code, socket_kind socket, const protocol& rules) {
    const auto* const r = find(code);
    if (r == nullptr) {
        return fail(fmt::format("{}: no such command in DRBD 8.4", unknown(code)));
    }
    if (r->rest == tail::unused) {
        return fail(fmt::format("{}: command is not in use", r->name));
    }
    if (!fits(r->where, socket)) {
        return fail(
            fmt::format("{}: command does not belong on the {} socket", r->name, name(socket)));
    }
    if (rules.version < r->since || rules.version > r->until) {
        return fail(
            fmt::format("{}: command is not in protocol version {}", r->name, rules.version));
    }
    return {};
}

result<> check_packet(command code, std::uint32_t length, socket_kind socket,
                      const protocol& rules) {
    if (auto good = check_command(code, socket, rules); !good) {
        return good;
    }
    return check_length(code, length, rules);
}

result<> check_length(command code, std::uint64_t length, const protocol& rules) {
    const auto allowed = lengths(code, rules);
    if (length >= allowed.minimum && length <= allowed.maximum) {
        return {};
    }
    if (allowed.minimum == allowed.maximum) {
        return fail(fmt::format("{}: length {}, expected {}", name(code), length, allowed.minimum));
    }
    return fail(fmt::format("{}: length {}, expected {} to {}", name(code), length, allowed.minimum,
                            allowed.maximum));
}

result<std::uint32_t> data_part(command code, std::uint32_t length, std::size_t digest_bytes,
                                const protocol& rules) {
    LOCKSTEP_CHECK(carries_data(code) && digest_bytes <= digest_bytes_max);
    const auto before = fixed_bytes(code, rules) + static_cast<std::uint32_t>(digest_bytes);
    const std::uint32_t least = code == command::data ? 0 : 512;
    if (length < before + least || length > before + rules.data_bytes()) {
        return fail(fmt::format("{}: length {}, expected {} to {}", name(code), length,
                                before + least, before + rules.data_bytes()));
    }
    if ((length - before) % 512 != 0) {
        return fail(fmt::format("{}: length {} leaves {} bytes of data, not whole sectors",
                                name(code), length, length - before));
    }
    return length - before;
}

} // namespace lockstep::wire
