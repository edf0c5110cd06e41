// What the events of all engines say of each resource. Sans I/O: events go in, facts come out.
//
// A stream begins with what exists. What was known before is replaced by that, and as nobody knows
// what happened between two streams, everything may have: each engine counts as started, each link
// as lost at the latest then.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "daemon/arbiter/resource_arbiter.hpp"
#include "daemon/engines/event_lines.hpp"

namespace lockstep::engines {

using arbiter::engine_facts;
using arbiter::instant;

struct facts_change {
    std::string resource;
    engine_facts facts; // not running: the engine is gone
};

class resource_view {
public:
    // Another stream begins: half of what the one before it said exists is worth nothing.
    void begin();
    // `now`: when it was read.
    void take(const event_line& event, instant now);
    // The resources whose facts are others than when they were told last. None while a stream has
    // not said all that exists.
    std::vector<facts_change> changes();

private:
    struct volume_link {
        bool replicates = false;
        bool up_to_date = false;
    };
    struct peer {
        bool is_linked = false;
        bool stands_alone = false;
        bool primary = false;
        std::map<std::uint32_t, volume_link> volumes;
    };
    struct engine {
        bool primary = false;
        std::map<std::uint32_t, bool> up_to_date; // by volume
        std::map<std::uint32_t, peer> peers;
        instant started = 0;
    };
    // What stays when the engine goes.
    struct history {
        bool linked = false; // now
        engine_facts facts;  // now
        std::optional<engine_facts> told;
    };
    using engines = std::map<std::string, engine>;

    void take_exists(const event_line& event);
    void take_end_of_exists(instant now);
    void take_rename(const event_line& event, instant now);
    void look(const std::string& resource, instant now);

    static void set(engine& of, const event_line& event);
    static void remove(engine& of, const event_line& event);
    static bool is_connected(const engine& its);
    static engine_facts state_of(const engine& its);

    engines engines_;
    std::optional<engines> begun_; // while a stream says what exists
    std::map<std::string, history> histories_;
    std::set<std::string> changed_;
};

} // namespace lockstep::engines
