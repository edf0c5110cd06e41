// One resource's process: puts the rooms together and holds them in the right order.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "kernel/control/binding/resource_target.hpp"
#include "kernel/control/binding/surroundings.hpp"
#include "kernel/control/protocol/runtime_directory.hpp"
#include "kernel/control/socket_server.hpp"
#include "kernel/device/front_ends.hpp"
#include "kernel/engine_settings.hpp"
#include "kernel/engine_target.hpp"
#include "kernel/engine_volumes.hpp"
#include "kernel/host/claims.hpp"
#include "kernel/host/keeper.hpp"
#include "kernel/host/locked_memory.hpp"
#include "kernel/host/log_queue.hpp"
#include "kernel/host/replica_ports.hpp"

namespace lockstep::engine {

class process final : private control::surroundings,
                      private host::port_hooks,
                      private device::volume_io {
public:
    explicit process(settings use);
    ~process() override;
    process(const process&) = delete;
    process& operator=(const process&) = delete;

    // Claims the resource, starts the keeper, and listens for clients. If it fails the process is
    // to end by _exit(): the rooms that did start are not taken apart.
    result<> start();
    // Until the resource was taken down.
    void run();

private:
    struct signals : host::completion {
        explicit signals(process& of_) : completion(came), of(of_) {}
        static void came(host::completion& self, int result, unsigned flags);
        process& of;
        owned_fd fd;
    };
    struct device_of_volume {
        std::uint32_t minor = 0;
        bool has_volume_in_name = false;
        std::string backing_device;
    };

    result<> start_all();
    result<> claim_resource();
    result<> start_keeper();
    result<> start_rooms();
    void ask_for_cpu_latency();
    result<> start_server(const std::string& socket);
    void watch_signals();
    void signalled(int number);
    void told_to_stop(bool force);
    void apply_cpu_mask();
    void note(host::log_severity severity, const std::string& text);
    void shut_down();
    template <class Condition>
    bool wait_until(Condition condition, host::instant limit);
    void rename_by_volume(const std::function<void()>& then);
    device::volume_names names_of(replica::volume_number volume) const;

    // control::surroundings
    void open_disk(replica::volume_number volume, const control::disk_place& place,
                   const options::disk_options& options, on_disk done) override;
    void close_disk(replica::volume_number volume) override;
    void measure_disk(replica::volume_number volume, on_disk done) override;
    std::uint64_t disk_silent_ms(replica::volume_number volume) const override;
    std::optional<bool> device_open(replica::volume_number volume) const override;
    void create_device(replica::volume_number volume, std::uint32_t minor, on_done done) override;
    void remove_device(replica::volume_number volume, std::uint32_t minor, on_done done) override;
    result<> set_addresses(const std::string& local, const std::string& peer) override;
    void clear_addresses() override;
    void leave() override;

    // host::port_hooks
    void io_done(replica::io_request& request, int error) override;
    bool in_use(replica::volume_number volume) override;
    void size_changed(replica::volume_number volume) override;
    void role_changed() override;
    void disk_released(replica::volume_number volume) override;
    void changed() override;
    host::helper_facts facts_for_helper() override;
    void helper_called(const replica::helper_call& call) override;
    void helper_ended(const replica::helper_call& call, int exit_code) override;

    // device::volume_io
    void submit(replica::io_request& asked) override { resource_->submit(asked); }

    settings settings_;
    control::runtime_directory runtime_;
    host::claims claims_;
    std::string resource_claim_;
    bool prepared_ = false;
    std::string claimed_local_;
    std::string claimed_peer_;
    std::map<replica::volume_number, device_of_volume> devices_;

    std::unique_ptr<host::keeper> keeper_;
    std::unique_ptr<host::event_loop> loop_;
    std::unique_ptr<host::cpu_latency_request> cpu_latency_;
    std::unique_ptr<host::log_queue> log_;
    std::unique_ptr<host::memory_arena> peer_memory_;
    std::unique_ptr<host::memory_arena> client_memory_;
    std::unique_ptr<replica::buffer_pool> peer_buffers_;
    std::unique_ptr<replica::buffer_pool> client_buffers_;
    std::unique_ptr<host::replica_ports> ports_;
    std::unique_ptr<replica::resource> resource_;
    std::unique_ptr<device::front_ends> front_ends_;
    std::unique_ptr<volumes> volumes_;
    std::unique_ptr<control::resource_target> replica_target_;
    std::unique_ptr<target> target_;
    std::unique_ptr<control::socket_server> server_;
    signals signals_{*this};
    bool mask_applied_ = false;
};

} // namespace lockstep::engine
