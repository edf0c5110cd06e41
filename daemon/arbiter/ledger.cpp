#include "daemon/arbiter/ledger.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace lockstep::arbiter {

namespace {

// The higher version of a record. Two of one version are the same, or something is broken.
template <class Record>
bool replaces(const Record& other, const Record& best) {
    return other.incarnation != 0 && (best.incarnation == 0 || best.at < other.at);
}

// Of the same cluster, or of none yet.
bool belongs(const ledger_state& state, std::uint64_t incarnation) {
    return state.cluster.incarnation == incarnation || state.cluster.incarnation == 0;
}

} // namespace

ledger::ledger(node_id self, const std::optional<ledger_state>& kept, std::uint64_t nonce,
               ledger_ports& ports)
    : self_(self), ports_(ports), state_(kept.value_or(ledger_state{})), nonce_(nonce),
      on_disk_(state_) {}

// --- a configuration becomes a view ---

void ledger::configured(const node_set& members) {
    members_ = members;
    for (const node_id each : members) {
        who_.excused.erase(each);
    }
    nonces_.clear();
    leave_view(phase::gathering);
    start_over();
}

void ledger::alone() {
    members_.clear();
    leave_view(phase::alone);
}

// Everybody tells again what he has.
void ledger::start_over() {
    ports_.broadcast(present{++nonce_});
}

void ledger::leave_view(phase next) {
    const bool was_open = open();
    phase_ = next;
    told_.clear();
    view_ = 0;
    best_ = {};
    who_.voters.clear();
    who_.steady.clear();
    promised_.clear();
    told_promise_ = false;
    told_vote_ = false;
    cluster_ = {};
    resources_.clear();
    if (was_open) {
        ports_.view_moved();
    }
}

void ledger::delivered(node_id from, const message& what) {
    if (!members_.contains(from)) {
        return;
    }
    std::visit([&](const auto& each) { receive(from, each); }, what);
}

void ledger::receive(node_id from, const present& what) {
    const auto known = nonces_.find(from);
    if (known != nonces_.end() && known->second == what.nonce) {
        return;
    }
    nonces_[from] = what.nonce;
    leave_view(phase::gathering);
    if (nonces_.size() == members_.size() && nonces_.at(self_) == nonce_) {
        ports_.broadcast(hello{nonces_, state_, who_.excused, steady_});
    }
}

void ledger::receive(node_id from, const hello& what) {
    const auto own = nonces_.find(self_);
    if (phase_ != phase::gathering || what.nonces != nonces_ || own == nonces_.end() ||
        own->second != nonce_) {
        return; // of an earlier configuration
    }
    told_[from] = what;
    if (told_.size() == members_.size()) {
        weigh();
    }
}

// What all members have is known, to all of them alike.
void ledger::weigh() {
    std::uint64_t newest = 0;
    for (const auto& [node, its] : told_) {
        newest = std::max(newest, its.state.promised);
    }
    // Since somebody said that a node is off it may have come back: who was in the newest view
    // knows.
    who_.excused.clear();
    for (const auto& [node, its] : told_) {
        if (its.state.promised == newest) {
            who_.excused.insert(its.excused.begin(), its.excused.end());
        }
    }
    for (const node_id each : members_) {
        who_.excused.erase(each);
    }
    next_view_ = newest + 1;
    phase_ = phase::minority;
    judge();
}

// Whether the members can form a view, which all of them find alike.
void ledger::judge() {
    std::set<std::uint64_t> clusters;
    for (const auto& [node, its] : told_) {
        if (its.state.cluster.incarnation != 0) {
            clusters.insert(its.state.cluster.incarnation);
        }
    }
    if (clusters.size() > 1) {
        ports_.problem("nodes of different clusters are in one group");
    }
    std::erase_if(clusters, [&](std::uint64_t each) { return !can_form(each); });
    if (clusters.size() != 1 || !belongs(state_, *clusters.begin())) {
        return;
    }
    can_form(*clusters.begin());
    view_ = next_view_;
    phase_ = phase::promising;
    state_.promised = view_;
    save();
}

