// A program that runs beside the daemon, in a process group of its own, and what it says.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "daemon/loop/descriptor.hpp"
#include "kernel/base/error.hpp"

namespace lockstep::engines {

struct child_end {
    std::optional<int> exit_code; // none: it was killed, or nobody knows
    std::string complaint;        // what it wrote to its standard error: the beginning
    std::string text() const;     // "exit code 10: no such resource"
};

class child_process {
public:
    struct hooks {
        // As much of its standard output as has arrived.
        std::function<void(std::string_view)> printed;
        // Comes last, and may destroy the child_process.
        std::function<void(const child_end&)> ended;
    };

    // words[0] is looked up in PATH. None of the hooks is called before this returns.
    static result<std::unique_ptr<child_process>>
    start(qb_loop_t* loop, const std::vector<std::string>& words, hooks calls);
    // Kills it if it has not ended; nobody is told.
    ~child_process();
    child_process(const child_process&) = delete;
    child_process& operator=(const child_process&) = delete;

    // Together with what it started. `ended` comes when it is gone, which takes as long as the
    // kernel likes.
    void kill();

private:
    child_process(qb_loop_t* loop, pid_t pid, hooks calls);

    std::optional<error> watch(int exits, int output, int complaints);
    bool read_output();
    void read_complaints();
    void exited();

    qb_loop_t* const loop_;
    const pid_t pid_;
    hooks calls_;
    bool is_reaped_ = false;
    std::string complaint_;
    std::unique_ptr<daemon::watched_descriptor> exits_;
    std::unique_ptr<daemon::watched_descriptor> output_;
    std::unique_ptr<daemon::watched_descriptor> complaints_;
};

} // namespace lockstep::engines
