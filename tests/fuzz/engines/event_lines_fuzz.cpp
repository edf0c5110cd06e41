// Any text from a drbdsetup. What is accepted is taken by the view of the resources, whose facts
// never contradict each other.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "daemon/engines/resource_view.hpp"

using namespace lockstep;
using namespace lockstep::engines;

namespace {

void check(bool holds) {
    if (!holds) {
        std::abort();
    }
}

void check_facts(const engine_facts& facts) {
    check(facts.running ||
          facts == engine_facts{.connection = facts.connection, .separated = facts.separated});
    check(!(facts.connected && facts.stands_alone));
    check(!facts.connected || facts.separated >= facts.started);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string_view text(reinterpret_cast<const char*>(data), size);
    resource_view view;
    for (instant now = 1; !text.empty(); ++now) {
        const std::size_t end = text.find('\n');
        const auto event = parse_event_line(text.substr(0, end));
        check(event.has_value() || !event.error().where.empty());
        if (event) {
            view.take(*event, now);
        }
        for (const facts_change& each : view.changes()) {
            check(!each.resource.empty());
            check_facts(each.facts);
        }
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return 0;
}
