#include "kernel/replica/volume_removal.hpp"

#include <algorithm>
#include <utility>

#include "kernel/replica/machinery.hpp"

namespace lockstep::replica {

using state::connection;
using state::disk;
using state::role;

namespace {

outcome still_configured(std::string remedy) {
    return refused(160, "Minor still configured (down it first)", std::move(remedy));
}

outcome may_leave(const machinery& all, const volume& target) {
    if (all.common.role == role::primary) {
        return still_configured("a Primary keeps its volumes: drbdadm secondary first, or let the "
                                "other node take over");
    }
    if (target.disk != nullptr || target.state.disk != disk::diskless) {
        return still_configured("drbdadm detach it first, or drbdadm down");
    }
    // Requests of a disk that was detached by force may still come back.
    if (!target.application_requests.empty() || all.is_buried(target.number)) {
        return still_configured(
            "requests of the disk that was dropped are still under way: look at "
            "the kernel's log for that disk");
    }
    return {};
}

} // namespace

outcome volume_removal::allowed(volume_number number) const {
    const volume* target = all_.find(number);
    if (target == nullptr) {
        return refused(127, "Device minor not allocated", "create it first: drbdsetup new-minor");
    }
    if (target->removing) {
        return still_configured("it is being removed already");
    }
    return may_leave(all_, *target);
}

void volume_removal::remove(volume_number number, on_outcome done) {
    if (outcome refusal = allowed(number); !refusal.ok) {
        done(std::move(refusal));
        return;
    }
    all_.find(number)->removing = true;
    all_.handshake.when_over([this, number, done = std::move(done)] { ask(number, done); });
}

void volume_removal::ask(volume_number number, const on_outcome& done) {
    volume& target = *all_.find(number);
    if (!target.connected()) {
        leaving_.push_back({number, done});
        return;
    }
    all_.commands.change_volume(target, state::state_change{}.with(connection::wf_report_params),
                                [this, number, done](const outcome&) {
                                    leaving_.push_back({number, done});
                                });
}

// A promotion came in between: the peer learns of the volume as of a new one.
void volume_removal::stay(volume& target, const on_outcome& done) {
    target.removing = false;
    if (all_.link.up && !all_.handshake.before_parameters() && !target.connected()) {
        all_.handshake.send_added(target);
    }
    done(may_leave(all_, target));
}

void volume_removal::settle() {
    const auto ready = [this](const leaving& each) {
        const volume& target = *all_.find(each.number);
        const bool done = target.peer_requests.empty() && target.waiting_written.empty();
        return done || !may_leave(all_, target).ok;
    };
    for (auto next = std::ranges::find_if(leaving_, ready); next != leaving_.end();
         next = std::ranges::find_if(leaving_, ready)) {
        const leaving one = std::move(*next);
        leaving_.erase(next);
        volume& target = *all_.find(one.number);
        if (!may_leave(all_, target).ok) {
            stay(target, one.done);
            continue;
        }
        all_.order.forget(target);
        all_.volumes.erase(one.number);
        all_.world.changed();
        all_.order.look();
        one.done({});
    }
}

} // namespace lockstep::replica
