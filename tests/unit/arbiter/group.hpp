// A group of daemons, their network and their disks, as corosync's closed process groups promise
// them: one order of messages in each configuration, the same messages before the next for those
// who go there together, and what was sent too late delivered in the next. Driven by a seed.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "daemon/arbiter/arbiter.hpp"

namespace lockstep::arbiter::test {

class group;

// What the daemons' nodes are besides: engines, handlers, fencing devices, a clock.
class surroundings {
public:
    virtual ~surroundings() = default;
    virtual void command(node_id at, engine_command what) = 0;
    virtual void answer(node_id at, std::uint64_t request, fence_answer with) = 0;
    virtual void keep_dropped(node_id at, bool dropped) = 0;
    virtual void fence(node_id at, node_id which) = 0;
    virtual void set_timer(node_id at, instant when) = 0;
    virtual instant now() const = 0;
};

// A daemon, its node and its disk.
class member final : public arbiter_ports {
public:
    member(group& in, node_id id) : in_(in), id_(id) {}

    void broadcast(const message& what) override { outbox.push_back(what); }
    void store(const ledger_state& state) override;
    void committed(const std::string& resource) override;
    void cluster_committed() override;
    void command(const std::string& resource, engine_command what) override;
    void answer(const std::string& resource, std::uint64_t request, fence_answer with) override;
    void keep_dropped(const std::string& resource, bool dropped) override;
    void fence(node_id node) override;
    void set_timer(instant when) override;
    instant now() const override;
    void problem(const std::string& what) override;

    void start();
    void stop(bool last_store_arrives);

    node_id id() const { return id_; }
    bool up() const { return mind != nullptr; }

    std::unique_ptr<arbiter> mind;
    ledger* book = nullptr;           // of it
    surroundings* around = nullptr;   // none: there is nothing
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
