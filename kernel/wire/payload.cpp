#include "kernel/wire/payload.hpp"

#include <algorithm>
#include <fmt/format.h>

#include "kernel/wire/fields.hpp"
#include "kernel/wire/io_payloads.hpp"

namespace lockstep::wire {

bool digest::operator==(const digest& other) const {
    return std::ranges::equal(view(), other.view());
}

digest make_digest(const_byte_span bytes) {
    LOCKSTEP_CHECK(bytes.size() <= digest_bytes_max);
    digest out;
    std::copy(bytes.begin(), bytes.end(), out.bytes.begin());
    out.size = static_cast<std::uint8_t>(bytes.size());
    return out;
}

algorithm_name make_algorithm_name(std::string_view name) {
    LOCKSTEP_CHECK(name.size() < algorithm_bytes_max && name.find('\0') == std::string_view::npos);
    algorithm_name out;
    std::copy(name.begin(), name.end(), out.text.begin());
    return out;
}

std::size_t encode_empty_packet(byte_span to, const protocol& rules, std::uint16_t volume,
                                command code) {
    byte_writer writer(to);
    encode_header(writer, make_header(rules, volume, code, 0));
    return writer.written();
}

result<> check_sector(command code, std::uint64_t sector) {
    if (sector >= sectors_max) {
        return fail(fmt::format("{}: sector {} is past any device", name(code), sector));
    }
    return {};
}

result<> check_size(command code, std::uint32_t size_bytes, std::uint32_t least,
                    std::uint32_t most) {
    if (size_bytes % 512 != 0 || size_bytes < least || size_bytes > most) {
        return fail(fmt::format("{}: size {}, expected whole sectors, {} to {}", name(code),
                                size_bytes, least, most));
    }
    return {};
}

result<algorithm_name> take_name(command code, std::string_view field, const_byte_span bytes) {
    LOCKSTEP_CHECK(bytes.size() <= algorithm_bytes_max);
    const auto end = std::find(bytes.begin(), bytes.end(), std::byte{0});
    if (end == bytes.end()) {
        return fail(fmt::format("{}: {} does not end in NUL", name(code), field));
    }
    if (std::any_of(end, bytes.end(), [](std::byte b) { return b != std::byte{0}; })) {
        return fail(fmt::format("{}: {} has bytes after its NUL", name(code), field));
    }
    algorithm_name out;
    std::transform(bytes.begin(), end, out.text.begin(),
                   [](std::byte b) { return static_cast<char>(b); });
    return out;
}

result<algorithm_name> take_last_name(command code, std::string_view field, const_byte_span bytes) {
    auto out = take_name(code, field, bytes);
    if (out && bytes.size() != out->view().size() + 1) {
        return fail(fmt::format("{}: {} has bytes after its NUL", name(code), field));
    }
    return out;
}

} // namespace lockstep::wire
