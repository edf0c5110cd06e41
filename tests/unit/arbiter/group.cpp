#include "unit/arbiter/group.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "daemon/arbiter/codec.hpp"

namespace lockstep::arbiter::test {

// --- a member ---

void member::store(const ledger_state& state) {
    if (storing) {
        in_.problem(*this, "two stores at once");
    }
    storing = state;
}

void member::committed(const std::string& resource) {
    in_.committed(*this, resource, *book->committed_resource(resource));
}

void member::cluster_committed() {
    in_.committed(*this, "", *book->committed_cluster());
}

void member::command(const std::string& /*resource*/, engine_command what) {
    around->command(id_, what);
}

void member::answer(const std::string& /*resource*/, std::uint64_t request, fence_answer with) {
    around->answer(id_, request, with);
}

void member::keep_dropped(const std::string& /*resource*/, bool dropped) {
    around->keep_dropped(id_, dropped);
}

void member::fence(node_id node) {
    around->fence(id_, node);
}

void member::set_timer(instant when) {
    if (around != nullptr) {
        around->set_timer(id_, when);
    }
}

instant member::now() const {
    return around != nullptr ? around->now() : 0;
}

void member::problem(const std::string& what) {
    in_.problem(*this, what);
}

void member::start() {
    mind = std::make_unique<arbiter>(id_, disk, in_.random_(), *this);
    book = &mind->book();
}

void member::stop(bool last_store_arrives) {
    if (storing && last_store_arrives) {
        disk = storing;
    }
    storing.reset();
    mind.reset();
    book = nullptr;
    outbox.clear();
    in_ring = false;
}

// --- the group ---

group::group(std::uint64_t seed, node_id nodes) : random_(seed) {
    rings_.emplace_back();
    for (node_id id = 1; id <= nodes; ++id) {
        members_.push_back(std::make_unique<member>(*this, id));
        members_.back()->start();
    }
    reconfigure();
}

unsigned group::part_of(node_id node) const {
    const auto found = parts_.find(node);
    return found == parts_.end() ? 0 : found->second;
}

void group::split(const std::map<node_id, unsigned>& parts) {
    parts_ = parts;
    reconfigure();
}

void group::crash(node_id node, bool with_state) {
    at(node).stop(one_in(2));
    if (!with_state) {
        at(node).disk.reset();
    }
    reconfigure();
}

void group::start(node_id node) {
    at(node).start();
    reconfigure();
}

// New rings wherever the members of a ring are not those who hear each other.
void group::reconfigure() {
    std::map<unsigned, node_set> heard;
    for (const auto& each : members_) {
        if (each->up()) {
            heard[part_of(each->id())].insert(each->id());
        }
    }
    for (const auto& part : heard) {
        const node_set& nodes = part.second;
        const bool same = std::all_of(nodes.begin(), nodes.end(), [&](node_id node) {
            return at(node).in_ring && rings_[at(node).ring].members == nodes &&
                   at(node).ring == at(*nodes.begin()).ring;
        });
        if (same) {
            continue;
        }
        std::map<std::size_t, std::vector<member*>> from;
        for (const node_id node : nodes) {
            if (at(node).in_ring) {
                from[at(node).ring].push_back(&at(node));
            }
        }
        const std::size_t next = rings_.size();
        rings_.push_back({nodes, {}});
        for (const auto& [old, some] : from) {
            go_together(some);
        }
        for (const node_id node : nodes) {
            at(node).ring = next;
            at(node).position = 0;
            at(node).in_ring = true;
            at(node).mind->configured(nodes);
        }
    }
}

// Those who leave a ring together have delivered the same of it: at least all that one of them has
// delivered or sent.
void group::go_together(const std::vector<member*>& some) {
    const ring& old = rings_[some.front()->ring];
    std::size_t least = 0;
    for (const member* each : some) {
        least = std::max(least, each->position);
        for (std::size_t i = 0; i < old.order.size(); ++i) {
            if (old.order[i].from == each->id()) {
                least = std::max(least, i + 1);
            }
        }
    }
    const std::size_t end = least + pick(old.order.size() - least + 1);
    for (member* each : some) {
        while (each->position < end) {
            deliver(*each);
        }
    }
}

void group::deliver(member& to) {
    const sent what = rings_[to.ring].order[to.position++];
    const ledger_state before = to.book->state();
    to.mind->delivered(what.from, what.what);
    note_changes(before, to.book->state());
}

void group::order(member& from) {
    const auto read = decode_message(encode(from.outbox.front()));
    if (!read) {
        problem(from, read.error().text());
        return;
    }
    rings_[from.ring].order.push_back({from.id(), *read});
    from.outbox.pop_front();
}

std::vector<group::action> group::possible() const {
    std::vector<action> all;
    for (const auto& each : members_) {
        if (!each->up()) {
            continue;
        }
        if (!each->outbox.empty()) {
            all.push_back({kind::order, each.get()});
        }
        if (each->position < rings_[each->ring].order.size()) {
            all.push_back({kind::deliver, each.get()});
        }
        if (each->storing) {
            all.push_back({kind::store, each.get()});
        }
    }
    return all;
}

void group::action::run(group& in) const {
    switch (what) {
    case kind::order:
        in.order(*by);
        return;
    case kind::deliver:
        in.deliver(*by);
        return;
    case kind::store:
        in.finish_store(by->id());
        return;
    }
}

bool group::step() {
    const auto all = possible();
    if (all.empty() || !fault_.empty()) {
        return false;
    }
    all[pick(all.size())].run(*this);
    return true;
}

void group::deliver_everything() {
    for (;;) {
        auto all = possible();
        std::erase_if(all, [](const action& each) { return each.what == kind::store; });
        if (all.empty()) {
            return;
        }
        all[pick(all.size())].run(*this);
    }
}

void group::finish_store(node_id node) {
    const auto kept = decode_state(encode(*at(node).storing));
    if (!kept || *kept != *at(node).storing) {
        problem(at(node), "what is read from the disk is not what was written");
        return;
    }
    at(node).disk = *kept;
    at(node).storing.reset();
    at(node).mind->stored();
}

void group::run(std::size_t steps) {
    std::set<std::pair<kind, node_id>> held;
    for (const auto& each : members_) {
        for (const kind what : {kind::order, kind::deliver, kind::store}) {
            if (one_in(4)) {
                held.emplace(what, each->id());
            }
        }
    }
    for (std::size_t i = 0; i < steps && fault_.empty(); ++i) {
        auto all = possible();
        std::erase_if(all, [&](const action& each) {
            return held.contains({each.what, each.by->id()});
        });
        if (all.empty()) {
            return;
        }
        all[pick(all.size())].run(*this);
    }
}

void group::settle() {
    while (step()) {
    }
}

void group::note_changes(const ledger_state& before, const ledger_state& after) {
    const auto note = [&](const std::string& name, const record_head& was, const record_head& is) {
        if (is.at.counter == was.at.counter + 1) {
            made_from_[name].emplace(is.lineage, was.lineage);
        }
    };
    note("", before.cluster, after.cluster);
    for (const auto& [name, record] : after.resources) {
        const auto found = before.resources.find(name);
        note(name, found == before.resources.end() ? resource_record{} : found->second, record);
    }
}

bool group::grew_from(const std::string& name, std::uint64_t lineage, std::uint64_t ancestor,
                      std::uint64_t steps) const {
    const auto of = made_from_.find(name);
    for (; steps > 0; --steps) {
        if (of == made_from_.end() || !of->second.contains(lineage)) {
            return false;
        }
        lineage = of->second.at(lineage);
    }
    return lineage == ancestor;
}

void group::committed(member& by, const std::string& name, const record_head& record) {
    ++commits_;
    auto& known = committed_[name];
    for (const auto& [counter, lineage] : known) {
        const bool later = record.at.counter >= counter;
        const bool one =
            later ? grew_from(name, record.lineage, lineage, record.at.counter - counter)
                  : grew_from(name, lineage, record.lineage, counter - record.at.counter);
        if (!one) {
            problem(by, fmt::format("\"{}\" at {} and at {} are two histories", name,
                                    record.at.counter, counter));
        }
    }
    // The last one stands for those before it.
    if (known.empty() || known.begin()->first < record.at.counter) {
        known = {{record.at.counter, record.lineage}};
    }
}

void group::problem(member& by, const std::string& what) {
    if (fault_.empty()) {
        fault_ = fmt::format("node {}: {}", by.id(), what);
    }
}

} // namespace lockstep::arbiter::test
