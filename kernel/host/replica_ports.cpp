#include "kernel/host/replica_ports.hpp"

#include <sys/random.h>

#include <cerrno>
#include <utility>

#include "kernel/base/check.hpp"

namespace lockstep::host {

using replica::channel;

log_severity severity_of(replica::log_level level) {
    switch (level) {
    case replica::log_level::error:
        return log_severity::error;
    case replica::log_level::warning:
        return log_severity::warning;
    case replica::log_level::notice:
        return log_severity::notice;
    case replica::log_level::info:
        return log_severity::info;
    case replica::log_level::debug:
        break;
    }
    return log_severity::debug;
}

replica_ports::replica_ports(const parts& use, port_hooks& hooks)
    : loop_(use.loop), log_(use.log), hooks_(hooks),
      helpers_(use.companion, use.helpers,
               [this](replica::log_level level, const std::string& text) { log(level, text); }),
      disks_(use.loop, use.companion, use.claims, use.disks,
             [this](replica::disk_request& request, int error) {
                 if (resource_ != nullptr) {
                     resource_->disk_done(request, error);
                 }
             }),
      wire_(use.loop, *this,
            [this](replica::log_level level, std::string_view text) { log(level, text); }),
      marks_(use.claims.directory()), faults_(use.faults) {}

replica_ports::~replica_ports() {
    disconnect();
    loop_.remove(ended_);
}

void replica_ports::connect_to(replica::resource& resource) {
    resource_ = &resource;
    loop_.set_deadline_source(this);
}

void replica_ports::submit(replica::disk_request& request) {
    if (faults_.active()) {
        if (const auto kind = faults_.strike(request, random_number())) {
            if (told_faults_.pass(loop_.now())) {
                log(replica::log_level::warning, "***Simulating " + std::string(*kind) +
                                                     " failure (volume " +
                                                     std::to_string(request.volume) + ", fault " +
                                                     std::to_string(faults_.count()) + ")");
            }
            disks_.fail_request(request);
            return;
        }
    }
    disks_.submit(request);
}

void replica_ports::show_minor_busy(std::uint32_t minor, bool busy) {
    if (!marks_.show(minor, busy)) {
        log(replica::log_level::warning,
            "other resources can't be told whether minor " + std::to_string(minor) +
                " syncs: those with resync-after " + std::to_string(minor) + " will not wait");
    }
}

void replica_ports::disconnect() {
    resource_ = nullptr;
    loop_.set_deadline_source(nullptr);
    wire_.close();
}

std::uint64_t replica_ports::random_number() {
    if (random_left_ == 0) {
        const ssize_t got = ::getrandom(random_.data(), sizeof random_, 0);
        LOCKSTEP_CHECK(got == static_cast<ssize_t>(sizeof random_));
        random_left_ = random_.size();
    }
    // Each number is used once and not kept: some become keys of an authentication.
    return std::exchange(random_[--random_left_], 0);
}

void replica_ports::release_disk(replica::volume_number volume) {
    disks_.close(volume);
    hooks_.disk_released(volume);
}

void replica_ports::open_link(const options::net_options& net) {
    wire_.open(net);
}

// The replica may end a request from inside submit(); its owner hears of it later.
void replica_ports::io_done(replica::io_request& request, int error) {
    request.first_error = error;
    request.next = nullptr;
    (ended_.last != nullptr ? ended_.last->next : ended_.first) = &request;
    ended_.last = &request;
    loop_.defer(ended_);
}

void replica_ports::ended_requests::deliver(deferred& self) {
    auto& own = static_cast<ended_requests&>(self);
    replica::io_request* due = std::exchange(own.first, nullptr);
    own.last = nullptr;
    while (due != nullptr) {
        replica::io_request& one = *std::exchange(due, due->next);
        one.next = nullptr;
        own.of.hooks_.io_done(one, one.first_error);
    }
}

std::optional<replica::disk_properties> replica_ports::measure_disk(replica::volume_number volume) {
    const auto measured = disks_.measure(volume);
    return measured ? std::optional(*measured) : std::nullopt;
}

void replica_ports::size_changed(replica::volume_number volume, std::uint64_t /*sectors*/) {
    hooks_.size_changed(volume);
}

void replica_ports::role_changed(state::role /*role*/) {
    hooks_.role_changed();
}

void replica_ports::run_helper(const replica::helper_call& call) {
    hooks_.helper_called(call);
    helpers_.run(call, hooks_.facts_for_helper(), [this, call](int exit_code) {
        hooks_.helper_ended(call, exit_code);
        if (resource_ != nullptr) {
            resource_->helper_done(call.id, exit_code);
        }
    });
}

void replica_ports::log(replica::log_level level, std::string_view text) {
    log_.put(severity_of(level), text);
}

// --- events of the link and of time ---

void replica_ports::link_established(bool resolve_conflicts) {
    if (resource_ != nullptr) {
        resource_->link_established(resolve_conflicts);
    }
}

void replica_ports::link_lost(channel which, int error) {
    if (resource_ != nullptr) {
        resource_->link_lost(which, error);
    }
}

std::size_t replica_ports::receive(channel which, const_byte_span bytes) {
    return resource_ != nullptr ? resource_->receive(which, bytes) : bytes.size();
}

byte_span replica_ports::receive_target(channel which) {
    return resource_ != nullptr ? resource_->receive_target(which) : byte_span();
}

void replica_ports::received_in_place(channel which, std::size_t count) {
    if (resource_ != nullptr) {
        resource_->received_in_place(which, count);
    }
}

std::size_t replica_ports::gather(channel which, std::span<replica::output_segment> segments) {
    return resource_ != nullptr ? resource_->gather(which, segments) : 0;
}

void replica_ports::sent(channel which, std::size_t bytes) {
    if (resource_ != nullptr) {
        resource_->sent(which, bytes);
    }
}

instant replica_ports::next_deadline() const {
    return resource_ != nullptr ? resource_->next_deadline() : never;
}

void replica_ports::expire() {
    if (resource_ != nullptr) {
        resource_->expire();
    }
}

} // namespace lockstep::host
