// replica::ports on the real world: the loop's time, the disks, the link, the keeper, the log.
#pragma once

#include <array>
#include <functional>
#include <memory>

#include "kernel/host/event_loop.hpp"
#include "kernel/host/fault_injection.hpp"
#include "kernel/host/helper_calls.hpp"
#include "kernel/host/link_stream.hpp"
#include "kernel/host/log_queue.hpp"
#include "kernel/host/peer_link.hpp"
#include "kernel/host/rate_limit.hpp"
#include "kernel/host/resync_marks.hpp"
#include "kernel/host/volume_disks.hpp"
#include "kernel/replica/io_request.hpp"
#include "kernel/replica/ports.hpp"
#include "kernel/replica/resource.hpp"

namespace lockstep::host {

// What is above the host: front ends and clients of the engine. None may call into the resource
// from inside, but for io_done(), which is called from the loop.
class port_hooks {
public:
    virtual ~port_hooks() = default;
    virtual void io_done(replica::io_request& request, int error) = 0;
    virtual bool in_use(replica::volume_number volume) = 0;
    virtual void size_changed(replica::volume_number volume) = 0;
    virtual void role_changed() = 0;
    virtual void disk_released(replica::volume_number volume) = 0;
    virtual void changed() = 0;
    virtual helper_facts facts_for_helper() = 0;
    virtual void helper_called(const replica::helper_call& call) = 0;
    virtual void helper_ended(const replica::helper_call& call, int exit_code) = 0;
};

class replica_ports final : public replica::ports, private link_user, private deadline_source {
public:
    struct parts {
        event_loop& loop;
        keeper& companion;
        class claims& claims;
        log_queue& log;
        volume_disks::settings disks;
        helper_settings helpers;
        fault_settings faults;
    };

    replica_ports(const parts& use, port_hooks& hooks);
    ~replica_ports() override;

    // The resource was made with these ports; from now on its events are delivered.
    void connect_to(replica::resource& resource);
    // No more events. The link is closed; disks are left to end by themselves.
    void disconnect();

    volume_disks& disks() { return disks_; }
    peer_link& wire() { return wire_; }
    fault_injection& faults() { return faults_; }

    instant now() const override { return loop_.now(); }
    std::uint64_t random_number() override;
    void submit(replica::disk_request& request) override;
    void release_disk(replica::volume_number volume) override;
    std::optional<replica::disk_properties> measure_disk(replica::volume_number volume) override;
    void open_link(const options::net_options& net) override;
    void close_link() override { wire_.close(); }
    void want_send(replica::channel which) override { wire_.want_send(which); }
    void want_receive(replica::channel which) override { wire_.want_receive(which); }
    void io_done(replica::io_request& request, int error) override;
    bool in_use(replica::volume_number volume) override { return hooks_.in_use(volume); }
    void size_changed(replica::volume_number volume, std::uint64_t sectors) override;
    void role_changed(state::role role) override;
    bool minor_is_busy(std::uint32_t minor) override { return marks_.is_busy(minor); }
    void show_minor_busy(std::uint32_t minor, bool busy) override;
    void run_helper(const replica::helper_call& call) override;
    void limit_helper(std::uint64_t id) override { helpers_.limit(id); }
    void changed() override { hooks_.changed(); }
    void log(replica::log_level level, std::string_view text) override;

private:
    struct ended_requests : deferred {
        explicit ended_requests(replica_ports& of_) : deferred(deliver), of(of_) {}
        static void deliver(deferred& self);
        replica_ports& of;
        replica::io_request* first = nullptr;
        replica::io_request* last = nullptr;
    };

    void link_established(bool resolve_conflicts) override;
    void link_lost(replica::channel which, int error) override;
    std::size_t receive(replica::channel which, const_byte_span bytes) override;
    byte_span receive_target(replica::channel which) override;
    void received_in_place(replica::channel which, std::size_t count) override;
    std::size_t gather(replica::channel which,
                       std::span<replica::output_segment> segments) override;
    void sent(replica::channel which, std::size_t bytes) override;
    instant next_deadline() const override;
    void expire() override;

    event_loop& loop_;
    log_queue& log_;
    port_hooks& hooks_;
    replica::resource* resource_ = nullptr;
    helper_calls helpers_;
    volume_disks disks_;
    peer_link wire_;
    resync_marks marks_;
    fault_injection faults_;
    rate_limit told_faults_;
    ended_requests ended_{*this};
    std::array<std::uint64_t, 64> random_ = {};
    std::size_t random_left_ = 0;
};

log_severity severity_of(replica::log_level level);

} // namespace lockstep::host
