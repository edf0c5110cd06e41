#include "daemon/corosync/process_group.hpp"

#include <algorithm>
#include <cstring>

#include <corosync/cpg.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include "daemon/corosync/outcome.hpp"
#include "kernel/base/check.hpp"

namespace lockstep::corosync {

namespace {

using namespace std::chrono_literals;

constexpr auto join_again = 1s;
// A predecessor that was killed a moment ago is still in the group.
constexpr auto join_after_predecessor = 100ms;
// Nothing tells when corosync takes messages again.
constexpr auto send_again = 2ms;

cpg_name library_name(const std::string& name) {
    cpg_name out{};
    out.length = static_cast<std::uint32_t>(name.size());
    std::memcpy(out.value, name.data(), name.size());
    return out;
}

} // namespace

struct process_group::callbacks {
    static process_group& of(cpg_handle_t handle) {
        void* context = nullptr;
        LOCKSTEP_CHECK(cpg_context_get(handle, &context) == CS_OK);
        return *static_cast<process_group*>(context);
    }

    static void deliver(cpg_handle_t handle, const cpg_name*, std::uint32_t node, std::uint32_t,
                        void* bytes, std::size_t size) {
        auto& group = of(handle);
        if (group.in_group_ && group.lost_.empty()) {
            group.user_.delivered(node, {static_cast<const std::byte*>(bytes), size});
        }
    }

