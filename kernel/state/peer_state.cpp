#include "kernel/state/peer_state.hpp"

namespace lockstep::state {

namespace {

// We are source, and the peer's disk turns good: the sync is over, or is just about to begin.
bool source_hears_good_disk(const volume_state& own, disk peer_disk) {
    const bool was_behind =
        own.peer_disk == disk::inconsistent || own.peer_disk == disk::consistent;
    return was_behind && peer_disk == disk::up_to_date && own.connection > connection::connected &&
           own.disk == disk::up_to_date;
}

// Between Connected and SyncSource in number: the peer is still preparing the sync.
bool prepares_sync(connection value) {
    return value > connection::connected && value < connection::sync_source;
}

bool verify_ends(const volume_state& own, const volume_state& reported, disk peer_disk) {
    return own.connection == connection::verify_t && own.disk == disk::up_to_date &&
           reported.connection == connection::connected && peer_disk == disk::up_to_date;
}

// An older peer still in the sync that we have already finished.
bool lags_behind_our_end(const volume_state& own, const volume_state& reported, disk peer_disk) {
    return own.peer_disk == disk::up_to_date && peer_disk == disk::inconsistent &&
           own.connection == connection::connected && reported.connection > connection::sync_source;
}

// Our disk was attached when the peer had been told that there is none: both compare when it has
// heard of it.
bool negotiates_later(const peer_state_facts& facts) {
    return facts.own.connection < connection::connected && facts.own.disk == disk::negotiating &&
           facts.reported.disk >= disk::negotiating;
}

bool wants_handshake(const peer_state_facts& facts) {
    const volume_state& own = facts.own;
    const volume_state& reported = facts.reported;
    const bool both_disks = own.disk >= disk::negotiating && reported.disk >= disk::negotiating;
    if (!both_disks || !facts.peer_uuids_known) {
        return false;
    }
    if (negotiates_later(facts)) {
        return false;
    }
    if (own.connection < connection::connected || facts.consider_resync) {
        return true;
    }
    const bool attaches = reported.disk == disk::negotiating || own.disk == disk::negotiating;
    const bool invalidates = reported.connection >= connection::starting_sync_s &&
                             reported.connection <= connection::wf_bitmap_t;
    return own.connection == connection::connected && (attaches || invalidates);
}

connection without_handshake(const peer_state_facts& facts) {
    if (facts.reported.connection == connection::ahead) {
        return connection::behind;
    }
    return facts.own.connection == connection::wf_report_params ? connection::connected
                                                                : facts.own.connection;
}

} // namespace

peer_state_view look_at_peer_state(const peer_state_facts& facts) {
    const volume_state& own = facts.own;
    const volume_state& reported = facts.reported;
    peer_state_view view;
    view.peer_disk = real_peer_disk(reported.disk, facts.peer_inconsistent);
    // Without a good disk of our own we have kept what it has not flushed, and send that again.
    view.restarted = (facts.peer_restarted && own.disk == disk::up_to_date) ||
                     view.peer_disk == disk::consistent || view.peer_disk == disk::outdated;
    view.all_synced = facts.bits_left <= facts.bits_failed;
    if (own.connection <= connection::tear_down || !well_formed(reported)) {
        view.meaning = peer_state_meaning::closing;
        return view;
    }
    if (source_hears_good_disk(own, view.peer_disk)) {
        if (prepares_sync(reported.connection)) {
            // It will be Inconsistent in a moment; until then its state would only flap.
            view.peer_disk = disk::inconsistent;
        } else if (own.connection >= connection::sync_source &&
                   reported.connection == connection::connected) {
            view.meaning = peer_state_meaning::resync_ended;
            return view;
        }
    }
    if (verify_ends(own, reported, view.peer_disk)) {
        view.meaning = peer_state_meaning::verify_ended;
        return view;
    }
    if (lags_behind_our_end(own, reported, view.peer_disk)) {
        view.peer_disk = disk::up_to_date;
    }
    view.connection = without_handshake(facts);
    view.meaning =
        wants_handshake(facts) ? peer_state_meaning::handshake : peer_state_meaning::take;
    return view;
}

refusal_consequence on_refusal(const peer_state_facts& facts, bool peer_asked_dry_run) {
    if (facts.own.disk == disk::negotiating) {
        return refusal_consequence::fail_own_disk;
    }
    if (facts.reported.disk == disk::negotiating) {
        return refusal_consequence::peer_attach_aborted;
    }
    return peer_asked_dry_run ? refusal_consequence::drop : refusal_consequence::disconnect;
}

adoption adopt_peer_state(const peer_state_facts& facts, const peer_state_view& view,
                          connection next, disk own_negotiated) {
    const bool makes_connection =
        facts.own.connection < connection::connected && next >= connection::connected;
    adoption result;
    result.kind = makes_connection ? change_kind::soft : change_kind::hard;
    result.wanted =
        state_change()
            .with(next)
            .with_peer(facts.reported.role)
            .with_peer(view.peer_disk)
            .with_paused_peer(facts.reported.sync_paused_after || facts.reported.sync_paused_user);
    // As target the disk becomes Inconsistent by the connection state itself.
    const bool settles = next == connection::connected || next == connection::wf_bitmap_s;
    if (settles && facts.own.disk == disk::negotiating && !negotiates_later(facts)) {
        result.wanted = result.wanted.with(own_negotiated);
    }
    return result;
}

bool restarted_while_frozen(const volume_state& own, const peer_state_view& view) {
    return view.restarted && own.suspended() && own.connection < connection::connected;
}

bool cannot_thaw(const volume_state& own, const peer_state_view& view, connection next,
                 bool generation_pending) {
    return restarted_while_frozen(own, view) && generation_pending && next == connection::connected;
}

bool forced_by_peer(const volume_state& before, const volume_state& after) {
    return before.disk == disk::inconsistent && before.peer_disk == disk::inconsistent &&
           before.peer_role == role::secondary && after.peer_role == role::primary;
}

bool peer_must_hear(const volume_state& before, const volume_state& after,
                    const volume_state& reported) {
    return before.connection > connection::wf_report_params &&
           after.connection > connection::connected &&
           reported.connection <= connection::connected && reported.disk != disk::negotiating;
}

} // namespace lockstep::state
