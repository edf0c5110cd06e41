// The arbiter of one node: its part of the record, and the resources that this node serves. Sans
// I/O.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "daemon/arbiter/ledger.hpp"
#include "daemon/arbiter/resource_arbiter.hpp"

namespace lockstep::arbiter {

// What the arbiter asks for. Nothing of it may call the arbiter before it has returned.
class arbiter_ports {
public:
    virtual ~arbiter_ports() = default;
    virtual void broadcast(const message& what) = 0;   // see ledger_ports
    virtual void store(const ledger_state& state) = 0; // see ledger_ports
    // The present version of that record has become a committed one: for whoever shows it.
    virtual void committed(const std::string& resource) = 0;
    virtual void cluster_committed() = 0;
    virtual void command(const std::string& resource, engine_command what) = 0;
    virtual void answer(const std::string& resource, std::uint64_t request, fence_answer with) = 0;
    virtual void keep_dropped(const std::string& resource, bool dropped) = 0;
    virtual void fence(node_id node) = 0; // then fenced(); once at a time for each node
    virtual void set_timer(instant when) = 0;
    virtual instant now() const = 0;
    virtual void problem(const std::string& what) = 0;
};

class arbiter final : private ledger_ports {
public:
    // As the ledger's.
    arbiter(node_id self, const std::optional<ledger_state>& kept, std::uint64_t nonce,
            arbiter_ports& ports);
    ~arbiter() override;

    // This node has, or no longer has, an engine for the resource.
    void serve(const resource_settings& settings);
    void serve_no_more(const std::string& resource);

    // --- what happens ---

    void configured(const node_set& members);
    void alone();
    void delivered(node_id from, const message& what);
    void stored();
    void store_failed();
    void retry();
    void timer();
    void fenced(node_id node, bool done);
    // Of a resource that is not served: nothing.
    void engine(const std::string& resource, const engine_facts& now);
    void fence_asked(const std::string& resource, std::uint64_t request,
                     resource_arbiter::fence_cause cause);
    void fence_given_up(const std::string& resource, std::uint64_t request);
    void outdated(const std::string& resource, bool done);
    void promoted(const std::string& resource, bool done);
    void want_primary(const std::string& resource, bool wanted);

    // --- what is known ---

    ledger& book() { return book_; }
    const resource_arbiter* resource(const std::string& name) const;

private:
    struct seat;

    // ledger_ports: what it says is taken up when it has returned.
    void broadcast(const message& what) override { ports_.broadcast(what); }
    void store(const ledger_state& state) override { ports_.store(state); }
    void committed(std::string_view resource) override;
    void cluster_committed() override { ports_.cluster_committed(); }
    void view_moved() override { moved_ = true; }
    void judged(std::string_view resource, bool accepted) override;
    void problem(const std::string& what) override { ports_.problem(what); }

    resource_arbiter* find(const std::string& name);
    void take_up();
    void ask_to_fence(node_id node);
    void fence_to_decide();
    void tell_fenced(node_id node, bool done);
    void set_timers();

    arbiter_ports& ports_;
    std::map<std::string, std::unique_ptr<seat>> seats_;
    bool moved_ = false;
    std::set<std::string> committed_;
    std::vector<std::pair<std::string, bool>> judged_;
    node_set fencing_;
    node_set known_off_; // asked for, and off already
    node_set off_;       // for certain, since they are not in the group
    ledger book_;
};

} // namespace lockstep::arbiter
