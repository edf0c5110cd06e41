// Two nodes with engines, and daemons on these and others: what the engines do is modelled after
// what DRBD's do with protocol C and fencing resource-and-stonith, with the lease. Driven by a
// seed.
#pragma once

#include <array>
#include <deque>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "unit/arbiter/group.hpp"

namespace lockstep::arbiter::test {

class world final : public surroundings {
public:
    world(std::uint64_t seed, node_id nodes, bool fencing_device);

    // So many things happen, faults among them.
    void run(std::size_t steps, std::size_t faults);
    // Everything is mended; then one of the nodes is to be primary, and all is to be as it should.
    void come_to_rest();

    const std::string& fault() const { return fault_; }
    std::size_t acknowledged() const { return acknowledged_.size(); }
    std::size_t promotions() const { return promotions_; }

private:
    using write = std::uint64_t;
    struct engine {
        // On disk.
        std::set<write> data;
        std::uint64_t generation = 1;
        bool up_to_date = true;
        bool dropped = false; // the daemon's note
        // While it runs.
        bool running = false;
        bool primary = false;
        bool free = false;   // fence-peer was answered for this loss of the link
        bool barred = false; // from connecting: told to drop the link, or has given up
        bool connected = false;
        bool leaving = false;   // the set: it must become sync target
        bool resyncing = false; // as target
        bool promoting = false;
        bool refused = false; // a promotion has failed, which the daemon does not know
        std::uint64_t connection = 0;
        instant started = 0;
        instant separated = 0;
        instant lease_from = 0; // when the last answered question was sent
        std::optional<write> pending;
        std::optional<std::uint64_t> request;
        bool asked = false; // the daemon has the request
        std::deque<engine_command> commands;
        bool unsaid = false; // its daemon does not know yet how it is
        bool wanted = false;
    };

    // surroundings
    void command(node_id at, engine_command what) override;
    void answer(node_id at, std::uint64_t request, fence_answer with) override;
    void keep_dropped(node_id at, bool dropped) override { of(at).dropped = dropped; }
    void fence(node_id at, node_id which) override;
    void set_timer(node_id at, instant when) override { timers_.at(at) = when; }
    instant now() const override { return now_; }

    engine& of(node_id node) { return engines_.at(node); }
    static node_id other(node_id node) { return 3 - node; }
    node_id some_data_node() { return static_cast<node_id>(1 + nodes_.pick(2)); }
    bool daemon_up(node_id node) { return nodes_.at(node).up(); }
    bool really_connected();

    bool something_happens();
    void engine_step(node_id node);
    void fault_happens();
    void start_everything();
    void start_daemon(node_id node);
    void start_engine(node_id node);
    void stop_engine(node_id node);
    void crash(node_id node);
    void lose_link(node_id node);
    void connect();
    void give_up();
    void join(node_id source, node_id target);
    void write_something(node_id node);
    void replicate(node_id node);
    void acknowledge(node_id node, write what);
    void read(node_id node);
    void obey(node_id node);
    void promote(node_id node);
    void ask(node_id node);
    void say(node_id node);
    void choose_primary();
    void time_passes();
    bool in_set(node_id node);
    bool older(std::uint64_t one, std::uint64_t than) const;
    void check_has_everything(node_id node, const char* doing);
    void wrong(const std::string& what);

    group nodes_;
    const bool device_;
    std::array<engine, 3> engines_; // by node
    std::vector<instant> timers_;
    std::vector<std::pair<node_id, node_id>> fencing_; // by whom, whom
    std::vector<std::uint64_t> parents_ = {0, 0};      // of each generation
    std::vector<write> acknowledged_;
    write last_write_ = 0;
    std::uint64_t last_request_ = 0;
    std::size_t promotions_ = 0;
    instant now_ = 1'000'000;
    bool link_ = true;
    std::string fault_;
};

} // namespace lockstep::arbiter::test
