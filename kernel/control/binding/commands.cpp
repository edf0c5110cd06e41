// Which command does what. The codes are DRBD's (drbd-utils, linux/drbd.h, enum drbd_ret_code).
#include "kernel/control/binding/commands.hpp"

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>

#include "kernel/control/binding/option_changes.hpp"

namespace lockstep::control {

namespace {

constexpr int code_local_address = 102;
constexpr int code_peer_address = 103;
constexpr int code_index_invalid = 116;
constexpr int code_disk_configured = 124;
constexpr int code_net_configured = 125;
constexpr int code_minor_exists = 161;
constexpr int code_minor_invalid = 127;
constexpr int code_resource_in_use = 159;

// A disk that is silent for longer is worth a word.
constexpr std::uint64_t silence_ms_max = 1000;

disk_place place_of(const request& what) {
    disk_place place;
    place.backing_device = what.backing_device;
    place.meta_device = what.meta_device;
    using placement = replica::disk_properties::placement;
    if (what.meta_index == "internal") {
        place.where = placement::internal;
    } else if (what.meta_index == "flexible") {
        place.where = placement::flexible;
    } else {
        place.where = placement::indexed;
        place.index =
            static_cast<std::uint32_t>(std::strtoul(what.meta_index.c_str(), nullptr, 10));
    }
    return place;
}

// The options that come with a command.
std::optional<options::section> section_of(command what) {
    switch (what) {
    case command::attach:
    case command::disk_options:
        return options::section::disk;
    case command::connect:
    case command::net_options:
        return options::section::net;
    default:
        return std::nullopt; // options {} has none without effect
    }
}

} // namespace

snapshot resource_target::commands::look() const {
    snapshot seen = to_snapshot(resource_.status(), places_, local_address_, peer_address_);
    for (volume_snapshot& volume : seen.volumes) {
        const auto number = static_cast<replica::volume_number>(volume.volume);
        const std::optional<bool> open = around_.device_open(number);
        volume.open = open.value_or(false);
        volume.open_is_known = open.has_value();
        if (const auto opening = opening_.find(number); opening != opening_.end()) {
            volume.waiting_for = fmt::format("opening {}", opening->second);
        }
        volume.disk_silent_ms = around_.disk_silent_ms(number);
        if (volume.disk_silent_ms >= silence_ms_max) {
            volume.waiting_for = "the disk does not answer; detach --force drops it";
        }
        volume.client = !volume.attached && diskless_by_intention_.count(number) != 0;
    }
    return seen;
}

void resource_target::commands::disk_released(replica::volume_number volume) {
    places_.erase(volume);
}

replica::on_outcome resource_target::commands::answering(on_reply done) const {
    return [done = std::move(done)](const replica::outcome& end) { done(to_reply(end)); };
}

std::optional<replica::volume_status>
resource_target::commands::volume_of(const request& what) const {
    const replica::resource_status status = resource_.status();
    const auto found = std::find_if(
        status.volumes.begin(), status.volumes.end(),
        [&](const replica::volume_status& volume) { return volume.minor == what.minor; });
    return found == status.volumes.end() ? std::nullopt : std::optional(*found);
}

void resource_target::commands::run(const request& what, on_reply done) {
    if (const auto where = section_of(what.what)) {
        done = [notes = without_effect(*where, what.settings), done = std::move(done)](reply end) {
            if (end.ok) {
                end.info.insert(end.info.end(), notes.begin(), notes.end());
            }
            done(std::move(end));
        };
    }
    switch (what.what) {
    case command::new_minor:
        return new_minor(what, done);
    case command::del_resource:
        return del_resource(done);
    case command::down:
        return what.force ? force_down(done) : down(done);
    case command::connect:
        return connect(what, done);
    case command::disconnect:
        return disconnect(what.force, done);
    case command::net_options:
        return net_options(what, done);
    case command::resource_options:
        return resource_options(what, done);
    default:
        break;
    }
    const std::optional<replica::volume_status> volume = volume_of(what);
    if (!volume) {
        return done(refusal(code_minor_invalid, "Device minor not allocated",
                            fmt::format("This resource has no minor {}: drbdsetup status --verbose "
                                        "shows those that exist, drbdadm up makes those of the "
                                        "configuration.",
                                        what.minor)));
    }
    switch (what.what) {
    case command::del_minor:
        return del_minor(*volume, done);
    case command::attach:
        return attach(what, *volume, done);
    case command::disk_options:
        return disk_options(what, *volume, done);
    case command::resize:
        return resize(what, volume->volume, done);
    case command::detach:
        return detach(what, volume->volume, std::move(done));
    default:
        return run_on_volume(what, volume->volume, std::move(done));
    }
}

void resource_target::commands::run_on_volume(const request& what, replica::volume_number volume,
                                              on_reply done) {
    replica::on_outcome end = answering(std::move(done));
    switch (what.what) {
    case command::primary:
        return resource_.primary(what.force, std::move(end));
    case command::secondary:
        return resource_.secondary(std::move(end));
    case command::invalidate:
        return resource_.invalidate(volume, std::move(end));
    case command::invalidate_remote:
        return resource_.invalidate_remote(volume, std::move(end));
    case command::pause_sync:
        return resource_.pause_sync(volume, std::move(end));
    case command::resume_sync:
        return resource_.resume_sync(volume, std::move(end));
    case command::suspend_io:
        return resource_.suspend_io(std::move(end));
    case command::resume_io:
        return resource_.resume_io(std::move(end));
    case command::outdate:
        return resource_.outdate(volume, std::move(end));
    case command::verify:
        return resource_.verify(volume, what.start_sector, what.stop_sector, std::move(end));
    case command::new_current_uuid:
        return resource_.new_current_uuid(volume, what.clear_bitmap, std::move(end));
    default:
        break;
    }
    replica::outcome unknown;
    unknown.ok = false;
    unknown.code = code_invalid_request;
    unknown.text = "Invalid configuration request";
    end(unknown);
}

void resource_target::commands::new_minor(const request& what, const on_reply& done) {
    const auto volume = static_cast<replica::volume_number>(what.volume);
    const std::optional<replica::volume_status> existing = volume_of(what);
    if (existing && existing->volume == volume) {
        // As the kernel has it: what is there already is no error.
        return done(reply{});
    }
    const auto volumes = resource_.status().volumes;
    const bool is_there =
        std::ranges::any_of(volumes, [volume](const auto& each) { return each.volume == volume; });
    if (is_there || !creating_.insert(volume).second) {
        return done(refusal(code_minor_exists, "Minor or volume exists already (delete it first)",
                            "Use another volume number, or drbdsetup del-minor first."));
    }
    // The device first: it can always be taken back, a volume that the peer knows of can't.
    around_.create_device(volume, what.minor, [this, what, volume, done](const result<>& made) {
        creating_.erase(volume);
        if (!made) {
            return done(to_reply(made.error()));
        }
        const replica::outcome added = resource_.add_volume(volume, what.minor);
        if (!added.ok) {
            around_.remove_device(volume, what.minor,
                                  [added, done](const result<>&) { done(to_reply(added)); });
            return;
        }
        observed_();
        done(reply{});
    });
}

void resource_target::commands::del_minor(const replica::volume_status& volume,
                                          const on_reply& done) {
    const replica::volume_number number = volume.volume;
    // A refusal takes nothing away: the device goes first, and only if the volume may follow.
    if (const replica::outcome allowed = resource_.may_remove_volume(number); !allowed.ok) {
        return done(to_reply(allowed));
    }
    around_.remove_device(number, volume.minor, [this, number, done](const result<>& removed) {
        if (!removed) {
            return done(to_reply(removed.error()));
        }
        resource_.remove_volume(number, [this, number, done](const replica::outcome& end) {
            if (end.ok) {
                diskless_by_intention_.erase(number);
            }
            observed_();
            done(to_reply(end));
        });
    });
}

void resource_target::commands::del_resource(const on_reply& done) {
    const replica::resource_status status = resource_.status();
    if (status.connection != state::connection::standalone) {
        return done(refusal(code_net_configured, "Device has a net-config (use disconnect first)",
                            "drbdsetup disconnect, or drbdsetup down to do it all."));
    }
    if (!status.volumes.empty()) {
        return done(refusal(code_resource_in_use, "Resource still in use (delete all minors first)",
                            "drbdsetup del-minor for each of them, or drbdsetup down to do it "
                            "all."));
    }
    done(reply{});
    around_.leave();
}

void resource_target::commands::attach(const request& what, const replica::volume_status& volume,
                                       const on_reply& done) {
    if (volume.attached || volume.state.disk > state::disk::diskless) {
        return done(refusal(code_disk_configured, "Device is attached to a disk (use detach first)",
                            "To use another disk: drbdsetup detach, then attach again."));
    }
    if ((what.backing_device == what.meta_device) != (what.meta_index == "internal")) {
        return done(refusal(code_index_invalid,
                            "Lower device / meta device / index combination invalid.",
                            "Give the same device twice and internal, or another device and "
                            "flexible or a slot number."));
    }
    const result<options::disk_options> options =
        options_from<options::disk_options>(what.settings);
    if (!options) {
        return done(to_reply(options.error()));
    }
    const options::disk_options taken = *options;
    const replica::volume_number number = volume.volume;
    opening_[number] = what.backing_device;
    around_.open_disk(
        number, place_of(what), taken,
        [this, what, number, taken, done](const result<replica::disk_properties>& disk) {
            opened(what, number, taken, disk, done);
        });
}

void resource_target::commands::opened(const request& what, replica::volume_number volume,
                                       const options::disk_options& options,
                                       const result<replica::disk_properties>& disk,
                                       const on_reply& done) {
    opening_.erase(volume);
    if (!disk) {
        return done(to_reply(disk.error()));
    }
    diskless_by_intention_.erase(volume);
    // Known from here on, so that events and show of an attaching disk name it.
    places_[volume] = {what.backing_device, what.meta_device, what.meta_index};
    resource_.attach(volume, *disk, options, [this, volume, done](const replica::outcome& end) {
        if (!end.ok) {
            places_.erase(volume);
            around_.close_disk(volume);
        }
        done(to_reply(end));
    });
}

void resource_target::commands::detach(const request& what, replica::volume_number volume,
                                       on_reply done) {
    if (!what.by_intention) {
        return resource_.detach(volume, what.force, answering(std::move(done)));
    }
    resource_.detach(volume, what.force,
                     [this, volume, done = std::move(done)](const replica::outcome& end) {
                         if (end.ok) {
                             diskless_by_intention_.insert(volume);
                             observed_();
                         }
                         done(to_reply(end));
                     });
}

void resource_target::commands::resize(const request& what, replica::volume_number volume,
                                       const on_reply& done) {
    around_.measure_disk(volume,
                         [this, what, volume, done](const result<replica::disk_properties>& disk) {
                             if (!disk) {
                                 return done(to_reply(disk.error()));
                             }
                             replica::resize_arguments arguments;
                             arguments.size_sectors = what.size_sectors;
                             arguments.assume_peer_has_space = what.assume_peer_has_space;
                             arguments.assume_clean = what.assume_clean;
                             resource_.resize(volume, *disk, arguments, answering(done));
                         });
}

void resource_target::commands::connect(const request& what, const on_reply& done) {
    const replica::resource_status status = resource_.status();
    // In the kernel's order: it looks for the addresses first, also in this resource.
    if (status.has_net &&
        (what.local_address == local_address_ || what.peer_address == peer_address_)) {
        const bool local = what.local_address == local_address_;
        return done(refusal(local ? code_local_address : code_peer_address,
                            local ? "Local address(port) already in use."
                                  : "Remote address(port) already in use.",
                            "This resource is connected with it already: drbdsetup net-options "
                            "changes its options, drbdsetup disconnect ends it."));
    }
    if (status.connection != state::connection::standalone) {
        return done(refusal(code_net_configured, "Device has a net-config (use disconnect first)",
                            "To change options of the connection: drbdsetup net-options; to "
                            "change its addresses: drbdsetup disconnect, then connect again."));
    }
    std::vector<option_setting> settings = net_to_come_;
    settings.insert(settings.end(), what.settings.begin(), what.settings.end());
    const result<options::net_options> options = options_from<options::net_options>(settings);
    if (!options) {
        return done(to_reply(options.error()));
    }
    const result<> claimed = around_.set_addresses(what.local_address, what.peer_address);
    if (!claimed) {
        return done(to_reply(claimed.error()));
    }
    local_address_ = what.local_address;
    peer_address_ = what.peer_address;
    replica::connect_arguments arguments;
    arguments.net = *options;
    arguments.discard_my_data = what.discard_my_data;
    arguments.tentative = what.tentative;
    const replica::outcome end = resource_.connect(arguments);
    if (!end.ok) {
        around_.clear_addresses();
    }
    done(to_reply(end));
}

void resource_target::commands::disconnect(bool force, const on_reply& done) {
    resource_.disconnect(force, [this, done](const replica::outcome& end) {
        if (end.ok) {
            around_.clear_addresses();
        }
        done(to_reply(end));
    });
}

void resource_target::commands::disk_options(const request& what,
                                             const replica::volume_status& volume,
                                             const on_reply& done) {
    const result<options::disk_options> options = changed_options(
        options::section::disk, volume.disk_options, what.set_defaults, what.settings);
    if (!options) {
        return done(to_reply(options.error()));
    }
    done(to_reply(resource_.change_disk_options(volume.volume, *options)));
}

void resource_target::commands::net_options(const request& what, const on_reply& done) {
    const replica::resource_status status = resource_.status();
    const result<options::net_options> options =
        changed_options(options::section::net, status.net, what.set_defaults, what.settings);
    if (options && !status.has_net) {
        if (what.set_defaults) {
            net_to_come_.clear();
        }
        net_to_come_.insert(net_to_come_.end(), what.settings.begin(), what.settings.end());
        return done(reply{});
    }
    if (!options) {
        return done(to_reply(options.error()));
    }
    done(to_reply(resource_.change_net_options(*options)));
}

void resource_target::commands::resource_options(const request& what, const on_reply& done) {
    const result<options::resource_options> options = changed_options(
        options::section::resource, resource_.status().resource, what.set_defaults, what.settings);
    if (!options) {
        return done(to_reply(options.error()));
    }
    done(to_reply(resource_.change_resource_options(*options)));
}

} // namespace lockstep::control
