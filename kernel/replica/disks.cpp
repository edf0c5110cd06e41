#include "kernel/replica/disks.hpp"

#include <array>
#include <cstring>

#include <fmt/format.h>

#include "kernel/replica/attach_job.hpp"
#include "kernel/replica/machinery.hpp"

namespace lockstep::replica {

using state::disk;

void disk_management::io_error(volume& target, failed_operation what, std::uint64_t sector,
                               int error) {
    if (target.disk == nullptr || target.state.disk <= disk::failed) {
        return; // a consequence of the first error
    }
    constexpr std::array names{"READ", "WRITE", "FLUSH"};
    all_.log(log_level::error, target,
             fmt::format("local {} IO error at sector {}: {}",
                         names.at(static_cast<std::size_t>(what)), sector, std::strerror(error)));
    if (target.options.on_io_error == options::on_io_error::pass_on) {
        if (target.state.disk > disk::inconsistent) {
            // Which of the writes before a failed flush are lost nobody knows.
            target.errors_noted =
                what != failed_operation::flush && target.state.disk == disk::up_to_date;
            all_.states.change(target, state::state_change{}.with(disk::inconsistent),
                               state::change_kind::hard);
        }
        return;
    }
    target.io_error_seen = true;
    all_.states.change(target, state::state_change{}.with(disk::failed), state::change_kind::hard);
}

void disk_management::metadata_error(volume& target, std::string_view what, int error) {
    if (target.disk == nullptr || target.state.disk <= disk::failed) {
        return;
    }
    all_.log(log_level::error, target,
             fmt::format("meta data IO error, {}: {}. Detaching.", what, std::strerror(error)));
    target.io_error_seen = true;
    all_.states.change(target, state::state_change{}.with(disk::failed), state::change_kind::hard);
}

void disk_management::timed_out(volume& target) {
    const std::string why =
        fmt::format("the backing device did not answer within {}.{} s (disk-timeout)",
                    target.options.disk_timeout_ds / 10, target.options.disk_timeout_ds % 10);
    if (target.attaching != nullptr) {
        give_up_attach(target, why);
        return;
    }
    if (target.disk == nullptr || target.detach_forced) {
        return;
    }
    all_.log(log_level::error, target, why + ". Detaching.");
    target.io_error_seen = true;
    target.detach_forced = true;
    if (target.state.disk > disk::failed) {
        all_.states.change(target, state::state_change{}.with(disk::failed),
                           state::change_kind::hard);
    } else if (!target.failing_handler) {
        store_before_detach(target); // it hangs while its last metadata is stored
    }
}

void disk_management::give_up_attach(volume& target, const std::string& why) {
    fail_attach(
        target,
        {why, {}, "look at the kernel's log for the backing device", format::attach_error::md_io});
}

void disk_management::detach(volume& target, bool force, on_outcome done) {
    if (target.disk == nullptr) {
        outcome nothing;
        nothing.code = static_cast<int>(state::verdict::nothing_to_do);
        done(nothing);
        return;
    }
    const volume_number number = target.number;
    // Released at the end of the event at the earliest: first come the consequences of Failed, by
    // which whoever waits for the disk goes on without it.
    const auto wait_released = [done](volume& failing) {
        if (failing.disk == nullptr) {
            done({});
            return;
        }
        failing.waiting_detached.push_back([done](bool) { done({}); });
    };
    if (force && target.attaching != nullptr) {
        give_up_attach(target, "the disk was detached by force while it was being attached");
        done({});
        return;
    }
    if (force) {
        const bool failed_already = target.state.disk == disk::failed;
        target.detach_forced = true;
        all_.states.change(target, state::state_change{}.with(disk::failed),
                           state::change_kind::hard);
        if (failed_already) {
            // Those that were left to the disk until now are not waited for any longer.
            all_.writes.disk_given_up(target);
            all_.peers.disk_given_up(target);
        }
        // Behind what the change itself has put off: whoever uses the disk lets go of it first.
        all_.defer([this, number, wait_released] {
            if (volume* found = all_.find(number)) {
                wait_released(*found);
            }
        });
        return;
    }
    const auto judged = [this, number, done, wait_released](const outcome& result) {
        volume* found = all_.find(number);
        if (!result.ok || found == nullptr) {
            if (found != nullptr) {
                found->leaving = false;
                all_.writes.gate_moved();
            }
            done(result);
            return;
        }
        wait_released(*found);
    };
    lean_on_peer(target, [this, number, judged] {
        volume* found = all_.find(number);
        if (found != nullptr && found->disk != nullptr) {
            all_.commands.change_volume(*found, state::state_change{}.with(disk::failed), judged);
        } else {
            judged({}); // it has failed meanwhile
        }
    });
}

// Of what a Primary has acknowledged nothing may be on its own disk alone when that is let go.
void disk_management::lean_on_peer(volume& target, std::function<void()> then) {
    const bool counted = all_.common.role == state::role::primary && target.counts_here();
    if (!counted || !all_.link.up || !sends_data(target.state)) {
        then();
        return;
    }
    target.leaving = true; // what ends from now on waits for the peer itself
    all_.epochs.when_acknowledged(std::move(then));
}

void disk_management::disk_failed(volume& target) {
    if (target.disk == nullptr) {
        return;
    }
    all_.moves.disk_failed(target);
    const bool call_handler = target.io_error_seen && target.options.on_io_error ==
                                                          options::on_io_error::call_local_io_error;
    if (!call_handler) {
        store_before_detach(target);
        return;
    }
    // Before the peer is told; whatever the handler says, the disk goes.
    target.failing_handler = true;
    const volume_number number = target.number;
    all_.helpers.call_for_volume("local-io-error", target, [this, number](int) {
        if (volume* found = all_.find(number); found != nullptr && found->failing_handler) {
            found->failing_handler = false;
            store_before_detach(*found);
            all_.writes.state_moved(*found); // go() held them back
        }
    });
}

void disk_management::store_before_detach(volume& target) {
    all_.states.send_state(target);
    all_.resync.abandon(target);
    all_.writes.disk_given_up(target);
    all_.peers.disk_given_up(target);
    if (target.disk == nullptr) {
        return;
    }
    if (target.detach_forced) {
        maybe_release(target);
        return;
    }
    // The last chance to store what is known: bits that were set stay set.
    const volume_number number = target.number;
    target.storing_last = true;
    target.disk->store_bitmap([this, number](bool stored) {
        volume* found = all_.find(number);
        if (found == nullptr || found->disk == nullptr) {
            return;
        }
        if (!stored) {
            // What the bitmap on disk says is too little: nothing less than everything will do.
            found->disk->set_flags(found->disk->super.flags | format::md_flag::full_sync);
        }
        found->disk->store_superblock([this, number](bool) {
            if (volume* again = all_.find(number)) {
                again->storing_last = false;
                maybe_release(*again);
            }
        });
    });
}

void disk_management::maybe_release(volume& target) {
    if (target.state.disk != disk::failed || target.disk == nullptr || target.failing_handler ||
        target.attaching != nullptr) {
        return;
    }
    if (!target.detach_forced) {
        if (target.storing_last || target.disk->outstanding() > 0) {
            return;
        }
        if (!target.flushed_last) {
            // The peer may count on what it was told is written.
            target.flushed_last = true;
            target.disk->flush_last([this](bool stored) {
                if (!stored) {
                    all_.peers.disk_lost();
                }
            });
            return;
        }
    } else {
        all_.peers.disk_lost();
    }
    all_.bury(std::move(target.disk));
    target.log_suspended = false;
    target.leaving = false;
    all_.states.change(target, state::state_change{}.with(disk::diskless),
                       state::change_kind::hard);
    auto waiting = std::move(target.waiting_detached);
    target.waiting_detached.clear();
    for (auto& each : waiting) {
        each(true);
    }
    all_.writes.state_moved(target);
}

} // namespace lockstep::replica
