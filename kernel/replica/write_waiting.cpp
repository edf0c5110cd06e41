// Requests that wait: for a state, a good copy of the data, an overlap or the activity log; and
// what lets them go on or ends them.
#include <cerrno>
#include <utility>

#include "kernel/replica/machinery.hpp"
#include "kernel/replica/write_path.hpp"

namespace lockstep::replica {

using state::disk;

void write_path::settle(volume& target) {
    if (std::exchange(target.check_gate, false)) {
        for (app_request* each = target.application_requests.front(); each != nullptr;) {
            app_request* following = target.application_requests.after(*each);
            // A read has nothing to hold back: it ends with its answer.
            if (each->started && !each->completed && each->op != io_request::operation::read) {
                check_complete(*each);
            }
            each = following;
        }
    }
    if (std::exchange(target.retry_overlaps, false)) {
        // The peer's first: ours may have lost against one of them.
        all_.peers.retry_overlaps(target);
        retry_overlaps(target);
    }
    if (std::exchange(target.retry_written, false)) {
        peer_writes::end_waits(target);
    }
    if (std::exchange(target.retry_slots, false)) {
        retry_slots(target);
    }
    if (std::exchange(target.retry_data, false)) {
        retry_waiting_data(target);
    }
    if (std::exchange(target.retry_pump, false)) {
        pump(target);
    }
}

void write_path::state_moved(volume& target) {
    target.retry_pump = true;
    target.retry_data = !target.waiting_data.empty();
    target.check_gate = true;
}

void write_path::thawed() {
    for (auto& [number, each] : all_.volumes) {
        state_moved(*each);
    }
}

void write_path::gate_moved() {
    for (auto& [number, each] : all_.volumes) {
        each->check_gate = true;
    }
}

// Requests that found no good copy of the data: begin again, now that something has changed.
void write_path::retry_waiting_data(volume& target) {
    if (all_.fails_all()) {
        end_waiting(target, EIO);
        return;
    }
    if (target.move != nullptr || target.state.suspended() ||
        !takes_requests(target, all_.link.rules.version)) {
        return;
    }
    intrusive_list<app_request, in_waiting> waiting;
    waiting.append(target.waiting_data);
    while (app_request* request = waiting.pop_front()) {
        request->started = false;
        if (request->interval.linked()) {
            target.in_flight.erase(request->interval);
            target.retry_overlaps = true;
        }
        start(*request);
    }
}

void write_path::fail_waiting(volume& target, int error) {
    if (all_.resource_options.on_no_data_accessible == options::on_no_data::suspend_io) {
        // Frozen until a disk or a peer with the data is back (or resume-io by hand).
        all_.states.change_all(state::state_change{}.with_suspended_no_data(true),
                               state::change_kind::hard);
        return;
    }
    end_waiting(target, error);
}

void write_path::give_up_waiting() {
    for (auto& [number, each] : all_.volumes) {
        if (!each->has_disk(disk::up_to_date) && !(all_.link.up && sends_data(each->state))) {
            end_waiting(*each, EIO);
            end_queued(*each, EIO);
        }
    }
}

// What came while I/O was frozen and was not begun.
void write_path::end_queued(volume& target, int error) {
    while (io_request* request = target.io_first) {
        target.io_first = request->next;
        target.io_last = target.io_first == nullptr ? nullptr : target.io_last;
        target.io_cut_bytes = 0;
        io_part_done(*request, error);
    }
}

void write_path::end_waiting(volume& target, int error) {
    while (app_request* request = target.waiting_data.pop_front()) {
        request->started = true;
        complete(*request, error);
        retire(*request);
    }
}

void write_path::disk_given_up(volume& target) {
    // Whoever waits for the activity log of that disk goes on without it.
    intrusive_list<app_request, in_waiting> waiting;
    waiting.append(target.waiting_log);
    waiting.append(target.waiting_slot);
    for (app_request* each = target.application_requests.front(); each != nullptr;) {
        app_request* following = target.application_requests.after(*each);
        each->extent_held = false;
        if (each->on_disk && each->local == local_part::pending && target.detach_forced) {
            each->local = local_part::failed;
            if (each->op == io_request::operation::read) {
                all_.reads.disk_given_up(*each);
            } else {
                check_complete(*each);
            }
        }
        each = following;
    }
    while (app_request* write = waiting.pop_front()) {
        go(*write);
    }
    target.check_gate = true;
}

bool write_path::idle(const volume& target) {
    return target.application_requests.empty() && target.io_first == nullptr;
}

} // namespace lockstep::replica
