#include "unit/arbiter/world.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace lockstep::arbiter::test {

namespace {

constexpr instant lease = 3'000;
constexpr instant outdate_limit = 4'000;
const std::string name = "data";

} // namespace

world::world(std::uint64_t seed, node_id nodes, bool fencing_device)
    : nodes_(seed, nodes), device_(fencing_device), timers_(nodes + 1, never) {
    nodes_.settle();
    nodes_.at(1).book->found_cluster(0xC1, 1);
    nodes_.settle();
    vote_list all;
    for (node_id node = 1; node <= nodes; ++node) {
        all[node] = 1;
        nodes_.at(node).around = this;
    }
    for (const auto& [resource, what] :
         std::vector<std::pair<std::string, change>>{{"", set_nodes{all}},
                                                     {name, create_resource{7}},
                                                     {name, found_set{1}},
                                                     {name, join_set{2}}}) {
        if (resource.empty()) {
            nodes_.at(1).book->propose_cluster(what);
        } else {
            nodes_.at(1).book->propose(resource, what);
        }
        nodes_.settle();
    }
    for (node_id node = 1; node <= 2; ++node) {
        start_engine(node);
        start_daemon(node);
    }
}

void world::wrong(const std::string& what) {
    if (fault_.empty()) {
        fault_ = what;
    }
}

bool world::really_connected() {
    return link_ && of(1).running && of(2).running && of(1).connected && of(2).connected;
}

bool world::in_set(node_id node) {
    const resource_record* const record =
        daemon_up(node) ? nodes_.at(node).book->committed_resource(name) : nullptr;
    return record == nullptr || record->in_sync.contains(node);
}

// Whether a generation was made from the other one.
bool world::older(std::uint64_t one, std::uint64_t than) const {
    while (than != 0 && than != one) {
        than = parents_.at(than);
    }
    return than == one;
}

// --- daemons ---

void world::start_daemon(node_id node) {
    if (!daemon_up(node)) {
        nodes_.start(node);
    }
    nodes_.at(node).mind->serve(
        {name, node, other(node), lease, outdate_limit, device_, of(node).dropped});
    of(node).asked = false; // the handler connects again
    of(node).unsaid = true;
    of(node).commands.clear();
    nodes_.at(node).mind->want_primary(name, of(node).wanted);
}

void world::say(node_id node) {
    engine& its = of(node);
    its.unsaid = false;
    const engine& peer = of(other(node));
    engine_facts facts;
    facts.running = its.running;
    facts.primary = its.primary;
    facts.up_to_date = its.running && its.up_to_date && !its.leaving;
    facts.connected = its.connected;
    facts.stands_alone = its.barred;
    facts.peer_up_to_date = its.connected && peer.up_to_date;
    facts.peer_primary = its.connected && peer.primary;
    facts.connection = its.connection;
    facts.started = its.started;
    facts.separated = its.separated;
    nodes_.at(node).mind->engine(name, facts);
}

void world::ask(node_id node) {
    of(node).asked = true;
    nodes_.at(node).mind->fence_asked(name, *of(node).request, resource_arbiter::fence_cause::link);
}

void world::command(node_id at, engine_command what) {
    of(at).commands.push_back(what);
}

void world::answer(node_id at, std::uint64_t request, fence_answer with) {
    engine& its = of(at);
    if (its.request != request) {
        return; // of an earlier loss
    }
    its.request.reset();
    its.asked = false;
    if (with == fence_answer::void_now || with == fence_answer::self) {
        its.refused = std::exchange(its.promoting, false);
        return;
    }
    its.free = true;
    parents_.push_back(its.generation);
    its.generation = parents_.size() - 1;
    if (its.promoting) {
        its.promoting = false;
        its.primary = true;
        ++promotions_;
        check_has_everything(at, "is promoted");
    }
    if (const auto waiting = std::exchange(its.pending, std::nullopt)) {
        acknowledge(at, *waiting);
    }
    its.unsaid = true;
}

void world::fence(node_id at, node_id which) {
    fencing_.emplace_back(at, which);
}

// --- engines ---

void world::start_engine(node_id node) {
    engine& its = of(node);
    its.running = true;
    its.started = now_;
    its.separated = now_;
    ++its.connection;
    its.unsaid = true;
}

