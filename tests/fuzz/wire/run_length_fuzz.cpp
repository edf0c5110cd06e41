// Any COMPRESSED_BITMAP: refused, or runs that stay within the bitmap and mean the same when they
// are encoded and decoded again.
#include <vector>

#include "kernel/wire/run_length.hpp"

namespace {

using namespace lockstep;

// Empty if refused.
std::vector<wire::bit_range> runs_of(const_byte_span payload, std::uint64_t from,
                                     std::uint64_t bit_count) {
    auto decoder = wire::run_decoder::start(payload, from, bit_count);
    std::vector<wire::bit_range> out;
    for (std::uint64_t at = from; decoder;) {
        const auto run = decoder->next();
        if (!run) {
            return {};
        }
        if (!*run) {
            LOCKSTEP_CHECK(decoder->next_bit() == at);
            return out;
        }
        LOCKSTEP_CHECK((*run)->first == at && (*run)->count > 0);
        LOCKSTEP_CHECK((*run)->count <= bit_count - at);
        at += (*run)->count;
        out.push_back(**run);
    }
    return out;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    byte_reader from(std::as_bytes(std::span(data, size)));
    const std::uint64_t bit_count = from.take<std::uint64_t>() >> (from.take<std::uint8_t>() % 64);
    const std::uint64_t start = bit_count / 256 * from.take<std::uint8_t>();
    const auto payload = from.rest();
    const auto runs = runs_of(payload, start, bit_count);
    if (runs.empty()) {
        return 0;
    }
    std::vector<std::byte> again(payload.size() + 8);
    wire::run_encoder code(byte_span(again).subspan(1));
    for (const auto& run : runs) {
        LOCKSTEP_CHECK(code.put(run.count));
    }
    again[0] = wire::detail::compressed_bitmap_mark(runs.front().set, code.unused_bits());
    LOCKSTEP_CHECK(runs_of(const_byte_span(again).first(1 + code.bytes()), start, bit_count) ==
                   runs);
    return 0;
}
