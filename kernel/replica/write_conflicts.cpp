// Two Primaries that write to the same blocks at the same time. The node that accepted the meta
// connection decides: of its own write and the peer's, its own stands; the peer's is superseded if
// it lies within, else it is sent again. Source of the rules: Linux 6.1, drivers/block/drbd/
// drbd_receiver.c (handle_write_conflicts, wait_for_and_update_peer_seq).
#include "kernel/replica/machinery.hpp"
#include "kernel/replica/peer_writes.hpp"

namespace lockstep::replica {

using wire::command;

// Serial number arithmetic: the counter wraps.
void peer_writes::sequence_seen(volume& target, std::uint32_t sequence) {
    if (static_cast<std::int32_t>(sequence - target.peer_sequence) > 0) {
        target.peer_sequence = sequence;
        target.retry_overlaps |= decides_conflicts();
    }
}

bool peer_writes::decides_conflicts() const {
    return all_.link.resolve_conflicts && all_.net.allow_two_primaries;
}

// An answer to a write of ours that the peer gave before it sent this one is still on its way, on
// the other connection: before it is here, ours would look like written at the same time.
bool peer_writes::answer_missing(const peer_request& write) const {
    const std::uint32_t before = write.sequence - 1;
    return decides_conflicts() && current(write) &&
           static_cast<std::int32_t>(before - write.target->peer_sequence) > 0;
}

bool peer_writes::conflicts(peer_request& write, bool& answered) {
    volume& target = *write.target;
    bool wait = false;
    bool inside = false;
    bool own = false;
    target.in_flight.for_each_overlap(
        write.sector, write.sectors(), [&](const interval_set::node& node) {
            if (is_asked(node)) {
                return;
            }
            if (node.owner == nullptr) {
                wait = true; // a resync write, or an earlier write of the peer
                return;
            }
            const auto& mine = *static_cast<const app_request*>(node.owner);
            own = true;
            inside |= node.sector() <= write.sector && node.end() >= write.sector + write.sectors();
            wait |= mine.local == local_part::pending || !mine.started;
        });
    if (own && all_.link.resolve_conflicts && !wait && all_.net.allow_two_primaries) {
        // Two Primaries wrote to the same blocks at the same time, and this node decides.
        answered = true;
        send_ack(write, inside || !all_.link.rules.has_ack_flags() ? command::superseded
                                                                   : command::retry_write);
        if (peer_epoch* its = epoch_of(write)) {
            its->conflicted = true;
        }
        left_epoch(write);
        return true;
    }
    return wait;
}

void peer_writes::conflict_retry(app_request& write) {
    // The overlapping write of the other node is on its way to us, and goes first. Ours starts
    // over, with new DATA, as if it had only now been asked for.
    if (write.of != nullptr) {
        write.of->conflicted = true;
        write.of->requests.remove(write);
        write.of = nullptr;
    }
    write.net = net_part::none;
    write.net_done = true;
    congestion::left(write);
    write.postponed = write.local == local_part::pending;
    if (write.postponed) {
        return; // finish_local() comes back here
    }
    volume& target = *write.target;
    if (write.interval.linked()) {
        target.in_flight.erase(write.interval);
    }
    write.started = false;
    write.local = local_part::none;
    target.waiting_overlap.push_back(write);
    target.retry_overlaps = true;
}

} // namespace lockstep::replica