void world::stop_engine(node_id node) {
    engine& its = of(node);
    engine next;
    next.data = its.data;
    next.generation = its.generation;
    next.up_to_date = its.up_to_date;
    next.dropped = its.dropped;
    next.connection = its.connection;
    next.wanted = its.wanted;
    next.commands = its.commands; // the daemon's, which fail
    next.unsaid = true;
    its = next;
}

void world::crash(node_id node) {
    if (daemon_up(node)) {
        nodes_.crash(node);
    }
    timers_.at(node) = never;
    if (node <= 2) {
        stop_engine(node);
        of(node).wanted = false;
    }
}

void world::lose_link(node_id node) {
    engine& its = of(node);
    its.connected = false;
    its.resyncing = false;
    its.separated = now_;
    ++its.connection;
    its.unsaid = true;
    if (its.primary && !its.free) {
        its.request = ++last_request_;
        its.asked = false;
    }
}

void world::connect() {
    engine& one = of(1);
    engine& two = of(2);
    if (!link_ || !one.running || !two.running || one.connected || two.connected || one.barred ||
        two.barred || one.promoting || two.promoting) {
        return;
    }
    for (engine* each : {&one, &two}) {
        each->unsaid = each->unsaid || each->leaving;
        each->leaving = false;
    }
    if (one.primary && two.primary) {
        give_up(); // each is frozen, or one of them is about to be demoted
        return;
    }
    if (one.generation == two.generation) {
        if (one.data == two.data && one.up_to_date == two.up_to_date) {
            join(1, 2);
        } else if (one.primary || two.primary) {
            join(one.primary ? 1 : 2, one.primary ? 2 : 1);
        } else {
            // Else the one that crashed as primary, which has what the other may lack.
            const bool first = one.up_to_date != two.up_to_date
                                   ? one.up_to_date
                                   : one.data.size() >= two.data.size();
            join(first ? 1 : 2, first ? 2 : 1);
        }
    } else if (older(one.generation, two.generation)) {
        join(2, 1);
    } else if (older(two.generation, one.generation)) {
        join(1, 2);
    } else {
        wrong("split brain");
    }
}

// Two that do not fit each other try no more.
void world::give_up() {
    for (engine* each : {&of(1), &of(2)}) {
        each->barred = true;
        each->unsaid = true;
    }
}

// Who must become sync target leaves the set first. A Primary never is one.
void world::join(node_id source, node_id target) {
    engine& from = of(source);
    engine& to = of(target);
    const bool same = from.data == to.data && from.generation == to.generation;
    if (!same && to.primary) {
        give_up();
        return;
    }
    if (!from.up_to_date) {
        return; // nobody has good data: for a person to decide
    }
    if (!same || !to.up_to_date) {
        to.unsaid = to.unsaid || !to.leaving;
        to.leaving = true;
        if (in_set(target)) {
            return;
        }
        to.up_to_date = false;
        to.resyncing = true;
    }
    for (engine* each : {&from, &to}) {
        each->connected = true;
        each->leaving = false;
        each->free = false;
        each->request.reset();
        each->asked = false;
        each->lease_from = now_;
        each->unsaid = true;
    }
}

void world::write_something(node_id node) {
    engine& its = of(node);
    if (its.pending || !(its.connected || its.free)) {
        return; // frozen
    }
    const write what = ++last_write_;
    its.data.insert(what);
    its.pending = what;
    if (its.free) {
        acknowledge(node, what);
        its.pending.reset();
    }
}

void world::replicate(node_id node) {
    engine& its = of(node);
    engine& peer = of(other(node));
    if (!its.pending || !really_connected()) {
        return;
    }
    if (peer.up_to_date) {
        peer.data.insert(*its.pending);
        its.lease_from = now_;
    }
    acknowledge(node, *std::exchange(its.pending, std::nullopt));
}

void world::acknowledge(node_id node, write what) {
    acknowledged_.push_back(what);
    check_has_everything(node, "acknowledges a write");
}

// Of an engine that completes reads now.
void world::read(node_id node) {
    const engine& its = of(node);
    if (its.free || now_ < its.lease_from + lease) {
        check_has_everything(node, "reads");
    }
}

