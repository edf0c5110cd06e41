// Any bytes from another daemon or from the disk, also within a frame that is in order. What was
// accepted is the same after it was written again.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "daemon/arbiter/codec.hpp"
#include "kernel/base/crc32c.hpp"

using namespace lockstep;
using namespace lockstep::arbiter;

namespace {

void check(bool holds) {
    if (!holds) {
        std::abort();
    }
}

void try_both(const_byte_span bytes) {
    if (const auto message = decode_message(bytes)) {
        const auto written = encode(*message);
        const auto again = decode_message(written);
        check(again.has_value() && encode(*again) == written);
    }
    if (const auto state = decode_state(bytes)) {
        const auto again = decode_state(encode(*state));
        check(again.has_value() && *again == *state);
    }
}

// The checksum would keep everything else away from the fields.
std::vector<std::byte> framed(char what, const_byte_span body) {
    std::vector<std::byte> out(12 + body.size() + 4);
    byte_writer to(out);
    for (const char each : {'L', 'S', 'T', 'P', what}) {
        to.put(static_cast<std::uint8_t>(each));
    }
    to.put(codec_format);
    to.put(std::uint16_t{0});
    to.put(static_cast<std::uint32_t>(body.size()));
    to.put_bytes(body);
    to.put(crc32c(const_byte_span(out).first(12 + body.size())));
    return out;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const const_byte_span bytes(reinterpret_cast<const std::byte*>(data), size);
    try_both(bytes);
    try_both(framed('M', bytes));
    try_both(framed('S', bytes));
    return 0;
}
