#include "kernel/replica/peer_writes.hpp"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

#include "kernel/replica/digests.hpp"
#include "kernel/replica/machinery.hpp"

namespace lockstep::replica {

using state::disk;
using state::role;
using wire::command;
namespace data_flag = wire::data_flag;

namespace {

// Kept back for requests that arrive without data, which can't be made to wait on the stream.
constexpr std::size_t reserved_requests = 512;

// Tells the ranges of asked blocks from others; their owner is the peer_request.
constexpr std::uint8_t asked_tag = 1;

} // namespace

void peer_epoch::reset() {
    serial = 0;
    writes = 0;
    active = 0;
    ended = false;
    holds_later = false;
    flushed = false;
    failed = false;
}

void peer_request::reset() {
    LOCKSTEP_CHECK(!interval.linked() && !extent_held);
    target = nullptr;
    what = kind::write;
    op = disk_request::operation::write;
    block_id = 0;
    sequence = 0;
    flags = 0;
    thin = false;
    failed = false;
    in_interval = false;
    ticket = 0;
    arrival = 0;
    of = nullptr;
    epoch_serial = 0;
    buffer.reset();
    digest = {};
    disk = {};
    link_serial = 0;
    begun = 0;
}

peer_writes::peer_writes(machinery& all)
    : all_(all), pool_(all.peer_pool.available() + 64), put_off_(all.clock, [this] { hurry(); }) {}

bool peer_writes::can_take() const {
    return all_.peer_pool.available() > reserved_requests;
}

bool peer_writes::can_ask() const {
    const std::size_t capacity = all_.peer_pool.available() + all_.peer_pool.in_use();
    const std::size_t shared = capacity - std::min(capacity, reserved_requests);
    return all_.peer_pool.available() > reserved_requests + shared / 2;
}

peer_request* peer_writes::take(volume& target, peer_request::kind what) {
    peer_request* request = all_.peer_pool.take();
    if (request == nullptr) {
        return nullptr;
    }
    request->target = &target;
    request->what = what;
    request->arrival = ++arrivals_;
    request->link_serial = all_.link.serial;
    request->begun = all_.now();
    target.peer_requests.push_back(*request);
    return request;
}

void peer_writes::release(peer_request& request) {
    volume& target = *request.target;
    if (request.interval.linked()) {
        target.in_flight.erase(request.interval);
        target.retry_overlaps = true;
    }
    request.interval.owner = nullptr;
    request.interval.tag = 0;
    if (request.extent_held) {
        request.extent_held = false;
        if (target.disk != nullptr && target.disk->log != nullptr) {
            const std::uint32_t first = activity_log::extent_of_sector(request.sector);
            const std::uint32_t last =
                activity_log::extent_of_sector(request.sector + request.sectors() - 1);
            target.retry_slots |= target.disk->log->end(first, last);
        }
    }
    // A read may wait for this write without its ever having begun.
    target.retry_overlaps |= request.what == peer_request::kind::write;
    target.retry_written |= !target.waiting_written.empty();
    target.peer_requests.remove(request);
    if (request.disk.under_way()) {
        // Given up: the device may still use its memory.
        request.disk.finished = [](disk_request& done, int) {
            auto& late = *static_cast<peer_request*>(done.owner);
            late.target->owner->peer_pool.give_back(late);
        };
        return;
    }
    all_.peer_pool.give_back(request);
}

bool peer_writes::current(const peer_request& request) const {
    return all_.link.up && request.link_serial == all_.link.serial;
}

void peer_writes::send_ack(peer_request& request, command code) {
    if (!current(request)) {
        return;
    }
    wire::block_ack ack;
    ack.sector = request.sector;
    ack.block_id = request.block_id;
    ack.size_bytes = request.size;
    ack.sequence = ++request.target->sequence;
    all_.link.send(channel::meta, request.target->number, code, ack);
}

std::uint32_t peer_writes::data_flags(const app_request& write) const {
    const auto& rules = all_.link.rules;
    std::uint32_t flags = 0;
    if (rules.has_flush_flags()) {
        flags |= write.fua ? data_flag::fua | data_flag::sync : 0;
        if (write.op == io_request::operation::discard) {
            flags |= data_flag::discard;
        }
        if (write.op == io_request::operation::write_zeroes) {
            flags |= data_flag::zeroes | (write.may_unmap ? data_flag::discard : 0);
        }
    }
    if (write.may_set_in_sync) {
        flags |= data_flag::may_set_in_sync;
    }
    if (rules.has_ack_flags()) {
        switch (write.ack) {
        case wanted_ack::none:
            break;
        case wanted_ack::receive:
            flags |= data_flag::send_receive_ack;
            break;
        case wanted_ack::write:
            flags |= data_flag::send_write_ack;
            break;
        }
    }
    return flags;
}

// --- arrival ---

bool peer_writes::check_range(volume& target, command code, std::uint64_t sector,
                              std::uint32_t size) {
    const std::uint64_t end = sector + size / 512;
    const std::uint64_t capacity = target.size_sectors;
    if (size % 512 == 0 && end >= sector && end <= capacity) {
        return true;
    }
    all_.states.drop_link(state::connection::protocol_error,
                          fmt::format("{}: sector {} + {} bytes is past the end of the device "
                                      "({} sectors)",
                                      wire::name(code), sector, size, capacity));
    return false;
}

void peer_writes::write_received(volume& target, const wire::data_header& head, std::uint32_t size,
                                 buffer_ref data) {
    if (!check_range(target, command::data, head.sector, size)) {
        return;
    }
    peer_request* write = take(target, peer_request::kind::write);
    LOCKSTEP_CHECK(write != nullptr); // place_data() kept some back
    write->op = size == 0 ? disk_request::operation::flush : disk_request::operation::write;
    write->sector = head.sector;
    write->size = size;
    write->block_id = head.block_id;
    write->sequence = head.sequence;
    write->flags = head.flags;
    write->buffer = std::move(data);
    received(*write);
}

void peer_writes::discard_received(volume& target, command code, const wire::discard& discard) {
    if (!check_range(target, code, discard.sector, discard.size_bytes)) {
        return;
    }
    peer_request* write = take(target, peer_request::kind::write);
    if (write == nullptr) {
        all_.states.drop_link(state::connection::network_failure, "too many requests of the peer");
        return;
    }
    // Deterministic on both sides: zeros, deallocated where that may be.
    write->op = code == command::trim && all_.link.rules.has_write_zeroes()
                    ? disk_request::operation::discard
                    : disk_request::operation::write_zeroes;
    write->sector = discard.sector;
    write->size = discard.size_bytes;
    write->block_id = discard.block_id;
    write->sequence = discard.sequence;
    write->flags = discard.flags;
    received(*write);
}

void peer_writes::received(peer_request& write) {
    volume& target = *write.target;
    const auto& rules = all_.link.rules;
    if (write.size == 0) {
        write.flags = 0; // BARRIER_ACK is all the answer it gets
    } else if (!rules.has_ack_flags()) {
        write.flags &= ~(data_flag::send_receive_ack | data_flag::send_write_ack);
        if (all_.net.protocol == options::protocol::c ||
            (write.flags & data_flag::may_set_in_sync) != 0) {
            write.flags |= data_flag::send_write_ack;
        } else if (all_.net.protocol == options::protocol::b) {
            write.flags |= data_flag::send_receive_ack;
        }
    }
    if (target.state.connection == state::connection::verify_s) {
        spoil_comparisons(target, write);
    }
    peer_epoch* open = open_epoch();
    if (open == nullptr) {
        release(write);
        return;
    }
    ++open->writes;
    ++open->active;
    write.of = open;
    write.epoch_serial = open->serial;
    if (!open->holds_later &&
        (!all_.handshake.peer_is_lockstep() || (write.flags & data_flag::send_write_ack) == 0)) {
        open->holds_later = true;
        ++holding_;
    }
    if (for_diskless_primary(target)) {
        // At its arrival: the write may wait here until the Primary has a disk again, and what that
        // one lacks is compared before.
        note_for_diskless_primary(write);
    }
    ++target.counters.unacked;
    if ((write.flags & data_flag::send_receive_ack) != 0) {
        send_ack(write, command::recv_ack);
        --target.counters.unacked;
    }
    if (must_wait(*open)) {
        open->waiting.push_back(write);
        ++waiting_;
    } else {
        admit(write);
    }
}

// The peer's digest may be of what this write, which our disk does not have yet, has made of the
// block.
void peer_writes::spoil_comparisons(volume& target, const peer_request& write) {
    for (peer_request* each = target.peer_requests.front(); each != nullptr;
         each = target.peer_requests.after(*each)) {
        if (each->what == peer_request::kind::verify_read) {
            each->failed |= each->overlaps(write);
        }
    }
}

// --- to the disk ---

void peer_writes::admit(peer_request& write) {
    volume& target = *write.target;
    if (answer_missing(write)) {
        target.peer_waiting_overlap.push_back(write);
        return;
    }
    if (current(write)) {
        sequence_seen(target, write.sequence);
    }
    if (!target.has_disk()) {
        if (target.state.disk >= disk::inconsistent) {
            all_.log(log_level::error, target, "no disk for a write of the peer");
        }
        done(write, EIO);
        return;
    }
    if (write.size == 0) {
        begin_flush(write);
        return;
    }
    // The cheap question first: of many writes to one block all but one get no further.
    const interval_set::node* const first =
        target.in_flight.first_overlap(write.sector, write.sectors());
    if ((first != nullptr && first->owner == nullptr) || waits_before(target, write)) {
        target.peer_waiting_overlap.push_back(write);
        return;
    }
    bool answered = false;
    if (conflicts(write, answered)) {
        if (!answered) {
            target.peer_waiting_overlap.push_back(write);
        }
        return;
    }
    target.in_flight.insert(write.interval, write.sector, write.sectors());
    enter_log(write);
}

void peer_writes::hold_asked(volume& target, peer_request& request) {
    request.interval.owner = &request;
    request.interval.tag = asked_tag;
    target.in_flight.insert(request.interval, request.sector, request.sectors());
}

bool peer_writes::is_asked(const interval_set::node& node) {
    return node.tag == asked_tag;
}

peer_request* peer_writes::find_asked(const volume& target, std::uint64_t sector,
                                      peer_request::kind what) {
    peer_request* found = nullptr;
    target.in_flight.for_each_overlap(sector, 1, [&](const interval_set::node& node) {
        if (is_asked(node)) {
            auto* const asked = static_cast<peer_request*>(node.owner);
            if (asked->what == what && asked->sector == sector) {
                found = asked;
            }
        }
    });
    return found;
}

bool peer_writes::waits_before(const volume& target, const peer_request& request) {
    for (peer_request* each = target.peer_waiting_overlap.front(); each != nullptr;
         each = target.peer_waiting_overlap.after(*each)) {
        const bool writes = each->what == peer_request::kind::write ||
                            each->what == peer_request::kind::resync_write;
        if (writes && each->overlaps(request)) {
            return true;
        }
    }
    return false;
}

void peer_writes::retry_overlaps(volume& target) {
    intrusive_list<peer_request, in_waiting> waiting;
    waiting.append(target.peer_waiting_overlap);
    while (peer_request* write = waiting.pop_front()) {
        if (write->what == peer_request::kind::write) {
            admit(*write);
        } else if (write->what == peer_request::kind::read) {
            begin_read(*write);
        } else {
            all_.resync.retry(*write);
        }
    }
}

bool peer_writes::for_diskless_primary(const volume& target) {
    return target.disk != nullptr && target.state.peer_role == role::primary &&
           target.state.peer_disk < disk::inconsistent;
}

// The Primary has no disk: we remember for it what its disk will lack.
void peer_writes::note_for_diskless_primary(peer_request& write) {
    write.target->disk->bits.set(write.sector, write.sectors());
    write.flags &= ~data_flag::may_set_in_sync;
}

void peer_writes::enter_log(peer_request& write) {
    volume& target = *write.target;
    if (!for_diskless_primary(target)) {
        submit(write);
        return;
    }
    note_for_diskless_primary(write);
    if (write.arrival <= target.generation_covers) {
        submit(write); // the generation waits for it
        return;
    }
    if (!target.disk->says_primary() || target.generation_stores > 0) {
        // After a crash nobody would ask the log, or know of the generation.
        write.ticket = ~std::uint64_t{0};
        target.peer_waiting_log.push_back(write);
        return;
    }
    if (!target.options.al_updates || target.log_suspended || target.disk->log == nullptr) {
        submit(write);
        return;
    }
    const std::uint32_t first = activity_log::extent_of_sector(write.sector);
    const std::uint32_t last = activity_log::extent_of_sector(write.sector + write.sectors() - 1);
    const auto begun = target.disk->log->begin(first, last);
    switch (begun.grant) {
    case activity_log::grant::active:
        write.extent_held = true;
        submit(write);
        return;
    case activity_log::grant::wait_transaction:
        write.extent_held = true;
        write.ticket = begun.ticket;
        target.peer_waiting_log.push_back(write);
        target.disk->pump_log();
        return;
    case activity_log::grant::full:
        write.ticket = ~std::uint64_t{0};
        target.peer_waiting_log.push_back(write);
        return;
    }
}

void peer_writes::log_committed(volume& target) {
    const std::uint64_t committed = target.disk->log->committed();
    intrusive_list<peer_request, in_waiting> waiting;
    waiting.append(target.peer_waiting_log);
    while (peer_request* write = waiting.pop_front()) {
        if (write->extent_held && write->ticket <= committed) {
            submit(*write);
        } else if (!write->extent_held) {
            enter_log(*write);
        } else {
            target.peer_waiting_log.push_back(*write);
        }
    }
}

void peer_writes::submit(peer_request& write) {
    volume& target = *write.target;
    disk_request& out = write.disk;
    out = {};
    out.op = write.op;
    out.device = backing::data;
    out.fua = (write.flags & data_flag::fua) != 0;
    out.may_unmap = (write.flags & data_flag::discard) != 0;
    out.offset = write.sector * 512;
    out.size = write.size;
    out.memory = write.buffer.data();
    out.owner = &write;
    out.finished = [](disk_request& request, int error) {
        auto& finished = *static_cast<peer_request*>(request.owner);
        --finished.target->counters.local_pending;
        finished.target->owner->peers.done(finished, error);
    };
    target.counters.written_sectors += write.sectors();
    target.pace.throttle().application_used(write.sectors());
    ++target.counters.local_pending;
    target.disk->submit(out);
}

void peer_writes::done(peer_request& write, int error) {
    volume& target = *write.target;
    const bool had_disk = write.disk.finished != nullptr;
    if (error != 0 && had_disk) {
        if (target.disk != nullptr) {
            target.disk->bits.set(write.sector, write.sectors());
        }
        all_.disks.io_error(target, disk_management::failed_operation::write, write.sector, error);
    }
    const bool wants_ack = (write.flags & data_flag::send_write_ack) != 0;
    if (error != 0 && write.size == 0) {
        if (peer_epoch* its = epoch_of(write)) {
            its->failed = true;
        }
    } else if (error != 0) {
        send_ack(write, command::neg_ack);
    } else if (wants_ack) {
        const auto connection = target.state.connection;
        const bool syncing = connection >= state::connection::sync_source &&
                             connection <= state::connection::paused_sync_t;
        const bool in_sync = syncing && (write.flags & data_flag::may_set_in_sync) != 0;
        if (in_sync && target.disk != nullptr) {
            target.disk->bits.clear(write.sector, write.sectors());
        }
        send_ack(write, in_sync ? command::rs_write_ack : command::write_ack);
        if (in_sync) {
            all_.resync.bits_cleared(target);
        }
    }
    left_epoch(write);
}

void peer_writes::left_epoch(peer_request& write) {
    if ((write.flags & data_flag::send_receive_ack) == 0 && current(write)) {
        --write.target->counters.unacked;
    }
    peer_epoch* its = epoch_of(write);
    release(write);
    if (its != nullptr) {
        --its->active;
        advance();
    }
}

// --- the disk or the link is gone ---

void peer_writes::disk_given_up(volume& target) {
    for (peer_request* each = target.peer_requests.front(); each != nullptr;
         each = target.peer_requests.after(*each)) {
        each->extent_held = false;
    }
    intrusive_list<peer_request, in_waiting> waiting;
    waiting.append(target.peer_waiting_log);
    while (peer_request* write = waiting.pop_front()) {
        done(*write, EIO);
    }
    if (target.detach_forced) {
        give_up_disk(target);
    }
    target.retry_overlaps = true;
}

// What the device has is answered as failed now; release() leaves it to the device.
void peer_writes::give_up_disk(volume& target) {
    const auto with_device = [&]() -> peer_request* {
        for (peer_request* each = target.peer_requests.front(); each != nullptr;
             each = target.peer_requests.after(*each)) {
            if (each->disk.under_way()) {
                return each;
            }
        }
        return nullptr;
    };
    while (peer_request* each = with_device()) {
        each->disk.finished(each->disk, EIO);
    }
    for (epoch_flush& each : flushes_) {
        if (each.request.under_way() && !each.given_up && each.request.disk == target.disk.get()) {
            each.given_up = true;
            --flushes_pending_;
            flush_failed();
        }
    }
}

// The peer may have told its application that this write is done, and its own disk may be gone.
bool peer_writes::was_promised(const peer_request& request) const {
    return request.what == peer_request::kind::write && !all_.net.allow_two_primaries &&
           (request.flags & data_flag::send_write_ack) == 0;
}

void peer_writes::drop_waiting(intrusive_list<peer_request, in_waiting>& waiting) {
    intrusive_list<peer_request, in_waiting> all;
    all.append(waiting);
    while (peer_request* each = all.pop_front()) {
        if (was_promised(*each)) {
            waiting.push_back(*each);
        } else {
            release(*each);
        }
    }
}

void peer_writes::link_lost() {
    for (auto& [number, target] : all_.volumes) {
        drop_waiting(target->peer_waiting_overlap);
        drop_waiting(target->peer_waiting_log);
        drop_waiting(target->reads_waiting);
        target->counters.unacked = 0;
        target->sequence = 0;
        target->peer_sequence = 0;
    }
    // Writes that are with the disk end by themselves; nobody waits for them.
    intrusive_list<peer_request, in_waiting> held_back;
    while (peer_epoch* each = epochs_.pop_front()) {
        drop_waiting(each->waiting);
        held_back.append(each->waiting);
        pool_.give_back(*each);
    }
    holding_ = 0;
    waiting_ = 0;
    // Whatever they waited for is not going to be acknowledged any more.
    while (peer_request* write = held_back.pop_front()) {
        admit(*write);
    }
    put_off_writes_ = 0;
    put_off_.cancel();
}

} // namespace lockstep::replica
