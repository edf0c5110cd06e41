// The daemons of a cluster as a process group of corosync's: who is there, and messages that all of
// them get in one order. Joins by itself, and again whenever corosync was away.
//
// No call waits for corosync to be there. It does wait for the answer of one that is: while
// corosync is stopped (SIGSTOP), a daemon that joins stands still.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "daemon/arbiter/record.hpp"
#include "daemon/loop/descriptor.hpp"
#include "daemon/loop/timer.hpp"
#include "kernel/base/bytes.hpp"

namespace lockstep::corosync {

using arbiter::node_id;
using arbiter::node_set;

class process_group_user {
public:
    virtual ~process_group_user() = default;
    // Processes of these nodes are in the group, this one among them. Once for each that came or
    // went: a daemon that was restarted makes two configurations, the last of the same nodes.
    virtual void configured(const node_set& members) = 0;
    // Corosync is gone, or this process is no longer in the group. First, it is not in it either.
    virtual void alone() = 0;
    // Own messages too. Only between configured() and alone(); may have been sent in an earlier
    // configuration.
    virtual void delivered(node_id from, const_byte_span bytes) = 0;
    // Once for each cause, until it is in the group again.
    virtual void problem(const std::string& what) = 0;
};

class process_group {
public:
    // `name`: at most 127 bytes. The user is called by the loop only, never from within a call.
    process_group(qb_loop_t* loop, std::string name, process_group_user& user);
    ~process_group();
    process_group(const process_group&) = delete;
    process_group& operator=(const process_group&) = delete;

    // To all members, as soon as corosync takes it. Forgotten if this process is not in the group,
    // or is alone before it was sent.
    void broadcast(const_byte_span bytes);

    bool in_group() const { return in_group_; }
    std::size_t queued() const { return queue_.size(); }

private:
    struct process {
        node_id node;
        std::uint32_t pid;
    };
    struct callbacks; // what the library calls

    void join();
    // A cs_error_t, and at which call.
    int connect(const char*& at);
    int enter();
    // Of this node, in the group already; 0: none.
    std::uint32_t other_process();
    void stay_out(std::uint32_t pid);
    void ready(int events);
    void changed(const std::vector<process>& members);
    void send();
    void lose(const std::string& why);
    void disconnect();
    void complain(const std::string& what);

    process_group_user& user_;
    const std::string name_;
    std::uint64_t handle_ = 0; // cpg_handle_t; 0: none
    node_id self_ = 0;
    bool in_group_ = false;
    std::string lost_; // found within a callback of the library: why to leave it after that
    std::size_t bytes_max_ = 0;
    std::uint32_t met_ = 0; // the other process of this node, when last tried
    std::string told_;      // the last problem
    std::deque<std::vector<std::byte>> queue_;
    daemon::loop_watch watch_;
    daemon::loop_timer join_timer_;
    daemon::loop_timer send_timer_;
};

} // namespace lockstep::corosync
