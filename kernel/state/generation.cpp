#include "kernel/state/generation.hpp"

namespace lockstep::state {

namespace {

std::uint64_t marked(std::uint64_t uuid, role own_role) {
    return own_role == role::primary ? (uuid | uuid_primary_bit) : identity(uuid);
}

void push_history(generation& value, std::uint64_t uuid) {
    value.history = {uuid, value.history[0]};
}

// The bitmap identifier, if any, becomes history.
generation retired_bitmap(generation value) {
    if (value.bitmap != 0) {
        push_history(value, value.bitmap);
        value.bitmap = 0;
    }
    return value;
}

void put_hex(char* place, std::uint64_t value) {
    constexpr std::string_view digits = "0123456789ABCDEF";
    for (unsigned at = 0; at < 16; ++at) {
        place[at] = digits[(value >> (60U - 4U * at)) & 0xfU];
    }
}

} // namespace

generation new_current(const generation& own, std::uint64_t random, role own_role) {
    generation next = retired_bitmap(own);
    next.bitmap = own.current;
    next.current = marked(random, own_role);
    return next;
}

generation new_current_by_admin(const generation& own, std::uint64_t random, role own_role,
                                bool skip_initial_sync) {
    generation next = new_current(own, random, own_role);
    if (skip_initial_sync) {
        next.bitmap = 0;
    }
    return next;
}

generation accept_skipped_sync(const generation& own, std::uint64_t peer_current, role own_role) {
    generation next = own;
    next.current = marked(peer_current, own_role);
    next.bitmap = 0;
    return next;
}

bool may_skip_initial_sync(const volume_state& now, const generation& own,
                           std::uint32_t protocol_version, bool peer_offers) {
    return peer_offers && protocol_version >= 90 && now.connection == connection::connected &&
           own.current == uuid_just_created;
}

sync_start start_sync_source(const generation& own, std::uint64_t random) {
    const bool has_base = own.bitmap != 0 && own.bitmap != uuid_just_created;
    sync_start start;
    start.sync_uuid = has_base ? own.bitmap + uuid_sync_offset : random;
    start.own = retired_bitmap(own);
    start.own.bitmap = start.sync_uuid;
    return start;
}

generation adopt_sync_uuid(const generation& own, std::uint64_t sync_uuid, role own_role) {
    generation next = own;
    next.current = marked(sync_uuid, own_role);
    next.bitmap = 0;
    return next;
}

generation finish_sync_source(const generation& own) {
    return retired_bitmap(own);
}

generation finish_sync_target(const generation& own, const generation& peer, role own_role) {
    generation next = retired_bitmap(peer);
    push_history(next, own.current);
    next.current = marked(peer.current, own_role);
    return next;
}

generation with_role(const generation& own, role own_role) {
    generation next = own;
    next.current = marked(own.current, own_role);
    return next;
}

bool lost_peer_data(disk before, disk after) {
    const bool had_data = before == disk::inconsistent || before > disk::unknown;
    const bool has_none =
        after < disk::inconsistent || after == disk::unknown || after == disk::outdated;
    if (had_data && has_none) {
        return true;
    }
    // Seen again after an interruption during which I/O was frozen, but without its data: only
    // now is it known that the peer will not get the frozen writes.
    return before == disk::unknown &&
           (after == disk::diskless || after == disk::failed || after == disk::outdated);
}

namespace {

bool peer_has_data(const volume_state& at) {
    return at.peer_disk >= disk::inconsistent && at.peer_disk != disk::unknown;
}

// A node begins to write to our disk, and to no other: a diskless peer that is promoted or comes as
// Primary, or a disk that is attached under a Primary while the peer's is not there.
bool begins_to_write_here_only(const volume_state& before, const volume_state& after) {
    if (after.peer_role == role::primary && after.peer_disk < disk::inconsistent &&
        before.peer_role != role::primary) {
        return true;
    }
    const bool attached = before.disk < disk::inconsistent && !peer_has_data(after);
    return attached && (after.role == role::primary || after.peer_role == role::primary);
}

} // namespace

bool diskless_primary_connects(const volume_state& before, const volume_state& after) {
    return before.connection < connection::connected && after.connection >= connection::connected &&
           after.role != role::primary && after.peer_role == role::primary &&
           after.peer_disk < disk::inconsistent;
}

new_generation generation_after(const volume_state& before, const volume_state& after,
                                const generation& own) {
    if (own.bitmap != 0 || after.disk != disk::up_to_date ||
        diskless_primary_connects(before, after)) {
        return new_generation::no;
    }
    const bool somebody_writes = after.role == role::primary || after.peer_role == role::primary;
    const bool loses = somebody_writes && lost_peer_data(before.peer_disk, after.peer_disk);
    if (!loses && !begins_to_write_here_only(before, after)) {
        return new_generation::no;
    }
    // Frozen by the loss of the peer the choice is open: it may come back and get the frozen
    // writes. A peer that is there without its disk will not; and if it attached one again, a
    // generation that was not stored would let it pass for current.
    const bool disk_only =
        before.connection >= connection::connected && after.connection >= connection::connected;
    // Suspended is what this node's users write, not what a Primary over there does.
    const bool open = !disk_only && after.peer_role != role::primary &&
                      (after.suspended_user || after.suspended_no_data || after.suspended_fencing);
    return open ? new_generation::when_resumed : new_generation::now;
}

bool peer_begins_to_write(const volume_state& now, const generation& own) {
    return own.bitmap == 0 && now.disk == disk::up_to_date && now.peer_role == role::primary &&
           now.peer_disk < disk::inconsistent;
}

bool promotion_makes_generation(const volume_state& after, const generation& own, bool forced) {
    const bool alone = after.connection < connection::connected || after.peer_disk <= disk::failed;
    return forced || (alone && own.bitmap == 0);
}

generation_text text(const generation& value) {
    generation_text out;
    out.characters.fill(':');
    const std::array<std::uint64_t, 4> slots = {value.current, value.bitmap, value.history[0],
                                                value.history[1]};
    for (std::size_t slot = 0; slot < slots.size(); ++slot) {
        put_hex(out.characters.data() + slot * 17, slots[slot]);
    }
    return out;
}

} // namespace lockstep::state
