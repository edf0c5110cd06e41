#include "kernel/replica/fencing.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "kernel/replica/machinery.hpp"

namespace lockstep::replica {

using state::disk;

options::fencing fencing::policy() const {
    auto strictest = options::fencing::dont_care;
    for (const auto& [number, each] : all_.volumes) {
        if (each->disk != nullptr && each->state.disk >= disk::consistent) {
            strictest = std::max(strictest, each->options.fencing);
        }
    }
    return strictest;
}

bool fencing::peer_is_out() const {
    return std::ranges::all_of(all_.volumes, [](const auto& entry) {
        return entry.second->state.peer_disk <= disk::outdated;
    });
}

void fencing::peer_lost() {
    if (policy() != options::fencing::dont_care) {
        ask({});
    }
}

void fencing::ask(std::function<void(bool)> done) {
    if (all_.is_connected()) {
        if (done) {
            done(false);
        }
        return;
    }
    const bool any_good = std::ranges::any_of(all_.volumes, [](const auto& entry) {
        return entry.second->state.disk >= disk::consistent;
    });
    if (!any_good) {
        all_.log(log_level::notice, "Not fencing peer, I'm not even Consistent myself.");
        all_.states.change_all(state::state_change{}.with_suspended_fencing(false),
                               state::change_kind::hard);
        if (done) {
            done(false);
        }
        return;
    }
    if (policy() == options::fencing::dont_care) {
        if (done) {
            done(true);
        }
        return;
    }
    if (done) {
        waiting_.push_back(std::move(done));
    }
    if (asking_) {
        return;
    }
    asking_ = true;
    const std::uint64_t serial = all_.link.serial;
    all_.helpers.call_for_resource("fence-peer", "peer-lost", [this, serial](int exit_code) {
        asking_ = false;
        answered(exit_code, serial);
        auto waiting = std::move(waiting_);
        waiting_.clear();
        for (auto& each : waiting) {
            each(peer_is_out());
        }
    });
}

void fencing::answered(int exit_code, std::uint64_t link_serial) {
    state::state_change wanted;
    const char* meaning = "";
    switch (exit_code) {
    case 3:
        meaning = "peer is inconsistent or worse";
        wanted = wanted.with_peer(disk::inconsistent);
        break;
    case 4:
        meaning = "peer was fenced";
        wanted = wanted.with_peer(disk::outdated);
        break;
    case 5: {
        meaning = "peer is unreachable, assumed to be dead";
        const bool up_to_date = std::ranges::any_of(all_.volumes, [](const auto& entry) {
            return entry.second->state.disk == disk::up_to_date;
        });
        if (up_to_date) {
            wanted = wanted.with_peer(disk::outdated);
        }
        break;
    }
    case 6:
        meaning = "peer is active";
        all_.log(log_level::warning, "Peer is primary, outdating myself.");
        wanted = wanted.with(disk::outdated);
        break;
    case 7:
        meaning = "peer was stonithed";
        if (policy() != options::fencing::resource_and_stonith) {
            all_.log(log_level::error, "fence-peer() = 7 && fencing != Stonith !!!");
        }
        wanted = wanted.with_peer(disk::outdated);
        break;
    default:
        all_.log(log_level::error, fmt::format("fence-peer helper broken, returned {}: I/O that is "
                                               "frozen stays frozen until resume-io or connect",
                                               exit_code));
        return;
    }
    all_.log(log_level::info,
             fmt::format("fence-peer helper returned {} ({})", exit_code, meaning));
    if (all_.link.serial != link_serial || all_.is_connected() || all_.handshake.state_sent()) {
        all_.log(log_level::info,
                 "Ignoring fence-peer exit code: the peer has come back meanwhile");
        return;
    }
    if (wanted.mask != 0) {
        all_.states.change_all(wanted, state::change_kind::soft);
    }
}

} // namespace lockstep::replica
