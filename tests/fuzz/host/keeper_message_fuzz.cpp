// What decodes, encodes back to the same bytes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "kernel/host/keeper_message.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace lockstep;
    const auto* bytes = reinterpret_cast<const std::byte*>(data);
    const auto message = host::decode(const_byte_span(bytes, size));
    if (message) {
        const auto again = host::encode(*message);
        // Longer ones, or those with more texts, come from nobody who uses encode().
        if (again && (again->size() != size || std::memcmp(again->data(), data, size) != 0)) {
            std::abort();
        }
    }
    return 0;
}
