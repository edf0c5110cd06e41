#include "daemon/arbiter/resource_arbiter.hpp"

#include <algorithm>
#include <utility>

namespace lockstep::arbiter {

resource_arbiter::resource_arbiter(resource_settings settings, resource_ports& ports)
    : settings_(std::move(settings)), ports_(ports), dropped_(settings_.link_dropped) {}

// --- what happens ---

void resource_arbiter::engine(const engine_facts& now) {
    if (!engine_ || engine_->connection != now.connection || engine_->connected != now.connected) {
        forget_peer();
        promoting_ = promoting_ && commanded_; // nobody says that a promotion by hand has failed
    }
    if (!engine_ || engine_->stands_alone != now.stands_alone || engine_->started != now.started) {
        connecting_ = false;
        dropping_ = false;
    }
    if (!engine_ || engine_->primary != now.primary || engine_->started != now.started ||
        !now.running) {
        demoting_ = false;
        promoting_ = false;
    }
    engine_ = now;
    look();
}

void resource_arbiter::fence_asked(std::uint64_t request, fence_cause cause) {
    const resource_record* const record = ports_.record();
    fence_request& its = requests_[request];
    its.cause = cause;
    // If no loss is known, it is the next.
    its.connection = engine_ ? engine_->connection + (engine_->connected ? 1 : 0) : 0;
    its.since = record != nullptr ? std::optional(record->at) : std::nullopt;
    look();
}

void resource_arbiter::fence_given_up(std::uint64_t request) {
    requests_.erase(request);
    look();
}

void resource_arbiter::record_committed() {
    proposed_ = false;
    look();
}

void resource_arbiter::view_moved() {
    proposed_ = false;
    outdating_.reset();
    forget_peer();
    look();
}

void resource_arbiter::judged(bool accepted) {
    proposed_ = accepted;
    look();
}

// What was found out about the peer holds for one view and one loss of the link, except that it is
// off: then it has neither.
void resource_arbiter::forget_peer() {
    if (peer_ != peer_state::off || peer_is_here() || (engine_ && engine_->connected)) {
        peer_ = peer_state::unknown;
    }
}

void resource_arbiter::fenced(node_id node, bool done) {
    if (node == settings_.peer && peer_ == peer_state::fencing) {
        peer_ = done ? peer_state::off : peer_state::gone;
    }
    look();
}

void resource_arbiter::promoted(bool done) {
    commanded_ = false;
    promoting_ = promoting_ && done;
    look();
}

void resource_arbiter::timer() {
    look();
}

void resource_arbiter::want_primary(bool wanted) {
    wanted_ = wanted;
    look();
}

// --- the peer's primary asks for our disk ---

void resource_arbiter::told(node_id from, const outdate_request& what) {
    const resource_record* const record = ports_.record();
    // Of the primary of this very record: anybody else's question comes too late.
    if (from != settings_.peer || record == nullptr || record->at != what.at ||
        record->primary != from || !engine_ || engine_->primary) {
        return;
    }
    outdating_ = what;
    outdate();
}

void resource_arbiter::outdate() {
    if (!std::exchange(outdate_commanded_, true)) {
        ports_.command(engine_command::outdate);
    }
}

void resource_arbiter::outdated(bool done) {
    outdate_commanded_ = false;
    const auto asked = std::exchange(outdating_, std::nullopt);
    if (asked && done) {
        ports_.tell(outdate_confirmed{asked->resource, asked->at});
    }
    look();
}

void resource_arbiter::told(node_id from, const outdate_confirmed& what) {
    const resource_record* const record = ports_.record();
    if (from == settings_.peer && peer_ == peer_state::asked && record != nullptr &&
        record->at == what.at) {
        peer_ = peer_state::outdated;
    }
    look();
}

// --- what is due ---

void resource_arbiter::look() {
    ports_.set_timer(never);
    drop_void_requests();
    const resource_record* const record = ports_.record();
    if (!engine_ || record == nullptr || proposed_) {
        wait_for(!engine_            ? reason::no_engine
                 : record == nullptr ? reason::no_majority
                                     : reason::commit);
        return;
    }
    wait_for(reason::nothing);
    let_peer_back(*record);
    if (give_way(*record) || keep_set(*record)) {
        return;
    }
    if (link_is_awaited()) {
        wait_for(reason::link);
    } else if (!requests_.empty()) {
        answer_engine(*record);
    } else if (!engine_->primary) {
        become_primary(*record);
    }
}

// A Primary that the record is without. (The record's primary may be outside of its set: it lost
// its disk, and works through the peer's.)
bool resource_arbiter::give_way(const resource_record& record) {
    const node_id self = settings_.self;
    const bool without = record.primary
                             ? record.primary != self && ports_.members().contains(*record.primary)
                             : !record.in_sync.contains(self);
    const bool replaced =
        record.primary && record.primary != self && !record.in_sync.contains(self);
    if (!engine_->primary || !(without || replaced)) {
        return false;
    }
    wait_for(without ? reason::other_primary : reason::not_in_sync);
    answer_all(fence_answer::self);
    if (!std::exchange(demoting_, true)) {
        keep_dropped(true);
        ports_.command(engine_command::demote_with_errors);
    }
    return true;
}

// The record follows what this node's engine is and has.
bool resource_arbiter::keep_set(const resource_record& record) {
    const node_id self = settings_.self;
    const bool holds = record.primary == self;
    const bool member = record.in_sync.contains(self);
    if (engine_->primary && !holds) {
        propose(claim{false});
        return true;
    }
    if (holds && !engine_->primary && !promoting_ && !wanted_ && requests_.empty()) {
        propose(resign{});
        return true;
    }
    if (!engine_->running) {
        wait_for(reason::no_engine);
        return false;
    }
    if (member && !engine_->up_to_date && record.in_sync.size() > 1) {
        propose(leave_set{self});
        return true;
    }
    if (is_to_be_outdated(record)) {
        wait_for(reason::not_in_sync);
        // Who waits to be promoted by hand waits for nothing, and the engine for them.
        answer_all(fence_answer::self);
        outdate();
        return true;
    }
    // Only who has everything himself can say that somebody else has.
    const bool may_add = member && engine_->up_to_date && (holds || !record.primary);
    if (may_add && engine_->connected && engine_->peer_up_to_date && requests_.empty() &&
        !record.in_sync.contains(settings_.peer)) {
        propose(join_set{settings_.peer});
        return true;
    }
    return false;
}

// What the members of the set hold is newer, or is to be taken for it; the engines do not know that
// as long as no write was made without this node.
bool resource_arbiter::is_to_be_outdated(const resource_record& record) const {
    return !record.in_sync.contains(settings_.self) && !record.in_sync.empty() &&
           engine_->up_to_date && !engine_->primary && !engine_->connected && !promoting_;
}

// --- the engine has lost its peer, and waits ---

// A question about the link is of one loss of it.
void resource_arbiter::drop_void_requests() {
    std::erase_if(requests_, [&](const auto& each) {
        const fence_request& its = each.second;
        const bool over = engine_ && its.cause == fence_cause::link &&
                          (engine_->connection > its.connection ||
                           (engine_->connected && engine_->connection == its.connection));
        if (over) {
            ports_.answer(each.first, fence_answer::void_now);
        }
        return over;
    });
}

// The handler has asked, and the engine's word of it is on its way.
bool resource_arbiter::link_is_awaited() const {
    return engine_->connected &&
           std::any_of(requests_.begin(), requests_.end(),
                       [](const auto& each) { return each.second.cause == fence_cause::link; });
}

void resource_arbiter::answer_engine(const resource_record& record) {
    if (!engine_->primary) {
        become_primary(record); // it asks before it is promoted
        return;
    }
    if (!settle_peer(record)) {
        return;
    }
    const bool excluded = !record.in_sync.contains(settings_.peer);
    const bool fresh = std::all_of(requests_.begin(), requests_.end(), [&](const auto& each) {
        return !each.second.since || *each.second.since < record.at;
    });
    if (!excluded || !fresh) {
        propose(leave_set{settings_.peer});
        return;
    }
    answer_all(peer_ == peer_state::outdated ? fence_answer::outdated
               : peer_ == peer_state::off    ? fence_answer::fenced
                                             : fence_answer::unreachable);
}

// Whether it is known how the peer was left out.
bool resource_arbiter::settle_peer(const resource_record& record) {
    if (peer_ == peer_state::asked) {
        const instant until = asked_ + settings_.outdate_limit;
        if (ports_.now() < until) {
            wait_for(reason::outdating);
            ports_.set_timer(until);
            return false;
        }
        peer_ = peer_state::gone;
    }
    if (peer_ == peer_state::fencing) {
        wait_for(reason::fencing);
        return false;
    }
    if (peer_ != peer_state::unknown) {
        return true;
    }
    if (peer_is_here()) {
        peer_ = peer_state::asked;
        asked_ = ports_.now();
        wait_for(reason::outdating);
        ports_.set_timer(asked_ + settings_.outdate_limit);
        ports_.tell(outdate_request{settings_.name, record.at});
        return false;
    }
    peer_ = settings_.fencing_device ? peer_state::fencing : peer_state::gone;
    if (peer_ == peer_state::fencing) {
        wait_for(reason::fencing);
        ports_.fence(settings_.peer);
        return false;
    }
    return true;
}

void resource_arbiter::answer_all(fence_answer with) {
    for (const auto& [request, its] : std::exchange(requests_, {})) {
        ports_.answer(request, with);
    }
}

// --- to be primary ---

resource_arbiter::reason resource_arbiter::obstacle(const resource_record& record) const {
    if (!wanted_ && requests_.empty()) {
        return reason::not_wanted;
    }
    if (!engine_->running) {
        return reason::no_engine;
    }
    if (record.primary && record.primary != settings_.self &&
        ports_.members().contains(*record.primary)) {
        return reason::other_primary;
    }
    // Its daemon may be gone from the group while it is well.
    if (engine_->connected && engine_->peer_primary) {
        return reason::link_shows_primary;
    }
    if (!record.in_sync.contains(settings_.self)) {
        return reason::not_in_sync;
    }
    // What was commanded for somebody else's record still takes its effect.
    return engine_->up_to_date && !outdate_commanded_ ? reason::nothing : reason::disk;
}

void resource_arbiter::become_primary(const resource_record& record) {
    if (const reason why = obstacle(record); why != reason::nothing) {
        wait_for(why);
        // Whoever promotes by hand is told so, and does not wait for what may never come.
        answer_all(why == reason::not_in_sync ? fence_answer::self : fence_answer::void_now);
        return;
    }
    const bool alone = !(engine_->connected && peer_is_here());
    if (alone && drop_link()) {
        return;
    }
    const bool claimed =
        record.primary == settings_.self && (!alone || record.in_sync == node_set{settings_.self});
    if (!claimed) {
        // A link that stands alone already does so by somebody else's wish.
        if (alone && !engine_->stands_alone) {
            keep_dropped(true);
        }
        propose(claim{alone});
        return;
    }
    if (alone && wait_for_lease()) {
        return;
    }
    if (!requests_.empty()) {
        if (settle_peer(record)) {
            promoting_ = true; // it goes on with its promotion when it has its answer
            answer_all(peer_ == peer_state::outdated ? fence_answer::outdated
                       : peer_ == peer_state::off    ? fence_answer::fenced
                                                     : fence_answer::unreachable);
        }
        return;
    }
    wait_for(reason::promotion);
    if (!std::exchange(promoting_, true)) {
        commanded_ = true;
        ports_.command(engine_command::promote);
    }
}

bool resource_arbiter::drop_link() {
    if (!engine_->connected) {
        return false;
    }
    wait_for(reason::link);
    if (!std::exchange(dropping_, true)) {
        keep_dropped(true);
        ports_.command(engine_command::drop_link);
    }
    return true;
}

// The link is this daemon's matter from a promotion without the peer, or a demotion in favour of
// it, until the two are connected again: an engine that meets a second Primary gives up by itself.
void resource_arbiter::let_peer_back(const resource_record& record) {
    const node_id self = settings_.self;
    const bool replaced =
        record.primary && record.primary != self && ports_.members().contains(*record.primary);
    const bool over =
        engine_->primary ? record.primary == self : replaced || (!wanted_ && requests_.empty());
    if (!dropped_ || !over) {
        return;
    }
    if (engine_->connected) {
        if (!dropping_) {
            keep_dropped(false);
        }
    } else if (engine_->stands_alone && !is_to_be_outdated(record) &&
               !std::exchange(connecting_, true)) {
        ports_.command(engine_command::connect);
    }
}

void resource_arbiter::keep_dropped(bool dropped) {
    if (std::exchange(dropped_, dropped) != dropped) {
        ports_.keep_dropped(dropped);
    }
}

// From the loss of the link, or from the start of an engine that never had one.
bool resource_arbiter::wait_for_lease() {
    const instant until = std::max(engine_->separated, engine_->started) + settings_.lease;
    if (ports_.now() >= until) {
        return false;
    }
    wait_for(reason::lease);
    ports_.set_timer(until);
    return true;
}

void resource_arbiter::propose(const change& what) {
    wait_for(reason::commit);
    proposed_ = ports_.propose(what);
}

} // namespace lockstep::arbiter
