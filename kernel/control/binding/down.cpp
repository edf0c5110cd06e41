// `drbdsetup down`: demote, disconnect, detach, remove the devices, leave. With force no step waits
// for a disk, a peer or a handler.
#include "kernel/control/binding/commands.hpp"

namespace lockstep::control {

void resource_target::commands::down(const on_reply& done) {
    resource_.secondary([this, done](const replica::outcome& end) {
        if (!end.ok) {
            return done(to_reply(end));
        }
        down_link(done);
    });
}

void resource_target::commands::down_link(const on_reply& done) {
    if (resource_.status().connection == state::connection::standalone) {
        return down_disks(0, done);
    }
    resource_.disconnect(false, [this, done](const replica::outcome& end) {
        // Between the look and the command the connection may have ended by itself.
        const bool already = end.code == static_cast<int>(state::verdict::already_standalone);
        if (!end.ok && !already) {
            return done(to_reply(end));
        }
        around_.clear_addresses();
        down_disks(0, done);
    });
}

void resource_target::commands::down_disks(std::uint32_t from, const on_reply& done) {
    for (const replica::volume_status& volume : resource_.status().volumes) {
        if (volume.volume < from || volume.state.disk == state::disk::diskless) {
            continue;
        }
        const std::uint32_t next = volume.volume + 1U;
        resource_.detach(volume.volume, false, [this, next, done](const replica::outcome& end) {
            if (!end.ok) {
                return done(to_reply(end));
            }
            down_disks(next, done);
        });
        return;
    }
    down_minors(done);
}

void resource_target::commands::down_minors(const on_reply& done) {
    const replica::resource_status status = resource_.status();
    if (status.volumes.empty()) {
        done(reply{});
        around_.leave();
        return;
    }
    const replica::volume_number volume = status.volumes.front().volume;
    if (const replica::outcome allowed = resource_.may_remove_volume(volume); !allowed.ok) {
        return done(to_reply(allowed));
    }
    around_.remove_device(
        volume, status.volumes.front().minor, [this, volume, done](const result<>& removed) {
            if (!removed) {
                return done(to_reply(removed.error()));
            }
            resource_.remove_volume(volume, [this, done](const replica::outcome& end) {
                observed_();
                if (!end.ok) {
                    return done(to_reply(end));
                }
                down_minors(done);
            });
        });
}

void resource_target::commands::force_down(const on_reply& done) {
    const auto ignored = [](const replica::outcome&) {};
    resource_.disconnect(true, ignored);
    around_.clear_addresses();
    for (const replica::volume_status& volume : resource_.status().volumes) {
        resource_.detach(volume.volume, true, ignored);
    }
    // Without a disk and a peer there is nothing to wait for: what is frozen ends with errors. No
    // disk is left to remember that this node is no Primary any more; it attaches as after a crash.
    resource_.resume_io(ignored);
    for (const replica::volume_status& volume : resource_.status().volumes) {
        around_.remove_device(volume.volume, volume.minor, [](const result<>&) {});
    }
    done(reply{});
    around_.leave();
}

} // namespace lockstep::control
