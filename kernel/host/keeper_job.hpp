// What an operation of the keeper sees. Each call runs in a process of its own, forked from the
// keeper: it may block, open, mount, fork and crash as it likes; nothing else waits for it. Its
// descriptors and memory are gone when it ends, except what it handed over in `answer`.
//
// Other rooms add operations by giving keeper::start() their table:
//
//     void attach_loop(keeper_job& job) {
//         job.remember("loop:" + job.argument(0), "detach-loop", {job.argument(0)});
//         ...
//         job.hand_over(std::move(fd));
//     }
//     constexpr keeper_operation device_operations[] = {{"attach-loop", attach_loop}, ...};
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/owned_fd.hpp"
#include "kernel/host/log_record.hpp"

namespace lockstep::host {

class keeper_job;

struct keeper_operation {
    std::string_view name;
    void (*run)(keeper_job& job);
    // A job of this kind is left running when the engine dies (a handler, not a mount).
    bool outlives_engine = false;
};

class keeper_job {
public:
    // socket: where remember() and forget() go, -1: nowhere. log: where log records go, see
    // log_record.hpp.
    keeper_job(std::vector<std::string> arguments, std::vector<owned_fd> fds, int socket, int log);

    std::size_t argument_count() const { return arguments_.size(); }
    // Empty if there are fewer.
    const std::string& argument(std::size_t index) const;
    // A descriptor that came with the call, or -1.
    int fd(std::size_t index) const;
    // Closes it, before the answer is sent.
    void close_fd(std::size_t index);

    // What must be undone if the engine dies, however it dies: the keeper will run `operation` with
    // `arguments`, newest first. Call it before the deed, so that no moment is uncovered. A key
    // that is already known is replaced. Safe in the keeper when this returns.
    void remember(const std::string& key, const std::string& operation,
                  const std::vector<std::string>& arguments);
    // It has been undone in the ordinary way.
    void forget(const std::string& key);

    // The answer: error 0 unless told otherwise; the sentence is for the log and the user.
    void refuse(int errno_value, std::string sentence);
    void add_value(std::string value);
    void hand_over(owned_fd fd);

    void log(log_severity severity, std::string_view text) const;

    int error() const { return error_; }
    const std::string& sentence() const { return sentence_; }
    const std::vector<std::string>& values() const { return values_; }
    const std::vector<owned_fd>& handed_over() const { return handed_over_; }

private:
    std::vector<std::string> arguments_;
    std::vector<owned_fd> fds_;
    int socket_;
    int log_;
    int error_ = 0;
    std::string sentence_;
    std::vector<std::string> values_;
    std::vector<owned_fd> handed_over_;
};

} // namespace lockstep::host
