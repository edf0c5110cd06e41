// A group of daemons, their network and their disks, as corosync's closed process groups promise
// them: one order of messages in each configuration, the same messages before the next for those
// who go there together, and what was sent too late delivered in the next. Driven by a seed.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "daemon/arbiter/ledger.hpp"

namespace lockstep::arbiter::test {

class group;

// A daemon, its node and its disk.
class member final : public ledger_ports {
public:
    member(group& in, node_id id) : in_(in), id_(id) {}

    void broadcast(const message& what) override { outbox.push_back(what); }
    void store(const ledger_state& state) override;
    void committed(std::string_view resource) override;
    void cluster_committed() override;
    void view_moved() override {}
    void problem(const std::string& what) override;

    void start();
    void stop(bool last_store_arrives);

    node_id id() const { return id_; }
    bool up() const { return book != nullptr; }

    std::unique_ptr<ledger> book;
    std::optional<ledger_state> disk; // none: no file
    std::optional<ledger_state> storing;
    std::deque<message> outbox;
    std::size_t ring = 0;     // of which it has delivered
    std::size_t position = 0; // so many messages
    bool in_ring = false;

private:
    group& in_;
    const node_id id_;
};

class group {
public:
    group(std::uint64_t seed, node_id nodes);

    // One thing happens, of those that can. False: nothing can.
    bool step();
    // The same, but some nodes' messages, deliveries or disks are held up meanwhile.
    void run(std::size_t steps);
    // Until nothing happens any more.
    void settle();
    // The same, but no disk ends a store.
    void deliver_everything();
    void finish_store(node_id node);

    // The parts of the network: nodes with the same number hear each other.
    void split(const std::map<node_id, unsigned>& parts);
    void heal() { split({}); }
    void crash(node_id node, bool with_state = true);
    void start(node_id node);

    member& at(node_id node) { return *members_.at(node - 1); }
    std::size_t pick(std::size_t count) { return random_() % count; }
    bool one_in(std::size_t count) { return pick(count) == 0; }
    std::size_t size() const { return members_.size(); }

    // All that is ever committed of a record is one history.
    void committed(member& by, const std::string& name, const record_head& record);
    void problem(member& by, const std::string& what);
    // The first thing that should not be.
    const std::string& fault() const { return fault_; }
    void forgive() { fault_.clear(); }
    std::size_t commits() const { return commits_; }

private:
    struct sent {
        node_id from;
        message what;
    };
    struct ring {
        node_set members;
        std::vector<sent> order;
    };

    void reconfigure();
    void go_together(const std::vector<member*>& some);
    void note_changes(const ledger_state& before, const ledger_state& after);
    bool grew_from(const std::string& name, std::uint64_t lineage, std::uint64_t ancestor,
                   std::uint64_t steps) const;
    void deliver(member& to);
    void order(member& from);
    enum class kind : std::uint8_t { order, deliver, store };
    struct action {
        kind what;
        member* by;
        void run(group& in) const;
    };
    std::vector<action> possible() const;
    unsigned part_of(node_id node) const;

    std::mt19937_64 random_;
    std::vector<std::unique_ptr<member>> members_;
    std::vector<ring> rings_;
    std::map<node_id, unsigned> parts_;
    // Of each record: what was committed, by counter; and what each history was made from.
    std::map<std::string, std::map<std::uint64_t, std::uint64_t>> committed_;
    std::map<std::string, std::map<std::uint64_t, std::uint64_t>> made_from_;
    std::string fault_;
    std::size_t commits_ = 0;

    friend class member;
};

} // namespace lockstep::arbiter::test
