#include "daemon/node_daemon.hpp"

#include <algorithm>
#include <ctime>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "daemon/arbiter/codec.hpp"
#include "daemon/log.hpp"
#include "daemon/random.hpp"

namespace lockstep::daemon {

namespace {

constexpr const char* group_name = "lockstep";
constexpr std::chrono::seconds store_again_after{1};
constexpr std::chrono::seconds promote_again_after{1};
constexpr arbiter::instant millisecond = 1'000'000;

// Goes on while the machine is suspended: a lease that ran out meanwhile has run out.
arbiter::instant clock_now() {
    timespec time = {};
    ::clock_gettime(CLOCK_BOOTTIME, &time);
    return static_cast<arbiter::instant>(time.tv_sec) * 1'000'000'000 +
           static_cast<arbiter::instant>(time.tv_nsec);
}

engines::command command_of(arbiter::engine_command what) {
    switch (what) {
    case arbiter::engine_command::drop_link:
        return engines::command::drop_link;
    case arbiter::engine_command::connect:
        return engines::command::connect;
    case arbiter::engine_command::outdate:
        return engines::command::outdate;
    case arbiter::engine_command::promote:
        return engines::command::promote;
    case arbiter::engine_command::demote_with_errors:
        break;
    }
    return engines::command::demote_with_errors;
}

std::string_view name_of(arbiter::engine_command what) {
    switch (what) {
    case arbiter::engine_command::drop_link:
        return "drop the link";
    case arbiter::engine_command::connect:
        return "connect";
    case arbiter::engine_command::outdate:
        return "outdate the disk";
    case arbiter::engine_command::promote:
        return "promote";
    case arbiter::engine_command::demote_with_errors:
        break;
    }
    return "demote, with errors for whoever waits";
}

} // namespace

node_daemon::node_daemon(qb_loop_t* loop, daemon_settings settings, state_directory store,
                         corosync::cluster_settings cluster)
    : loop_(loop), settings_(std::move(settings)), store_(std::move(store)),
      cluster_(std::move(cluster)), timer_(loop, [this] { arbiter_->timer(); }),
      store_again_(loop, [this] { arbiter_->retry(); }) {}

node_daemon::~node_daemon() = default;

result<std::unique_ptr<node_daemon>> node_daemon::start(qb_loop_t* loop, daemon_settings settings,
                                                        corosync::cluster_settings cluster) {
    auto store = state_directory::open(settings.state_directory);
    if (!store) {
        return tl::unexpected(store.error());
    }
    std::unique_ptr<node_daemon> made(
        new node_daemon(loop, std::move(settings), *std::move(store), std::move(cluster)));
    if (auto begun = made->begin(); !begun) {
        return tl::unexpected(begun.error());
    }
    return made;
}

result<> node_daemon::begin() {
    const auto kept = store_.load();
    if (!kept) {
        return tl::unexpected(kept.error());
    }
    arbiter::arbiter_ports& ports = *this;
    arbiter_ = std::make_unique<arbiter::arbiter>(cluster_.self, *kept, random_identity(), ports);
    if (auto served = serve_resources(); !served) {
        return served;
    }
    auto server = control_server::open(loop_, *this);
    if (!server) {
        return tl::unexpected(server.error());
    }
    server_ = *std::move(server);
    engines::command_settings commands;
    commands.drbdadm = settings_.drbdadm;
    commands_ = std::make_unique<engines::engine_commands>(loop_, commands);
    engines::event_stream_user& events_to = *this;
    events_ =
        std::make_unique<engines::event_stream>(loop_, settings_.drbdsetup, clock_now, events_to);
    corosync::process_group_user& group_to = *this;
    group_ = std::make_unique<corosync::process_group>(loop_, group_name, group_to);
    corosync::membership_user& membership_to = *this;
    corosync_ = std::make_unique<corosync::membership>(loop_, membership_to);
    log_notice(fmt::format("node {} of cluster {}, with {} of its own resources, state in {}",
                           cluster_.self, cluster_.name, resources_.size(), store_.path()));
    return {};
}

// --- which resources ---

result<> node_daemon::serve_resources() {
    const auto* const own = cluster_.find(cluster_.self);
    const auto configured =
        read_resources(settings_.config_file, own != nullptr ? own->name : std::string());
    if (!configured) {
        return tl::unexpected(configured.error());
    }
    const auto dropped = store_.dropped();
    if (!dropped) {
        return tl::unexpected(dropped.error());
    }
    for (const configured_resource& each : *configured) {
        const auto peer = node_called(each.peer_names);
        if (!peer) {
            log_error(fmt::format("resource {}: its other host ({}) is no node of corosync's "
                                  "nodelist: nothing is done for it",
                                  each.name, fmt::join(each.peer_names, " ")));
            continue;
        }
        if (!each.protects) {
            log_error(
                fmt::format("resource {}: without protocol C and fencing resource-and-stonith "
                            "acknowledged writes can be lost with a node",
                            each.name));
        }
        resources_[each.name] = each;
        arbiter_->serve({each.name, cluster_.self, *peer, settings_.lease_ms * millisecond,
                         settings_.outdate_limit_ms * millisecond, false,
                         dropped->contains(each.name)});
    }
    return {};
}

std::optional<node_id> node_daemon::node_called(const std::vector<std::string>& names) const {
    for (const corosync::cluster_node& each : cluster_.nodes) {
        if (std::find(names.begin(), names.end(), each.name) != names.end()) {
            return each.id;
        }
    }
    return std::nullopt;
}

// --- what the arbiter asks for ---

void node_daemon::broadcast(const arbiter::message& what) {
    const auto bytes = arbiter::encode(what);
    group_->broadcast(bytes);
}

void node_daemon::store(const arbiter::ledger_state& state) {
    const auto saved = store_.save(state);
    if (saved) {
        defer([this] { arbiter_->stored(); });
        return;
    }
    log_error(saved.error().text());
    store_again_.set(store_again_after);
    defer([this] { arbiter_->store_failed(); });
}

void node_daemon::committed(const std::string& resource) {
    if (const auto* const record = arbiter_->book().committed_resource(resource)) {
        log_notice(fmt::format(
            "resource {}: version {}.{}: primary {}, in sync {}", resource, record->at.view,
            record->at.counter, record->primary ? std::to_string(*record->primary) : "none",
            record->in_sync.empty() ? "none" : fmt::format("{}", fmt::join(record->in_sync, " "))));
    }
    defer([this, resource] {
        look_at_own_disks(resource);
        look_at_wishes(resource);
        look_at_waiting();
    });
}

void node_daemon::cluster_committed() {
    defer([this] { look_at_waiting(); });
}

void node_daemon::command(const std::string& resource, arbiter::engine_command what) {
    log_notice(fmt::format("resource {}: the engine is told to {}", resource, name_of(what)));
    commands_->run(resource, command_of(what),
                   [this, resource, what](const engines::command_end& end) {
                       commanded(resource, what, end);
                   });
}

void node_daemon::commanded(const std::string& resource, arbiter::engine_command what,
                            const engines::command_end& end) {
    if (!end.good()) {
        log_error(fmt::format("resource {}: the engine did not {}: {}", resource, name_of(what),
                              end.complaint));
    }
    if (what == arbiter::engine_command::promote && end.good()) {
        arbiter_->promoted(resource, true);
    } else if (what == arbiter::engine_command::promote) {
        // It is tried again at once where it is wanted still: not before a while.
        auto& later = promote_again_[resource];
        later = std::make_unique<loop_timer>(
            loop_, [this, resource] { arbiter_->promoted(resource, false); });
        later->set(promote_again_after);
    } else if (what == arbiter::engine_command::outdate) {
        // The arbiter is told when the engine itself has said so.
        const auto known = facts_.find(resource);
        if (end.good() && known != facts_.end() && known->second.up_to_date) {
            outdating_.insert(resource);
        } else {
            arbiter_->outdated(resource, end.good());
        }
    }
}

void node_daemon::answer(const std::string& resource, std::uint64_t request,
                         arbiter::fence_answer with) {
    log_notice(
        fmt::format("resource {}: fence-peer is answered by {}", resource, static_cast<int>(with)));
    fencing_.erase(request);
    server_->reply(request, {static_cast<int>(with), {}});
}

void node_daemon::keep_dropped(const std::string& resource, bool dropped) {
    if (const auto kept = store_.keep_dropped(resource, dropped); !kept) {
        log_error(kept.error().text());
    }
}

// Without a device nobody is fenced, and the arbiter is told so.
void node_daemon::fence(node_id node) {
    defer([this, node] { arbiter_->fenced(node, false); });
}

void node_daemon::set_timer(arbiter::instant when) {
    if (when == arbiter::never) {
        timer_.cancel();
        return;
    }
    const arbiter::instant present = now();
    timer_.set(std::chrono::nanoseconds(when > present ? when - present : 0));
}

arbiter::instant node_daemon::now() const {
    return clock_now();
}

void node_daemon::problem(const std::string& what) {
    log_error(what);
}

// --- corosync ---

void node_daemon::configured(const node_set& members) {
    log_notice(fmt::format("the daemons of nodes {} are here", fmt::join(members, " ")));
    arbiter_->configured(members);
    for (const auto& [name, its] : resources_) {
        look_at_wishes(name);
    }
}

void node_daemon::alone() {
    log_error("corosync is gone, or this daemon is not in its group: nothing can be decided");
    arbiter_->alone();
}

void node_daemon::delivered(node_id from, const_byte_span bytes) {
    const auto read = arbiter::decode_message(bytes);
    if (!read) {
        log_error(fmt::format("a message of node {} is ignored: {}", from, read.error().text()));
        return;
    }
    arbiter_->delivered(from, *read);
}

void node_daemon::membership(const std::optional<corosync::membership_view>& now_is) {
    if (now_is) {
        log_notice(fmt::format("corosync: nodes {}, {}", fmt::join(now_is->nodes, " "),
                               now_is->quorate ? "quorate" : "not quorate"));
    }
}

// --- the engines ---

void node_daemon::facts(const std::string& resource, const engines::engine_facts& now_is) {
    facts_[resource] = now_is;
    arbiter_->engine(resource, now_is);
    if (!now_is.up_to_date && outdating_.erase(resource) != 0) {
        arbiter_->outdated(resource, true);
    }
    look_at_wishes(resource);
    look_at_waiting();
}

void node_daemon::gone(const std::string& resource) {
    facts_.erase(resource);
}

// --- after the arbiter has returned ---

void node_daemon::defer(std::function<void()> what) {
    deferred_.push_back(std::move(what));
    if (deferred_.size() == 1) {
        qb_loop_job_add(loop_, QB_LOOP_HIGH, this, run_deferred);
    }
}

void node_daemon::run_deferred(void* self) {
    auto& of = *static_cast<node_daemon*>(self);
    while (!of.deferred_.empty()) {
        const auto next = of.deferred_.front();
        next();
        of.deferred_.pop_front();
    }
}

} // namespace lockstep::daemon
