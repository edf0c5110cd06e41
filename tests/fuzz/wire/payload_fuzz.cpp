// Any header and payload, for any command and version: refused, or decoded to something that
// encodes to the same bytes.
#include <algorithm>
#include <vector>

#include "kernel/wire/payloads.hpp"
#include "support/payload_types.hpp"

namespace {

using namespace lockstep;

// Reserved words that no decoder looks at and every encoder clears.
bool has_reserved_words(wire::command code) {
    return code == wire::command::connection_features;
}

template <class X>
void check(wire::command code, const_byte_span payload, const wire::protocol& rules) {
    if constexpr (requires(const X& x) { wire::encoded_bytes(x, rules); }) {
        const auto value = wire::decode<X>(code, payload, rules);
        if (!value) {
            LOCKSTEP_CHECK(value.error().what.starts_with(name(code)));
            return;
        }
        std::vector<std::byte> again(wire::encoded_bytes(*value, rules));
        byte_writer to(again);
        wire::encode(to, *value, rules);
        LOCKSTEP_CHECK(to.written() == again.size());
        LOCKSTEP_CHECK(has_reserved_words(code) || std::ranges::equal(again, payload));
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    byte_reader from(std::as_bytes(std::span(data, size)));
    const wire::protocol rules{86U + from.take<std::uint8_t>() % 16U, from.take<std::uint8_t>()};
    const auto which = from.take<std::uint8_t>();
    const auto input = from.rest();
    if (const auto head = wire::decode_header(input, rules)) {
        std::array<std::byte, wire::header_bytes_max> again{};
        byte_writer to(again);
        wire::encode_header(to, *head);
        LOCKSTEP_CHECK(std::equal(again.begin(), again.begin() + to.written(), input.begin()));
        for (const auto socket : {wire::socket_kind::data, wire::socket_kind::meta}) {
            static_cast<void>(wire::check_packet(head->code, head->length, socket, rules));
        }
    }
    const auto code = support::all_commands[which % std::size(support::all_commands)];
    support::with_payload_type(
        code, [&](auto type) { check<typename decltype(type)::type>(code, input, rules); });
    return 0;
}
