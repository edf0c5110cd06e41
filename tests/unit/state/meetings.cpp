#include "unit/state/meetings.hpp"

namespace lockstep::test {

using namespace lockstep::state;
using options::after_split_brain;

const std::vector<rule_class>& rule_classes() {
    static const std::vector<rule_class> classes = {
        {{fresh, 0, {0, 0}}, {fresh, 0, {0, 0}}, 0, 10},
        {{fresh, 0, {0, 0}}, {a, 0, {0, 0}}, -2, 20},
        {{a, 0, {0, 0}}, {fresh, 0, {0, 0}}, 2, 30},
        {{a, b, {c, d}}, {a, 0, {b, c}}, 1, 34},
        {{a, 0, {b, c}}, {a, b, {c, d}}, -1, 35},
        {{a, b, {c, d}}, {a, 0, {e, f}}, 1, 36},
        {{a, 0, {e, f}}, {a, b, {c, d}}, -1, 37},
        {{a, 0, {b, c}}, {a, 0, {b, c}}, 0, 40},
        {{a, b, {c, d}}, {a, b, {c, d}}, 0, 40},
        {{a, 0, {c, d}}, {b, a, {e, f}}, -1, 50},
        {{a, 0, {c, d}}, {b, sync_of(a), {a, c}}, -1, 51},
        {{a, 0, {c, d}}, {b, e, {a, f}}, -2, 60},
        {{a, 0, {c, d}}, {b, e, {f, a}}, -2, 60},
        {{b, a, {e, f}}, {a, 0, {c, d}}, 1, 70},
        {{b, sync_of(a), {a, c}}, {a, 0, {c, d}}, 1, 71},
        {{b, e, {a, f}}, {a, 0, {c, d}}, 2, 80},
        {{b, e, {f, a}}, {a, 0, {c, d}}, 2, 80},
        {{a, c, {d, e}}, {b, c, {f, 0}}, 100, 90},
        {{a, c, {d, 0}}, {b, e, {d, f}}, -100, 100},
        {{a, 0, {0, 0}}, {b, 0, {0, 0}}, -100, 100},
        {{a, 0, {c, d}}, {b, 0, {e, f}}, -1000, 100},
        // Each is the other's ancestor: damaged metadata.
        {{a, b, {0, 0}}, {b, a, {0, 0}}, -1, 50},
    };
    return classes;
}

replica_record good(const generation& uuids) {
    replica_record record;
    record.uuids = uuids;
    record.disk = disk::up_to_date;
    return record;
}

handshake_input input_of(const rule_class& one) {
    handshake_input input;
    input.self = good(one.self);
    input.peer = good(one.peer);
    input.disk_in_state = disk::up_to_date;
    return input;
}

namespace {

after_split_brain mirrored(after_split_brain policy) {
    switch (policy) {
    case after_split_brain::discard_local:
        return after_split_brain::discard_remote;
    case after_split_brain::discard_remote:
        return after_split_brain::discard_local;
    default:
        return policy;
    }
}

} // namespace

handshake_input mirrored(const handshake_input& input) {
    handshake_input other = input;
    other.self = input.peer;
    other.peer = input.self;
    other.disk_in_state = input.peer.disk;
    other.resolve_conflicts = !input.resolve_conflicts;
    other.after_sb_0pri = mirrored(input.after_sb_0pri);
    other.after_sb_1pri = mirrored(input.after_sb_1pri);
    other.after_sb_2pri = mirrored(input.after_sb_2pri);
    other.demotion_refused = false;
    return other;
}

} // namespace lockstep::test