void world::check_has_everything(node_id node, const char* doing) {
    const auto& data = of(node).data;
    for (const write each : acknowledged_) {
        if (!data.contains(each)) {
            wrong(fmt::format("node {} {} without write {}, which was acknowledged", node, doing,
                              each));
            return;
        }
    }
}

void world::obey(node_id node) {
    engine& its = of(node);
    const engine_command what = its.commands.front();
    its.commands.pop_front();
    switch (what) {
    case engine_command::drop_link:
        its.barred = its.running;
        its.unsaid = true;
        if (its.connected) {
            lose_link(node);
        }
        break;
    case engine_command::connect:
        its.barred = false;
        its.unsaid = true;
        break;
    case engine_command::outdate: {
        const bool done = its.running && !its.primary && !its.connected && !its.promoting;
        its.up_to_date = its.up_to_date && !done;
        say(node);
        nodes_.at(node).mind->outdated(name, done);
        break;
    }
    case engine_command::promote:
        promote(node);
        break;
    case engine_command::demote_with_errors:
        replicate(node); // with a peer nothing is frozen: what is under way gets there
        its.primary = false;
        its.refused = std::exchange(its.promoting, false);
        its.free = false;
        its.pending.reset();
        its.request.reset();
        its.unsaid = true;
        break;
    }
}

void world::promote(node_id node) {
    engine& its = of(node);
    const bool can = its.running && its.up_to_date && !(its.connected && of(other(node)).primary);
    if (can && its.connected) {
        its.primary = true;
        ++promotions_;
        check_has_everything(node, "is promoted");
    } else if (can) {
        its.promoting = true; // and connects to nobody meanwhile
        its.leaving = false;
        its.request = ++last_request_;
        its.asked = false;
    }
    its.unsaid = true;
    its.refused = !can;
}

// --- what happens ---

void world::engine_step(node_id node) {
    engine& its = of(node);
    const bool daemon = daemon_up(node);
    if (daemon && its.unsaid && nodes_.one_in(2)) {
        say(node);
        return;
    }
    if (daemon && std::exchange(its.refused, false)) {
        nodes_.at(node).mind->promoted(name, false);
        return;
    }
    if (daemon && !its.commands.empty() && nodes_.one_in(2)) {
        obey(node);
        return;
    }
    if (!its.running) {
        return;
    }
    if (daemon && its.request && !its.asked) {
        ask(node);
        return;
    }
    if (its.connected && !really_connected() && nodes_.one_in(8)) {
        lose_link(node); // it notices
        return;
    }
    if (its.primary) {
        replicate(node);
        if (nodes_.one_in(2)) {
            write_something(node);
        }
        if (really_connected() && of(other(node)).up_to_date) {
            its.lease_from = now_; // a ping
        }
        read(node);
    }
    if (its.resyncing && really_connected() && nodes_.one_in(3)) {
        const engine& source = of(other(node));
        its.data = source.data;
        its.generation = source.generation;
        its.up_to_date = true;
        its.resyncing = false;
        its.unsaid = true;
        of(other(node)).unsaid = true;
    }
}

void world::time_passes() {
    now_ += 1 + nodes_.pick(lease / 25);
    for (node_id node = 1; node < timers_.size(); ++node) {
        if (timers_[node] <= now_ && daemon_up(node)) {
            timers_[node] = never;
            nodes_.at(node).mind->timer();
        }
    }
}

// A promoter: there is to be one primary, where one can be.
void world::choose_primary() {
    const node_id node = some_data_node();
    // What an engine says comes in order: that it was promoted before this.
    if (of(node).primary && !of(node).pending && !of(node).unsaid && nodes_.one_in(20)) {
        of(node).primary = false; // by hand
        of(node).free = false;
        if (const auto given_up = std::exchange(of(node).request, std::nullopt);
            given_up && daemon_up(node) && std::exchange(of(node).asked, false)) {
            nodes_.at(node).mind->fence_given_up(name, *given_up);
        }
        of(node).wanted = false;
        of(node).unsaid = true;
    }
    const bool somebody = of(1).primary || of(2).primary || of(other(node)).wanted;
    engine& its = of(node);
    its.wanted = its.primary || !somebody || nodes_.one_in(4);
    if (daemon_up(node)) {
        nodes_.at(node).mind->want_primary(name, its.wanted);
    }
}

