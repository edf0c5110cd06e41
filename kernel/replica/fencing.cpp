#include "kernel/replica/fencing.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "kernel/replica/machinery.hpp"

namespace lockstep::replica {

using state::connection;
using state::disk;
using state::role;

namespace {

// What an exit code says of who was asked about; empty: the handler is broken.
std::string_view meaning(int exit_code) {
    switch (exit_code) {
    case 3:
        return "peer is inconsistent or worse";
    case 4:
        return "peer was fenced";
    case 5:
        return "peer is unreachable, assumed to be dead";
    case 6:
        return "peer is active";
    case 7:
        return "peer was stonithed";
    default:
        return {};
    }
}

bool peer_is_good(const volume& target) {
    return target.connected() && target.state.peer_disk == disk::up_to_date;
}

bool own_is_good(const volume& target) {
    return target.state.disk == disk::up_to_date;
}

} // namespace

options::fencing fencing::policy() const {
    auto strictest = options::fencing::dont_care;
    for (const auto& [number, each] : all_.volumes) {
        if (each->disk != nullptr && each->state.disk >= disk::consistent) {
            strictest = std::max(strictest, each->options.fencing);
        }
    }
    return strictest;
}

bool fencing::usable_disk() const {
    return std::ranges::any_of(all_.volumes, [](const auto& entry) {
        return entry.second->state.disk >= disk::consistent;
    });
}

bool fencing::peer_is_out() const {
    return std::ranges::all_of(all_.volumes, [](const auto& entry) {
        return entry.second->state.peer_disk <= disk::outdated;
    });
}

bool fencing::asking() const {
    return std::ranges::any_of(questions_, [this](const question& each) {
        return each.condition == conditions_[static_cast<std::size_t>(each.about)];
    });
}

// --- questions ---

void fencing::peer_lost() {
    if (superseded_) {
        return; // no answer could change it
    }
    if (!usable_disk()) {
        not_even_consistent();
    } else if (policy() != options::fencing::dont_care) {
        pose(subject::peer, "peer-lost", {});
    }
}

void fencing::ask(std::function<void(bool)> done) {
    if (all_.is_connected()) {
        done(false);
    } else if (!usable_disk()) {
        not_even_consistent();
        done(false);
    } else if (policy() == options::fencing::dont_care) {
        done(true);
    } else {
        pose(subject::peer, "promotion", std::move(done));
    }
}

// There is nothing to go on with, so nobody has to be fenced for it.
void fencing::not_even_consistent() {
    all_.log(log_level::warning, "Not fencing peer, I'm not even Consistent myself.");
    if (all_.is_connected() || !all_.common.suspended_fencing) {
        return;
    }
    all_.states.change_all(state::state_change{}.with_suspended_fencing(false),
                           state::change_kind::hard);
    if (!all_.common.suspended()) {
        all_.epochs.give_up_peer();
        all_.writes.thawed();
    }
}

void fencing::pose(subject about, std::string_view reason, std::function<void(bool)> done) {
    const bool waited_for = static_cast<bool>(done);
    for (question& each : questions_) {
        if (each.about == about && each.condition == condition(about)) {
            if (waited_for) {
                each.waiting.push_back(std::move(done));
                limit(each);
            }
            return;
        }
    }
    helper_call call;
    call.name = about == subject::peer ? "fence-peer" : "fence-disk";
    call.reason = reason;
    call.unlimited = !waited_for;
    question added{about, condition(about), 0, waited_for, {}};
    if (waited_for) {
        added.waiting.push_back(std::move(done));
    }
    added.helper = all_.helpers.call_with_id(
        std::move(call), [this](std::uint64_t id, int exit_code) { answered(id, exit_code); });
    questions_.push_back(std::move(added));
}

void fencing::limit(question& which) {
    if (!which.limited) {
        which.limited = true;
        all_.world.limit_helper(which.helper);
    }
}

// --- conditions ---

void fencing::change_condition(subject about) {
    ++condition(about);
    of(about) = standing::good;
    for (question& each : questions_) {
        if (each.about == about) {
            limit(each);
        }
    }
}

void fencing::state_moved(volume& target, const state::volume_state& before,
                          const state::volume_state& after) {
    const bool was_connected = before.connection >= connection::connected;
    const bool is_connected = after.connection >= connection::connected;
    // One volume that comes or leaves while the others stay connected says nothing of the peer.
    const bool among_others = std::ranges::any_of(all_.volumes, [&target](const auto& entry) {
        return entry.second.get() != &target && entry.second->connected();
    });
    const bool link_changes =
        was_connected != is_connected && !among_others && !target.peer_lacks_it();
    const bool demoted = before.role == role::primary && after.role != role::primary;
    if (!was_connected && is_connected) {
        change_condition(subject::peer);
    }
    // Another volume may have been refused since this one connected.
    const bool established = !was_connected && is_connected && all_.all_volumes_met();
    if (demoted) {
        end_superseded();
    } else if (established) {
        peer_is_back();
    }
    if (link_changes || demoted) {
        change_condition(subject::peer_disk);
        change_condition(subject::own_disk);
    }
    const auto everywhere = [this](bool (*good)(const volume&)) {
        return std::ranges::all_of(all_.volumes,
                                   [good](const auto& entry) { return good(*entry.second); });
    };
    // A resource is in sync only if all its volumes are.
    if (before.peer_disk < disk::up_to_date && everywhere(peer_is_good)) {
        change_condition(subject::peer_disk);
    }
    if (before.disk < disk::up_to_date && everywhere(own_is_good)) {
        change_condition(subject::own_disk);
    }
    const bool asks = after.role == role::primary &&
                      target.options.fencing == options::fencing::resource_and_stonith;
    if (asks && state::lost_peer_disk(before, after)) {
        disk_lost(subject::peer_disk, "peer-disk");
    }
    if (asks && state::lost_own_disk(before, after)) {
        disk_lost(subject::own_disk, "own-disk");
    }
    thaw_if_settled();
}

bool fencing::holds() const {
    return std::ranges::find(standing_, standing::open) != standing_.end() ||
           (superseded_ && superseded_in_ == all_.link.serial);
}

void fencing::peer_is_back() {
    if (superseded_in_ != all_.link.serial) {
        end_superseded();
    }
}

void fencing::supersede() {
    superseded_ = true;
    superseded_in_ = all_.link.serial;
}

void fencing::end_superseded() {
    if (std::exchange(superseded_, false)) {
        all_.states.change_all(state::state_change{}.with_suspended_fencing(false),
                               state::change_kind::hard);
    }
}

void fencing::write_refused(volume& target) {
    if (target.options.fencing != options::fencing::resource_and_stonith ||
        all_.common.role != role::primary || !own_is_good(target) || !peer_is_good(target) ||
        of(subject::peer_disk) != standing::good) {
        return;
    }
    all_.states.change_all(state::state_change{}.with_suspended_fencing(true),
                           state::change_kind::hard);
    disk_lost(subject::peer_disk, "write-refused");
}

void fencing::disk_lost(subject about, std::string_view reason) {
    if (of(about) == standing::good) {
        of(about) = standing::open;
        pose(about, reason, {});
    }
}

void fencing::peer_is_newer() {
    if (all_.common.role != role::primary ||
        (policy() != options::fencing::resource_and_stonith &&
         all_.net.rr_conflict != options::rr_conflict::violently)) {
        return;
    }
    supersede();
    change_condition(subject::peer);
    all_.states.change_all(state::state_change{}.with_suspended_fencing(true),
                           state::change_kind::hard);
    all_.log(log_level::error, "the peer has newer data: I/O stays frozen until this node is "
                               "demoted, and is lost then");
}

void fencing::overruled() {
    superseded_ = false;
    for (const subject each : all_subjects) {
        if (of(each) == standing::open) {
            of(each) = standing::excused;
        }
    }
}

// While the connection stands I/O is frozen for the sake of a disk only.
void fencing::thaw_if_settled() {
    if (!all_.common.suspended_fencing || !all_.all_volumes_met() || all_.awaits_data() ||
        superseded_ || holds()) {
        return;
    }
    all_.states.go_on_without_data_of_peer();
    all_.states.change_all(state::state_change{}.with_suspended_fencing(false),
                           state::change_kind::hard);
    all_.writes.thawed();
}

void fencing::resync_finished() {
    const bool in_sync = std::ranges::all_of(all_.volumes, [](const auto& entry) {
        return own_is_good(*entry.second) && peer_is_good(*entry.second);
    });
    if (in_sync && policy() != options::fencing::dont_care) {
        all_.helpers.call_for_resource("unfence-peer", "resync-finished", {});
    }
}

// --- answers ---

void fencing::answered(std::uint64_t helper, int exit_code) {
    const auto found = std::ranges::find(questions_, helper, &question::helper);
    if (found == questions_.end()) {
        return;
    }
    const question ended = std::move(*found);
    questions_.erase(found);
    const std::string_view said = meaning(exit_code);
    if (said.empty()) {
        all_.log(log_level::error,
                 fmt::format("fence-peer helper broken, returned {}: what is frozen stays frozen "
                             "until resume-io or connect",
                             exit_code));
    } else if (ended.condition != condition(ended.about) ||
               (ended.about == subject::peer &&
                (all_.is_connected() || all_.handshake.state_sent()))) {
        all_.log(log_level::notice,
                 fmt::format("Ignoring fence-peer exit code {} ({}): things have changed meanwhile",
                             exit_code, said));
    } else if (ended.about == subject::peer) {
        take_peer_answer(exit_code);
    } else {
        take_disk_answer(ended.about, exit_code);
    }
    for (const auto& each : ended.waiting) {
        each(peer_is_out());
    }
}

void fencing::take_peer_answer(int exit_code) {
    all_.log(log_level::notice,
             fmt::format("fence-peer helper returned {} ({})", exit_code, meaning(exit_code)));
    if (exit_code == 6) {
        outdate_self();
        return;
    }
    if (exit_code == 5 && !std::ranges::any_of(all_.volumes, [](const auto& entry) {
            return own_is_good(*entry.second);
        })) {
        all_.log(log_level::warning, "peer unreachable, doing nothing since disk != UpToDate");
        return;
    }
    if (exit_code == 7 && policy() != options::fencing::resource_and_stonith) {
        all_.log(log_level::error, "fence-peer() = 7 && fencing != Stonith !!!");
    }
    const disk becomes = exit_code == 3 ? disk::inconsistent : disk::outdated;
    const auto verdict =
        all_.states.change_all(state::state_change{}.with_peer(becomes), state::change_kind::soft);
    if (verdict < state::verdict::success) {
        all_.log(log_level::error, fmt::format("the peer can't be taken for {}: {}",
                                               state::name(becomes), state::text(verdict)));
    }
}

void fencing::outdate_self() {
    all_.log(log_level::warning, "Peer is primary, outdating myself.");
    for (auto& [number, each] : all_.volumes) {
        if (each->state.disk <= disk::outdated) {
            continue;
        }
        const auto verdict = all_.states.change(*each, state::state_change{}.with(disk::outdated),
                                                state::change_kind::soft);
        if (verdict < state::verdict::success) {
            all_.log(log_level::error, *each,
                     fmt::format("not outdated: {} What is frozen stays so; stop the users of the "
                                 "device, and demote this node",
                                 state::text(verdict)));
            if (all_.common.suspended_fencing) {
                supersede();
            }
        }
    }
}

void fencing::take_disk_answer(subject about, int exit_code) {
    const char* which = about == subject::own_disk ? "our own disk" : "the peer's disk";
    if (exit_code == 6) {
        all_.log(
            log_level::error,
            fmt::format("going on without {} was refused (6): what is frozen stays so; stop the "
                        "users of the device, and demote this node",
                        which));
        supersede();
        return;
    }
    all_.log(log_level::notice,
             fmt::format("going on without {}: fence-peer helper returned {}", which, exit_code));
    of(about) = standing::excused;
    thaw_if_settled();
}

} // namespace lockstep::replica
