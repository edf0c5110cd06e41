// One machine: a resource on simulated disks, its ports, its clients, its handlers. It can crash
// and be started again over the same disks.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "disk.hpp"
#include "kernel/replica/resource.hpp"
#include "metadata_tools.hpp"
#include "network.hpp"

namespace lockstep::simulation {

using replica::volume_number;

struct node_settings {
    options::net_options net;
    options::disk_options disk;
    options::resource_options resource;
    bool external_metadata = false;
    std::uint64_t device_sectors = 0; // of the data device, with internal metadata
    volume_number volumes = 1;
    volume_number volumes_later = 0; // of them; add_volume() makes them
    std::uint32_t peer_pool_bytes = 4U << 20U;
};

// How a handler ends.
struct helper_answer {
    int exit_code = 0;
    instant delay = 10'000'000;
    bool hangs = false;
};

// A request of a client and what becomes of it.
struct client_request {
    replica::io_request io;
    std::uint64_t tag = 0; // the caller's
    std::function<void(client_request&, int error)> done;
};

// Tells whether the code that runs is the replica's own: true from a call into it on, false while
// it is inside one of its ports.
class replica_scope {
public:
    explicit replica_scope(bool inside) : outer_(std::exchange(now_, inside)) {}
    ~replica_scope() { now_ = outer_; }
    replica_scope(const replica_scope&) = delete;
    replica_scope& operator=(const replica_scope&) = delete;

    static bool inside() { return now_; }

private:
    static inline bool now_ = false;
    bool outer_;
};

class node final : public replica::ports {
public:
    node(event_queue& events, random_source& random, network& net, unsigned side,
         const node_settings& settings);
    ~node() override;

    unsigned side() const { return side_; }
    bool alive() const { return resource_ != nullptr; }
    // Starts the program: volumes exist, nothing is attached or connected.
    void start();
    // Power is lost. `noticed`: the peer's sockets hear of it.
    void crash(bool noticed);

    replica::resource& machine() { return *resource_; }
    replica::resource_status status() const { return resource_->status(); }
    // What of it changes most often; cheap enough to be asked after each event.
    state::volume_state state(volume_number volume = 0) const {
        return resource_->state_of(volume);
    }

    // Commands with the administrator's habits: apply-al before attach.
    bool add_volume(volume_number volume) { return resource_->add_volume(volume, volume).ok; }
    void attach(volume_number volume, replica::on_outcome done);
    replica::outcome connect(bool discard_my_data = false);

    replica::buffer_ref client_buffer(std::uint32_t size);
    void submit(std::unique_ptr<client_request> request);
    std::size_t requests_open() const { return clients_.size(); }

    // The next deadline of the program, and its running.
    instant deadline() const;
    void expire();

    disk& data_disk(volume_number volume) { return *disks_[volume].data; }
    disk& metadata_disk(volume_number volume) { return *disks_[volume].metadata; }
    // Where it is: of a device that has grown perhaps where its end was.
    metadata_place metadata_at(volume_number volume);
    replica::disk_properties properties_now(volume_number volume);
    std::uint64_t data_sectors(volume_number volume);
    // The backing device becomes larger, and nobody tells the program.
    void grow_device(volume_number volume, std::uint64_t sectors) {
        grown_from_[volume].push_back(data_disk(volume).sectors());
        data_disk(volume).grow(sectors);
    }
    node_settings& settings() { return settings_; }
    // The option `size` of a volume whose configuration says something else than the settings.
    std::map<volume_number, std::uint64_t> size_option;
    // What clients see as the device's end.
    std::uint64_t device_size(volume_number volume) const { return sizes_[volume]; }
    std::map<std::string, helper_answer> helper_answers;
    // Takes a call over: to be answered by answer_helper(), in this life of the node or not at all.
    std::function<bool(const replica::helper_call&)> on_helper;
    void answer_helper(std::uint64_t incarnation, std::uint64_t id, int exit_code);
    std::uint64_t incarnation() const { return incarnation_; }
    std::map<std::string, unsigned> helpers_called;
    std::vector<replica::helper_call> helper_calls;
    // A handler that hangs ends by itself only so: with this code, and unless it is too late.
    void end_helper(std::uint64_t id, int exit_code);
    // The time limit of handlers.
    instant helper_limit = 300'000'000'000;
    bool device_in_use = false;
    // Minors that sync: of other resources of this machine, and our own.
    std::set<std::uint32_t> busy_elsewhere;
    std::set<std::uint32_t> shown_busy;
    // Called for each line of the log, if set.
    std::function<void(unsigned side, std::string_view text)> on_log;
    std::function<void(client_request&)> on_abandoned; // a crash took it
    std::function<void()> on_changed;

