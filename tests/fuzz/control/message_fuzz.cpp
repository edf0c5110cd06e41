// Any line from either side. What was accepted reads the same after it was written again.
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <variant>

#include "kernel/control/protocol/reply.hpp"
#include "kernel/control/protocol/request.hpp"

using namespace lockstep;
using namespace lockstep::control;

namespace {

void check(bool holds) {
    if (!holds) {
        std::abort();
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view line(reinterpret_cast<const char*>(data), size);
    if (const result<request> asked = decode_request(line)) {
        const result<request> again = decode_request(encode(*asked));
        check(again.has_value() && *again == *asked);
    }
    if (const result<server_message> said = decode_server_message(line)) {
        const std::string written =
            std::visit([](const auto& message) { return encode(message); }, *said);
        const result<server_message> again = decode_server_message(written);
        check(again.has_value() && *again == *said);
    }
    return 0;
}
