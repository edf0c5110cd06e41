#include "daemon/arbiter/arbiter.hpp"

#include <algorithm>

namespace lockstep::arbiter {

// One resource's way to the rest of the arbiter.
struct arbiter::seat final : resource_ports {
    seat(arbiter& in, const resource_settings& settings)
        : of(in), name(settings.name), device(settings.fencing_device), its(settings, *this) {}

    const resource_record* record() const override { return of.book_.committed_resource(name); }
    const node_set& members() const override { return of.book_.members(); }
    bool propose(const change& what) override { return of.book_.propose(name, what); }
    void tell(const outdate_request& what) override { of.ports_.broadcast(what); }
    void tell(const outdate_confirmed& what) override { of.ports_.broadcast(what); }
    void command(engine_command what) override { of.ports_.command(name, what); }
    void answer(std::uint64_t request, fence_answer with) override {
        of.ports_.answer(name, request, with);
    }
    void fence(node_id node) override { of.ask_to_fence(node); }
    void keep_dropped(bool dropped) override { of.ports_.keep_dropped(name, dropped); }
    void set_timer(instant when) override { wakes = when; }
    instant now() const override { return of.ports_.now(); }

    arbiter& of;
    const std::string name;
    const bool device;
    instant wakes = never;
    resource_arbiter its;
};

arbiter::arbiter(node_id self, const std::optional<ledger_state>& kept, std::uint64_t nonce,
                 arbiter_ports& ports)
    : ports_(ports), book_(self, kept, nonce, *this) {}

arbiter::~arbiter() = default;

void arbiter::serve(const resource_settings& settings) {
    seats_[settings.name] = std::make_unique<seat>(*this, settings);
}

void arbiter::serve_no_more(const std::string& resource) {
    seats_.erase(resource);
    take_up();
}

resource_arbiter* arbiter::find(const std::string& name) {
    const auto found = seats_.find(name);
    return found != seats_.end() ? &found->second->its : nullptr;
}

const resource_arbiter* arbiter::resource(const std::string& name) const {
    const auto found = seats_.find(name);
    return found != seats_.end() ? &found->second->its : nullptr;
}

// --- the group and the disk ---

void arbiter::configured(const node_set& members) {
    // Who is here is on again. What is known of the others is told to the new group.
    for (const node_id each : members) {
        off_.erase(each);
    }
    book_.configured(members);
    for (const node_id each : off_) {
        book_.say_off(each);
    }
    take_up();
}

void arbiter::alone() {
    book_.alone();
    take_up();
}

void arbiter::delivered(node_id from, const message& what) {
    if (const auto* asked = std::get_if<outdate_request>(&what)) {
        if (resource_arbiter* const its = find(asked->resource)) {
            its->told(from, *asked);
        }
    } else if (const auto* done = std::get_if<outdate_confirmed>(&what)) {
        if (resource_arbiter* const its = find(done->resource)) {
            its->told(from, *done);
        }
    } else {
        book_.delivered(from, what);
    }
    take_up();
}

void arbiter::stored() {
    book_.stored();
    take_up();
}

void arbiter::store_failed() {
    book_.store_failed();
    take_up();
}

void arbiter::retry() {
    book_.retry();
    take_up();
}

void arbiter::committed(std::string_view resource) {
    ports_.committed(*committed_.emplace(resource).first);
}

void arbiter::judged(std::string_view resource, bool accepted) {
    judged_.emplace_back(resource, accepted);
}

// What the ledger has said meanwhile reaches the resources, and what they ask for goes on.
void arbiter::take_up() {
    if (std::exchange(moved_, false)) {
        for (auto& [name, each] : seats_) {
            each->its.view_moved();
        }
    }
    for (const auto& [name, accepted] : std::exchange(judged_, {})) {
        if (resource_arbiter* const its = find(name)) {
            its->judged(accepted);
        }
    }
    for (const std::string& name : std::exchange(committed_, {})) {
        if (resource_arbiter* const its = find(name)) {
            its->record_committed();
        }
    }
    while (!known_off_.empty()) {
        for (const node_id node : std::exchange(known_off_, {})) {
            tell_fenced(node, true);
        }
    }
    fence_to_decide();
    set_timers();
}

// --- fencing ---

void arbiter::ask_to_fence(node_id node) {
    if (off_.contains(node)) {
        known_off_.insert(node);
    } else if (fencing_.insert(node).second) {
        ports_.fence(node);
    }
}

// Where half of the votes are here, the others decide by being off: asked for only when something
// cannot go on without.
void arbiter::fence_to_decide() {
    const bool wanted = std::any_of(seats_.begin(), seats_.end(), [](const auto& each) {
        return each.second->device && each.second->its.wants_majority();
    });
    if (!wanted) {
        return;
    }
    for (const node_id each : book_.off_to_decide()) {
        if (!off_.contains(each)) {
            ask_to_fence(each);
        }
    }
}

void arbiter::fenced(node_id node, bool done) {
    fencing_.erase(node);
    if (done && !book_.members().contains(node)) {
        off_.insert(node);
        book_.say_off(node);
    }
    tell_fenced(node, done);
    take_up();
}

void arbiter::tell_fenced(node_id node, bool done) {
    for (auto& [name, each] : seats_) {
        each->its.fenced(node, done);
    }
}

// --- time ---

void arbiter::set_timers() {
    instant first = never;
    for (const auto& [name, each] : seats_) {
        first = std::min(first, each->wakes);
    }
    ports_.set_timer(first);
}

void arbiter::timer() {
    for (auto& [name, each] : seats_) {
        if (each->wakes <= ports_.now()) {
            each->its.timer();
        }
    }
    take_up();
}

// --- one resource's events ---

void arbiter::engine(const std::string& resource, const engine_facts& now) {
    if (resource_arbiter* const its = find(resource)) {
        its->engine(now);
    }
    take_up();
}

void arbiter::fence_asked(const std::string& resource, std::uint64_t request,
                          resource_arbiter::fence_cause cause) {
    if (resource_arbiter* const its = find(resource)) {
        its->fence_asked(request, cause);
    }
    take_up();
}

void arbiter::fence_given_up(const std::string& resource, std::uint64_t request) {
    if (resource_arbiter* const its = find(resource)) {
        its->fence_given_up(request);
    }
    take_up();
}

void arbiter::outdated(const std::string& resource, bool done) {
    if (resource_arbiter* const its = find(resource)) {
        its->outdated(done);
    }
    take_up();
}

void arbiter::promoted(const std::string& resource, bool done) {
    if (resource_arbiter* const its = find(resource)) {
        its->promoted(done);
    }
    take_up();
}

void arbiter::want_primary(const std::string& resource, bool wanted) {
    if (resource_arbiter* const its = find(resource)) {
        its->want_primary(wanted);
    }
    take_up();
}

} // namespace lockstep::arbiter
