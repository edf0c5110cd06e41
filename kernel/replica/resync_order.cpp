#include "kernel/replica/resync_order.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "kernel/replica/machinery.hpp"

namespace lockstep::replica {

using state::connection;
using state::disk;

namespace {

constexpr int error_cycle = 133;
// How soon a change in another resource is noticed.
constexpr instant poll_time = nanoseconds_per_second / 2;

bool is_held_back(const volume& one) {
    return one.state.sync_paused_after || one.state.sync_paused_peer || one.state.sync_paused_user;
}

bool is_busy(const volume& one) {
    const bool syncs = one.state.connection >= connection::sync_source &&
                       one.state.connection <= connection::paused_sync_t;
    return syncs || is_held_back(one);
}

const volume* find_minor(const machinery& all, std::int32_t minor) {
    const auto found = std::ranges::find_if(all.volumes, [&](const auto& entry) {
        return static_cast<std::int32_t>(entry.second->minor) == minor;
    });
    return found == all.volumes.end() ? nullptr : found->second.get();
}

} // namespace

resync_order::resync_order(machinery& all) : all_(all), poll_(all.clock, [this] { look(); }) {}

bool resync_order::may_sync(const volume& target) const {
    std::int32_t minor = target.options.resync_after;
    // check() let no cycle in; the count is for what a race of commands might do.
    for (std::size_t steps = 0; minor >= 0 && steps <= all_.volumes.size(); ++steps) {
        const volume* other = find_minor(all_, minor);
        if (other == nullptr) {
            return !all_.world.minor_is_busy(static_cast<std::uint32_t>(minor));
        }
        if (other->state.disk == disk::diskless) {
            return true;
        }
        if (is_busy(*other)) {
            return false;
        }
        minor = other->options.resync_after;
    }
    return true;
}

bool resync_order::depends_on_others() const {
    return std::ranges::any_of(all_.volumes, [this](const auto& entry) {
        const volume& one = *entry.second;
        return one.disk != nullptr && one.options.resync_after >= 0 &&
               find_minor(all_, one.options.resync_after) == nullptr;
    });
}

void resync_order::show(volume& target) {
    const bool busy = is_busy(target);
    if (busy != target.shown_busy) {
        target.shown_busy = busy;
        all_.world.show_minor_busy(target.minor, busy);
    }
}

void resync_order::look() {
    // Holding one back may let none of the others go, but hold back those that depend on it.
    bool moved = true;
    for (std::size_t rounds = 0; moved && rounds <= all_.volumes.size(); ++rounds) {
        moved = false;
        for (auto& [number, each] : all_.volumes) {
            if (each->state.disk == disk::diskless && !each->state.sync_paused_after) {
                continue;
            }
            const bool wait = !may_sync(*each);
            if (wait != each->state.sync_paused_after) {
                all_.states.change(*each, state::state_change{}.with_paused_after(wait),
                                   state::change_kind::hard);
                moved = true;
            }
        }
    }
    for (auto& [number, each] : all_.volumes) {
        show(*each);
    }
    if (!depends_on_others()) {
        poll_.cancel();
    } else if (!poll_.armed()) {
        poll_.arm(all_.now() + poll_time);
    }
}

result<> resync_order::check(const volume& target, std::int32_t minor) const {
    for (std::size_t steps = 0; minor >= 0 && steps <= all_.volumes.size(); ++steps) {
        if (minor == static_cast<std::int32_t>(target.minor)) {
            return fail(fmt::format("minor {} would wait for itself", target.minor), {},
                        "Follow the resync-after options of the devices: one of them must be -1.",
                        error_cycle);
        }
        const volume* other = find_minor(all_, minor);
        minor = other == nullptr ? -1 : other->options.resync_after;
    }
    return {};
}

void resync_order::forget(volume& target) {
    if (target.shown_busy) {
        target.shown_busy = false;
        all_.world.show_minor_busy(target.minor, false);
    }
}

} // namespace lockstep::replica
