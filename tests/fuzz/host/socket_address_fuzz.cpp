// An address that is understood is written back so that it is understood as the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "kernel/host/socket_address.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace lockstep;
    const std::string text(reinterpret_cast<const char*>(data), size);
    const auto address = host::parse_socket_address(text);
    if (address) {
        const auto again = host::parse_socket_address(address->text());
        if (!again || host::comes_before(*address, *again) ||
            host::comes_before(*again, *address)) {
            std::abort();
        }
    }
    return 0;
}
