// States and wishes to change them, as the tests of transition.hpp need them.
#pragma once

#include "kernel/state/transition.hpp"

namespace lockstep::state {

inline volume_state pair_of(role own, role peer, connection at = connection::connected) {
    volume_state state;
    state.role = own;
    state.peer_role = peer;
    state.connection = at;
    state.disk = disk::up_to_date;
    state.peer_disk = disk::up_to_date;
    return state;
}

inline volume_state alone(role own, disk own_disk = disk::up_to_date) {
    volume_state state;
    state.role = own;
    state.connection = connection::wf_connection;
    state.disk = own_disk;
    return state;
}

inline transition_context usual() {
    transition_context context;
    context.net_configured = true;
    return context;
}

inline verdict asked(const volume_state& now, const state_change& wish,
                     const transition_context& context = usual()) {
    return change(now, wish, change_kind::soft, context).code;
}

inline volume_state forced(const volume_state& now, const state_change& wish,
                           const transition_context& context = usual()) {
    return change(now, wish, change_kind::hard, context).state;
}

inline const state_change promote = state_change().with(role::primary);
inline const state_change demote = state_change().with(role::secondary);
inline const state_change disconnect = state_change().with(connection::disconnecting);
inline const state_change lose_link = state_change().with(connection::network_failure);

} // namespace lockstep::state
