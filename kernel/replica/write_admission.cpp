// What a write waits for before it goes to the peer and to our disk: earlier writes to the same
// blocks, then the activity log.
#include "kernel/replica/machinery.hpp"
#include "kernel/replica/write_path.hpp"

namespace lockstep::replica {

void write_path::start_write(app_request& write) {
    volume& target = *write.target;
    // A discard that our disk can't do is advisory: it is left out on both sides.
    if (write.op == io_request::operation::discard &&
        ((target.has_disk() && !target.disk->properties.can_discard) ||
         (all_.link.up && !all_.handshake.before_parameters() && !all_.link.rules.has_trim()))) {
        write.local = local_part::done;
        complete(write, 0);
        retire(write);
        return;
    }
    if (!target.waiting_overlap.empty() ||
        target.in_flight.overlaps(write.sector, write.sectors())) {
        target.pace.throttle().application_waits();
        target.waiting_overlap.push_back(write);
        return;
    }
    write.interval.owner = &write;
    target.in_flight.insert(write.interval, write.sector, write.sectors());
    enter_log(write);
}

void write_path::retry_overlaps(volume& target) {
    while (app_request* write = target.waiting_overlap.front()) {
        if (target.in_flight.overlaps(write->sector, write->sectors())) {
            return;
        }
        target.waiting_overlap.remove(*write);
        write->interval.owner = write;
        target.in_flight.insert(write->interval, write->sector, write->sectors());
        enter_log(*write);
    }
}

void write_path::enter_log(app_request& write) {
    volume& target = *write.target;
    if (!target.has_disk() || !target.options.al_updates || target.log_suspended ||
        target.disk->log == nullptr || write.extent_held) {
        go(write);
        return;
    }
    if (!target.waiting_slot.empty()) {
        target.waiting_slot.push_back(write);
        return;
    }
    const std::uint32_t extent = activity_log::extent_of_sector(write.sector);
    const auto begun = target.disk->log->begin(extent, extent);
    switch (begun.grant) {
    case activity_log::grant::active:
        write.extent_held = true;
        go(write);
        return;
    case activity_log::grant::wait_transaction:
        write.extent_held = true;
        write.ticket = begun.ticket;
        target.waiting_log.push_back(write);
        target.disk->pump_log();
        return;
    case activity_log::grant::full:
        target.waiting_slot.push_back(write);
        // Epochs hold extents until the peer acknowledges them.
        all_.epochs.hurry();
        return;
    }
}

void write_path::log_committed(volume& target) {
    if (target.disk == nullptr || target.disk->log == nullptr) {
        return;
    }
    const std::uint64_t committed = target.disk->log->committed();
    while (app_request* write = target.waiting_log.front()) {
        if (write->ticket > committed) {
            break;
        }
        target.waiting_log.remove(*write);
        go(*write);
    }
    all_.peers.log_committed(target);
}

void write_path::retry_slots(volume& target) {
    while (app_request* write = target.waiting_slot.front()) {
        target.waiting_slot.remove(*write);
        const std::size_t waiting = target.waiting_slot.size();
        if (waiting > 0) {
            // enter_log() queues behind those who wait; this one is the first of them.
            intrusive_list<app_request, in_waiting> others;
            others.append(target.waiting_slot);
            enter_log(*write);
            const bool still_full = !target.waiting_slot.empty();
            target.waiting_slot.append(others);
            if (still_full) {
                return;
            }
        } else {
            enter_log(*write);
            if (!target.waiting_slot.empty()) {
                return;
            }
        }
    }
}

} // namespace lockstep::replica
