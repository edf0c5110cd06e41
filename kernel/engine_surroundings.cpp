// What the rooms ask of the engine: the control server for disks, devices and addresses, the
// replica for front ends, clients and facts for its handlers.
#include <optional>
#include <utility>

#include "kernel/engine_process.hpp"

namespace lockstep::engine {

using host::log_severity;

// --- control::surroundings ---

void process::open_disk(replica::volume_number volume, const control::disk_place& place,
                        const options::disk_options& /*options*/, on_disk done) {
    host::disk_location location;
    location.data = place.backing_device;
    location.metadata = place.meta_device;
    location.where = place.where;
    location.index = place.index;
    ports_->faults().set_minor(volume, devices_[volume].minor);
    const std::string path = place.backing_device;
    ports_->disks().open(
        volume, location,
        [this, volume, path, done = std::move(done)](result<replica::disk_properties> opened) {
            if (opened) {
                devices_[volume].backing_device = path;
                volumes_->set_can_discard(volume, opened->can_discard);
                front_ends_->set_backing_disk(volume, path);
            }
            done(std::move(opened));
        });
}

void process::close_disk(replica::volume_number volume) {
    ports_->disks().close(volume);
    disk_released(volume);
}

void process::measure_disk(replica::volume_number volume, on_disk done) {
    done(ports_->disks().measure(volume));
}

std::uint64_t process::disk_silent_ms(replica::volume_number volume) const {
    return ports_->disks().silent_for(volume) / host::millisecond;
}

std::optional<bool> process::device_open(replica::volume_number volume) const {
    if (front_ends_ == nullptr || !front_ends_->in_use(volume)) {
        return false;
    }
    // Of a loop device the kernel does not tell who has it open.
    return front_ends_->clients(volume) > 0 ? std::optional<bool>(true) : std::nullopt;
}

device::volume_names process::names_of(replica::volume_number volume) const {
    const device_of_volume& device = devices_.at(volume);
    device::volume_names names;
    names.volume = volume;
    names.minor = device.minor;
    names.by_res_has_volume = device.has_volume_in_name;
    names.resource = settings_.resource;
    names.backing_disk = device.backing_device;
    return names;
}

void process::create_device(replica::volume_number volume, std::uint32_t minor, on_done done) {
    const std::string claim = "minor-" + std::to_string(minor);
    if (auto claimed = claims_.take(claim, 161); !claimed) {
        done(std::move(claimed));
        return;
    }
    if (auto linked = runtime_.link_minor(minor, settings_.resource); !linked) {
        claims_.release(claim);
        done(std::move(linked));
        return;
    }
    device_of_volume made;
    made.minor = minor;
    // by-res/RES for the one volume 0; by-res/RES/N as soon as there is any other.
    made.has_volume_in_name = volume != 0 || !devices_.empty();
    devices_[volume] = made;
    rename_by_volume([this, volume, minor, claim, done = std::move(done)] {
        front_ends_->configure(names_of(volume),
                               [this, volume, minor, claim, done](result<> configured) {
                                   if (!configured) {
                                       devices_.erase(volume);
                                       runtime_.unlink_minor(minor, settings_.resource);
                                       claims_.release(claim);
                                   }
                                   done(std::move(configured));
                               });
    });
}

// by-res/RES can be a link or a directory: with a second volume the first one's link moves.
void process::rename_by_volume(const std::function<void()>& then) {
    for (auto& [volume, device] : devices_) {
        if (devices_.size() < 2 || device.has_volume_in_name) {
            continue;
        }
        device.has_volume_in_name = true;
        front_ends_->name_by_volume(volume, [this, then](const result<>& how) {
            if (!how) {
                note(log_severity::warning, how.error().text());
            }
            then();
        });
        return;
    }
    then();
}

void process::remove_device(replica::volume_number volume, std::uint32_t minor, on_done done) {
    front_ends_->remove(volume, [this, volume, minor, done = std::move(done)](result<> removed) {
        if (removed) {
            devices_.erase(volume);
            volumes_->forget(volume);
            runtime_.unlink_minor(minor, settings_.resource);
            claims_.release("minor-" + std::to_string(minor));
        }
        done(std::move(removed));
    });
}

result<> process::set_addresses(const std::string& local, const std::string& peer) {
    const auto ours = host::parse_socket_address(local);
    const auto theirs = host::parse_socket_address(peer);
    if (!ours || !theirs) {
        return tl::unexpected(!ours ? ours.error() : theirs.error());
    }
    clear_addresses();
    if (auto claimed = claims_.take("address-" + ours->text(), 102); !claimed) {
        return claimed;
    }
    claimed_local_ = "address-" + ours->text();
    if (auto claimed = claims_.take("peer-" + theirs->text(), 103); !claimed) {
        clear_addresses();
        return claimed;
    }
    claimed_peer_ = "peer-" + theirs->text();
    auto set = ports_->wire().set_addresses(*ours, *theirs);
    if (!set) {
        clear_addresses();
    }
    return set;
}

void process::clear_addresses() {
    ports_->wire().close();
    ports_->wire().clear_addresses();
    claims_.release(std::exchange(claimed_local_, {}));
    claims_.release(std::exchange(claimed_peer_, {}));
}

// --- host::port_hooks ---

void process::io_done(replica::io_request& request, int error) {
    device::finish(request, error);
}

bool process::in_use(replica::volume_number volume) {
    return front_ends_ != nullptr && front_ends_->in_use(volume);
}

void process::size_changed(replica::volume_number /*volume*/) {
    if (volumes_ != nullptr) {
        volumes_->follow();
    }
}

void process::role_changed() {
    if (volumes_ != nullptr) {
        volumes_->follow();
    }
}

void process::disk_released(replica::volume_number volume) {
    if (const auto found = devices_.find(volume); found != devices_.end()) {
        found->second.backing_device.clear();
        front_ends_->set_backing_disk(volume, {});
    }
    volumes_->set_can_discard(volume, false);
    replica_target_->disk_released(volume);
}

void process::changed() {
    if (server_ != nullptr) {
        server_->clients().changed();
    }
}

host::helper_facts process::facts_for_helper() {
    host::helper_facts facts;
    for (const auto& [volume, device] : devices_) {
        facts.volumes.push_back({volume, device.minor, device.backing_device});
    }
    if (const auto& local = ports_->wire().local()) {
        facts.my_family = local->family;
        facts.my_address = local->host;
    }
    if (const auto& peer = ports_->wire().peer()) {
        facts.peer_family = peer->family;
        facts.peer_address = peer->host;
    }
    const replica::resource_status now = resource_->status();
    state::connection connection = now.connection;
    if (connection == state::connection::wf_report_params && !now.volumes.empty()) {
        connection = now.volumes.front().state.connection;
        for (const replica::volume_status& each : now.volumes) {
            connection = std::min(connection, each.state.connection);
        }
    }
    facts.connection = std::string(state::name(connection));
    facts.own_up_to_date = !now.volumes.empty();
    facts.peer_up_to_date = !now.volumes.empty();
    for (const replica::volume_status& each : now.volumes) {
        facts.own_up_to_date &= each.state.disk == state::disk::up_to_date;
        facts.peer_up_to_date &= each.state.peer_disk == state::disk::up_to_date;
    }
    return facts;
}

namespace {

std::optional<std::uint32_t> volume_of(const replica::helper_call& call) {
    return call.for_volume ? std::optional<std::uint32_t>(call.volume) : std::nullopt;
}

} // namespace

void process::helper_called(const replica::helper_call& call) {
    std::optional<std::uint32_t> minor;
    if (const auto found = devices_.find(call.volume); call.for_volume && found != devices_.end()) {
        minor = found->second.minor;
    }
    server_->clients().helper_called(call.name, volume_of(call), minor);
}

void process::helper_ended(const replica::helper_call& call, int exit_code) {
    std::optional<std::uint32_t> minor;
    if (const auto found = devices_.find(call.volume); call.for_volume && found != devices_.end()) {
        minor = found->second.minor;
    }
    server_->clients().helper_ended(call.name, volume_of(call), minor, exit_code);
}

} // namespace lockstep::engine
