// Any text as the file of a last known device; what is read of it reads alike once written again.
#include "agent/drbdmeta/last_known.hpp"

#include <cstddef>
#include <string>

#include "kernel/base/check.hpp"

using namespace lockstep::drbdmeta;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto parsed = parse_last_known(std::string(reinterpret_cast<const char*>(data), size));
    if (!parsed) {
        return 0;
    }
    const auto again = parse_last_known(last_known_text(*parsed));
    LOCKSTEP_CHECK(again.has_value());
    LOCKSTEP_CHECK(again->size == parsed->size);
    LOCKSTEP_CHECK(again->name == parsed->name);
    LOCKSTEP_CHECK(parsed->name.empty() || again->device_uuid == parsed->device_uuid);
    return 0;
}