// Finds what is best of that cluster; whether those who have it can decide.
bool ledger::can_form(std::uint64_t incarnation) {
    best_ = {};
    who_.voters.clear();
    who_.steady.clear();
    for (const auto& [node, its] : told_) {
        if (!belongs(its.state, incarnation)) {
            continue;
        }
        if (its.state.votes) {
            who_.voters.insert(node);
        }
        if (its.steady) {
            who_.steady.insert(node);
        }
        if (replaces(its.state.cluster, best_.cluster)) {
            best_.cluster = its.state.cluster;
        }
        for (const auto& [name, record] : its.state.resources) {
            resource_record& best = best_.resources[name];
            if (record.at == best.at && record.lineage != best.lineage) {
                ports_.problem(fmt::format("two different records of {} have one version", name));
            }
            if (replaces(record, best)) {
                best = record;
            }
        }
    }
    return decided_by(members_);
}

bool ledger::decided_by(const node_set& nodes) const {
    return decisive(open() ? state_.cluster : best_.cluster, nodes, who_);
}

void ledger::receive(node_id from, const promised& what) {
    if (what.view != view_ || phase_ != phase::promising) {
        return;
    }
    promised_.insert(from);
    if (decided_by(promised_)) {
        open_view();
    }
}

void ledger::open_view() {
    phase_ = phase::open;
    steady_ = true;
    state_.cluster = best_.cluster;
    state_.resources = std::move(best_.resources);
    state_.cluster.at.view = view_;
    for (auto& [name, record] : state_.resources) {
        record.at.view = view_;
    }
    save();
    ports_.view_moved();
}

// --- the disk ---

void ledger::save() {
    changed_ = true;
    if (storing_) {
        return;
    }
    changed_ = false;
    storing_ = true;
    on_disk_ = state_;
    ports_.store(on_disk_);
}

void ledger::stored() {
    storing_ = false;
    if (std::exchange(founded_, false) && phase_ != phase::alone) {
        start_over();
    }
    tell_what_is_stored();
    if (changed_) {
        save();
    }
}

void ledger::store_failed() {
    storing_ = false;
    changed_ = true;
    ports_.problem("the record could not be written: this node does not vote until it can");
}

void ledger::retry() {
    if (changed_ && !storing_) {
        save();
    }
}

void ledger::tell_what_is_stored() {
    if (view_ == 0 || on_disk_.promised != view_) {
        return;
    }
    if (phase_ == phase::promising && !std::exchange(told_promise_, true)) {
        ports_.broadcast(promised{view_});
    }
    if (open()) {
        tell_records();
        if (on_disk_.votes && !who_.voters.contains(self_) && !std::exchange(told_vote_, true)) {
            ports_.broadcast(votes_again{view_});
        }
    }
}

void ledger::tell_records() {
    acknowledged all{view_, {}};
    const auto add = [&](const std::string& name, const record_head& record, progress& its) {
        if (record.at.view == view_ && its.told != record.at.counter) {
            its.told = record.at.counter;
            all.records.push_back({name.empty(), name, record.at.counter, record.lineage});
        }
    };
    add("", on_disk_.cluster, cluster_);
    for (const auto& [name, record] : on_disk_.resources) {
        add(name, record, resources_[name]);
    }
    if (!all.records.empty()) {
        ports_.broadcast(all);
    }
}

// --- commits ---

void ledger::receive(node_id from, const acknowledged& what) {
    if (what.view != view_ || !open()) {
        return;
    }
    for (const acknowledged::entry& each : what.records) {
        const auto found = state_.resources.find(each.resource);
        if (!each.cluster && found == state_.resources.end()) {
            continue;
        }
        const record_head& record =
            each.cluster ? static_cast<const record_head&>(state_.cluster) : found->second;
        if (each.counter == record.at.counter && each.lineage != record.lineage) {
            ports_.problem(fmt::format("node {} has another record of {} than this one", from,
                                       each.cluster ? "the cluster" : each.resource));
            continue;
        }
        progress& its = each.cluster ? cluster_ : resources_[each.resource];
        its.acknowledged[from] = each.counter;
        check(each.resource, record, its);
    }
    regain_vote();
}

void ledger::check_all() {
    check("", state_.cluster, cluster_);
    for (const auto& [name, record] : state_.resources) {
        check(name, record, resources_[name]);
    }
    regain_vote();
}

