#include "kernel/replica/command_queue.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "kernel/replica/machinery.hpp"

namespace lockstep::replica {

using state::connection;
using state::verdict;
using wire::command;

namespace {

constexpr unsigned tries_max = 20;

bool names_connection(const state::state_change& wanted) {
    const auto field = state::state_change{}.with(connection::standalone).mask;
    return (wanted.mask & field) != 0;
}

bool names_role(const state::state_change& wanted) {
    const auto fields =
        state::state_change{}.with(state::role::primary).with_peer(state::role::primary).mask;
    return (wanted.mask & fields) != 0;
}

bool resizes(const volume& target) {
    return target.resizing || target.size_asked;
}

// A volume leaves the connection: it is taken out of the resource.
bool is_removal(const state::state_change& wanted) {
    return wanted == state::state_change{}.with(connection::wf_report_params);
}

} // namespace

outcome outcome_of(verdict result) {
    outcome out;
    out.ok = result >= verdict::success;
    out.is_state_change = true;
    out.code = static_cast<int>(result);
    if (!out.ok) {
        out.text = state::text(result);
        out.remedy = state::remedy(result);
    }
    return out;
}

command_queue::command_queue(machinery& all)
    : all_(all), retry_(all.clock, [this] {
          if (active_) {
              begin(jobs_.front());
          }
      }) {}

void command_queue::change_volume(volume& target, const state::state_change& wanted,
                                  on_outcome done) {
    jobs_.push_back({false, target.number, wanted, std::move(done), false, 0});
    next();
}

void command_queue::change_resource(const state::state_change& wanted, on_outcome done) {
    jobs_.push_back({true, 0, wanted, std::move(done), false, 0});
    next();
}

void command_queue::next() {
    if (active_ || jobs_.empty()) {
        return;
    }
    active_ = true;
    begin(jobs_.front());
}

bool command_queue::needs_peer(const job& current) const {
    if (!all_.link.up || !all_.is_connected()) {
        return false;
    }
    if (!current.whole_resource) {
        const volume* target = all_.find(current.number);
        return target != nullptr && state::needs_cluster_wide(
                                        target->state, state::apply(target->state, current.wanted));
    }
    if (all_.volumes.empty()) {
        return names_connection(current.wanted) &&
               state::disconnect_needs_peer(connection::connected,
                                            state::apply(all_.common, current.wanted).connection);
    }
    for (const auto& [number, each] : all_.volumes) {
        if (state::needs_cluster_wide(each->state, state::apply(each->state, current.wanted))) {
            return true;
        }
    }
    return false;
}

void command_queue::begin(job& current) {
    const volume* target = current.whole_resource ? nullptr : all_.find(current.number);
    if (!current.whole_resource && target == nullptr) {
        finish(verdict::unknown_error);
        return;
    }
    if (target != nullptr && is_removal(current.wanted) && !target->connected()) {
        finish(verdict::nothing_to_do); // there is nothing left to leave
        return;
    }
    // What we would refuse ourselves the peer is not bothered with.
    const verdict own = current.whole_resource ? all_.states.try_change_all(current.wanted)
                                               : all_.states.try_change(*target, current.wanted);
    if (own == verdict::in_transient_state && !std::exchange(current.waited, true)) {
        all_.handshake.when_over([this] { all_.defer([this] { begin(jobs_.front()); }); });
        return;
    }
    if (own < verdict::success || own == verdict::nothing_to_do) {
        finish(own);
        return;
    }
    if (disturbs_resize(target, current.wanted)) {
        try_later(current);
        return;
    }
    if (!needs_peer(current)) {
        finish(apply(current));
        return;
    }
    current.sent = true;
    const wire::state_request request{current.wanted.mask, current.wanted.value};
    if (!current.whole_resource) {
        all_.link.send(channel::data, current.number, command::state_chg_req, request);
        return;
    }
    // Roles are asked for with the first volume, as the in-kernel DRBD does, that the peer has.
    const bool is_connection = names_connection(current.wanted);
    if (is_connection && all_.link.rules.has_ack_flags()) {
        all_.link.send(channel::data, 0, command::conn_st_chg_req, request);
    } else {
        const auto known = std::ranges::find_if(
            all_.volumes, [](const auto& entry) { return entry.second->connected(); });
        all_.link.send(channel::data, known == all_.volumes.end() ? volume_number{0} : known->first,
                       command::state_chg_req, request);
    }
}

// A verify or a full sync: while both nodes are Connected for the sync of a new part to begin. And
// a change of roles, by which both decide who is its source.
bool command_queue::disturbs_resize(const volume* target, const state::state_change& wanted) const {
    if (names_role(wanted) && std::ranges::any_of(all_.volumes, [](const auto& entry) {
            return entry.second->connected() && resizes(*entry.second);
        })) {
        return true;
    }
    return target != nullptr && resizes(*target) && names_connection(wanted) &&
           state::apply(target->state, wanted).connection > connection::connected;
}

verdict command_queue::apply(const job& current) {
    if (current.whole_resource) {
        return all_.states.change_all(current.wanted, state::change_kind::soft);
    }
    volume* target = all_.find(current.number);
    return target == nullptr
               ? verdict::unknown_error
               : all_.states.change(*target, current.wanted, state::change_kind::soft);
}

void command_queue::finish(verdict result) {
    job ended = std::move(jobs_.front());
    jobs_.pop_front();
    active_ = false;
    if (volume* target = all_.find(ended.number)) {
        target->retry_pump = true; // asks_to_detach() held it up
    }
    ended.done(outcome_of(result));
    next();
}

void command_queue::when_answered(std::function<void()> then) {
    if (active_ && jobs_.front().sent) {
        behind_answer_.push_back(std::move(then));
    } else {
        then();
    }
}

void command_queue::heard() {
    for (auto& then : std::exchange(behind_answer_, {})) {
        all_.defer(std::move(then));
    }
}

void command_queue::try_later(job& current) {
    if (current.tries++ >= tries_max) {
        finish(verdict::concurrent_change);
        return;
    }
    retry_.arm(all_.now() + milliseconds(20 + all_.world.random_number() % 80));
}

bool command_queue::asks_about(const volume& target) const {
    return active_ && jobs_.front().sent && !jobs_.front().whole_resource &&
           jobs_.front().number == target.number;
}

bool command_queue::asks_for_sync(const volume& target) const {
    return asks_about(target) && names_connection(jobs_.front().wanted);
}

bool command_queue::asks_for_role() const {
    return active_ && jobs_.front().sent && names_role(jobs_.front().wanted);
}

bool command_queue::asks_to_detach(const volume& target) const {
    return asks_about(target) &&
           state::apply(target.state, jobs_.front().wanted).disk == state::disk::failed;
}

void command_queue::reply_received(std::int32_t code) {
    if (!active_ || !jobs_.front().sent) {
        all_.states.drop_link(connection::protocol_error, "an answer to nothing that was asked");
        return;
    }
    job& current = jobs_.front();
    current.sent = false;
    heard();
    const auto result = static_cast<verdict>(code);
    if (result == verdict::concurrent_change && current.tries < tries_max) {
        // The peer wants to change something itself, and goes first.
        try_later(current);
        return;
    }
    if (result < verdict::success) {
        all_.log(log_level::notice,
                 fmt::format("refused by the peer: {} ({})", state::text(result), code));
        finish(verdict::refused_by_peer);
        return;
    }
    finish(apply(current));
}

void command_queue::link_lost() {
    if (!active_ || !jobs_.front().sent) {
        return;
    }
    // Nobody answers any more: judged again, now that we are alone.
    jobs_.front().sent = false;
    heard();
    all_.defer([this] {
        if (active_ && !jobs_.front().sent) {
            begin(jobs_.front());
        }
    });
}

void command_queue::answer(volume_number number, bool is_connection, verdict result) {
    if (is_connection && all_.link.rules.has_ack_flags()) {
        all_.link.send(channel::meta, 0, command::conn_st_chg_reply,
                       wire::state_reply{static_cast<std::int32_t>(result)});
    } else {
        all_.link.send(channel::meta, number, command::state_chg_reply,
                       wire::state_reply{static_cast<std::int32_t>(result)});
    }
}

void command_queue::request_received(volume& target, const wire::state_request& request) {
    const bool ours_goes_first = active_ && jobs_.front().sent && all_.link.resolve_conflicts;
    if (ours_goes_first) {
        answer(target.number, false, verdict::concurrent_change);
        return;
    }
    const auto wanted = state::to_peer_view({request.mask, request.value});
    if (!wanted) {
        answer(target.number, false, verdict::not_supported);
        return;
    }
    if (disturbs_resize(&target, *wanted)) {
        answer(target.number, false, verdict::concurrent_change);
        return;
    }
    if (peer_removes(target, *wanted)) {
        all_.handshake.peer_removes(target);
        answer(target.number, false, verdict::success);
        return;
    }
    // Below 100 the connection is asked for this way too.
    const auto after = state::apply(target.state, *wanted);
    const bool leaves = after.connection < connection::connected && names_connection(*wanted);
    const verdict result = leaves ? all_.states.change_all(*wanted, state::change_kind::soft)
                                  : all_.states.change(target, *wanted, state::change_kind::soft);
    answer(target.number, false, result);
    if (target.disk != nullptr) {
        target.disk->store_superblock([](bool) {});
    }
}

// A fact rather than a question: the peer's disk is gone, and it takes its volume away whatever the
// answer is.
bool command_queue::peer_removes(const volume& target, const state::state_change& wanted) {
    return is_removal(wanted) && target.connected() &&
           target.state.peer_disk < state::disk::inconsistent;
}

// It was asked before the peer heard that the volume is gone. A disk there is no business of ours
// any more.
void command_queue::request_for_missing(volume_number number, const wire::state_request& request) {
    const auto disks = state::state_change{}.with(state::disk::up_to_date).mask;
    answer(number, false,
           (request.mask & ~disks) == 0 ? verdict::success : verdict::need_connection);
}

void command_queue::connection_request_received(const wire::state_request& request) {
    const bool ours_goes_first = active_ && jobs_.front().sent && all_.link.resolve_conflicts;
    if (ours_goes_first) {
        answer(0, true, verdict::concurrent_change);
        return;
    }
    const auto wanted = state::to_peer_view({request.mask, request.value});
    if (!wanted) {
        answer(0, true, verdict::not_supported);
        return;
    }
    verdict result = all_.states.change_all(*wanted, state::change_kind::soft);
    if (all_.volumes.empty() && result >= verdict::success) {
        all_.common.connection = connection::tear_down;
        result = verdict::success;
    }
    answer(0, true, result);
}

} // namespace lockstep::replica