    // Events of the network.
    void link_established(bool resolve_conflicts) {
        const replica_scope scope(true);
        resource_->link_established(resolve_conflicts);
    }
    void link_lost(channel which, int error) {
        const replica_scope scope(true);
        resource_->link_lost(which, error);
    }
    std::size_t receive(channel which, const_byte_span bytes) {
        const replica_scope scope(true);
        return resource_->receive(which, bytes);
    }
    void received_in_place(channel which, std::size_t count) {
        const replica_scope scope(true);
        resource_->received_in_place(which, count);
    }
    void sent(channel which, std::size_t bytes) {
        const replica_scope scope(true);
        resource_->sent(which, bytes);
    }

    // --- ports ---
    instant now() const override { return events_.now(); }
    std::uint64_t random_number() override { return random_.next(); }
    void submit(replica::disk_request& request) override;
    void release_disk(volume_number) override {}
    std::optional<replica::disk_properties> measure_disk(volume_number volume) override;
    void open_link(const options::net_options&) override {
        const replica_scope scope(false);
        net_.open(side_);
    }
    void close_link() override {
        const replica_scope scope(false);
        net_.close(side_);
    }
    void want_send(channel which) override {
        const replica_scope scope(false);
        net_.want_send(side_, which);
    }
    void want_receive(channel which) override {
        const replica_scope scope(false);
        net_.want_receive(side_, which);
    }
    void io_done(replica::io_request& request, int error) override;
    bool in_use(volume_number) override { return device_in_use; }
    void size_changed(volume_number volume, std::uint64_t sectors) override {
        sizes_[volume] = sectors;
    }
    void role_changed(state::role) override {}
    bool minor_is_busy(std::uint32_t minor) override { return busy_elsewhere.contains(minor); }
    void show_minor_busy(std::uint32_t minor, bool busy) override;
    void run_helper(const replica::helper_call& call) override;
    void limit_helper(std::uint64_t id) override;
    void changed() override;
    void log(replica::log_level level, std::string_view text) override;

private:
    struct backing_pair {
        std::shared_ptr<disk> data;
        std::shared_ptr<disk> metadata;
    };
    struct released {
        void operator()(std::byte* memory) const noexcept { std::free(memory); }
    };
    using arena = std::unique_ptr<std::byte, released>;

    arena allocate(std::size_t size);
    format::placement where_metadata_is() const;
    void end_helper_after(instant delay, std::uint64_t id, int exit_code);

    event_queue& events_;
    random_source& random_;
    network& net_;
    unsigned side_;
    node_settings settings_;
    std::vector<backing_pair> disks_;
    std::vector<std::uint64_t> sizes_;
    std::map<volume_number, std::vector<std::uint64_t>> grown_from_; // oldest first
    std::uint64_t incarnation_ = 0;
    arena peer_memory_;
    arena client_memory_;
    std::unique_ptr<replica::buffer_pool> peer_pool_;
    std::unique_ptr<replica::buffer_pool> client_pool_;
    std::map<replica::io_request*, std::unique_ptr<client_request>> clients_;
    std::set<std::uint64_t> helpers_open_; // of this incarnation
    std::unique_ptr<replica::resource> resource_;
};

} // namespace lockstep::simulation
