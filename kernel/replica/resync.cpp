#include "kernel/replica/resync.hpp"

#include <fmt/format.h>

#include "kernel/replica/machinery.hpp"
#include "kernel/state/generation.hpp"

namespace lockstep::replica {

using state::connection;
using state::disk;

namespace {

bool is_target(connection value) {
    return value == connection::sync_target || value == connection::paused_sync_t;
}

bool is_source(connection value) {
    return value == connection::sync_source || value == connection::paused_sync_s;
}

bool is_running(connection value) {
    return is_target(value) || is_source(value);
}

bool disks_take_part(const state::volume_state& at) {
    return at.disk >= disk::inconsistent && at.peer_disk >= disk::inconsistent;
}

} // namespace

bool is_syncing(connection value) {
    return value > connection::connected && value < connection::ahead &&
           value != connection::verify_s && value != connection::verify_t;
}

resync_runner::run_id resync_runner::this_run(const volume& target) const {
    return {target.number, all_.link.serial, target.syncs_ended};
}

volume* resync_runner::still(const run_id& run) const {
    volume* found = all_.find(run.number);
    const bool same = found != nullptr && found->disk != nullptr && all_.link.up &&
                      all_.link.serial == run.link && found->syncs_ended == run.sync;
    return same ? found : nullptr;
}

// --- beginning ---

void resync_runner::prepare_full_sync(volume& target, bool as_source) {
    if (target.disk == nullptr) {
        return;
    }
    local_disk& own = *target.disk;
    own.set_flags(own.super.flags | format::md_flag::full_sync);
    own.bits.set_all();
    own.bits.mark_all_dirty();
    const run_id run = this_run(target);
    own.store_superblock([this, run, as_source](bool) {
        volume* found = all_.find(run.number);
        if (found == nullptr || found->disk == nullptr) {
            return;
        }
        found->disk->store_bitmap([this, run, as_source](bool stored) {
            volume* again = all_.find(run.number);
            if (!stored || again == nullptr || again->disk == nullptr) {
                return;
            }
            again->disk->set_flags(again->disk->super.flags & ~format::md_flag::full_sync);
            if (still(run) == nullptr) {
                return;
            }
            if (as_source && again->state.connection == connection::starting_sync_s) {
                start_source(*again);
            } else if (!as_source && again->state.connection == connection::starting_sync_t) {
                all_.states.change(*again, state::state_change{}.with(connection::wf_sync_uuid),
                                   state::change_kind::hard);
            }
        });
    });
}

void resync_runner::start_source(volume& target) {
    if (target.run.helper_running || is_running(target.state.connection)) {
        return;
    }
    target.run = {};
    target.run.helper_running = true;
    const run_id run = this_run(target);
    all_.helpers.call_for_volume("before-resync-source", target, [this, run](int code) {
        volume* found = still(run);
        if (found == nullptr || !found->run.helper_running) {
            return;
        }
        found->run.helper_running = false;
        if (code != 0 && code != 3) {
            all_.states.disconnect_at_once(
                fmt::format("before-resync-source handler returned {}", code));
            return;
        }
        const auto verdict = all_.states.change(
            *found,
            state::state_change{}.with(connection::sync_source).with_peer(disk::inconsistent),
            state::change_kind::soft);
        if (verdict < state::verdict::success) {
            all_.states.drop_link(connection::protocol_error, state::text(verdict));
            return;
        }
        started(*found);
        if (all_.link.rules.version < 96) {
            send_sync_uuid(*found);
        }
    });
}

void resync_runner::send_sync_uuid(volume& target) {
    if (target.disk == nullptr) {
        return;
    }
    const auto start =
        state::start_sync_source(target.disk->generation(), all_.world.random_number());
    target.disk->set_generation(start.own);
    all_.log(log_level::info, target,
             fmt::format("updated sync UUID {}", state::text(start.own).view()));
    const run_id run = this_run(target);
    target.disk->store_superblock([this, run, uuid = start.sync_uuid](bool stored) {
        if (stored && still(run) != nullptr) {
            all_.link.send(channel::data, run.number, wire::command::sync_uuid,
                           wire::sync_uuid{uuid});
        }
    });
}

void resync_runner::sync_uuid_received(volume& target, std::uint64_t sync_uuid) {
    const bool source_too =
        target.state.connection == connection::wf_bitmap_s || is_source(target.state.connection);
    if (source_too) {
        // Both attached their disks at once, and each compared with what the other had said before.
        all_.states.drop_link(connection::network_failure,
                              "both nodes took themselves for the source of a resync");
        return;
    }
    if (target.state.connection == connection::starting_sync_t) {
        target.early_sync_uuid = sync_uuid; // at_change() takes it up
        return;
    }
    const bool waited_for = target.state.connection == connection::wf_sync_uuid ||
                            target.state.connection == connection::behind;
    if (!waited_for || target.disk == nullptr) {
        all_.log(log_level::info, target, "SYNC_UUID was not waited for; ignored");
        return;
    }
    if (target.run.helper_running) {
        return;
    }
    target.run = {};
    target.run.helper_running = true;
    const run_id run = this_run(target);
    all_.helpers.call_for_volume("before-resync-target", target, [this, run, sync_uuid](int code) {
        volume* found = still(run);
        if (found == nullptr || !found->run.helper_running) {
            return;
        }
        found->run.helper_running = false;
        if (code != 0) {
            all_.states.disconnect_at_once(fmt::format(
                "before-resync-target handler returned {}, dropping connection.", code));
            return;
        }
        start_target(*found, sync_uuid);
    });
}

void resync_runner::start_target(volume& target, std::uint64_t sync_uuid) {
    if (target.disk == nullptr) {
        return;
    }
    target.disk->set_generation(
        state::adopt_sync_uuid(target.disk->generation(), sync_uuid, target.state.role));
    // Only Inconsistent may be found after a crash from here on, so that is stored first.
    const auto verdict = all_.states.change(
        target, state::state_change{}.with(connection::sync_target).with(disk::inconsistent),
        state::change_kind::soft);
    if (verdict < state::verdict::success) {
        all_.states.drop_link(connection::protocol_error, state::text(verdict));
        return;
    }
    started(target);
    const run_id run = this_run(target);
    target.run.helper_running = true;
    // The source forgets a bit when it is told that the block is written, which is not yet durable:
    // until it is, our own bitmap has to know, so what the exchange has marked is stored first.
    target.disk->store_bitmap([this, run](bool) {
        if (volume* found = still(run)) {
            found->disk->store_superblock([this, run](bool) {
                if (volume* again = still(run)) {
                    again->run.helper_running = false;
                    tick(*again);
                }
            });
        }
    });
}

void resync_runner::started(volume& target) {
    target.run = {};
    target.run.total_bits = target.disk->bits.weight();
    target.run.use_checksums = !all_.net.csums_alg.empty() &&
                               all_.link.rules.has_checksum_resync() &&
                               (!all_.net.csums_after_crash_only || target.crashed_primary);
    target.marks.start(all_.now(), target.run.total_bits);
    target.pace.configure(target.options, all_.net.max_buffers);
    target.pace.start(all_.now());
    all_.log(log_level::info, target,
             fmt::format("Began resync as {} (will sync {} KB [{} bits set]).",
                         state::name(target.state.connection), target.run.total_bits * 4,
                         target.run.total_bits));
    all_.world.changed();
}

void resync_runner::options_changed(volume& target) {
    target.pace.configure(target.options, all_.net.max_buffers);
    if (is_target(target.state.connection)) {
        tick(target);
    }
}

void resync_runner::at_change(volume& target, const state::volume_state& before,
                              const state::volume_state& after) {
    const bool ends = is_syncing(before.connection) && !is_syncing(after.connection);
    // After a resize a handler runs before the connection state moves.
    const bool cut_off = target.run.helper_running && !disks_take_part(after);
    if (ends || cut_off) {
        abandon(target);
    }
    if (after.connection == connection::wf_sync_uuid && target.early_sync_uuid) {
        all_.defer([this, number = target.number] {
            volume* found = all_.find(number);
            if (found != nullptr && found->early_sync_uuid) {
                sync_uuid_received(*found, *std::exchange(found->early_sync_uuid, std::nullopt));
            }
        });
    }
    const bool was_paused = before.connection == connection::paused_sync_s ||
                            before.connection == connection::paused_sync_t;
    const bool is_paused = after.connection == connection::paused_sync_s ||
                           after.connection == connection::paused_sync_t;
    if (!was_paused && is_paused) {
        target.marks.pause(all_.now());
        target.resync_timer.cancel();
        if (!target.reads_throttled.empty()) { // see tick()
            target.resync_timer.arm(all_.now());
        }
    } else if (was_paused && !is_paused && is_running(after.connection)) {
        target.marks.resume(all_.now());
        target.pace.start(all_.now());
        target.resync_timer.arm(all_.now());
    }
}

// --- the target asks ---

void resync_runner::tick(volume& target) {
    if (target.state.connection == connection::sync_source ||
        target.state.connection == connection::paused_sync_s) {
        // Paused, too: what was asked before holds up the target's own writes to these blocks.
        serve_throttled(target);
        return;
    }
    if (target.state.connection != connection::sync_target || target.run.helper_running ||
        target.disk == nullptr || !all_.link.up) {
        return;
    }
    const instant now = all_.now();
    target.marks.advance(now, target.disk->bits.weight());
    std::uint32_t allowed = target.pace.blocks_now(now, target.run.in_flight_sectors);
    while (allowed > 0) {
        std::uint32_t blocks = 0;
        if (!request_next(target, allowed, blocks)) {
            break;
        }
        target.pace.requested(now, blocks);
        allowed -= std::min(allowed, blocks);
    }
    target.resync_timer.arm(target.pace.next_at(now));
    check_finished(target);
}

// rs-discard-granularity in blocks; 0: zeroes are copied like everything else, because that is
// wanted or because the disk or the link can do no other.
std::uint64_t resync_runner::thin_blocks(const volume& target) const {
    const bool possible = target.disk->properties.can_discard && all_.link.rules.has_thin_resync();
    return possible ? (std::uint64_t{target.options.rs_discard_granularity} + 4095) / 4096 : 0;
}

bool resync_runner::request_next(volume& target, std::uint32_t blocks_max, std::uint32_t& blocks) {
    const bitmap& bits = target.disk->bits;
    const std::uint64_t first = bits.find_next_set(target.run.position);
    if (first == bitmap::none) {
        // At the end: what was set behind our back is found by another round, when all answers
        // are in.
        if (target.run.in_flight > 0 || target.run.position == 0) {
            return false;
        }
        if (bits.weight() <= target.run.failed_bits) {
            return false;
        }
        target.run.position = 0;
        return false;
    }
    // Adjacent bits go together: naturally aligned, as large as the link and a buffer carry, and
    // not across a border of 16 MiB.
    // Zeroes are found only in a request as large as rs-discard-granularity, so that may be a
    // little more than what is left of this step.
    std::uint64_t count = 1;
    const std::uint64_t thin = thin_blocks(target);
    const std::uint64_t most = std::min<std::uint64_t>(std::max<std::uint64_t>(blocks_max, thin),
                                                       all_.link.rules.data_bytes() / 4096);
    if (!target.run.use_checksums || most == 1) {
        const std::uint64_t clear = bits.find_next_clear(first);
        const std::uint64_t run = (clear == bitmap::none ? bits.bits() : clear) - first;
        while (count * 2 <= most && count * 2 <= run && first % (count * 2) == 0 &&
               (thin == 0 || count < thin)) {
            count *= 2;
        }
    }
    std::uint32_t size = static_cast<std::uint32_t>(count) * 4096;
    const std::uint64_t sector = first * bitmap::sectors_per_bit;
    // The last block of an odd-sized device is shorter.
    const std::uint64_t left = (target.size_sectors - sector) * 512;
    size = static_cast<std::uint32_t>(std::min<std::uint64_t>(size, left));
    if (!all_.peers.can_ask() || target.in_flight.overlaps(sector, size / 512)) {
        return false; // a write is on its way there: the block's turn comes with the next tick
    }
    target.run.position = first + count;
    ++target.run.in_flight;
    target.run.in_flight_sectors += size / 512;
    blocks = static_cast<std::uint32_t>(count);
    send_request(target, sector, size);
    return all_.link.up;
}

void resync_runner::send_request(volume& target, std::uint64_t sector, std::uint32_t size) {
    if (!target.run.use_checksums) {
        peer_request* asked = all_.peers.take(target, peer_request::kind::resync_request);
        LOCKSTEP_CHECK(asked != nullptr);
        asked->sector = sector;
        asked->size = size;
        peer_writes::hold_asked(target, *asked);
        const std::uint64_t least = thin_blocks(target);
        const bool thin = least != 0 && size >= least * 4096;
        all_.link.send(channel::data, target.number,
                       thin ? wire::command::rs_thin_req : wire::command::rs_data_request,
                       wire::block_request{sector, wire::block_id_resync, size, 0});
        return;
    }
    peer_request* read = all_.peers.take(target, peer_request::kind::checksum_read);
    LOCKSTEP_CHECK(read != nullptr);
    read->op = disk_request::operation::read;
    read->sector = sector;
    read->size = size;
    read->block_id = wire::block_id_resync;
    retry(*read);
}

void resync_runner::give_back_asked(volume& target, std::uint64_t sector) {
    if (peer_request* asked =
            peer_writes::find_asked(target, sector, peer_request::kind::resync_request)) {
        all_.peers.release(*asked);
    }
}

void resync_runner::left_flight(volume& target, std::uint32_t size) {
    if (target.run.in_flight > 0) {
        --target.run.in_flight;
    }
    target.run.in_flight_sectors -=
        std::min<std::uint64_t>(target.run.in_flight_sectors, size / 512);
    target.pace.arrived(size / 512);
}

void resync_runner::reply_received(volume& target, const wire::data_header& head,
                                   std::uint32_t size, buffer_ref data) {
    if (!is_target(target.state.connection)) {
        return; // our disk did not survive the resync
    }
    if (target.run.in_flight == 0 || head.sector + size / 512 > target.size_sectors) {
        all_.states.drop_link(connection::protocol_error,
                              "RS_DATA_REPLY for a block that was not asked for");
        return;
    }
    give_back_asked(target, head.sector);
    peer_request* write = all_.peers.take(target, peer_request::kind::resync_write);
    LOCKSTEP_CHECK(write != nullptr); // place_data() kept some back
    write->op = disk_request::operation::write;
    write->sector = head.sector;
    write->size = size;
    write->block_id = wire::block_id_resync;
    write->buffer = std::move(data);
    ++target.counters.unacked;
    admit_write(*write);
}

void resync_runner::deallocated_received(volume& target, const wire::block_range& range) {
    if (!is_target(target.state.connection)) {
        return;
    }
    if (target.run.in_flight == 0 || range.sector + range.size_bytes / 512 > target.size_sectors) {
        all_.states.drop_link(connection::protocol_error,
                              "RS_DEALLOCATED for a block that was not asked for");
        return;
    }
    give_back_asked(target, range.sector);
    peer_request* write = all_.peers.take(target, peer_request::kind::resync_write);
    if (write == nullptr) {
        all_.states.drop_link(connection::network_failure, "too many requests of the peer");
        return;
    }
    // Zeroes for certain, deallocated where the device can.
    write->op = disk_request::operation::write_zeroes;
    write->sector = range.sector;
    write->size = range.size_bytes;
    write->block_id = wire::block_id_resync;
    ++target.counters.unacked;
    admit_write(*write);
}

void resync_runner::admit_write(peer_request& write) {
    volume& target = *write.target;
    if (!target.has_disk()) {
        write_done(write, EIO);
        return;
    }
    if (target.in_flight.overlaps(write.sector, write.sectors()) ||
        peer_writes::waits_before(target, write)) {
        target.peer_waiting_overlap.push_back(write);
        return;
    }
    target.in_flight.insert(write.interval, write.sector, write.sectors());
    disk_request& out = write.disk;
    out = {};
    out.op = write.op;
    out.device = backing::data;
    out.resync = true;
    out.may_unmap = true;
    out.offset = write.sector * 512;
    out.size = write.size;
    out.memory = write.buffer.data();
    out.owner = &write;
    out.finished = [](disk_request& request, int error) {
        auto& done = *static_cast<peer_request*>(request.owner);
        --done.target->counters.local_pending;
        done.target->owner->resync.write_done(done, error);
    };
    target.counters.written_sectors += write.sectors();
    ++target.counters.local_pending;
    target.disk->submit(out);
}

void resync_runner::write_done(peer_request& write, int error) {
    volume& target = *write.target;
    const bool current = all_.peers.current(write);
    if (error == 0) {
        if (target.disk != nullptr && current) {
            target.disk->bits.clear(write.sector, write.sectors());
        }
        all_.peers.send_ack(write, wire::command::rs_write_ack);
    } else {
        count_failed(target, write.sector, write.size);
        all_.peers.send_ack(write, wire::command::neg_ack);
        if (write.disk.finished != nullptr) {
            all_.disks.io_error(target, disk_management::failed_operation::write, write.sector,
                                error);
        }
    }
    if (current) {
        --target.counters.unacked;
        left_flight(target, write.size);
    }
    all_.peers.release(write);
    if (current) {
        tick(target);
    }
}

void resync_runner::in_sync_received(volume& target, const wire::block_ack& ack) {
    if (target.run.in_flight == 0 || !is_target(target.state.connection)) {
        return;
    }
    give_back_asked(target, ack.sector);
    if (target.disk != nullptr) {
        target.disk->bits.clear(ack.sector, ack.size_bytes / 512);
    }
    target.run.same_checksum_bits += ack.size_bytes / 4096;
    left_flight(target, ack.size_bytes);
    tick(target);
}

void resync_runner::refused(volume& target, const wire::block_ack& ack, bool cancelled) {
    if (target.state.connection == connection::verify_s) {
        all_.verify.refused(target, ack);
        return;
    }
    if (target.run.in_flight == 0) {
        return;
    }
    give_back_asked(target, ack.sector);
    if (!cancelled) {
        count_failed(target, ack.sector, ack.size_bytes);
    }
    left_flight(target, ack.size_bytes);
    tick(target);
}

void resync_runner::count_failed(volume& target, std::uint64_t sector, std::uint32_t size) {
    if (target.disk != nullptr) {
        target.run.failed_bits += target.disk->bits.count_in(sector, size / 512);
    }
}

void resync_runner::bits_cleared(volume& target) {
    check_finished(target);
}

// --- the end ---

void resync_runner::check_finished(volume& target) {
    if (target.state.connection != connection::sync_target || target.disk == nullptr ||
        target.run.in_flight > 0 || target.run.helper_running) {
        return;
    }
    if (target.disk->bits.weight() > target.run.failed_bits) {
        return;
    }
    finish(target);
}

void resync_runner::finish(volume& target) {
    if (target.run.finishing || !is_running(target.state.connection)) {
        return;
    }
    target.run.finishing = true;
    target.resync_timer.cancel();
    const run_id run = this_run(target);
    all_.keepalive.ping([this, run](bool answered) {
        volume* found = still(run);
        if (found == nullptr || !found->run.finishing) {
            return;
        }
        found->run.finishing = false;
        if (answered && is_running(found->state.connection)) {
            finished(*found);
        }
    });
}

void resync_runner::finished(volume& target) {
    const bool was_target = is_target(target.state.connection);
    if (target.disk == nullptr) {
        return;
    }
    local_disk& own = *target.disk;
    const auto progress = target.marks.progress(all_.now(), own.bits.weight());
    all_.log(log_level::info, target,
             fmt::format("Resync done (total {} sec; paused {} sec; {} K/sec)",
                         progress.seconds_running + progress.seconds_paused,
                         progress.seconds_paused, progress.average_kib));
    state::state_change wanted = state::state_change{}.with(connection::connected);
    if (target.run.failed_bits > 0) {
        all_.log(log_level::error, target,
                 fmt::format("            {} failed blocks", target.run.failed_bits));
        wanted = was_target ? wanted.with(disk::inconsistent).with_peer(disk::up_to_date)
                            : wanted.with(disk::up_to_date).with_peer(disk::inconsistent);
    } else {
        wanted = wanted.with(disk::up_to_date).with_peer(disk::up_to_date);
        if (was_target && target.peer_uuids) {
            const wire::uuids& peer = *target.peer_uuids;
            own.set_generation(state::finish_sync_target(
                own.generation(), {peer.current, peer.bitmap, {peer.history1, peer.history2}},
                target.state.role));
        } else if (!was_target) {
            own.set_generation(state::finish_sync_source(own.generation()));
        }
        if (target.peer_uuids) {
            const auto now_equal = own.generation();
            target.peer_uuids->current = now_equal.current;
            target.peer_uuids->bitmap = now_equal.bitmap;
            target.peer_uuids->history1 = now_equal.history[0];
            target.peer_uuids->history2 = now_equal.history[1];
        }
        all_.log(log_level::info, target,
                 fmt::format("updated UUIDs {}", state::text(own.generation()).view()));
    }
    const bool complete = target.run.failed_bits == 0;
    target.run = {};
    target.run.finishing = was_target; // until it is stored
    const run_id run = this_run(target);
    const auto take = [this, run, wanted, was_target, complete] {
        volume* found = still(run);
        if (found == nullptr || !is_running(found->state.connection)) {
            return;
        }
        found->run = {};
        all_.states.change(*found, wanted, state::change_kind::hard);
        if (was_target) {
            all_.helpers.call_for_volume("after-resync-target", *found, {});
        } else if (complete) {
            all_.fencing.resync_finished();
        }
    };
    if (!was_target) {
        take();
        return;
    }
    // What was copied is durable before the metadata says that this disk is good.
    own.store_bitmap([this, run, take](bool stored) {
        volume* found = still(run);
        if (!stored || found == nullptr) {
            return;
        }
        found->disk->store_superblock([take](bool done) {
            if (done) {
                take();
            }
        });
    });
}

void resync_runner::cancel(volume& target) {
    target.run.finishing = false;
    target.run.helper_running = false;
    target.resync_timer.cancel();
    for (peer_request* each = target.peer_requests.front(); each != nullptr;) {
        peer_request* following = target.peer_requests.after(*each);
        if (each->what == peer_request::kind::resync_request) {
            all_.peers.release(*each);
        }
        each = following;
    }
    intrusive_list<peer_request, in_waiting> throttled;
    throttled.append(target.reads_throttled);
    while (peer_request* each = throttled.pop_front()) {
        target.counters.unacked -= std::min(target.counters.unacked, 1U);
        all_.peers.release(*each);
    }
}

// Whatever was begun for this run (a handler, a store, a PING) ends without consequence, and the
// bitmaps that were on their way are of no use to the next one.
void resync_runner::abandon(volume& target) {
    ++target.syncs_ended;
    target.early_sync_uuid.reset();
    cancel(target);
    all_.exchange.stop(target);
    target.run = {};
}

} // namespace lockstep::replica
