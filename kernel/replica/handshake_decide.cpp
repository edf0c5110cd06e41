// The second half of the handshake, also used when a disk is attached to a live connection: UUIDS
// and STATE of the peer, and what is decided from them.
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "kernel/replica/handshake.hpp"
#include "kernel/replica/machinery.hpp"
#include "kernel/state/attach_state.hpp"

namespace lockstep::replica {

using state::connection;
using state::disk;
using state::role;

void handshake::uuids_received(volume& target, const wire::uuids& uuids) {
    target.peer_uuids = uuids;
    if (target.presented_before != 0 &&
        state::identity(target.presented_before) == state::identity(uuids.current)) {
        target.effective_generation = std::exchange(target.presented_before, 0);
    }
    if (!state::may_connect_generation(target.state, target.effective_generation, uuids.current)) {
        all_.states.disconnect_at_once(fmt::format(
            "Can only connect to data with current UUID={:016X}", target.effective_generation));
        return;
    }
    if (target.disk != nullptr && target.state.disk >= disk::negotiating) {
        skip_initial_sync(target, uuids);
        // Our detach may still be on its way through the peer, which has made this generation for
        // us already: what we go on with without our disk.
        target.generation_by_peer = state::made_upon_ours(
            target.state, target.disk->super.uuids.current, uuids.current, uuids.bitmap);
    }
    const std::uint64_t presented =
        state::presented_after_uuids(target.state, target.effective_generation, uuids.current);
    if (presented != target.effective_generation) {
        if (state::made_upon_ours(target.state, target.effective_generation, uuids.current,
                                  uuids.bitmap) == presented) {
            target.presented_before = target.effective_generation;
        }
        target.effective_generation = presented;
        all_.world.changed();
    }
}

void handshake::skip_initial_sync(volume& target, const wire::uuids& uuids) {
    local_disk& own = *target.disk;
    const bool offered = (uuids.flags & wire::uuid_flag::skip_initial_sync) != 0;
    if (!state::may_skip_initial_sync(target.state, own.generation(), all_.link.rules.version,
                                      offered)) {
        return;
    }
    all_.log(log_level::info, target, "Accepted new current UUID, preparing to skip initial sync");
    own.bits.clear_all();
    own.set_generation(
        state::accept_skipped_sync(own.generation(), uuids.current, target.state.role));
    own.store_bitmap([](bool) {});
    own.store_superblock([](bool) {});
    all_.states.change(target,
                       state::state_change{}.with(disk::up_to_date).with_peer(disk::up_to_date),
                       state::change_kind::hard);
    // An older STATE of ours may be on its way to the peer.
    all_.states.send_state(target);
}

void handshake::state_received(volume& target, const wire::state_word& word) {
    state::peer_state_facts facts;
    facts.own = target.state;
    facts.reported = state::unpack(word.bits);
    note_missing(facts.reported);
    facts.peer_uuids_known = target.peer_uuids.has_value();
    facts.peer_inconsistent =
        target.peer_uuids && (target.peer_uuids->flags & wire::uuid_flag::inconsistent) != 0;
    facts.consider_resync = target.consider_resync;
    facts.peer_restarted = target.peer_incarnation != 0 && peer_incarnation_ != 0 &&
                           target.peer_incarnation != peer_incarnation_;
    facts.bits_left = target.disk != nullptr ? target.disk->bits.weight() : 0;
    facts.bits_failed = target.run.failed_bits;
    const auto view = state::look_at_peer_state(facts);
    switch (view.meaning) {
    case state::peer_state_meaning::closing:
        if (!state::well_formed(facts.reported)) {
            all_.states.drop_link(connection::protocol_error,
                                  "the peer's STATE names states that do not exist");
        }
        return;
    case state::peer_state_meaning::resync_ended:
        if (view.all_synced) {
            all_.resync.finish(target);
        }
        return;
    case state::peer_state_meaning::verify_ended:
        all_.verify.finish(target);
        return;
    case state::peer_state_meaning::take:
        finish_state(target, facts, view, view.connection);
        return;
    case state::peer_state_meaning::handshake:
        break;
    }
    if (target.disk == nullptr || target.state.disk < disk::negotiating) {
        finish_state(target, facts, view, view.connection);
        return;
    }
    connection next = view.connection;
    bool take_over = false;
    if (decide(target, facts, take_over, next) && take_over) {
        finish_state(target, facts, view, next);
    }
}

bool handshake::decide(volume& target, const state::peer_state_facts& facts, bool& take_over,
                       connection& next) {
    local_disk& own = *target.disk;
    state::handshake_input input;
    input.self.uuids = own.generation();
    // Compared as they were sent, so that both nodes see the same numbers. A peer that attaches its
    // disk now gets ours after this decision.
    const bool peer_attaches = target.connected() && target.state.peer_disk == disk::diskless;
    input.self.bits = peer_attaches ? own.bits.weight() : target.last_sent_bits;
    input.self.discard_my_data = discard_my_data_;
    input.self.crashed_primary = target.crashed_primary;
    input.self.disk =
        target.state.disk == disk::negotiating ? target.negotiated_disk : target.state.disk;
    // As it was sent: a demotion by the policy may have come in between, for another volume.
    input.self.role = demoted_in_link_ == all_.link.serial ? role::primary : target.state.role;
    const wire::uuids& peer = *target.peer_uuids;
    input.peer.uuids = {peer.current, peer.bitmap, {peer.history1, peer.history2}};
    input.peer.bits = peer.bits_set;
    input.peer.discard_my_data =
        (peer.flags & wire::uuid_flag::discard_my_data) != 0 || peer_discards_;
    input.peer.crashed_primary = (peer.flags & wire::uuid_flag::crashed_primary) != 0;
    input.peer.disk = state::real_peer_disk(facts.reported.disk, facts.peer_inconsistent);
    input.peer.role = facts.reported.role;
    input.disk_in_state = target.state.disk;
    input.protocol_version = all_.link.rules.version;
    input.features = all_.link.rules.features;
    input.resolve_conflicts = all_.link.resolve_conflicts;
    input.peer_is_lockstep = peer_is_lockstep_;
    input.after_sb_0pri = all_.net.after_sb_0pri;
    input.after_sb_1pri = all_.net.after_sb_1pri;
    input.after_sb_2pri = all_.net.after_sb_2pri;
    input.always_asbp = all_.net.always_asbp;
    input.rr_conflict = all_.net.rr_conflict;
    input.dry_run = tentative_ || peer_tentative_;
    all_.log(log_level::info, target, "drbd_sync_handshake:");
    all_.log(log_level::info, target,
             fmt::format("self {} bits:{} flags:{}", state::text(input.self.uuids).view(),
                         input.self.bits, input.self.discard_my_data ? 1 : 0));
    all_.log(log_level::info, target,
             fmt::format("peer {} bits:{} flags:{}", state::text(input.peer.uuids).view(),
                         input.peer.bits, peer.flags));
    auto decision = state::decide(input);
    if (decision.demote_first && !demote_victim()) {
        input.demotion_refused = true;
        decision = state::decide(input);
    }
    all_.log(log_level::info, target,
             fmt::format("uuid_compare()={} by rule {}: {}", decision.compared.result,
                         decision.compared.rule, decision.text()));
    if (decision.kept_bits > 0) {
        all_.log(log_level::info, target,
                 fmt::format("No resync, but {} bits in bitmap!", decision.kept_bits));
    }
    call_handlers(target, decision);
    if (decision.refused()) {
        // Who only wanted to know is done; the other waits for a connection that is meant.
        switch (state::on_refusal(facts, peer_tentative_ && !tentative_)) {
        case state::refusal_consequence::disconnect:
            if (decision.refusal == state::refusal::target_is_primary) {
                all_.fencing.peer_is_newer();
            }
            all_.states.disconnect_at_once(
                fmt::format("{} {}", decision.text(), decision.remedy()));
            return false;
        case state::refusal_consequence::drop:
            all_.states.drop_link(connection::broken_pipe, decision.text());
            return false;
        case state::refusal_consequence::fail_own_disk:
            target.io_error_seen = false;
            all_.states.change(target, state::state_change{}.with(disk::failed),
                               state::change_kind::hard);
            return false;
        case state::refusal_consequence::peer_attach_aborted:
            // It decides alike, and drops its disk; but first it has to hear of ours.
            all_.states.send_uuids(target);
            all_.states.send_state(target);
            all_.states.change(target, state::state_change{}.with_peer(disk::diskless),
                               state::change_kind::hard);
            return false;
        }
    }
    own.set_generation(state::corrected_self(own.generation(), decision.compared.correction));
    const auto corrected = state::corrected_peer(input.peer.uuids, decision.compared.correction);
    target.peer_uuids->current = corrected.current;
    target.peer_uuids->bitmap = corrected.bitmap;
    target.peer_uuids->history1 = corrected.history[0];
    target.peer_uuids->history2 = corrected.history[1];
    next = decision.next_connection();
    take_over = true;
    if (decision.full) {
        take_over = false;
        mark_all(target, facts, next);
    }
    return true;
}

// All bits are set and stored before the state says that a full sync runs; until then a crash
// leaves FULL_SYNC behind. The peer, whose disk may be faster, goes on meanwhile: its STATE and its
// bitmap are of the state that follows, and are looked at after it.
void handshake::mark_all(volume& target, const state::peer_state_facts& facts, connection decided) {
    local_disk& own = *target.disk;
    all_.log(log_level::notice, target,
             "Writing the whole bitmap, full sync required after drbd_sync_handshake.");
    own.set_flags(own.super.flags | format::md_flag::full_sync);
    own.bits.set_all();
    own.bits.mark_all_dirty();
    const volume_number number = target.number;
    const std::uint64_t serial = all_.link.serial;
    const auto same_link = [this, serial] { return all_.link.up && all_.link.serial == serial; };
    const auto go_on = [this, same_link] {
        if (same_link()) {
            all_.link.end_pause();
        }
    };
    all_.link.pause_data();
    own.store_superblock([this, number, facts, decided, same_link, go_on](bool) {
        volume* found = all_.find(number);
        if (found == nullptr || found->disk == nullptr) {
            go_on();
            return;
        }
        found->disk->store_bitmap([this, number, facts, decided, same_link, go_on](bool stored) {
            volume* again = all_.find(number);
            if (again != nullptr && again->disk != nullptr && stored) {
                again->disk->set_flags(again->disk->super.flags & ~format::md_flag::full_sync);
                if (same_link()) {
                    finish_state(*again, facts, state::look_at_peer_state(facts), decided);
                }
            }
            go_on();
        });
    });
}

// A change of role waits for the end of a handshake, since the peer decides by the role that it was
// sent. This one follows from the decision, which the peer makes alike; it hears of it afterwards.
bool handshake::demote_victim() {
    std::vector<volume*> waiting;
    for (auto& [number, each] : all_.volumes) {
        if (each->handshake_sent) {
            waiting.push_back(each.get());
            each->handshake_sent = false;
        }
    }
    const auto verdict = all_.states.change_all(state::state_change{}.with(role::secondary),
                                                state::change_kind::soft);
    for (volume* each : waiting) {
        each->handshake_sent = true;
    }
    if (verdict < state::verdict::success) {
        return false;
    }
    demoted_in_link_ = all_.link.serial;
    return true;
}

void handshake::call_handlers(volume& target, const state::handshake_decision& decision) {
    if (decision.handlers.initial_split_brain) {
        all_.helpers.call_for_volume("initial-split-brain", target, {});
    }
    if (decision.split_brain_found && !decision.refused()) {
        all_.log(log_level::notice, target, "Split-Brain detected, automatically solved");
    }
    if (decision.handlers.pri_lost_after_sb) {
        all_.helpers.call_for_volume("pri-lost-after-sb", target, {});
    }
    if (decision.handlers.split_brain) {
        all_.log(log_level::error, target,
                 "Split-Brain detected but unresolved, dropping connection!");
        all_.helpers.call_for_volume("split-brain", target, {});
    }
    if (decision.handlers.pri_lost) {
        all_.helpers.call_for_volume("pri-lost", target, {});
    }
}

void handshake::finish_state(volume& target, const state::peer_state_facts& facts,
                             const state::peer_state_view& view, connection next) {
    if (state::cannot_thaw(target.state, view, next, target.new_generation_due)) {
        all_.log(log_level::error, target,
                 "Aborting Connect, can not thaw IO with an only Consistent peer");
        all_.epochs.give_up_peer();
        all_.states.make_new_generation(target);
        all_.states.change_all(state::state_change{}.with_suspended_no_data(false),
                               state::change_kind::hard);
        // Frozen for fencing it stays so: nobody has said that the peer is out, and nothing that it
        // lacks is completed before it is back as sync target, or fenced.
        all_.states.drop_link(connection::protocol_error, "the peer has been restarted");
        return;
    }
    if (next == connection::wf_bitmap_s && state::restarted_while_frozen(target.state, view)) {
        all_.epochs.give_up_peer();
    }
    target.consider_resync = false;
    if (view.meaning == state::peer_state_meaning::handshake &&
        target.has_disk(disk::negotiating)) {
        // Compared anew.
        target.own_behind = false;
        target.peer_behind = false;
    }
    const bool agrees =
        target.primary_may_refuse && facts.reported.connection >= connection::connected;
    target.primary_may_refuse &= !agrees;
    const state::volume_state before = target.state;
    // While the bitmap was being written something may have happened; the facts of the packet
    // still hold, our own state is taken anew.
    state::peer_state_facts fresh = facts;
    fresh.own = target.state;
    target.peer_incarnation = peer_incarnation_;
    const auto adoption = state::adopt_peer_state(fresh, view, next, target.negotiated_disk);
    const auto verdict = all_.states.change(target, adoption.wanted, adoption.kind);
    if (verdict < state::verdict::success) {
        all_.states.disconnect_at_once(
            fmt::format("the peer's state can't be taken: {}", state::text(verdict)));
        return;
    }
    if (agrees && target.disk != nullptr &&
        state::peer_begins_to_write(target.state, target.disk->generation())) {
        all_.states.make_new_generation(target);
    }
    if (state::peer_must_hear(before, target.state, facts.reported)) {
        all_.states.send_uuids(target);
        all_.states.send_state(target);
    }
    if (!comparing()) {
        deadline_.cancel();
        discard_my_data_ = false;
    }
    if (target.disk != nullptr && target.disk->superblock_dirty()) {
        target.disk->store_superblock([](bool) {});
    }
}

} // namespace lockstep::replica
