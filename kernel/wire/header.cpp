#include "kernel/wire/header.hpp"

#include <fmt/format.h>

namespace lockstep::wire {

namespace {

constexpr std::uint32_t magic_80 = 0x83740267;
constexpr std::uint16_t magic_95 = 0x835a;
constexpr std::uint32_t magic_100 = 0x8620ec20;

tl::unexpected<error> bad_magic(std::uint32_t magic, const protocol& rules) {
    return fail(
        fmt::format("header: magic {:#010x} is not one of version {}", magic, rules.version));
}

result<header> decode_h100(const_byte_span bytes, const protocol& rules) {
    byte_reader from(bytes);
    if (const auto magic = from.take<std::uint32_t>(); magic != magic_100) {
        return bad_magic(magic, rules);
    }
    header out{.kind = header_kind::h100};
    out.volume = from.take<std::uint16_t>();
    out.code = command{from.take<std::uint16_t>()};
    out.length = from.take<std::uint32_t>();
    if (const auto pad = from.take<std::uint32_t>(); pad != 0) {
        return fail(fmt::format("{}: header pad {:#x}, expected 0", name(out.code), pad));
    }
    return out;
}

result<header> decode_short(const_byte_span bytes, const protocol& rules) {
    byte_reader from(bytes);
    const auto magic = from.take<std::uint32_t>();
    if (magic == magic_80) {
        header out{.kind = header_kind::h80};
        out.code = command{from.take<std::uint16_t>()};
        out.length = from.take<std::uint16_t>();
        return out;
    }
    if (magic >> 16 == magic_95) {
        header out{.kind = header_kind::h95};
        out.code = command{static_cast<std::uint16_t>(magic & 0xffff)};
        out.length = from.take<std::uint32_t>();
        return out;
    }
    return bad_magic(magic, rules);
}

} // namespace

result<header> decode_header(const_byte_span bytes, const protocol& rules) {
    const auto needed = rules.header_bytes();
    if (bytes.size() < needed) {
        return fail(fmt::format("header: {} bytes, expected {}", bytes.size(), needed));
    }
    bytes = bytes.first(needed);
    return needed == header_bytes(header_kind::h100) ? decode_h100(bytes, rules)
                                                     : decode_short(bytes, rules);
}

void encode_header(byte_writer& to, const header& value) {
    const auto code = static_cast<std::uint16_t>(value.code);
    switch (value.kind) {
    case header_kind::h80:
        LOCKSTEP_CHECK(value.length <= UINT16_MAX);
        to.put(magic_80);
        to.put(code);
        to.put(static_cast<std::uint16_t>(value.length));
        return;
    case header_kind::h95:
        to.put(magic_95);
        to.put(code);
        to.put(value.length);
        return;
    case header_kind::h100:
        to.put(magic_100);
        to.put(value.volume);
        to.put(code);
        to.put(value.length);
        to.put(std::uint32_t{0});
        return;
    }
    LOCKSTEP_CHECK(!"a header kind");
}

header make_header(const protocol& rules, std::uint16_t volume, command code,
                   std::uint32_t length) {
    LOCKSTEP_CHECK(volume == 0 || rules.has_volumes());
    return {rules.header_for(length), volume, code, length};
}

} // namespace lockstep::wire
