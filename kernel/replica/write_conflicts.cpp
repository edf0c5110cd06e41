// Two Primaries that write to the same blocks at the same time. The node that accepted the meta
// connection decides: of its own write and the peer's, its own stands; the peer's is superseded if
// it lies within, else it is sent again. The other node holds what the decider wrote until it has
// heard what becomes of its own. Source of the rules: Linux 6.1, drivers/block/drbd/
// drbd_receiver.c (handle_write_conflicts, wait_for_and_update_peer_seq).
//
//     our write, and one of the peer's there   the decider            the other
//     not begun (waits for the log)            the peer's goes first  the peer's goes first
//     with our disk                            waits for the disk     waits for the disk
//     with the peer                            is refused             waits for the answer
//     answered                                 goes on                goes on
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
    bool concurrent = false;
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
            if (!mine.started) {
                return; // writes_over(): it looks again before it begins
            }
            wait |= mine.local == local_part::pending;
            if (mine.net == net_part::queued || mine.net == net_part::sent) {
                concurrent = true;
                inside |=
                    node.sector() <= write.sector && node.end() >= write.sector + write.sectors();
            }
        });
    if (wait || !concurrent || !all_.net.allow_two_primaries) {
        return wait;
    }
    if (!all_.link.resolve_conflicts) {
        return true; // until the peer has said what becomes of ours
    }
    answered = true;
    send_ack(write, inside || !all_.link.rules.has_ack_flags() ? command::superseded
                                                               : command::retry_write);
    left_epoch(write);
    return true;
}

bool peer_writes::writes_over(const app_request& write) {
    bool found = false;
    write.target->in_flight.for_each_overlap(
        write.sector, write.sectors(),
        [&](const interval_set::node& node) { found |= node.owner == nullptr; });
    return found;
}

void peer_writes::conflict_retry(app_request& write) {
    // The overlapping write of the other node goes first: it is here and waits for ours, or on its
    // way on the other connection. Ours starts over, with new DATA, as if it had only now been
    // asked for; if the other is not here by then, it loses again.
    if (write.of != nullptr) {
        write.of->conflicted = true;
        write.of->requests.remove(write);
        write.of = nullptr;
    }
    write.net = net_part::none;
    write.net_done = true;
    congestion::left(write);
    write.postponed = write.local == local_part::pending;
    if (!write.postponed) {
        begin_behind(write);
    }
}

void peer_writes::begin_behind(app_request& write) {
    volume& target = *write.target;
    if (write.interval.linked()) {
        target.in_flight.erase(write.interval);
    }
    write.postponed = false;
    write.started = false;
    write.on_disk_only = write.local != local_part::none;
    write.local = local_part::none;
    target.waiting_overlap.push_back(write);
    target.retry_overlaps = true;
}

bool peer_writes::differs_by_postponed(const peer_request& block) const {
    const auto& requests = block.target->application_requests;
    app_request* each = all_.net.allow_two_primaries ? requests.front() : nullptr;
    while (each != nullptr &&
           !(each->on_disk_only && each->sector < block.sector + block.sectors() &&
             block.sector < each->sector + each->sectors())) {
        each = requests.after(*each);
    }
    return each != nullptr;
}

void peer_writes::give_up_postponed() {
    for (auto& [number, target] : all_.volumes) {
        for (app_request* each = target->application_requests.front(); each != nullptr;
             each = target->application_requests.after(*each)) {
            if (each->on_disk_only && target->has_disk()) {
                target->disk->bits.set(each->sector, each->sectors());
            }
        }
    }
}

} // namespace lockstep::replica
