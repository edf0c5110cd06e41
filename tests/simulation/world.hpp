// Two nodes, the network between them, the clients on one or both, and a model of what the clients
// know. One event at a time, in virtual time.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "event_queue.hpp"
#include "model.hpp"
#include "network.hpp"
#include "node.hpp"
#include "random.hpp"

namespace lockstep::simulation {

constexpr instant millisecond = 1'000'000;
constexpr instant second = 1'000'000'000;

class world {
public:
    world(std::uint64_t seed, const node_settings& settings);
    ~world();
    world(const world&) = delete;
    world& operator=(const world&) = delete;

    random_source random;
    event_queue events;
    network net;
    std::array<std::unique_ptr<node>, 2> nodes;
    std::vector<model> models; // by volume
    bool verbose = false;
    // Called after each event.
    std::function<void()> on_event;

    // Runs until the condition holds; false if virtual time ran out (or nothing can happen).
    bool run_until(const std::function<bool()>& condition, instant limit = 120 * second);
    void run_for(instant time);
    // What was found wrong, the first time; empty: nothing.
    const std::string& failure() const { return failure_; }
    void fail_with(const std::string& what);

    // --- clients ---
    void write(unsigned side, volume_number volume, std::uint64_t first, std::uint64_t sectors,
               bool fua = false);
    void discard(unsigned side, volume_number volume, std::uint64_t first, std::uint64_t sectors);
    void write_zeroes(unsigned side, volume_number volume, std::uint64_t first,
                      std::uint64_t sectors);
    void read(unsigned side, volume_number volume, std::uint64_t first, std::uint64_t sectors);
    void flush(unsigned side, volume_number volume);
    // All requests of all clients are done.
    bool quiet() const;
    std::uint64_t writes_failed = 0;
    std::uint64_t flushes_failed = 0;
    std::uint64_t reads_failed = 0;
    std::uint64_t requests_done = 0;

    // --- commands, run to their end ---
    replica::outcome run(const std::function<void(replica::on_outcome)>& command);
    bool attach(unsigned side);
    bool primary(unsigned side, bool force = false);
    bool secondary(unsigned side);
    void disconnect(unsigned side);
    void connect_both();
    bool is_in_sync() const;
    void print(unsigned side, std::string_view text) const;
    bool wait_in_sync(instant limit = 120 * second);

    // --- checks ---
    // Both disks are equal and hold what the clients may expect; settles the models.
    void check_converged();
    std::string describe(unsigned side) const;

private:
    void after_event();
    void data_command(unsigned side, volume_number volume, replica::io_request::operation op,
                      std::uint64_t first, std::uint64_t sectors, bool fua);
    void read_done(volume_number volume, client_request& request, model::moment issued, int error);

    node_settings settings_;
    std::string failure_;
};

} // namespace lockstep::simulation
