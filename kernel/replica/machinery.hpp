// Everything that a resource is made of, in one place. Each mechanism is a class of its own that
// knows the others through this structure; the public face is `resource`.
//
// An event comes in through `resource`, is handled to its end without waiting for anything, and
// settle() then runs what it has put off. So no mechanism is ever called in the middle of another
// one's work, except through the calls that it makes itself.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/replica/bitmap_exchange.hpp"
#include "kernel/replica/command_queue.hpp"
#include "kernel/replica/congestion.hpp"
#include "kernel/replica/disks.hpp"
#include "kernel/replica/fencing.hpp"
#include "kernel/replica/handshake.hpp"
#include "kernel/replica/helpers.hpp"
#include "kernel/replica/keepalive.hpp"
#include "kernel/replica/link.hpp"
#include "kernel/replica/online_verify.hpp"
#include "kernel/replica/peer_writes.hpp"
#include "kernel/replica/ports.hpp"
#include "kernel/replica/read_path.hpp"
#include "kernel/replica/receiver.hpp"
#include "kernel/replica/resource.hpp"
#include "kernel/replica/resync.hpp"
#include "kernel/replica/resync_order.hpp"
#include "kernel/replica/size_changes.hpp"
#include "kernel/replica/state_changes.hpp"
#include "kernel/replica/timers.hpp"
#include "kernel/replica/transfer_log.hpp"
#include "kernel/replica/volume.hpp"
#include "kernel/replica/volume_removal.hpp"
#include "kernel/replica/write_path.hpp"

namespace lockstep::replica {

class machinery {
public:
    machinery(std::string name, ports& out, memory_pools memory,
              const options::resource_options& given);
    machinery(const machinery&) = delete;
    machinery& operator=(const machinery&) = delete;

    const std::string name;
    ports& world;
    // Another one for each engine: the time of its start.
    const std::uint64_t incarnation;
    memory_pools memory;
    options::resource_options resource_options;
    options::net_options net;
    bool has_net = false;

    // What all volumes share: roles, connection up to WFReportParams, suspension.
    state::volume_state common;

    timers clock;
    object_pool<app_request> application_pool;
    object_pool<peer_request> peer_pool;
    // Go before the clock and the pools: their timers and lists are made of these.
    std::map<volume_number, std::unique_ptr<volume>> volumes;

    // In the order in which they may be constructed: each only stores the reference.
    replica::link link;
    replica::receiver receiver;
    replica::keepalive keepalive;
    state_changes states;
    replica::helpers helpers;
    replica::fencing fencing;
    disk_management disks;
    transfer_log epochs;
    write_path writes;
    replica::congestion congestion;
    read_path reads;
    peer_writes peers;
    replica::handshake handshake;
    metadata_moves moves;
    size_changes sizes;
    bitmap_exchange exchange;
    resync_runner resync;
    resync_order order;
    online_verify verify;
    command_queue commands;
    volume_removal removal;

    volume* find(volume_number number) const;
    instant now() const { return world.now(); }
    // A Primary whose data does not count any more is being demoted: what is frozen will never be
    // written.
    bool fails_all() const { return demoting && fencing.superseded(); }
    // Connected. A volume that the peer does not have keeps the others waiting for nothing.
    bool all_volumes_met() const;
    // I/O is to be frozen until some data is back that nobody has now.
    bool awaits_data() const;
    bool is_connected() const { return common.connection >= state::connection::wf_report_params; }

    // Runs `action` at the end of the event.
    void defer(std::function<void()> action) { deferred_.push_back(std::move(action)); }
    // Runs what was put off, until nothing is left. Every event ends with it.
    void settle();

    // No request of the application is taken any more: the last ones end, to become Secondary.
    bool demoting = false;
    // `done` hears true when no request of the application is under way and the peer's disk has
    // them all; false if that takes too long, or can't be while I/O is frozen.
    void wait_idle(std::function<void(bool)> done);

    void submit_disk(local_disk& disk, disk_request& request);
    void disk_done(disk_request& request, int error);
    // Takes a disk that is no longer the volume's, until its last request has come back.
    void bury(std::unique_ptr<local_disk> disk);
    // A disk that this volume had is not done with its last requests.
    bool is_buried(volume_number number) const;

    void log(log_level level, std::string_view text) const;
    void log(log_level level, const volume& about, std::string_view text) const;

private:
    bool idle() const;
    void answer_idle(bool reached);

    std::deque<std::function<void()>> deferred_;
    std::vector<std::function<void(bool)>> waiting_idle_;
    timer idle_deadline_;
    bool settling_ = false;
    // Which disk a request in flight belongs to.
    std::vector<std::unique_ptr<local_disk>> buried_;
};

} // namespace lockstep::replica
