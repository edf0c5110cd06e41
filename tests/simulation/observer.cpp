#include "observer.hpp"

#include <fmt/format.h>

namespace lockstep::simulation {

using state::connection;
using state::role;

bool observer::is_primary(unsigned side) const {
    return at(side).alive() && at(side).state().role == role::primary;
}

// A demotion counts once it is on disk; and a node that crashes again before it was in sync is
// still the Primary that crashed.
bool observer::stored_as_primary(unsigned side) const {
    for (volume_number number = 0; number < settings_.node.volumes; ++number) {
        const auto stored = read_superblock(at(side).metadata_at(number));
        if (stored.has(format::md_flag::primary_ind) ||
            stored.has(format::md_flag::crashed_primary)) {
            return true;
        }
    }
    return false;
}

bool observer::in_sync(unsigned side) const {
    if (!at(side).alive()) {
        return false;
    }
    for (volume_number number = 0; number < settings_.node.volumes; ++number) {
        const auto now = at(side).state(number);
        if (now.connection < connection::connected || now.disk != state::disk::up_to_date ||
            now.peer_disk != state::disk::up_to_date) {
            return false;
        }
    }
    return true;
}

bool observer::connected(unsigned side) const {
    for (volume_number number = 0; number < settings_.node.volumes; ++number) {
        if (at(side).state(number).connection < connection::connected) {
            return false;
        }
    }
    return true;
}

bool observer::own_disks_good(unsigned side) const {
    for (volume_number number = 0; number < settings_.node.volumes; ++number) {
        if (at(side).state(number).disk != state::disk::up_to_date) {
            return false;
        }
    }
    return true;
}

bool observer::reaches_good_peer(unsigned side) const {
    for (volume_number number = 0; number < settings_.node.volumes; ++number) {
        const auto now = at(side).state(number);
        if (now.connection < connection::connected || now.peer_disk != state::disk::up_to_date) {
            return false;
        }
    }
    return true;
}

// Every volume has its good disk here or there.
bool observer::reaches_good_data(unsigned side) const {
    for (volume_number number = 0; number < settings_.node.volumes; ++number) {
        const auto now = at(side).state(number);
        const bool peer_good =
            now.connection >= connection::connected && now.peer_disk == state::disk::up_to_date;
        const bool own_good = has_all(side) && now.disk == state::disk::up_to_date;
        if (!peer_good && !own_good) {
            return false;
        }
    }
    return true;
}

// Only the peer's disk is good, and gets what is written.
bool observer::leans_on_peer(unsigned side) const {
    for (volume_number number = 0; number < settings_.node.volumes; ++number) {
        const auto now = at(side).state(number);
        if (now.disk != state::disk::up_to_date && now.connection >= connection::connected &&
            now.peer_disk == state::disk::up_to_date) {
            return true;
        }
    }
    return false;
}

bool observer::goes_on_alone(unsigned side) const {
    for (volume_number number = 0; number < settings_.node.volumes; ++number) {
        const auto now = at(side).state(number);
        const bool peer_good =
            now.connection >= connection::connected && now.peer_disk == state::disk::up_to_date;
        // Without a good disk of its own nothing is acknowledged.
        if (!peer_good && !now.suspended() && now.disk == state::disk::up_to_date) {
            return true;
        }
    }
    return false;
}

bool observer::keeps_for_peer(unsigned side) const {
    for (volume_number number = 0; number < settings_.node.volumes && at(side).alive(); ++number) {
        const auto now = at(side).state(number);
        if (now.connection >= connection::connected && now.role == role::secondary &&
            now.peer_role == role::primary && now.disk == state::disk::up_to_date &&
            now.peer_disk < state::disk::inconsistent) {
            return true;
        }
    }
    return false;
}

void observer::look() {
    for (unsigned side = 0; side < 2; ++side) {
        judge_promotion(side);
        look_at_crashed_primary(side);
        kept_for_peer_[side] |= keeps_for_peer(side);
        const unsigned other = 1 - side;
        stale_[side] |= is_primary(side) && leans_on_peer(side);
        if (!is_primary(other)) {
            continue; // nothing is written that this one could miss
        }
        const bool own_good = !at(side).alive() || own_disks_good(side);
        const bool up_to_date_by_its_word = in_sync(side) && connected(other);
        if ((goes_on_alone(other) && !up_to_date_by_its_word) || !own_good) {
            stale_[side] = true;
        } else if (up_to_date_by_its_word || // the end of a resync is seen by its target first
                   (reaches_good_peer(other) && at(side).alive())) {
            stale_[side] = false;
        }
    }
    look_for_lost_flushes();
    if (in_sync(0) && in_sync(1)) {
        stale_ = {};
        crashed_ = {};
        fenced_ = {};
        fell_as_primary_ = {};
        kept_for_peer_ = {};
        overruled_ = false;
    }
    look_for_errors();
}

// Protocols A and B: FUA and flushes are about the Primary's own disk while that is good, and about
// the peer's afterwards; in between, until the generation that the peer makes is on its disk, they
// are lost if one of the two is lost as well.
void observer::look_for_lost_flushes() {
    for (unsigned side = 0; side < 2; ++side) {
        for (volume_number number = 0; number < settings_.node.volumes; ++number) {
            bool& was_good = flushes_here_[side][number];
            const bool is_good =
                is_primary(side) && at(side).state(number).disk == state::disk::up_to_date;
            if (was_good && !is_good && is_primary(side) &&
                settings_.node.net.protocol != options::protocol::c) {
                moving_[side][number] = stored_generation(1 - side, number);
            }
            was_good = is_good;
            look_at_moving(side, number);
        }
    }
}

void observer::look_at_moving(unsigned side, volume_number number) {
    const auto found = moving_[side].find(number);
    if (found == moving_[side].end()) {
        return;
    }
    const bool both_there = is_primary(side) && at(1 - side).alive() &&
                            at(side).state(number).connection >= connection::connected &&
                            at(1 - side).state(number).connection >= connection::connected &&
                            at(1 - side).state(number).disk == state::disk::up_to_date;
    const bool stored = stored_generation(1 - side, number) != found->second;
    if (both_there && !stored) {
        return;
    }
    if (!stored) {
        world_.models[number].forget_durable();
    }
    moving_[side].erase(found);
}

std::uint64_t observer::stored_generation(unsigned side, volume_number number) const {
    return read_superblock(at(side).metadata_at(number)).uuids.current;
}

// Whoever asked, and whatever has happened since: a node that becomes Primary has everything, or
// reaches it.
void observer::judge_promotion(unsigned side) {
    const bool promoted = is_primary(side) && !was_primary_[side];
    was_primary_[side] = is_primary(side);
    if (promoted && !overruled_ && !reaches_good_data(side)) {
        world_.fail_with(fmt::format("node {} became Primary though writes are missing there",
                                     side == 0 ? 'A' : 'B'));
    }
}

// A Primary that crashed and comes back before anybody was promoted is the source of the resync
// (rule 40 of the in-kernel DRBD): what it had not flushed is lost, as on any machine that crashes.
void observer::look_at_crashed_primary(unsigned side) {
    crashed_primary_[side] = crashed_primary_[side] && !is_primary(1 - side);
    if (!crashed_[side] || !crashed_primary_[side] || !at(side).alive()) {
        return;
    }
    for (volume_number number = 0; number < settings_.node.volumes; ++number) {
        const auto now = at(side).state(number).connection;
        if (now != connection::wf_bitmap_s && now != connection::sync_source) {
            continue;
        }
        for (auto& each : world_.models) {
            each.forget_unflushed();
        }
        crashed_[side] = false;
        stale_[1 - side] = true;
        return;
    }
}

// An error on the only good copy takes what was acknowledged along.
void observer::look_for_errors() {
    for (unsigned side = 0; side < 2; ++side) {
        std::uint64_t seen = 0;
        for (volume_number number = 0; number < settings_.node.volumes; ++number) {
            seen += at(side).data_disk(number).errors();
            if (settings_.node.external_metadata) {
                seen += at(side).metadata_disk(number).errors();
            }
        }
        if (seen == errors_[side]) {
            continue;
        }
        errors_[side] = seen;
        const unsigned other = 1 - side;
        if (!at(other).alive() || !has_all(other) || !own_disks_good(other)) {
            all_is_doubtful();
        }
    }
}

void observer::all_is_doubtful() {
    overruled_ = true;
    for (auto& each : world_.models) {
        each.forget_all();
    }
}

void observer::crashes(unsigned side) {
    look();
    for (auto& moving : moving_) {
        for (const auto& [number, generation] : moving) {
            world_.models[number].forget_durable();
        }
        moving.clear();
    }
    const unsigned other = 1 - side;
    const bool other_has_all = at(other).alive() && has_all(other) && own_disks_good(other);
    crashed_[side] |= other_has_all;
    crashed_primary_[side] = is_primary(side) || stored_as_primary(side);
    fell_as_primary_[side] |= crashed_primary_[side];
    // The last word survives in the cache of the other node, if that has all of it; else only what
    // was flushed.
    for (auto& each : world_.models) {
        if (!other_has_all) {
            each.forget_unflushed();
            // In the cache, says an answer on its way; or under A and B only received.
            each.doubt_open(settings_.node.net.protocol == options::protocol::c);
        } else if (is_primary(side) && settings_.node.net.protocol != options::protocol::c) {
            each.forget_unsettled();
        }
    }
}

} // namespace lockstep::simulation