bool world::something_happens() {
    if (!nodes_.fault().empty()) {
        wrong(nodes_.fault());
    }
    if (!fencing_.empty() && nodes_.one_in(4)) {
        const auto [by, whom] = fencing_.back();
        fencing_.pop_back();
        if (daemon_up(by)) {
            const bool works = nodes_.one_in(2) || nodes_.one_in(2);
            if (works) {
                crash(whom);
            }
            nodes_.at(by).mind->fenced(whom, works);
        }
        return true;
    }
    switch (nodes_.pick(8)) {
    case 0:
        time_passes();
        break;
    case 1:
        connect();
        break;
    case 2:
        choose_primary();
        break;
    case 3:
    case 4:
        engine_step(some_data_node());
        break;
    default:
        nodes_.step();
    }
    return fault_.empty();
}

void world::fault_happens() {
    const auto node = static_cast<node_id>(1 + nodes_.pick(nodes_.size()));
    switch (nodes_.pick(8)) {
    case 0:
        link_ = !link_;
        break;
    case 7: { // one node's network
        link_ = link_ && node > 2;
        std::map<node_id, unsigned> parts;
        for (node_id each = 1; each <= nodes_.size(); ++each) {
            parts[each] = each == node ? 1 : 0;
        }
        nodes_.split(parts);
        break;
    }
    case 1: {
        std::map<node_id, unsigned> parts;
        for (node_id each = 1; each <= nodes_.size(); ++each) {
            parts[each] = static_cast<unsigned>(nodes_.pick(2));
        }
        nodes_.split(parts);
        break;
    }
    case 2:
        nodes_.heal();
        break;
    case 3:
        crash(node);
        break;
    case 4: // the daemon alone
        if (daemon_up(node)) {
            nodes_.crash(node);
            timers_.at(node) = never;
        }
        break;
    case 5: // the engine alone
        if (node <= 2) {
            stop_engine(node);
        }
        break;
    default:
        if (!daemon_up(node) && node > 2) {
            nodes_.start(node);
        } else if (node <= 2) {
            if (!of(node).running) {
                start_engine(node);
            }
            if (!daemon_up(node)) {
                start_daemon(node);
            }
        }
    }
}

void world::run(std::size_t steps, std::size_t faults) {
    for (std::size_t i = 0; i < steps && fault_.empty(); ++i) {
        if (nodes_.pick(steps) < faults) {
            fault_happens();
        }
        something_happens();
    }
}

void world::start_everything() {
    for (node_id node = 1; node <= nodes_.size(); ++node) {
        if (node <= 2 && !of(node).running) {
            start_engine(node);
        }
        if (daemon_up(node)) {
            continue;
        }
        if (node <= 2) {
            start_daemon(node);
        } else {
            nodes_.start(node);
        }
    }
}

void world::come_to_rest() {
    link_ = true;
    nodes_.heal();
    const auto rests = [&] {
        return of(1).primary != of(2).primary && really_connected() && of(1).up_to_date &&
               of(2).up_to_date && !of(1).pending && !of(2).pending && of(1).data == of(2).data;
    };
    for (std::size_t i = 0; i < 20'000 && fault_.empty() && !rests(); ++i) {
        start_everything(); // also after a fencing that had been asked for
        something_happens();
    }
    start_everything();
    if (fault_.empty() && !rests()) {
        const auto shown = [&](node_id node) {
            const engine& its = of(node);
            return fmt::format("node {}: primary {}, up to date {}, connected {}, free {}, barred "
                               "{}, pending {}, {} writes of generation {}, waits for {}; ",
                               node, its.primary, its.up_to_date, its.connected, its.free,
                               its.barred, its.pending.has_value(), its.data.size(), its.generation,
                               static_cast<int>(nodes_.at(node).mind->resource(name)->waits_for()));
        };
        wrong("no rest: " + shown(1) + shown(2));
    }
}

} // namespace lockstep::arbiter::test
