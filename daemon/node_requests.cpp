// What programs ask the daemon for.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "daemon/explain.hpp"
#include "daemon/log.hpp"
#include "daemon/node_daemon.hpp"
#include "daemon/random.hpp"
#include "daemon/status.hpp"

namespace lockstep::daemon {

namespace {

constexpr int code_refused = 1;
constexpr const char* not_open =
    "no majority of the nodes that keep the record is here, or there is none yet: lockstep status; "
    "the first node of a cluster: lockstep init";

} // namespace

void node_daemon::asked(client_number who, const request& what) {
    switch (what.what) {
    case verb::status:
        server_->reply(who, {0, status_text(*arbiter_, cluster_, corosync_->now(), facts_)});
        return;
    case verb::init:
    case verb::add_node:
    case verb::remove_node:
        change_cluster(who, what);
        return;
    case verb::create:
        create(who, what);
        return;
    case verb::remove:
        if (!arbiter_->book().propose(what.resource, arbiter::remove_resource{})) {
            refuse(who, not_open);
            return;
        }
        wait_for(who, what.resource, [this, name = what.resource] {
            const auto* const record = arbiter_->book().committed_resource(name);
            return record == nullptr || record->removed;
        });
        return;
    case verb::promote:
    case verb::demote:
        want_primary(who, what);
        return;
    case verb::fence_peer:
        fence_asked(who, what);
        return;
    }
}

void node_daemon::left(client_number who) {
    std::erase_if(waiting_, [who](const waiting_change& each) { return each.who == who; });
    if (const auto found = promoting_.find(who); found != promoting_.end()) {
        const std::string resource = found->second;
        promoting_.erase(found);
        look_at_wishes(resource);
    }
    if (const auto found = fencing_.find(who); found != fencing_.end()) {
        const fence_question its = found->second;
        fencing_.erase(found);
        if (its.reason != fence_reason::own_disk) {
            arbiter_->fence_given_up(its.resource, who);
        }
    }
}

void node_daemon::refuse(client_number who, const std::string& why) {
    server_->reply(who, {code_refused, why});
}

// --- the record ---

void node_daemon::change_cluster(client_number who, const request& what) {
    arbiter::ledger& book = arbiter_->book();
    if (what.what == verb::init) {
        if (!book.found_cluster(random_identity(), what.votes)) {
            refuse(who, "there is a record already, here or on a node whose daemon is here: "
                        "lockstep add-node on a node that keeps it");
            return;
        }
        wait_for(who, {}, [this] { return arbiter_->book().committed_cluster() != nullptr; });
        return;
    }
    const auto* const record = book.committed_cluster();
    if (record == nullptr) {
        refuse(who, not_open);
        return;
    }
    arbiter::vote_list nodes = record->nodes;
    if (what.what == verb::add_node) {
        nodes[*what.node] = what.votes;
    } else {
        nodes.erase(*what.node);
    }
    if (!book.propose_cluster(arbiter::set_nodes{nodes})) {
        refuse(who, not_open);
        return;
    }
    wait_for(who, {}, [this, nodes] {
        const auto* const now_is = arbiter_->book().committed_cluster();
        return now_is != nullptr && now_is->nodes == nodes && now_is->before.empty();
    });
}

void node_daemon::create(client_number who, const request& what) {
    arbiter::ledger& book = arbiter_->book();
    const auto* const record = book.committed_resource(what.resource);
    const bool is_there = record != nullptr && !record->removed;
    if (is_there && (!what.node || !record->in_sync.empty())) {
        refuse(who, fmt::format("resource {} has a record already", what.resource));
        return;
    }
    const arbiter::change next = is_there
                                     ? arbiter::change(arbiter::found_set{*what.node})
                                     : arbiter::change(arbiter::create_resource{random_identity()});
    if (!book.propose(what.resource, next)) {
        refuse(who, not_open);
        return;
    }
    // In two steps, if a first member is named: the second when the first is committed.
    wait_for(who, what.resource, [this, what, founding = is_there]() mutable {
        const auto* const now_is = arbiter_->book().committed_resource(what.resource);
        if (now_is == nullptr || now_is->removed) {
            return false;
        }
        if (!what.node || now_is->in_sync.contains(*what.node)) {
            return true;
        }
        if (!std::exchange(founding, true)) {
            arbiter_->book().propose(what.resource, arbiter::found_set{*what.node});
        }
        return false;
    });
}

// --- who is primary ---

void node_daemon::want_primary(client_number who, const request& what) {
    if (!resources_.contains(what.resource)) {
        refuse(who, fmt::format("resource {} is not one of this node, or its other host is no node "
                                "of corosync's nodelist",
                                what.resource));
        return;
    }
    if (what.what == verb::demote) {
        commands_->run(what.resource, engines::command::demote,
                       [this, who](const engines::command_end& end) {
                           server_->reply(who, {end.good() ? 0 : code_refused, end.complaint});
                       });
        return;
    }
    log_notice(fmt::format("resource {}: this node is asked to be primary", what.resource));
    promoting_[who] = what.resource;
    look_at_wishes(what.resource);
    wait_for(who, what.resource, [this, name = what.resource] { return is_primary_here(name); });
}

bool node_daemon::is_primary_here(const std::string& resource) const {
    const auto found = facts_.find(resource);
    const auto* const record = arbiter_->book().committed_resource(resource);
    return found != facts_.end() && found->second.primary && record != nullptr &&
           record->primary == cluster_.self;
}

// Only from one that has died: where somebody has demoted it the record has no primary.
bool node_daemon::is_to_take_over(const configured_resource& its) const {
    const auto* const record = arbiter_->book().committed_resource(its.name);
    const auto engine = facts_.find(its.name);
    return settings_.take_over && its.protects && !its.two_primaries && record != nullptr &&
           record->primary && !arbiter_->book().members().contains(*record->primary) &&
           record->in_sync.contains(cluster_.self) && engine != facts_.end() &&
           engine->second.up_to_date && !engine->second.primary && !engine->second.peer_primary;
}

// A wish lasts until it is fulfilled, or nobody has it any more: an administrator who demotes this
// node later is not fought.
void node_daemon::look_at_wishes(const std::string& resource) {
    const auto its = resources_.find(resource);
    if (its == resources_.end()) {
        return;
    }
    const bool asked = std::any_of(promoting_.begin(), promoting_.end(),
                                   [&](const auto& each) { return each.second == resource; });
    const auto* const record = arbiter_->book().committed_resource(resource);
    // Once it is claimed this is to be ended, also through a change of the view.
    const bool claimed = record == nullptr || record->primary == cluster_.self;
    const bool before = wished_.contains(resource);
    const bool now_is = !is_primary_here(resource) &&
                        (asked || is_to_take_over(its->second) || (before && claimed));
    if (now_is == before) {
        return;
    }
    if (now_is) {
        wished_.insert(resource);
        log_notice(fmt::format("resource {}: this node is to be primary", resource));
    } else {
        wished_.erase(resource);
    }
    arbiter_->want_primary(resource, now_is);
}

void node_daemon::fence_asked(client_number who, const request& what) {
    if (arbiter_->resource(what.resource) == nullptr) {
        refuse(who, fmt::format("resource {} is not one that this daemon serves: is its other host "
                                "in corosync's nodelist?",
                                what.resource));
        return;
    }
    fencing_[who] = {what.resource, what.reason};
    if (what.reason == fence_reason::own_disk) {
        look_at_own_disks(what.resource);
        return;
    }
    using cause = arbiter::resource_arbiter::fence_cause;
    arbiter_->fence_asked(what.resource, who,
                          what.reason == fence_reason::peer_disk ? cause::disk : cause::link);
}

// The record without this node, which has a disk no more: the arbiter sees to that by itself.
void node_daemon::look_at_own_disks(const std::string& resource) {
    const auto* const record = arbiter_->book().committed_resource(resource);
    if (record == nullptr || record->in_sync.contains(cluster_.self)) {
        return;
    }
    std::vector<client_number> answered;
    std::erase_if(fencing_, [&](const auto& each) {
        const bool is_it =
            each.second.resource == resource && each.second.reason == fence_reason::own_disk;
        if (is_it) {
            answered.push_back(each.first);
        }
        return is_it;
    });
    for (const client_number who : answered) {
        server_->reply(who, {static_cast<int>(arbiter::fence_answer::outdated), {}});
    }
}

// --- who waits for a change ---

void node_daemon::wait_for(client_number who, const std::string& resource,
                           std::function<bool()> done) {
    waiting_.push_back({who, resource, std::move(done)});
    look_at_waiting();
}

void node_daemon::look_at_waiting() {
    std::vector<client_number> answered;
    std::erase_if(waiting_, [&](const waiting_change& each) {
        if (!each.done()) {
            return false;
        }
        answered.push_back(each.who);
        return true;
    });
    // A reply may end its client, which leaves.
    for (const client_number who : answered) {
        server_->reply(who, {0, {}});
    }
}

} // namespace lockstep::daemon
