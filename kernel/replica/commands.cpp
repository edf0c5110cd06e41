// What an administrator can ask of a resource: the methods of `resource` behind drbdsetup's
// commands.
#include <algorithm>
#include <functional>
#include <utility>

#include <fmt/format.h>

#include "kernel/replica/attach_job.hpp"
#include "kernel/replica/machinery.hpp"
#include "kernel/replica/option_checks.hpp"
#include "kernel/replica/promotion.hpp"

namespace lockstep::replica {

using state::connection;
using state::disk;
using state::role;
using state::verdict;

namespace {

outcome no_such_volume() {
    return refused(127, "Device minor not allocated", "create it first: drbdsetup new-minor");
}

outcome no_disk() {
    return refused(138, "Device does not have a disk-config", "attach the disk first");
}

// Runs `action` for an existing volume, and settles.
template <class Action>
void with_volume(machinery& all, volume_number number, const on_outcome& done, Action&& action) {
    if (volume* target = all.find(number)) {
        action(*target);
    } else {
        done(no_such_volume());
    }
    all.settle();
}

// The same for what is about the disk: one that is being attached is known only when that has
// ended.
void with_known_disk(machinery& all, volume_number number, const on_outcome& done,
                     const std::function<void(volume&)>& action) {
    with_volume(all, number, done, [&](volume& target) {
        if (target.attaching == nullptr) {
            action(target);
            return;
        }
        target.attaching->waiting.emplace_back(
            [&all, number, done, action] { with_known_disk(all, number, done, action); });
    });
}

// Lifts what froze I/O, whatever it was, and answers for the peer and the disk that are not there.
outcome go_on(machinery& all) {
    all.states.go_on_without_data_of_peer();
    if (!all.is_connected()) {
        all.epochs.give_up_peer();
    }
    const bool without_data = all.common.suspended_no_data;
    all.fencing.overruled();
    const auto result = all.states.change_all(state::state_change{}
                                                  .with_suspended_user(false)
                                                  .with_suspended_no_data(false)
                                                  .with_suspended_fencing(false),
                                              state::change_kind::hard);
    if (without_data) {
        all.writes.give_up_waiting();
    }
    all.writes.thawed();
    return outcome_of(result);
}

} // namespace

outcome resource::add_volume(volume_number number, std::uint32_t minor) {
    machinery& all = *machinery_;
    if (all.find(number) != nullptr) {
        return refused(161, fmt::format("Volume {} exists already", number),
                       "use another volume number, or del-minor first");
    }
    if (number != 0 && all.is_connected() && !all.link.rules.has_volumes()) {
        return refused(162, "the peer's protocol version carries volume 0 only",
                       "disconnect first; such a peer can't have this volume");
    }
    auto made = std::make_unique<volume>(all, all.clock, number, minor, [&all, number] {
        if (volume* found = all.find(number)) {
            all.resync.tick(*found);
            all.verify.tick(*found);
            all.congestion.tick(*found);
        }
    });
    made->state = all.common;
    made->state.disk = disk::diskless;
    made->state.peer_disk = disk::unknown;
    volume& added = *made;
    all.volumes.emplace(number, std::move(made));
    if (all.link.up && !all.handshake.before_parameters()) {
        all.handshake.send_added(added);
    }
    all.world.changed();
    all.settle();
    return {};
}

outcome resource::may_remove_volume(volume_number number) const {
    return machinery_->removal.allowed(number);
}

void resource::remove_volume(volume_number number, on_outcome done) {
    machinery_->removal.remove(number, std::move(done));
    machinery_->settle();
}

void resource::attach(volume_number number, const disk_properties& properties,
                      const options::disk_options& options, on_outcome done) {
    machinery& all = *machinery_;
    // In the middle of a handshake the peer has just been told that there is no disk.
    all.handshake.when_over([&all, number, properties, options, done = std::move(done)] {
        with_volume(all, number, done, [&](volume& target) {
            if (auto refused = check_disk_options(all, target, options); !refused.ok) {
                done(std::move(refused));
                return;
            }
            all.disks.attach(target, properties, options, done);
        });
    });
    all.settle();
}

void resource::detach(volume_number number, bool force, on_outcome done) {
    const auto begin = [this, force, done](volume& target) {
        machinery_->disks.detach(target, force, done);
    };
    if (force) {
        with_volume(*machinery_, number, done, begin);
    } else {
        with_known_disk(*machinery_, number, done, begin);
    }
}

outcome resource::connect(const connect_arguments& arguments) {
    machinery& all = *machinery_;
    if (all.common.connection != connection::standalone) {
        return refused(125, "Device has a net-config (use disconnect first)",
                       "disconnect first, or use net-options to change settings");
    }
    if (auto refused = check_net_options(all, arguments.net); !refused.ok) {
        return refused;
    }
    if (arguments.discard_my_data && all.common.role == role::primary) {
        return refused(123, "--discard-my-data not allowed when primary", "demote first");
    }
    all.net = arguments.net;
    all.has_net = true;
    all.handshake.set_discard_my_data(arguments.discard_my_data);
    all.handshake.set_tentative(arguments.tentative);
    const auto verdict = all.states.change_all(state::state_change{}.with(connection::unconnected),
                                               state::change_kind::soft);
    if (verdict < verdict::success) {
        all.has_net = false;
        return outcome_of(verdict);
    }
    if (all.volumes.empty()) {
        all.common.connection = connection::unconnected;
    }
    all.states.start_connecting();
    all.settle();
    return {};
}

void resource::disconnect(bool force, on_outcome done) {
    machinery& all = *machinery_;
    if (force) {
        all.states.disconnect_at_once("disconnect --force");
        all.settle();
        done({});
        return;
    }
    disconnect_politely(all, std::move(done));
    all.settle();
}

void resource::primary(bool force, on_outcome done) {
    promote(*machinery_, force, std::move(done));
    machinery_->settle();
}

void resource::secondary(on_outcome done) {
    demote(*machinery_, std::move(done));
    machinery_->settle();
}

void resource::outdate(volume_number number, on_outcome done) {
    with_known_disk(*machinery_, number, done, [this, done](volume& target) {
        machinery_->commands.change_volume(target, state::state_change{}.with(disk::outdated),
                                           done);
    });
}

void resource::invalidate(volume_number number, on_outcome done) {
    machinery& all = *machinery_;
    with_known_disk(all, number, done, [&all, done](volume& target) {
        if (target.disk == nullptr) {
            done(no_disk());
            return;
        }
        if (!target.connected()) {
            // Without a peer it is a mark for later: everything is out of sync.
            const auto result = all.states.change(
                target, state::state_change{}.with(disk::inconsistent), state::change_kind::soft);
            if (result >= verdict::success && target.disk != nullptr) {
                target.disk->bits.set_all();
                target.disk->bits.mark_all_dirty();
                target.disk->store_bitmap([](bool) {});
            }
            done(outcome_of(result));
            return;
        }
        all.commands.change_volume(target, state::state_change{}.with(connection::starting_sync_t),
                                   done);
    });
}

void resource::invalidate_remote(volume_number number, on_outcome done) {
    machinery& all = *machinery_;
    with_known_disk(all, number, done, [&all, done](volume& target) {
        if (target.disk == nullptr) {
            done(no_disk());
            return;
        }
        if (target.connected() && target.state.peer_disk < disk::inconsistent) {
            done(outcome_of(verdict::no_remote_disk));
            return;
        }
        if (!target.connected() && all.common.role == role::primary) {
            target.disk->bits.set_all();
            target.disk->bits.mark_all_dirty();
            target.disk->store_bitmap([](bool) {});
            done({});
            return;
        }
        all.commands.change_volume(target, state::state_change{}.with(connection::starting_sync_s),
                                   done);
    });
}

void resource::pause_sync(volume_number number, on_outcome done) {
    with_volume(*machinery_, number, done, [&](volume& target) {
        if (target.state.sync_paused_user) {
            done(refused(134, "Sync-pause flag is already set", "resume-sync clears it"));
            return;
        }
        done(outcome_of(machinery_->states.change(
            target, state::state_change{}.with_paused_user(true), state::change_kind::soft)));
    });
}

void resource::resume_sync(volume_number number, on_outcome done) {
    with_volume(*machinery_, number, done, [&](volume& target) {
        if (!target.state.sync_paused_user) {
            const int code = target.state.sync_paused_after  ? 156
                             : target.state.sync_paused_peer ? 157
                                                             : 135;
            done(refused(code,
                         code == 157   ? "Sync-pause flag is set by the peer"
                         : code == 156 ? "Sync-pause flag is set by resync-after"
                                       : "Sync-pause flag is already cleared",
                         code == 157   ? "resume it on the peer"
                         : code == 156 ? "it goes on when the other resource is in sync"
                                       : "nothing is paused"));
            return;
        }
        done(outcome_of(machinery_->states.change(
            target, state::state_change{}.with_paused_user(false), state::change_kind::soft)));
    });
}

void resource::suspend_io(on_outcome done) {
    machinery& all = *machinery_;
    done(outcome_of(all.states.change_all(state::state_change{}.with_suspended_user(true),
                                          state::change_kind::soft)));
    all.settle();
}

void resource::resume_io(on_outcome done) {
    machinery& all = *machinery_;
    // In the middle of a handshake the peer compares the generations that it has just been told:
    // one made now would be unknown to it, and to us look like a split brain.
    all.handshake.when_over([&all, done = std::move(done)] {
        done(go_on(all));
        all.settle();
    });
}

void resource::new_current_uuid(volume_number number, bool clear_bitmap, on_outcome done) {
    machinery& all = *machinery_;
    with_volume(all, number, done, [&](volume& target) {
        if (target.disk == nullptr || target.state.disk < disk::inconsistent) {
            done(no_disk());
            return;
        }
        local_disk& own = *target.disk;
        const bool skip = target.state.connection == connection::connected &&
                          all.link.rules.version >= 90 &&
                          own.super.uuids.current == state::uuid_just_created && clear_bitmap;
        if (target.state.connection != connection::standalone && !skip) {
            done(refused(151, "Need to be StandAlone", "disconnect first"));
            return;
        }
        own.set_generation(state::new_current_by_admin(own.generation(), all.world.random_number(),
                                                       target.state.role, skip));
        target.effective_generation = own.super.uuids.current;
        if (clear_bitmap) {
            own.bits.clear_all();
            own.store_bitmap([](bool) {});
        }
        if (skip) {
            all.states.send_uuids(target, wire::uuid_flag::skip_initial_sync);
            all.states.change(
                target, state::state_change{}.with(disk::up_to_date).with_peer(disk::up_to_date),
                state::change_kind::hard);
        }
        own.store_superblock([done](bool stored) {
            done(stored ? outcome{} : refused(118, "IO error on the meta data", "look at the log"));
        });
    });
}

void resource::verify(volume_number number, std::uint64_t start_sector, std::uint64_t stop_sector,
                      on_outcome done) {
    with_volume(*machinery_, number, done, [&](volume& target) {
        machinery_->verify.start(target, start_sector, stop_sector, std::move(done));
    });
}

void resource::resize(volume_number number, const disk_properties& properties,
                      const resize_arguments& arguments, on_outcome done) {
    with_volume(*machinery_, number, done, [&](volume& target) {
        machinery_->sizes.resize(target, properties, arguments, std::move(done));
    });
}

outcome resource::change_disk_options(volume_number number, const options::disk_options& options) {
    machinery& all = *machinery_;
    volume* target = all.find(number);
    if (target == nullptr) {
        return no_such_volume();
    }
    if (auto refused = check_disk_options(all, *target, options); !refused.ok) {
        return refused;
    }
    const bool log_changes = options.al_updates != target->options.al_updates ||
                             options.al_extents != target->options.al_extents;
    if (log_changes && target->disk != nullptr) {
        return refused(124, "al-extents and al-updates can't change while the disk is attached",
                       "detach, change the configuration, and attach again");
    }
    const std::uint64_t size = target->options.size_sectors;
    target->options = options;
    target->options.size_sectors = size; // resize changes it
    if (target->disk != nullptr) {
        target->disk->watch_deadline();
    }
    all.resync.options_changed(*target);
    all.order.look();
    if (target->connected()) {
        all.handshake.send_sync_settings(*target);
    }
    all.world.changed();
    all.settle();
    return {};
}

outcome resource::change_net_options(const options::net_options& options) {
    machinery& all = *machinery_;
    if (!all.has_net) {
        return refused(162, "Device does not have a net-config", "connect first");
    }
    if (auto refused = check_net_options(all, options); !refused.ok) {
        return refused;
    }
    if (auto refused = check_net_change(all, options); !refused.ok) {
        return refused;
    }
    all.net = options;
    if (all.link.up && !all.handshake.before_parameters()) {
        if (all.link.rules.has_ack_flags()) {
            all.handshake.send_protocol(wire::command::protocol_update);
        }
        for (auto& [number, each] : all.volumes) {
            if (each->connected()) {
                all.handshake.send_sync_settings(*each);
            }
        }
    }
    all.world.changed();
    all.settle();
    return {};
}

outcome resource::change_resource_options(const options::resource_options& options) {
    machinery_->resource_options = options;
    machinery_->world.changed();
    machinery_->settle();
    return {};
}

} // namespace lockstep::replica