    static void change(cpg_handle_t handle, const cpg_name*, const cpg_address* members,
                       std::size_t count, const cpg_address*, std::size_t, const cpg_address*,
                       std::size_t) {
        auto& group = of(handle);
        std::vector<process> now;
        for (std::size_t at = 0; at < count; ++at) {
            now.push_back({members[at].nodeid, members[at].pid});
        }
        if (group.lost_.empty()) {
            group.changed(now);
        }
    }
};

process_group::process_group(qb_loop_t* loop, std::string name, process_group_user& user)
    : user_(user), name_(std::move(name)), watch_(loop, [this](int events) { ready(events); }),
      join_timer_(loop, [this] { join(); }), send_timer_(loop, [this] { send(); }) {
    LOCKSTEP_CHECK(!name_.empty() && name_.size() < CPG_MAX_NAME_LENGTH);
    join_timer_.set(0s);
}

process_group::~process_group() {
    disconnect();
}

void process_group::join() {
    const char* at = "";
    int code = connect(at);
    if (code == CS_OK) {
        if (const auto other = other_process()) {
            stay_out(other);
            return;
        }
        at = "cpg_join";
        code = enter();
    }
    if (code == CS_OK) {
        return;
    }
    disconnect();
    join_timer_.set(join_again);
    if (code != CS_ERR_TRY_AGAIN) {
        complain(fmt::format("can't join the process group {}: {} ({}); is it running on this "
                             "node? Tried again each second",
                             name_, outcome_text(code), at));
    }
}

int process_group::connect(const char*& at) {
    cpg_model_v1_data_t model{};
    model.model = CPG_MODEL_V1;
    model.cpg_deliver_fn = callbacks::deliver;
    model.cpg_confchg_fn = callbacks::change;
    at = "cpg_model_initialize";
    int code = cpg_model_initialize(&handle_, CPG_MODEL_V1,
                                    reinterpret_cast<cpg_model_data_t*>(&model), this);
    if (code != CS_OK) {
        handle_ = 0;
        return code;
    }
    at = "cpg_local_get";
    code = cpg_local_get(handle_, &self_);
    if (code != CS_OK) {
        return code;
    }
    at = "cpg_max_atomic_msgsize_get";
    std::uint32_t bytes_max = 0;
    code = cpg_max_atomic_msgsize_get(handle_, &bytes_max);
    bytes_max_ = bytes_max;
    return code;
}

int process_group::enter() {
    int descriptor = -1;
    int code = cpg_fd_get(handle_, &descriptor);
    if (code != CS_OK) {
        return code;
    }
    if (!watch_.start(descriptor)) {
        return CS_ERR_NO_RESOURCES;
    }
    const cpg_name name = library_name(name_);
    return cpg_join(handle_, &name);
}

std::uint32_t process_group::other_process() {
    cpg_name name = library_name(name_);
    cpg_iteration_handle_t iteration = 0;
    if (cpg_iteration_initialize(handle_, CPG_ITERATION_ONE_GROUP, &name, &iteration) != CS_OK) {
        return 0;
    }
    std::uint32_t found = 0;
    cpg_iteration_description_t each{};
    while (cpg_iteration_next(iteration, &each) == CS_OK) {
        if (each.nodeid == self_ && each.pid != static_cast<std::uint32_t>(getpid())) {
            found = each.pid;
        }
    }
    cpg_iteration_finalize(iteration);
    return found;
}

// Two processes of one node would be one member to the others, with two minds.
void process_group::stay_out(std::uint32_t pid) {
    disconnect();
    if (met_ != pid) {
        met_ = pid;
        join_timer_.set(join_after_predecessor);
        return;
    }
    join_timer_.set(join_again);
    complain(fmt::format("another process of this node (pid {}) is in the process group {}: there "
                         "must be one daemon a node; this one stays out until that one has ended",
                         pid, name_));
}

void process_group::ready(int events) {
    const int code = cpg_dispatch(handle_, CS_DISPATCH_ALL);
    if (!lost_.empty()) {
        lose(lost_);
    } else if (code != CS_OK && code != CS_ERR_TRY_AGAIN) {
        lose(outcome_text(code));
    } else if ((events & (POLLHUP | POLLERR | POLLNVAL)) != 0) {
        lose("corosync has ended");
    }
}

void process_group::changed(const std::vector<process>& members) {
    const auto pid = static_cast<std::uint32_t>(getpid());
    node_set nodes;
    std::uint32_t other = 0;
    bool present = false;
    for (const auto& each : members) {
        nodes.insert(each.node);
        if (each.node == self_ && each.pid != pid) {
            other = each.pid;
        }
        present = present || (each.node == self_ && each.pid == pid);
    }
    if (!present) {
        lost_ = "corosync has left this process out of the group";
        return;
    }
    if (other != 0 && !in_group_) {
        // Both came at once, and the other one is first in the order that all see.
        lost_ = fmt::format("another process of this node (pid {}) is in it: there must be one "
                            "daemon a node",
                            other);
        return;
    }
    if (!in_group_) {
        in_group_ = true;
        met_ = 0;
        told_.clear();
    }
    if (other != 0) {
        complain(fmt::format("another process of this node (pid {}) has joined the process group "
                             "{}: there must be one daemon a node; end that one",
                             other, name_));
    }
    user_.configured(nodes);
}

void process_group::broadcast(const_byte_span bytes) {
    if (!in_group_ || !lost_.empty()) {
        return;
    }
    queue_.emplace_back(bytes.begin(), bytes.end());
    if (!send_timer_.is_set()) {
        send_timer_.set(0s);
    }
}

void process_group::send() {
    while (!queue_.empty()) {
        auto& bytes = queue_.front();
        if (bytes.size() > bytes_max_) {
            complain(fmt::format("a message of {} bytes is not sent: corosync takes {}",
                                 bytes.size(), bytes_max_));
            queue_.pop_front();
            continue;
        }
        const iovec part{bytes.data(), bytes.size()};
        const int code = cpg_mcast_joined(handle_, CPG_TYPE_AGREED, &part, 1);
        if (code == CS_ERR_TRY_AGAIN) {
            send_timer_.set(send_again);
            return;
        }
        if (code != CS_OK) {
            lose(outcome_text(code));
            return;
        }
        queue_.pop_front();
    }
}

void process_group::lose(const std::string& why) {
    const bool was_in = in_group_;
    const std::string text = fmt::format("out of the process group {}: {}", name_, why);
    disconnect();
    join_timer_.set(was_in ? std::chrono::nanoseconds(0s) : join_again);
    complain(text);
    if (was_in) {
        user_.alone();
    }
}

void process_group::disconnect() {
    watch_.stop();
    send_timer_.cancel();
    queue_.clear();
    in_group_ = false;
    lost_.clear();
    if (handle_ != 0) {
        cpg_finalize(handle_);
        handle_ = 0;
    }
}

void process_group::complain(const std::string& what) {
    if (what != told_) {
        told_ = what;
        user_.problem(what);
    }
}

} // namespace lockstep::corosync
