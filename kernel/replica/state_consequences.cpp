// What follows from a change of state, once it stands: messages to the peer, bitmap writes, resync,
// handlers, new generations. The order within is DRBD's (Linux 6.1 drivers/block/drbd/drbd_state.c,
// after_state_ch): the peer relies on it.
#include <algorithm>

#include <fmt/format.h>

#include "kernel/replica/machinery.hpp"
#include "kernel/replica/state_changes.hpp"
#include "kernel/state/generation.hpp"

namespace lockstep::replica {

using state::connection;
using state::disk;
using state::role;

namespace {

bool is_sync_source(connection value) {
    return value == connection::sync_source || value == connection::paused_sync_s;
}

bool peer_disk_back(const state::volume_state& before, const state::volume_state& after) {
    return before.connection >= connection::connected &&
           after.connection >= connection::connected && before.peer_disk != disk::up_to_date &&
           after.peer_disk == disk::up_to_date;
}

} // namespace

void state_changes::after_change(volume& target, const state::volume_state& before,
                                 const state::volume_state& after) {
    const bool had_data = before.disk >= disk::up_to_date || before.peer_disk >= disk::up_to_date;
    const bool has_data = after.disk >= disk::up_to_date || after.peer_disk >= disk::up_to_date;
    if (after.role == role::primary && !has_data && (before.role != role::primary || had_data)) {
        all_.helpers.call_for_volume("pri-on-incon-degr", target, {});
    }
    after_thaw(before, after);
    all_.fencing.state_moved(target, before, after);
    after_connection(target, before, after);
    // It has heard that we take its disk: it takes writes now. (The in-kernel DRBD waits for
    // resume-io here.)
    if (peer_disk_back(before, after) && all_.all_volumes_met()) {
        thaw_with_data(after);
    }
    after_disk(target, before, after);
    after_sync(target, before, after);
    all_.order.look();
    all_.writes.state_moved(target);
}

void state_changes::after_thaw(const state::volume_state& before,
                               const state::volume_state& after) {
    const bool connects =
        before.connection < connection::connected && after.connection >= connection::connected;
    // What is frozen is so in all volumes, so all have to be back.
    if (connects && all_.all_volumes_met()) {
        thaw_with_peer(after);
    } else if (after.suspended_no_data) {
        const bool own_back =
            (before.disk == disk::attaching || before.disk == disk::negotiating) &&
            after.disk == disk::up_to_date;
        if (own_back) {
            change_all(state::state_change{}.with_suspended_no_data(false),
                       state::change_kind::hard);
            if (!all_.is_connected()) {
                // The own disk is enough to go on, with a generation of its own.
                if (!all_.common.suspended()) {
                    go_on_without_data_of_peer();
                }
                // Suspended by hand as well, no more is kept for the peer: see clean_up_link().
                if (!all_.common.suspended_fencing && !all_.common.suspended_no_data) {
                    all_.epochs.give_up_peer();
                }
            }
            all_.writes.thawed();
        }
    }
    if (after.suspended_fencing) {
        // With a connection it is a disk that is asked about: fencing::thaw_if_settled().
        // What one volume hears while they connect says nothing of the others.
        const bool peer_settled = after.connection < connection::connected &&
                                  before.peer_disk > disk::outdated &&
                                  after.peer_disk <= disk::outdated;
        if (peer_settled) {
            // The peer is out: go on alone, with a generation of our own.
            go_on_without_data_of_peer();
            all_.epochs.give_up_peer();
            change_all(state::state_change{}.with_suspended_fencing(false),
                       state::change_kind::hard);
            all_.writes.thawed();
        }
    }
    if (before.suspended() && !after.suspended()) {
        all_.writes.thawed();
    }
}

// All volumes are connected, or the peer has turned out not to have them: we go on alone with
// those, so what it lacks of them is marked, under a generation of our own. `frozen`: as it was at
// the change from which this follows; a consequence of another one may have lifted it since, but
// nothing has been sent again.
void state_changes::thaw_with_data(const state::volume_state& frozen) {
    if (frozen.suspended_no_data && !all_.awaits_data()) {
        go_on_without_data_of_peer();
        change_all(state::state_change{}.with_suspended_no_data(false), state::change_kind::hard);
        all_.epochs.send_again();
        all_.writes.thawed();
    }
}

void state_changes::thaw_with_peer(const state::volume_state& frozen) {
    thaw_with_data(frozen);
    if (frozen.suspended_fencing && !all_.awaits_data() && !all_.fencing.holds()) {
        go_on_without_data_of_peer();
        all_.epochs.send_again();
        change_all(state::state_change{}.with_suspended_fencing(false), state::change_kind::hard);
        all_.writes.thawed();
    }
}

void state_changes::peer_lacks_volumes() {
    for (auto& [number, each] : all_.volumes) {
        if (each->peer_lacks_it()) {
            change(*each, {}, state::change_kind::hard); // nobody negotiates about its disk
            all_.writes.state_moved(*each);
        }
    }
    if (all_.link.up && all_.all_volumes_met()) {
        state::volume_state frozen; // whatever it was frozen for when they connected
        frozen.suspended_no_data = true;
        frozen.suspended_fencing = true;
        thaw_with_peer(frozen);
        all_.fencing.peer_is_back();
    }
}

void state_changes::go_on_without_data_of_peer() {
    for (auto& [number, each] : all_.volumes) {
        if (each->new_generation_due) {
            make_new_generation(*each);
        }
    }
}

void state_changes::after_connection(volume& target, const state::volume_state& before,
                                     const state::volume_state& after) {
    // The sync UUID goes out before any STATE of the sync.
    if (!is_sync_source(before.connection) && is_sync_source(after.connection) &&
        all_.link.rules.version >= 96) {
        all_.resync.send_sync_uuid(target);
    }
    // The peer has attached a disk: it compares its generation with ours, which it has not heard
    // since. While it is only Attaching it can't.
    if (before.peer_disk < disk::negotiating && after.peer_disk >= disk::negotiating &&
        after.peer_disk != disk::unknown) {
        send_uuids(target);
        send_state(target);
    }
    if (before.connection != connection::wf_bitmap_s &&
        after.connection == connection::wf_bitmap_s) {
        all_.exchange.start_sending(target);
    }
    const bool diskless_peer_demoted = after.peer_disk < disk::inconsistent &&
                                       before.peer_role == role::primary &&
                                       after.peer_role == role::secondary;
    const bool demoted = before.role == role::primary && after.role == role::secondary &&
                         target.state.connection <= connection::connected;
    if (target.disk != nullptr && (diskless_peer_demoted || demoted)) {
        target.disk->store_bitmap([](bool) {});
    }
    const bool begins_negotiation =
        after.connection >= connection::connected && after.disk == disk::negotiating &&
        (before.disk == disk::attaching || before.connection < connection::connected);
    if (begins_negotiation) {
        all_.sizes.send(target, 0, 0);
        send_uuids(target);
        send_state(target);
    }
    const bool pause_changed = before.sync_paused_after != after.sync_paused_after ||
                               before.sync_paused_user != after.sync_paused_user;
    const bool handshake_done = before.connection == connection::wf_report_params &&
                                after.connection >= connection::connected && !begins_negotiation;
    if ((after.connection >= connection::connected && pause_changed) || handshake_done) {
        send_state(target);
    }
    if (before.connection != connection::starting_sync_t &&
        after.connection == connection::starting_sync_t) {
        all_.resync.prepare_full_sync(target, false);
    }
    if (before.connection != connection::starting_sync_s &&
        after.connection == connection::starting_sync_s) {
        all_.resync.prepare_full_sync(target, true);
    }
}

void state_changes::after_disk(volume& target, const state::volume_state& before,
                               const state::volume_state& after) {
    if (before.disk != disk::failed && after.disk == disk::failed) {
        all_.disks.disk_failed(target);
    }
    if (before.disk != disk::diskless && after.disk == disk::diskless) {
        // Lost while Negotiating, to data that are not the ones in use: there was no Failed.
        if (target.state.disk == disk::diskless && target.attaching == nullptr) {
            all_.bury(std::move(target.disk));
        }
        send_state(target);
        all_.world.release_disk(target.number);
        all_.link.end_pause(); // what it waits for does not come any more
    }
    // The peer learns of an error that did not cost us the disk.
    if (before.disk == disk::up_to_date && after.disk == disk::inconsistent &&
        after.connection >= connection::connected) {
        send_state(target);
    }
    if (after.disk > disk::negotiating && after.peer_disk > disk::negotiating &&
        target.grow_after_negotiation) {
        target.grow_after_negotiation = false;
        if (after.connection == connection::connected) {
            all_.sizes.resync_new_part(target);
        }
    }
    all_.disks.maybe_release(target);
}

void state_changes::after_sync(volume& target, const state::volume_state& before,
                               const state::volume_state& after) {
    // Done with being a target: said explicitly, though the peer should know.
    if (before.disk < disk::up_to_date && before.connection >= connection::sync_source &&
        after.connection == connection::connected) {
        send_state(target);
    }
    if (before.connection == connection::verify_s && after.connection == connection::connected &&
        all_.link.rules.has_verify_stop_sector()) {
        send_state(target);
    }
    if (is_syncing(before.connection) && !is_syncing(after.connection) && target.disk != nullptr) {
        target.disk->store_bitmap([](bool) {});
    }
}

void state_changes::set_connection(connection value) {
    change_all(state::state_change{}.with(value), state::change_kind::hard);
    if (all_.volumes.empty() && all_.common.connection != value) {
        all_.common.connection = value;
        all_.world.changed();
    }
}

void state_changes::forget_peer_of(volume& target) {
    all_.resync.abandon(target);
    all_.verify.link_lost(target);
    target.peer_sizes.reset();
    target.resize_pending = false;
    target.size_asked = false;
    if (!target.state.suspended()) {
        target.peer_uuids.reset();
    }
}

void state_changes::clean_up_link() {
    all_.link.stop();
    all_.world.close_link();
    all_.keepalive.stop();
    all_.receiver.stop();
    all_.handshake.stop();
    all_.commands.link_lost();
    all_.epochs.link_lost();
    all_.peers.link_lost();
    all_.reads.link_lost();
    for (auto& [number, each] : all_.volumes) {
        forget_peer_of(*each);
    }
    // Frozen for want of the peer, the log is kept: it may come back and get it again. Suspended by
    // hand nothing waits for the peer: what it lacks is marked now, for the handshake to see.
    if (!all_.common.suspended_fencing && !all_.common.suspended_no_data) {
        all_.epochs.give_up_peer();
    }
    for (auto& [number, each] : all_.volumes) {
        if (each->disk != nullptr && each->state.disk >= disk::inconsistent) {
            each->disk->store_bitmap([](bool) {});
        }
    }
    all_.log(log_level::info, "Connection closed");
}

void state_changes::drop_link(connection why, std::string_view reason) {
    if (cleaning_up_ || all_.common.connection <= connection::unconnected) {
        return;
    }
    cleaning_up_ = true;
    if (!reason.empty()) {
        all_.log(log_level::notice, fmt::format("connection lost: {}", reason));
    }
    const bool was_primary = all_.common.role == role::primary;
    // TearDown keeps its name: the end was agreed.
    if (all_.common.connection != connection::tear_down) {
        set_connection(why);
    }
    clean_up_link();
    const bool peer_unknown = [&] {
        for (const auto& [number, each] : all_.volumes) {
            if (each->state.peer_disk >= disk::unknown) {
                return true;
            }
        }
        return false;
    }();
    set_connection(connection::unconnected);
    if (was_primary && peer_unknown) {
        all_.fencing.peer_lost();
    }
    cleaning_up_ = false;
    start_connecting();
}

void state_changes::peer_left() {
    drop_link(connection::tear_down, {});
}

void state_changes::disconnect_at_once(std::string_view reason) {
    if (cleaning_up_ || all_.common.connection == connection::standalone) {
        return;
    }
    cleaning_up_ = true;
    if (!reason.empty()) {
        all_.log(log_level::error, fmt::format("giving up the connection: {}", reason));
    }
    const bool was_primary = all_.common.role == role::primary;
    if (all_.common.connection != connection::disconnecting) {
        set_connection(connection::disconnecting);
    }
    clean_up_link();
    const bool ask = [&] {
        for (const auto& [number, each] : all_.volumes) {
            if (was_primary && each->state.peer_disk >= disk::unknown) {
                return true;
            }
        }
        return false;
    }();
    if (ask) {
        all_.fencing.peer_lost();
    }
    set_connection(connection::standalone);
    all_.has_net = false;
    cleaning_up_ = false;
}

void state_changes::start_connecting() {
    if (all_.common.connection == connection::unconnected) {
        set_connection(connection::wf_connection);
        all_.world.open_link(all_.net);
    }
}

} // namespace lockstep::replica
