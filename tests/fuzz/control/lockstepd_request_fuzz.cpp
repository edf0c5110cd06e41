// Any text that a program of this node sends to lockstepd, or gets from it. What is accepted is
// said again, and means the same.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "daemon/control/request.hpp"

using namespace lockstep;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (const auto read = daemon::parse_request(text)) {
        const auto again = daemon::parse_request(daemon::text_of(*read));
        if (!again || *again != *read) {
            std::abort();
        }
    } else if (read.error().what.empty()) {
        std::abort();
    }
    if (const auto read = daemon::parse_answer(text)) {
        const auto again = daemon::parse_answer(daemon::text_of(*read));
        if (!again || *again != *read) {
            std::abort();
        }
    }
    return 0;
}
