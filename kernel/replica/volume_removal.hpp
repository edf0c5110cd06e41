// Taking a volume out of the resource, also out of a connection that stands. The peer is asked for
// WFReportParams first, as the in-kernel DRBD does: its volume then waits for ours to be added
// again, and goes on alone until then (handshake::peer_removes()). Its answer changes nothing: our
// disk is gone already.
//
//     remove() -> handshake over -> peer asked -> nothing of the peer's under way -> gone
//
// What the peer had sent before it heard of it is still answered (peer_writes::refuse_write()).
#pragma once

#include <vector>

#include "kernel/replica/resource.hpp"

namespace lockstep::replica {

class machinery;
struct volume;

class volume_removal {
public:
    explicit volume_removal(machinery& all) : all_(all) {}

    // What remove() would say now.
    outcome allowed(volume_number number) const;
    void remove(volume_number number, on_outcome done);
    // At the end of every event: takes out what nothing waits for any more.
    void settle();

private:
    struct leaving {
        volume_number number = 0;
        on_outcome done;
    };

    void ask(volume_number number, const on_outcome& done);
    void stay(volume& target, const on_outcome& done);

    machinery& all_;
    std::vector<leaving> leaving_;
};

} // namespace lockstep::replica
