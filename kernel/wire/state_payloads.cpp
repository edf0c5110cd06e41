#include "kernel/wire/state_payloads.hpp"

#include "kernel/wire/fields.hpp"

namespace lockstep::wire {

namespace {

void put_limits(byte_writer& to, const queue_limits& value) {
    to.put(value.physical_block);
    to.put(value.logical_block);
    to.put(value.alignment_offset);
    to.put(value.io_min);
    to.put(value.io_opt);
    to.put(value.discard_enabled);
    to.put(value.discard_zeroes);
    to.put(value.write_same);
    to.put(value.pad);
}

queue_limits take_limits(byte_reader& from) {
    queue_limits out;
    out.physical_block = from.take<std::uint32_t>();
    out.logical_block = from.take<std::uint32_t>();
    out.alignment_offset = from.take<std::uint32_t>();
    out.io_min = from.take<std::uint32_t>();
    out.io_opt = from.take<std::uint32_t>();
    out.discard_enabled = from.take<std::uint8_t>();
    out.discard_zeroes = from.take<std::uint8_t>();
    out.write_same = from.take<std::uint8_t>();
    out.pad = from.take<std::uint8_t>();
    return out;
}

} // namespace

std::size_t encoded_bytes(const uuids&, const protocol&) {
    return 48;
}
std::size_t encoded_bytes(const sync_uuid&, const protocol&) {
    return 8;
}
std::size_t encoded_bytes(const sizes&, const protocol& rules) {
    return rules.has_queue_limits() ? 56 : 32;
}
std::size_t encoded_bytes(const state_word&, const protocol&) {
    return 4;
}
std::size_t encoded_bytes(const state_request&, const protocol&) {
    return 8;
}
std::size_t encoded_bytes(const state_reply&, const protocol&) {
    return 4;
}

void encode(byte_writer& to, const uuids& value, const protocol&) {
    to.put(value.current);
    to.put(value.bitmap);
    to.put(value.history1);
    to.put(value.history2);
    to.put(value.bits_set);
    to.put(value.flags);
}

void encode(byte_writer& to, const sync_uuid& value, const protocol&) {
    to.put(value.value);
}

void encode(byte_writer& to, const sizes& value, const protocol& rules) {
    to.put(value.disk);
    to.put(value.user);
    to.put(value.current);
    to.put(value.max_request_bytes);
    to.put(value.queue_order);
    to.put(value.flags);
    if (rules.has_queue_limits()) {
        put_limits(to, value.limits);
    }
}

void encode(byte_writer& to, const state_word& value, const protocol&) {
    to.put(value.bits);
}

void encode(byte_writer& to, const state_request& value, const protocol&) {
    to.put(value.mask);
    to.put(value.value);
}

void encode(byte_writer& to, const state_reply& value, const protocol&) {
    to.put(static_cast<std::uint32_t>(value.code));
}

template <>
result<uuids> decode(command code, const_byte_span payload, const protocol& rules) {
    if (auto good = check_length(code, payload.size(), rules); !good) {
        return tl::unexpected(std::move(good.error()));
    }
    byte_reader from(payload);
    uuids out;
    out.current = from.take<std::uint64_t>();
    out.bitmap = from.take<std::uint64_t>();
    out.history1 = from.take<std::uint64_t>();
    out.history2 = from.take<std::uint64_t>();
    out.bits_set = from.take<std::uint64_t>();
    out.flags = from.take<std::uint64_t>();
    LOCKSTEP_CHECK(from.ok());
    return out;
}

template <>
result<sync_uuid> decode(command code, const_byte_span payload, const protocol& rules) {
    if (auto good = check_length(code, payload.size(), rules); !good) {
        return tl::unexpected(std::move(good.error()));
    }
    return sync_uuid{load_big<std::uint64_t>(payload.data())};
}

template <>
result<sizes> decode(command code, const_byte_span payload, const protocol& rules) {
    if (auto good = check_length(code, payload.size(), rules); !good) {
        return tl::unexpected(std::move(good.error()));
    }
    byte_reader from(payload);
    sizes out;
    out.disk = from.take<std::uint64_t>();
    out.user = from.take<std::uint64_t>();
    out.current = from.take<std::uint64_t>();
    out.max_request_bytes = from.take<std::uint32_t>();
    out.queue_order = from.take<std::uint16_t>();
    out.flags = from.take<std::uint16_t>();
    if (rules.has_queue_limits()) {
        out.limits = take_limits(from);
    }
    LOCKSTEP_CHECK(from.ok());
    for (const auto sectors : {out.disk, out.user, out.current}) {
        if (auto good = check_sector(code, sectors); !good) {
            return tl::unexpected(std::move(good.error()));
        }
    }
    return out;
}

template <>
result<state_word> decode(command code, const_byte_span payload, const protocol& rules) {
    if (auto good = check_length(code, payload.size(), rules); !good) {
        return tl::unexpected(std::move(good.error()));
    }
    return state_word{load_big<std::uint32_t>(payload.data())};
}

template <>
result<state_request> decode(command code, const_byte_span payload, const protocol& rules) {
    if (auto good = check_length(code, payload.size(), rules); !good) {
        return tl::unexpected(std::move(good.error()));
    }
    byte_reader from(payload);
    state_request out;
    out.mask = from.take<std::uint32_t>();
    out.value = from.take<std::uint32_t>();
    LOCKSTEP_CHECK(from.ok());
    return out;
}

template <>
result<state_reply> decode(command code, const_byte_span payload, const protocol& rules) {
    if (auto good = check_length(code, payload.size(), rules); !good) {
        return tl::unexpected(std::move(good.error()));
    }
    return state_reply{static_cast<std::int32_t>(load_big<std::uint32_t>(payload.data()))};
}

} // namespace lockstep::wire
