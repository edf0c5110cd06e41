#include "kernel/state/attach_state.hpp"

#include <algorithm>
#include <array>

namespace lockstep::state {

namespace {

using flag = bool metadata_flags::*;

// In the order of the bits.
constexpr std::array<flag, 9> flags_by_bit = {
    &metadata_flags::consistent,      &metadata_flags::primary,
    &metadata_flags::connected,       &metadata_flags::full_sync,
    &metadata_flags::was_up_to_date,  &metadata_flags::peer_outdated,
    &metadata_flags::crashed_primary, &metadata_flags::al_clean,
    &metadata_flags::al_disabled,
};

disk stored_disk(const metadata_flags& stored) {
    if (!stored.consistent) {
        return disk::inconsistent;
    }
    return stored.was_up_to_date ? disk::consistent : disk::outdated;
}

bool same(std::uint64_t a, std::uint64_t b) {
    return identity(a) == identity(b);
}

} // namespace

metadata_flags unpack_flags(std::uint32_t bits) {
    metadata_flags flags;
    for (std::size_t at = 0; at < flags_by_bit.size(); ++at) {
        flags.*flags_by_bit[at] = ((bits >> at) & 1U) != 0;
    }
    return flags;
}

std::uint32_t pack(const metadata_flags& flags) {
    std::uint32_t bits = 0;
    for (std::size_t at = 0; at < flags_by_bit.size(); ++at) {
        bits |= static_cast<std::uint32_t>(flags.*flags_by_bit[at]) << at;
    }
    return bits;
}

attached state_on_attach(const metadata_flags& stored, const volume_state& now,
                         options::fencing fencing) {
    attached result;
    result.disk = stored_disk(stored);
    result.peer_disk = stored.peer_outdated ? disk::outdated : now.peer_disk;
    // Nobody can be ahead of us if the peer was outdated, or if the user does not care.
    if (result.disk == disk::consistent &&
        (result.peer_disk == disk::outdated || fencing == options::fencing::dont_care)) {
        result.disk = disk::up_to_date;
    }
    result.negotiate = now.connection == connection::connected;
    const bool frozen_primary = now.role == role::primary && now.suspended_no_data;
    result.crashed_primary = stored.crashed_primary || (stored.primary && !frozen_primary);
    result.set_all_bits = stored.full_sync || (result.crashed_primary && stored.al_disabled);
    result.was_degraded = now.role != role::primary && stored.primary && !stored.connected;
    return result;
}

metadata_flags flags_to_store(const volume_state& after, const metadata_flags& stored,
                              bool crashed_primary) {
    if (after.disk < disk::inconsistent) {
        return stored;
    }
    metadata_flags flags = stored;
    flags.al_clean = false;
    flags.crashed_primary = crashed_primary;
    flags.primary = after.role == role::primary ||
                    (after.peer_disk < disk::inconsistent && after.peer_role == role::primary);
    flags.connected = after.connection > connection::wf_report_params;
    flags.consistent = after.disk > disk::inconsistent;
    flags.was_up_to_date = after.disk > disk::outdated;
    flags.peer_outdated =
        after.peer_disk == disk::inconsistent || after.peer_disk == disk::outdated;
    return flags;
}

bool settles_crash(const volume_state& before, const volume_state& after) {
    const auto both_good = [](const volume_state& at) {
        return at.disk == disk::up_to_date && at.peer_disk == disk::up_to_date;
    };
    return both_good(after) && !both_good(before);
}

bool may_attach_generation(const volume_state& now, std::uint64_t presented,
                           std::uint64_t disk_current) {
    const bool in_use = now.role == role::primary || now.peer_role == role::primary;
    return now.peer_disk == disk::up_to_date || presented == 0 || !in_use ||
           same(presented, disk_current);
}

disk worth_alone(disk judged, std::uint64_t presented, std::uint64_t disk_current) {
    const bool current = presented == 0 || same(presented, disk_current);
    return current ? judged : std::min(judged, disk::outdated);
}

bool may_connect_generation(const volume_state& now, std::uint64_t presented,
                            std::uint64_t peer_current) {
    const bool peer_new = now.connection < connection::connected || now.peer_disk == disk::diskless;
    const bool depends = now.role == role::primary && now.disk < disk::inconsistent;
    return !peer_new || !depends || presented == 0 || same(presented, peer_current);
}

std::uint64_t presented_after_uuids(const volume_state& now, std::uint64_t presented,
                                    std::uint64_t peer_current) {
    const bool by_peer_only =
        now.disk < disk::inconsistent &&
        (now.role == role::primary || now.connection >= connection::connected);
    // What was just created holds nobody's data: another disk may be attached here.
    const bool no_data = presented == 0 && same(peer_current, uuid_just_created);
    return by_peer_only && !no_data ? peer_current : presented;
}

std::uint64_t presented_after_promotion(const volume_state& before, const volume_state& after,
                                        std::uint64_t presented, std::uint64_t peer_current) {
    const bool promoted = before.role != role::primary && after.role == role::primary;
    const bool by_peer_only =
        after.disk < disk::inconsistent && after.connection >= connection::connected;
    return promoted && by_peer_only ? peer_current : presented;
}

std::uint64_t made_upon_ours(const volume_state& now, std::uint64_t own_current,
                             std::uint64_t peer_current, std::uint64_t peer_bitmap) {
    const bool for_us = now.role == role::primary && now.connection >= connection::connected &&
                        peer_bitmap != 0 && same(peer_bitmap, own_current);
    return for_us ? peer_current : 0;
}

std::uint64_t presented_after_change(const volume_state& before, const volume_state& after,
                                     std::uint64_t presented, std::uint64_t own_current) {
    const bool becomes_good = before.disk < disk::consistent && after.disk >= disk::consistent;
    return becomes_good ? own_current : presented;
}

} // namespace lockstep::state
