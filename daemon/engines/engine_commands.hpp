// Commands for the engines of this node: one after the other for each resource, those of different
// resources beside each other. Nobody waits for them.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "daemon/engines/child_process.hpp"
#include "daemon/loop/timer.hpp"

namespace lockstep::engines {

enum class command : std::uint8_t {
    drop_link, // without asking the peer, which would want to see our disk outdated
    connect,
    outdate,
    promote,
    demote,
    // Takes the device from who has it open. What is frozen ends with errors if fence-peer has told
    // the engine that this node is out (exit code 6), which is waited for a few seconds. Ours and
    // DRBD 9 can do that; 8.4 has no such option and fails.
    demote_with_errors,
};

struct command_end {
    int exit_code = -1;    // drbdadm's; -1 if there is none: not started, killed, or too late
    bool too_late = false; // it was killed for that; what it asked for may be done nevertheless
    std::string complaint; // what it wrote to standard error, or why it was not started
    bool good() const { return exit_code == 0; }
};

struct command_settings {
    std::string drbdadm = "drbdadm"; // a path, or a name that is in PATH
    // drbdadm itself limits what it runs, to two minutes at most where nothing is configured.
    std::uint64_t limit = 150'000'000'000; // nanoseconds
};

class engine_commands {
public:
    using on_end = std::function<void(const command_end&)>;

    // Those under way when it is destroyed are killed, and nobody hears of them.
    engine_commands(qb_loop_t* loop, command_settings settings);
    ~engine_commands();

    // `ended` is called by the loop, exactly once, and may give further commands, but not destroy
    // this object.
    void run(const std::string& resource, command what, on_end ended);

private:
    class queue;

    qb_loop_t* const loop_;
    const command_settings settings_;
    std::map<std::string, std::unique_ptr<queue>> queues_; // of each resource that had a command
};

} // namespace lockstep::engines
