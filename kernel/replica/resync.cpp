#include "kernel/replica/resync.hpp"

#include <fmt/format.h>

#include "kernel/replica/machinery.hpp"
#include "kernel/state/generation.hpp"

namespace lockstep::replica {

using state::connection;
using state::disk;

namespace {

bool is_source(connection value) {
    return value == connection::sync_source || value == connection::paused_sync_s;
}

bool is_running(connection value) {
    return is_sync_target(value) || is_source(value);
}

bool disks_take_part(const state::volume_state& at) {
    return at.disk >= disk::inconsistent && at.peer_disk >= disk::inconsistent;
}

} // namespace

bool is_sync_target(connection value) {
    return value == connection::sync_target || value == connection::paused_sync_t;
}

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
        all_.commands.when_answered([this, run, code] { begin_source(run, code); });
    });
}

void resync_runner::begin_source(const run_id& run, int code) {
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
        *found, state::state_change{}.with(connection::sync_source).with_peer(disk::inconsistent),
        state::change_kind::soft);
    if (verdict < state::verdict::success) {
        all_.states.drop_link(connection::protocol_error, state::text(verdict));
        return;
    }
    started(*found);
    if (all_.link.rules.version < 96) {
        send_sync_uuid(*found);
    }
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
    if (is_sync_target(target.state.connection)) {
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
    const bool was_target = is_sync_target(target.state.connection);
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
