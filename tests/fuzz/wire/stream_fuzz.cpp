// Any bytes in any pieces: the splitter takes all of them or refuses, and never loses its place.
#include <algorithm>
#include <vector>

#include "kernel/wire/stream.hpp"

namespace {

using namespace lockstep;
using step = wire::packet_stream::step;

// One piece. False when the stream has refused.
bool feed(wire::packet_stream& stream, const_byte_span piece, std::vector<std::byte>& memory) {
    for (;;) {
        const auto before = piece.size();
        const auto next = stream.take(piece);
        if (!next) {
            LOCKSTEP_CHECK(!next.error().what.empty());
            return false;
        }
        LOCKSTEP_CHECK(piece.size() <= before);
        switch (*next) {
        case step::more:
            LOCKSTEP_CHECK(piece.empty());
            return true;
        case step::packet:
            LOCKSTEP_CHECK(stream.payload().size() == stream.head().length);
            break;
        case step::data:
            LOCKSTEP_CHECK(stream.payload().size() + stream.data_bytes() == stream.head().length);
            memory.resize(stream.data_bytes());
            stream.place_data(memory);
            break;
        case step::filled:
            LOCKSTEP_CHECK(stream.target().empty());
            break;
        case step::blocked:
            LOCKSTEP_CHECK(!"blocked although data was placed");
        }
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    byte_reader from(std::as_bytes(std::span(data, size)));
    const wire::protocol rules{86U + from.take<std::uint8_t>() % 16U, from.take<std::uint8_t>()};
    const auto socket = wire::socket_kind{static_cast<std::uint8_t>(from.take<std::uint8_t>() % 3)};
    const std::size_t piece_bytes = 1U + from.take<std::uint8_t>();
    wire::packet_stream stream(socket);
    stream.set_rules(rules);
    stream.set_digest_bytes(from.take<std::uint8_t>() % 65U);
    std::vector<std::byte> memory;
    for (auto left = from.rest(); !left.empty();) {
        const auto count = std::min(piece_bytes, left.size());
        if (!feed(stream, left.first(count), memory)) {
            break;
        }
        left = left.subspan(count);
    }
    return 0;
}
