#include "kernel/wire/io_payloads.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <utility>

#include "kernel/wire/fields.hpp"

namespace lockstep::wire {

namespace {

// What decode() of a packet with nothing but fields is: its length, the fields, and what they may
// hold. `take` reads them, `check` gets them as result<>.
template <class Take, class Check>
auto decode_fields(command code, const_byte_span payload, const protocol& rules, Take take,
                   Check check) -> result<decltype(take(std::declval<byte_reader&>()))> {
    if (auto good = check_length(code, payload.size(), rules); !good) {
        return tl::unexpected(std::move(good.error()));
    }
    byte_reader from(payload);
    auto out = take(from);
    LOCKSTEP_CHECK(from.ok());
    if (result<> good = check(out); !good) {
        return tl::unexpected(std::move(good.error()));
    }
    return out;
}

result<> anything(const auto&) {
    return {};
}

std::array<std::byte, 4> take_number(byte_reader& from) {
    std::array<std::byte, 4> out{};
    const auto bytes = from.take_bytes(out.size());
    std::copy(bytes.begin(), bytes.end(), out.begin());
    return out;
}

block_request take_request(byte_reader& from) {
    block_request out;
    out.sector = from.take<std::uint64_t>();
    out.block_id = from.take<std::uint64_t>();
    out.size_bytes = from.take<std::uint32_t>();
    out.pad = from.take<std::uint32_t>();
    return out;
}

result<> check_range(command code, std::uint64_t sector, std::uint32_t size_bytes,
                     std::uint32_t least, std::uint32_t most) {
    if (auto good = check_sector(code, sector); !good) {
        return good;
    }
    return check_size(code, size_bytes, least, most);
}

} // namespace

std::size_t encoded_bytes(const data_header&, const protocol&) {
    return 24;
}
std::size_t encoded_bytes(const discard&, const protocol&) {
    return 28;
}
std::size_t encoded_bytes(const block_request&, const protocol&) {
    return 24;
}
std::size_t encoded_bytes(const digest_request& value, const protocol&) {
    return 24 + std::size_t{value.of_block.size};
}
std::size_t encoded_bytes(const block_ack&, const protocol&) {
    return 24;
}
std::size_t encoded_bytes(const block_range&, const protocol&) {
    return 16;
}
std::size_t encoded_bytes(const barrier&, const protocol&) {
    return 8;
}
std::size_t encoded_bytes(const barrier_ack&, const protocol&) {
    return 8;
}
std::size_t encoded_bytes(const delay_probe&, const protocol&) {
    return 8;
}

void encode(byte_writer& to, const data_header& value, const protocol&) {
    to.put(value.sector);
    to.put(value.block_id);
    to.put(value.sequence);
    to.put(value.flags);
}

void encode(byte_writer& to, const discard& value, const protocol&) {
    to.put(value.sector);
    to.put(value.block_id);
    to.put(value.sequence);
    to.put(value.flags);
    to.put(value.size_bytes);
}

void encode(byte_writer& to, const block_request& value, const protocol&) {
    to.put(value.sector);
    to.put(value.block_id);
    to.put(value.size_bytes);
    to.put(value.pad);
}

void encode(byte_writer& to, const digest_request& value, const protocol& rules) {
    encode(to, value.block, rules);
    to.put_bytes(value.of_block.view());
}

void encode(byte_writer& to, const block_ack& value, const protocol&) {
    to.put(value.sector);
    to.put(value.block_id);
    to.put(value.size_bytes);
    to.put(value.sequence);
}

void encode(byte_writer& to, const block_range& value, const protocol&) {
    to.put(value.sector);
    to.put(value.size_bytes);
    to.put(value.pad);
}

void encode(byte_writer& to, const barrier& value, const protocol&) {
    to.put_bytes(value.number);
    to.put(value.pad);
}

void encode(byte_writer& to, const barrier_ack& value, const protocol&) {
    to.put_bytes(value.number);
    to.put(value.set_size);
}

void encode(byte_writer& to, const delay_probe& value, const protocol&) {
    to.put(value.sequence);
    to.put(value.offset);
}

template <>
result<data_header> decode(command code, const_byte_span fixed_part, const protocol& rules) {
    const auto expected = fixed_bytes(code, rules);
    if (fixed_part.size() != expected) {
        return fail(fmt::format("{}: fixed part {} bytes, expected {}", name(code),
                                fixed_part.size(), expected));
    }
    byte_reader from(fixed_part);
    data_header out;
    out.sector = from.take<std::uint64_t>();
    out.block_id = from.take<std::uint64_t>();
    out.sequence = from.take<std::uint32_t>();
    out.flags = from.take<std::uint32_t>();
    LOCKSTEP_CHECK(from.ok());
    if (auto good = check_sector(code, out.sector); !good) {
        return tl::unexpected(std::move(good.error()));
    }
    return out;
}

template <>
result<discard> decode(command code, const_byte_span payload, const protocol& rules) {
    return decode_fields(
        code, payload, rules,
        [](byte_reader& from) {
            discard out;
            out.sector = from.take<std::uint64_t>();
            out.block_id = from.take<std::uint64_t>();
            out.sequence = from.take<std::uint32_t>();
            out.flags = from.take<std::uint32_t>();
            out.size_bytes = from.take<std::uint32_t>();
            return out;
        },
        [&](const discard& value) {
            return check_range(code, value.sector, value.size_bytes, 512, trim_bytes_max);
        });
}

template <>
result<block_request> decode(command code, const_byte_span payload, const protocol& rules) {
    return decode_fields(code, payload, rules, take_request, [&](const block_request& value) {
        return check_range(code, value.sector, value.size_bytes, 512, rules.data_bytes());
    });
}

template <>
result<digest_request> decode(command code, const_byte_span payload, const protocol& rules) {
    return decode_fields(
        code, payload, rules,
        [](byte_reader& from) {
            digest_request out;
            out.block = take_request(from);
            out.of_block = make_digest(from.rest());
            return out;
        },
        [&](const digest_request& value) {
            return check_range(code, value.block.sector, value.block.size_bytes, 512,
                               rules.data_bytes());
        });
}

template <>
result<block_ack> decode(command code, const_byte_span payload, const protocol& rules) {
    return decode_fields(
        code, payload, rules,
        [](byte_reader& from) {
            block_ack out;
            out.sector = from.take<std::uint64_t>();
            out.block_id = from.take<std::uint64_t>();
            out.size_bytes = from.take<std::uint32_t>();
            out.sequence = from.take<std::uint32_t>();
            return out;
        },
        [&](const block_ack& value) -> result<> {
            if (code == command::neg_ack && value.block_id != block_id_resync) {
                return check_sector(code, value.sector);
            }
            // The size of the request that is answered, and a flush without data has none.
            return check_range(code, value.sector, value.size_bytes, 0, trim_bytes_max);
        });
}

template <>
result<block_range> decode(command code, const_byte_span payload, const protocol& rules) {
    return decode_fields(
        code, payload, rules,
        [](byte_reader& from) {
            block_range out;
            out.sector = from.take<std::uint64_t>();
            out.size_bytes = from.take<std::uint32_t>();
            out.pad = from.take<std::uint32_t>();
            return out;
        },
        [&](const block_range& value) {
            return check_range(code, value.sector, value.size_bytes, 512, trim_bytes_max);
        });
}

template <>
result<barrier> decode(command code, const_byte_span payload, const protocol& rules) {
    return decode_fields(
        code, payload, rules,
        [](byte_reader& from) {
            barrier out;
            out.number = take_number(from);
            out.pad = from.take<std::uint32_t>();
            return out;
        },
        anything<barrier>);
}

template <>
result<barrier_ack> decode(command code, const_byte_span payload, const protocol& rules) {
    return decode_fields(
        code, payload, rules,
        [](byte_reader& from) {
            barrier_ack out;
            out.number = take_number(from);
            out.set_size = from.take<std::uint32_t>();
            return out;
        },
        anything<barrier_ack>);
}

template <>
result<delay_probe> decode(command code, const_byte_span payload, const protocol& rules) {
    return decode_fields(
        code, payload, rules,
        [](byte_reader& from) {
            delay_probe out;
            out.sequence = from.take<std::uint32_t>();
            out.offset = from.take<std::uint32_t>();
            return out;
        },
        anything<delay_probe>);
}

} // namespace lockstep::wire
