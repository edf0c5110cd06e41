#include "kernel/replica/state_changes.hpp"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include "kernel/replica/machinery.hpp"
#include "kernel/state/attach_state.hpp"
#include "kernel/state/peer_state.hpp"

namespace lockstep::replica {

using state::connection;
using state::disk;
using state::role;
using state::verdict;

bool sends_data(const state::volume_state& now) {
    return now.peer_disk == disk::up_to_date ||
           (now.peer_disk >= disk::inconsistent && now.connection >= connection::wf_bitmap_t &&
            now.connection < connection::ahead);
}

bool sends_out_of_sync(const state::volume_state& now) {
    return now.connection == connection::ahead || now.connection == connection::wf_bitmap_s;
}

bool takes_requests(const volume& target, std::uint32_t protocol_version) {
    const state::volume_state& now = target.state;
    switch (now.connection) {
    case connection::wf_report_params:
        if (!target.peer_lacks_it()) {
            return false;
        }
        break;
    case connection::starting_sync_s:
    case connection::starting_sync_t:
    case connection::wf_bitmap_t:
    case connection::wf_sync_uuid:
        return false;
    case connection::wf_bitmap_s:
        if (protocol_version < 96) {
            return false;
        }
        break;
    default:
        break;
    }
    return now.disk != disk::attaching && now.disk != disk::negotiating &&
           now.disk != disk::unknown;
}

// What a Negotiating disk becomes if the peer is lost, so without what the peer vouches for. Empty:
// a Primary can't use it.
std::optional<state::transition_context::negotiated_disks>
state_changes::without_peer(const volume& target) {
    if (target.disk == nullptr || target.state.disk != disk::negotiating) {
        return std::nullopt;
    }
    const std::uint64_t own = target.disk->super.uuids.current;
    state::volume_state alone = target.state;
    alone.peer_disk = disk::unknown;
    if (target.state.role == role::primary &&
        (target.peer_is_ahead ||
         !state::may_attach_generation(alone, target.effective_generation, own))) {
        return std::nullopt;
    }
    const disk worth = state::worth_alone(target.negotiated_disk, target.effective_generation, own);
    return state::transition_context::negotiated_disks{
        target.peer_is_ahead ? std::min(worth, disk::outdated) : worth,
        target.negotiated_peer_disk};
}

state::transition_context state_changes::context(const volume* about) const {
    state::transition_context facts;
    facts.net_configured = all_.has_net;
    facts.allow_two_primaries = all_.net.allow_two_primaries;
    facts.verify_algorithm_set = !all_.net.verify_alg.empty();
    facts.protocol_version =
        all_.link.rules.version >= wire::version_min ? all_.link.rules.version : wire::version_max;
    facts.suspend_without_data =
        all_.resource_options.on_no_data_accessible == options::on_no_data::suspend_io;
    facts.handshake_state_sent = all_.handshake.state_sent();
    facts.fence_disks = true;
    if (about != nullptr) {
        facts.fencing = about->disk != nullptr && about->state.disk > disk::diskless
                            ? about->options.fencing
                            : options::fencing::dont_care;
        facts.device_in_use = all_.world.in_use(about->number);
        facts.negotiating = without_peer(*about);
        facts.negotiates_when_connected = about->handshake_sent && !about->peer_lacks_it();
        facts.peer_lacks_volume = about->peer_volume == at_peer::missing;
        facts.primary_may_refuse = about->primary_may_refuse;
        facts.own_behind = about->own_behind;
        facts.peer_behind = about->peer_behind;
    }
    for (const auto& [number, other] : all_.volumes) {
        if (other.get() != about && other->state.peer_role == role::primary) {
            facts.other_volume_peer_primary = true;
        }
    }
    return facts;
}

verdict state_changes::try_change(const volume& target, const state::state_change& wanted) const {
    return state::change(target.state, wanted, state::change_kind::soft, context(&target)).code;
}

verdict state_changes::try_change_all(const state::state_change& wanted) const {
    verdict result =
        state::change(all_.common, wanted, state::change_kind::soft, context(nullptr)).code;
    if (all_.volumes.empty()) {
        return result;
    }
    result = verdict::nothing_to_do;
    for (const auto& [number, each] : all_.volumes) {
        const verdict one = try_change(*each, wanted);
        if (one < verdict::success) {
            return one;
        }
        if (one != verdict::nothing_to_do) {
            result = one;
        }
    }
    return result;
}

verdict state_changes::change(volume& target, const state::state_change& wanted,
                              state::change_kind kind) {
    const auto changed = state::change(target.state, wanted, kind, context(&target));
    if (changed.accepted() && changed.code != verdict::nothing_to_do) {
        apply(target, changed);
    }
    return changed.code;
}

verdict state_changes::change_all(const state::state_change& wanted, state::change_kind kind) {
    if (kind == state::change_kind::soft) {
        const verdict refused = try_change_all(wanted);
        if (refused < verdict::success) {
            return refused;
        }
    }
    if (all_.volumes.empty()) {
        const auto changed = state::change(all_.common, wanted, kind, context(nullptr));
        if (changed.accepted() && changed.code != verdict::nothing_to_do) {
            all_.common = changed.state;
            all_.world.changed();
        }
        return changed.code;
    }
    // All are judged by what was before any of them changed.
    verdict result = verdict::nothing_to_do;
    std::vector<moved> together;
    for (auto& [number, each] : all_.volumes) {
        const auto changed = state::change(each->state, wanted, kind, context(each.get()));
        const bool moves = changed.accepted() && changed.code != verdict::nothing_to_do;
        together.push_back({each.get(), each->state, moves ? changed.state : each->state});
        if (changed.code != verdict::nothing_to_do) {
            result = changed.code;
        }
    }
    if (result != verdict::nothing_to_do) {
        apply(together);
    }
    return result;
}

// What one volume changes of what all share, all have.
void state_changes::share(std::vector<moved>& together) {
    state::volume_state shared = together.front().before;
    // A volume that the peer does not have yet knows no role of the peer; the others do.
    const bool some_connected = std::ranges::any_of(
        together, [](const moved& each) { return each.after.connection >= connection::connected; });
    for (const moved& each : together) {
        const auto take = [&each](auto field, state::volume_state& into) {
            if (each.before.*field != each.after.*field) {
                into.*field = each.after.*field;
            }
        };
        take(&state::volume_state::role, shared);
        if (!some_connected || each.after.connection >= connection::connected) {
            take(&state::volume_state::peer_role, shared);
        }
        take(&state::volume_state::suspended_user, shared);
        take(&state::volume_state::suspended_no_data, shared);
        take(&state::volume_state::suspended_fencing, shared);
    }
    const auto copy = [&shared](state::volume_state& to) {
        to.role = shared.role;
        to.peer_role = shared.peer_role;
        to.suspended_user = shared.suspended_user;
        to.suspended_no_data = shared.suspended_no_data;
        to.suspended_fencing = shared.suspended_fencing;
    };
    for (moved& each : together) {
        copy(each.after);
    }
    copy(all_.common);
}

void state_changes::apply(volume& target, const state::change_result& changed) {
    std::vector<moved> together;
    together.push_back({&target, target.state, changed.state});
    for (auto& [number, other] : all_.volumes) {
        if (other.get() != &target) {
            together.push_back({other.get(), other->state, other->state});
        }
    }
    apply(together);
}

void state_changes::apply(std::vector<moved>& together) {
    const role role_before = all_.common.role;
    share(together);
    // The first is the one that was asked for; below Connected all have the same.
    const connection now = together.front().after.connection;
    all_.common.connection = now < connection::connected ? now : connection::wf_report_params;
    for (const moved& each : together) {
        each.target->state = each.after;
    }
    if (role_before != all_.common.role) {
        all_.world.role_changed(all_.common.role);
    }
    for (const moved& each : together) {
        if (each.before == each.after) {
            continue;
        }
        log_change(*each.target, each.before, each.after);
        at_change(*each.target, each.before, each.after);
        const volume_number number = each.target->number;
        all_.defer([this, number, before = each.before, after = each.after] {
            if (volume* found = all_.find(number)) {
                after_change(*found, before, after);
            }
        });
    }
    all_.world.changed();
}

void state_changes::log_change(const volume& target, const state::volume_state& before,
                               const state::volume_state& after) const {
    std::string text;
    const auto add = [&](const char* what, auto from, auto to) {
        if (from != to) {
            text += fmt::format("{}( {} -> {} ) ", what, state::name(from), state::name(to));
        }
    };
    add("peer", before.peer_role, after.peer_role);
    add("role", before.role, after.role);
    add("conn", before.connection, after.connection);
    add("disk", before.disk, after.disk);
    add("pdsk", before.peer_disk, after.peer_disk);
    const auto flag = [&](const char* what, bool from, bool to) {
        if (from != to) {
            text += fmt::format("{}( {} -> {} ) ", what, from ? 1 : 0, to ? 1 : 0);
        }
    };
    flag("susp", before.suspended(), after.suspended());
    flag("aftr_isp", before.sync_paused_after, after.sync_paused_after);
    flag("peer_isp", before.sync_paused_peer, after.sync_paused_peer);
    flag("user_isp", before.sync_paused_user, after.sync_paused_user);
    if (!text.empty()) {
        all_.log(log_level::info, target, text);
    }
}

void state_changes::at_change(volume& target, const state::volume_state& before,
                              const state::volume_state& after) {
    if (sends_data(before) != sends_data(after) ||
        sends_out_of_sync(before) != sends_out_of_sync(after)) {
        all_.epochs.close_current();
    }
    if (before.connection < connection::connected && after.connection >= connection::connected) {
        target.log_suspended = false;
        target.was_degraded = false;
    }
    if (after.disk != disk::inconsistent || after.connection > connection::connected) {
        target.errors_noted = false;
    }
    if (state::settles_crash(before, after)) {
        target.crashed_primary = false;
        if (target.peer_uuids) {
            target.peer_uuids->flags &= ~wire::uuid_flag::crashed_primary;
        }
    }
    if (state::forced_by_peer(before, after)) {
        target.consider_resync = true;
    }
    note_who_is_behind(target, after);
    target.primary_may_refuse &= after.connection >= connection::connected;
    target.primary_may_refuse |= state::diskless_primary_connects(before, after);
    if (before.connection < connection::connected && after.connection >= connection::connected &&
        after.peer_disk >= disk::inconsistent) {
        target.new_generation_due = false; // it is back with its data
    }
    if (target.peer_uuids) {
        target.effective_generation = state::presented_after_promotion(
            before, after, target.effective_generation, target.peer_uuids->current);
    }
    if (after.role != role::primary || after.disk >= disk::inconsistent) {
        target.presented_before = 0;
    }
    if (target.disk != nullptr && after.disk > disk::attaching) {
        const auto stored = state::unpack_flags(target.disk->super.flags);
        target.disk->set_flags(
            state::pack(state::flags_to_store(after, stored, target.crashed_primary)));
        target.effective_generation = state::presented_after_change(
            before, after, target.effective_generation, target.disk->super.uuids.current);
        const bool loses_data =
            before.disk >= disk::inconsistent && after.disk < disk::inconsistent;
        if (loses_data && target.unstored.current != 0) {
            target.effective_generation = target.unstored.before.current;
        }
        if (loses_data && after.connection >= connection::connected &&
            target.generation_by_peer != 0) {
            target.presented_before = target.effective_generation;
            target.effective_generation = target.generation_by_peer;
        }
        state::volume_state known = after;
        if (target.peer_lacks_it()) {
            known.peer_role = role::unknown; // it is not in this volume that it writes
        }
        switch (state::generation_after(before, known, target.disk->generation())) {
        case state::new_generation::now:
            make_new_generation(target);
            break;
        case state::new_generation::when_resumed:
            target.new_generation_due = true;
            break;
        case state::new_generation::no:
            break;
        }
    }
    all_.resync.at_change(target, before, after);
    all_.verify.at_change(target, before, after);
}

void state_changes::note_who_is_behind(volume& target, const state::volume_state& after) {
    const bool in_sync = after.disk == disk::up_to_date && after.peer_disk == disk::up_to_date;
    if (after.connection < connection::connected || in_sync) {
        target.own_behind = false;
        target.peer_behind = false;
    }
    target.peer_is_ahead &= !in_sync;
    target.own_behind |= after.connection == connection::wf_bitmap_t;
    target.peer_behind |= after.connection == connection::wf_bitmap_s;
}

void state_changes::make_new_generation(volume& target) {
    if (target.disk == nullptr) {
        return;
    }
    target.new_generation_due = false;
    local_disk& own = *target.disk;
    if (target.unstored.current == 0) {
        target.unstored.before = own.generation();
    }
    own.set_generation(
        state::new_current(own.generation(), all_.world.random_number(), target.state.role));
    own.store_after_peer_writes();
    all_.peers.generation_made(target);
    target.effective_generation = own.super.uuids.current;
    target.unstored.current = own.super.uuids.current;
    all_.log(log_level::info, target,
             fmt::format("new current UUID {}", state::text(own.generation()).view()));
    ++target.generation_stores;
    const volume_number number = target.number;
    own.store_superblock([this, number](bool stored) {
        if (volume* found = all_.find(number)) {
            --found->generation_stores;
            if (stored && found->generation_stores == 0 && found->unstored.current != 0) {
                if (found->effective_generation == found->unstored.before.current) {
                    found->effective_generation = found->unstored.current; // with its last breath
                }
                found->unstored.current = 0;
            }
            all_.writes.gate_moved();
        }
    });
    if (target.connected()) {
        send_uuids(target);
    }
}

// A disk that is being attached is none yet: the in-kernel DRBD answers with its UUIDS when a disk
// appears, and not once more when it can be compared.
void state_changes::send_state(volume& target) {
    if (all_.link.up && !all_.handshake.before_parameters()) {
        state::volume_state told = target.state;
        if (told.disk == disk::attaching) {
            told.disk = disk::diskless;
        }
        all_.link.send(channel::data, target.number, wire::command::state,
                       wire::state_word{state::pack(told)});
    }
}

void state_changes::send_uuids(volume& target, std::uint64_t extra_flags) {
    if (!all_.link.up || all_.handshake.before_parameters() || target.disk == nullptr ||
        target.state.disk < disk::negotiating) {
        return;
    }
    const auto generation = target.disk->generation();
    wire::uuids out;
    out.current = generation.current;
    out.bitmap = generation.bitmap;
    out.history1 = generation.history[0];
    out.history2 = generation.history[1];
    target.last_sent_bits = target.disk->bits.weight();
    out.bits_set = target.last_sent_bits;
    out.flags = extra_flags;
    if (all_.handshake.discard_my_data()) {
        out.flags |= wire::uuid_flag::discard_my_data;
    }
    if (target.crashed_primary) {
        out.flags |= wire::uuid_flag::crashed_primary;
    }
    if (target.state.disk == disk::negotiating ? target.negotiated_disk == disk::inconsistent
                                               : target.state.disk == disk::inconsistent) {
        out.flags |= wire::uuid_flag::inconsistent;
    }
    all_.link.send(channel::data, target.number, wire::command::uuids, out);
}

} // namespace lockstep::replica
