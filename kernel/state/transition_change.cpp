// Wanted changes as mask and value, and the one function through which every change goes.
#include "kernel/state/transition.hpp"

namespace lockstep::state {

namespace {

// Where the fields lie in the 32 bits of the STATE packet.
struct field {
    unsigned shift;
    std::uint32_t ones;

    std::uint32_t mask() const { return ones << shift; }
    std::uint32_t of(std::uint32_t bits) const { return (bits >> shift) & ones; }
};

constexpr field role_field = {0, 0x3};
constexpr field peer_role_field = {2, 0x3};
constexpr field connection_field = {4, 0x1f};
constexpr field disk_field = {9, 0xf};
constexpr field peer_disk_field = {13, 0xf};
constexpr field suspended_user_field = {17, 1};
constexpr field paused_after_field = {18, 1};
constexpr field paused_peer_field = {19, 1};
constexpr field paused_user_field = {20, 1};
constexpr field suspended_no_data_field = {21, 1};
constexpr field suspended_fencing_field = {22, 1};

template <class Value>
state_change added(const state_change& to, const field& where, Value value) {
    state_change next = to;
    next.mask |= where.mask();
    next.value &= ~where.mask();
    next.value |= static_cast<std::uint32_t>(value) << where.shift;
    return next;
}

// Moves one field of the asking node's change to its place in ours. False: named in part, or a
// value above `highest`.
bool move_field(const state_change& asked, const field& from, state_change& ours, const field& to,
                std::uint32_t highest) {
    const std::uint32_t named = from.of(asked.mask);
    if (named == 0) {
        return true;
    }
    const std::uint32_t value = from.of(asked.value);
    if (named != from.ones || value > highest) {
        return false;
    }
    ours = added(ours, to, value);
    return true;
}

// What this node's connection becomes when the peer asks for its own to become `asked`.
std::optional<connection> counterpart(connection asked) {
    switch (asked) {
    case connection::wf_report_params:
    case connection::connected:
        return asked;
    case connection::starting_sync_s:
        return connection::starting_sync_t;
    case connection::starting_sync_t:
        return connection::starting_sync_s;
    case connection::disconnecting:
        return connection::tear_down;
    case connection::verify_s:
        return connection::verify_t;
    default:
        return std::nullopt;
    }
}

bool move_connection(const state_change& asked, state_change& ours) {
    const std::uint32_t named = connection_field.of(asked.mask);
    if (named == 0) {
        return true;
    }
    const auto wanted = static_cast<connection>(connection_field.of(asked.value));
    const std::optional<connection> here = counterpart(wanted);
    if (named != connection_field.ones || !here) {
        return false;
    }
    ours = added(ours, connection_field, *here);
    return true;
}

verdict check_request(const volume_state& now, const volume_state& wanted,
                      const transition_context& context) {
    const verdict standing = check_state(wanted, context);
    if (standing < verdict::success && check_state(now, context) != standing) {
        return standing;
    }
    return check_soft_transition(now, wanted, context);
}

} // namespace

state_change state_change::with(state::role wanted) const {
    return added(*this, role_field, wanted);
}

state_change state_change::with(state::connection wanted) const {
    return added(*this, connection_field, wanted);
}

state_change state_change::with(state::disk wanted) const {
    return added(*this, disk_field, wanted);
}

state_change state_change::with_peer(state::role wanted) const {
    return added(*this, peer_role_field, wanted);
}

state_change state_change::with_peer(state::disk wanted) const {
    return added(*this, peer_disk_field, wanted);
}

state_change state_change::with_suspended_user(bool wanted) const {
    return added(*this, suspended_user_field, wanted);
}

state_change state_change::with_suspended_no_data(bool wanted) const {
    return added(*this, suspended_no_data_field, wanted);
}

state_change state_change::with_suspended_fencing(bool wanted) const {
    return added(*this, suspended_fencing_field, wanted);
}

state_change state_change::with_paused_after(bool wanted) const {
    return added(*this, paused_after_field, wanted);
}

state_change state_change::with_paused_peer(bool wanted) const {
    return added(*this, paused_peer_field, wanted);
}

state_change state_change::with_paused_user(bool wanted) const {
    return added(*this, paused_user_field, wanted);
}

volume_state apply(const volume_state& now, const state_change& wanted) {
    return unpack((pack(now) & ~wanted.mask) | (wanted.value & wanted.mask));
}

state_change whole(const volume_state& wanted) {
    return {0xffffffffU, pack(wanted)};
}

std::optional<state_change> to_peer_view(const state_change& asked) {
    constexpr std::uint32_t askable = 0x1ffff;
    constexpr auto best_disk = static_cast<std::uint32_t>(disk::up_to_date);
    constexpr auto highest_role = static_cast<std::uint32_t>(role::secondary);
    state_change ours;
    const bool understood = (asked.mask & ~askable) == 0 && (asked.value & ~asked.mask) == 0 &&
                            move_field(asked, role_field, ours, peer_role_field, highest_role) &&
                            move_field(asked, peer_role_field, ours, role_field, highest_role) &&
                            move_field(asked, disk_field, ours, peer_disk_field, best_disk) &&
                            move_field(asked, peer_disk_field, ours, disk_field, best_disk) &&
                            move_connection(asked, ours);
    if (!understood) {
        return std::nullopt;
    }
    return ours;
}

change_result change(const volume_state& now, const state_change& wanted, change_kind kind,
                     const transition_context& context) {
    const sanitized completed = sanitize(now, apply(now, wanted), context);
    change_result result = {verdict::success, completed.state, completed.note};
    if (kind == change_kind::asked_for_connection && result.state.disk == disk::outdated &&
        now.disk < disk::outdated) {
        result.state.disk = now.disk;
    }
    if (result.state == now) {
        result.code = verdict::nothing_to_do;
        return result;
    }
    const verdict possible = check_transition(now, result.state);
    if (possible < verdict::success) {
        result.code = possible;
        return result;
    }
    if (kind != change_kind::hard) {
        result.code = check_request(now, result.state, context);
    }
    return result;
}

} // namespace lockstep::state