void ledger::check(std::string_view name, const record_head& record, progress& its) {
    if (its.committed) {
        return;
    }
    node_set have;
    for (const auto& [node, counter] : its.acknowledged) {
        if (counter >= record.at.counter) {
            have.insert(node);
        }
    }
    if (!decided_by(have)) {
        return;
    }
    its.committed = true;
    if (&its != &cluster_) {
        ports_.committed(name);
        return;
    }
    ports_.cluster_committed();
    if (!state_.cluster.before.empty() && self_ == *members_.begin()) {
        propose_cluster(finish_nodes{});
    }
}

// What a majority has committed in this view is all that this node could have known.
void ledger::regain_vote() {
    if (state_.votes || !cluster_.committed) {
        return;
    }
    for (const auto& [name, record] : state_.resources) {
        const auto its = resources_.find(name);
        if (its == resources_.end() || !its->second.committed) {
            return;
        }
    }
    state_.votes = true;
    save();
}

void ledger::receive(node_id from, const votes_again& what) {
    if (what.view == view_ && open()) {
        who_.voters.insert(from);
        check_all();
    }
}

void ledger::receive(node_id /*from*/, const excuse& what) {
    if (!knows_all() || members_.contains(what.node)) {
        return; // said in an earlier configuration
    }
    who_.excused.insert(what.node);
    if (phase_ == phase::minority) {
        judge();
    } else if (open()) {
        check_all();
    }
}

// --- changes ---

void ledger::receive(node_id from, const proposal& what) {
    if (!open()) {
        return;
    }
    const circumstances now{from, members_};
    if (what.cluster) {
        auto next = changed(state_.cluster, what.what, now);
        if (what.base == state_.cluster.at && next) {
            state_.cluster = std::move(*next);
            cluster_.committed = false;
            save();
        }
        return;
    }
    const auto found = state_.resources.find(what.resource);
    const resource_record present =
        found != state_.resources.end() ? found->second : resource_record{};
    auto next = changed(present, what.what, now);
    const bool accepted = what.base == present.at && next;
    if (from == self_) {
        ports_.judged(what.resource, accepted);
    }
    if (accepted) {
        next->at.view = view_;
        state_.resources[what.resource] = std::move(*next);
        resources_[what.resource].committed = false;
        save();
    }
}

bool ledger::propose(const std::string& resource, const change& what) {
    const auto found = state_.resources.find(resource);
    const bool is_new = found == state_.resources.end();
    if (!open() || (!is_new && committed_resource(resource) == nullptr)) {
        return false;
    }
    ports_.broadcast(proposal{is_new ? version{} : found->second.at, false, resource, what});
    return true;
}

bool ledger::propose_cluster(const change& what) {
    if (committed_cluster() == nullptr) {
        return false;
    }
    ports_.broadcast(proposal{state_.cluster.at, true, {}, what});
    return true;
}

bool ledger::found_cluster(std::uint64_t incarnation, std::uint32_t votes) {
    const bool others = std::any_of(told_.begin(), told_.end(), [](const auto& each) {
        return each.second.state.cluster.incarnation != 0;
    });
    if (state_.cluster.incarnation != 0 || others || incarnation == 0 || votes == 0) {
        return false;
    }
    state_.votes = true;
    state_.cluster.incarnation = incarnation;
    state_.cluster.nodes = {{self_, votes}};
    founded_ = true;
    save();
    return true;
}

void ledger::say_off(node_id node) {
    if (phase_ != phase::alone && !members_.contains(node)) {
        ports_.broadcast(excuse{node});
    }
}

node_set ledger::off_to_decide() const {
    if (phase_ != phase::minority) {
        return {};
    }
    node_set absent;
    for (const vote_list* list : {&best_.cluster.nodes, &best_.cluster.before}) {
        for (const auto& [node, votes] : *list) {
            if (!members_.contains(node)) {
                absent.insert(node);
            }
        }
    }
    electorate without = who_;
    without.excused.insert(absent.begin(), absent.end());
    return decisive(best_.cluster, members_, without) ? absent : node_set{};
}

const resource_record* ledger::committed_resource(const std::string& name) const {
    const auto its = resources_.find(name);
    return open() && its != resources_.end() && its->second.committed ? &state_.resources.at(name)
                                                                      : nullptr;
}

const cluster_record* ledger::committed_cluster() const {
    return open() && cluster_.committed ? &state_.cluster : nullptr;
}

} // namespace lockstep::arbiter
