// The engine's end of its companion process, the keeper: everything that can block or fork is done
// there. start() forks it and must come before the loop, threads and locked memory.
//
// When the engine is gone, however it went, the keeper undoes what its jobs remembered (device
// nodes, loop devices, mounts; see keeper_job.hpp), says so in the log, and ends.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernel/base/error.hpp"
#include "kernel/base/owned_fd.hpp"
#include "kernel/host/event_loop.hpp"
#include "kernel/host/keeper_job.hpp"

namespace lockstep::host {

struct keeper_settings {
    std::string resource;                     // for log lines and the process's name
    std::string log_target;                   // "syslog", or the name of a file
    std::string log_fallback;                 // a file while there is no syslog; may be empty
    std::vector<std::string> restart_command; // run after a crash of the engine; empty: nothing
    // Kept open by the keeper until it has cleaned up: the lock of the claim on the resource, so
    // that no successor begins before. -1: none.
    int held_fd = -1;
};

struct keeper_call {
    std::string operation;
    std::vector<std::string> arguments;
    std::vector<int> fds;       // lent, at most 4; not closed
    std::uint32_t limit_ms = 0; // the job is killed then, and the answer is ETIMEDOUT; 0: none
};

struct keeper_answer {
    int error = 0;        // 0 or an errno value; EPIPE: the keeper is gone
    std::string sentence; // what went wrong, for a person
    std::vector<std::string> values;
    std::vector<owned_fd> fds;

    bool ok() const { return error == 0; }
};
using on_answer = std::function<void(keeper_answer)>;

class keeper {
public:
    // Forks the keeper and the log writer. `operations` are added to the host's own
    // (see keeper_operations.hpp); the tables are static.
    static result<std::unique_ptr<keeper>> start(const keeper_settings& settings,
                                                 std::span<const keeper_operation> operations);
    // Closes the socket: the keeper undoes what is left, and ends.
    ~keeper();
    keeper(const keeper&) = delete;
    keeper& operator=(const keeper&) = delete;

    // Answers come from this loop from now on.
    void run_on(event_loop& loop);

    // Calls run side by side; their answers come in any order, each exactly once, never from
    // inside call(). Returns a number for cancel().
    std::uint64_t call(keeper_call what, on_answer done);
    // Kills the job; its answer (ECANCELED, or the real one) still comes.
    void cancel(std::uint64_t call);
    // A call that was made without a time limit has one from now on.
    void limit(std::uint64_t call, std::uint32_t limit_ms);
    std::size_t calls_pending() const;

    // Called once, from the loop, if the keeper ends by itself.
    void on_gone(std::function<void()> told);

    // An orderly end: the keeper ends without a crash message. Calls still out are answered EPIPE.
    void stop();

    pid_t pid() const;
    // Where log_queue writes to; owned by the keeper object.
    int log_socket() const;

private:
    struct state;
    explicit keeper(std::unique_ptr<state> made);
    std::unique_ptr<state> state_;
};

} // namespace lockstep::host
