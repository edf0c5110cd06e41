// The network between two nodes: connections of two channels with a byte stream in each direction.
// Bytes are delayed, arrive in pieces, get stuck in a full window, vanish silently (a cable pulled,
// a firewall) or are lost with their connection.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "event_queue.hpp"
#include "kernel/replica/ports.hpp"
#include "random.hpp"

namespace lockstep::simulation {

class node;
using replica::channel;

struct network_faults {
    // No new connection can be made, and nothing arrives over an old one. If the cut ends before
    // the nodes have lost patience, what was sent arrives after all, as with TCP.
    bool cut = false;
    // Nothing that this node sends arrives.
    std::array<bool, 2> cut_from{};
    instant delay_max = 200'000;
    std::size_t window_bytes = 256 * 1024;
};

// What an older peer would offer: the lesser of the two counts. CONNECTION_FEATURES is rewritten on
// its way.
struct network_dialect {
    std::uint32_t version_max = 101;
    std::uint32_t features = 15;
    bool marked = true; // as a Lockstep node
};

class network {
public:
    network(event_queue& events, random_source& random) : events_(events), random_(random) {}

    network_faults faults;
    network_dialect dialect;
    // May change what a side sends, before it arrives.
    std::function<void(unsigned from, channel which, std::vector<std::byte>& bytes)> tamper;
    void attach(unsigned side, node* who) { nodes_[side] = who; }

    // ports::open_link() and the like, of one side.
    void open(unsigned side);
    void close(unsigned side);
    void want_send(unsigned side, channel which);
    void want_receive(unsigned side, channel which);
    // The machine is gone; the peer hears nothing of it unless `noticed`.
    void crash(unsigned side, bool noticed);

    // Both ends hear of an error, sooner or later.
    void break_connection();
    bool connected() const { return current_ != nullptr; }

private:
    struct stream {
        std::vector<std::byte> arrived; // at the receiver
        std::size_t taken = 0;          // of these
        std::uint64_t sent = 0;         // since the beginning
        std::deque<std::vector<std::byte>> on_the_way;
        std::size_t on_the_way_bytes = 0;
        instant last_arrival = 0;
        bool pump_due = false;
        bool stalled = false; // the receiver wants no more at the moment
        bool deliver_due = false;
        bool fin_seen = false;
    };
    struct connection {
        std::array<std::array<stream, 2>, 2> from; // [sending side][channel]
        std::array<bool, 2> held{true, true};      // the side has not closed it
        std::array<bool, 2> established{};
    };
    using shared = std::shared_ptr<connection>;

    void try_connect();
    void pump(const shared& link, unsigned side, std::size_t which);
    void speak_dialect(std::uint64_t position, std::vector<std::byte>& bytes) const;
    void arrive(const shared& link, unsigned side, std::size_t which);
    void deliver(const shared& link, unsigned to, std::size_t which);
    void end_for(const shared& link, unsigned side, int error);
    void let_go(const shared& link, unsigned side);
    bool vanishes(unsigned side) const { return faults.cut || faults.cut_from[side]; }
    void schedule_deliver(const shared& link, unsigned to, std::size_t which);

    event_queue& events_;
    random_source& random_;
    std::array<node*, 2> nodes_{};
    std::array<bool, 2> open_{};
    std::array<shared, 2> of_; // what each side holds
    shared current_;
    bool connecting_ = false;
};

} // namespace lockstep::simulation
