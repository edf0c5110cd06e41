// The one way in which a state changes: complete and check it (kernel/state), store it, tell
// everybody, and do what follows from it.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "kernel/replica/ports.hpp"
#include "kernel/state/transition.hpp"
#include "kernel/state/types.hpp"

namespace lockstep::replica {

class machinery;
struct volume;

class state_changes {
public:
    explicit state_changes(machinery& all) : all_(all) {}

    state::transition_context context(const volume* about) const;

    // Changes one volume. A change of what all volumes share (role, suspension) reaches all.
    state::verdict change(volume& target, const state::state_change& wanted,
                          state::change_kind kind);
    // Changes all volumes and the resource itself, or none: roles, connections below Connected,
    // suspension.
    state::verdict change_all(const state::state_change& wanted, state::change_kind kind);
    // Would it be allowed?
    state::verdict try_change(const volume& target, const state::state_change& wanted) const;
    state::verdict try_change_all(const state::state_change& wanted) const;

    // The link failed: `why` is Timeout, BrokenPipe, NetworkFailure or ProtocolError. Cleans up
    // and tries to connect again.
    void drop_link(state::connection why, std::string_view reason);
    // Gives the connection up, to StandAlone.
    void disconnect_at_once(std::string_view reason);
    // From StandAlone: begins to connect.
    void start_connecting();
    // The peer said good-bye by an agreed state change (TearDown).
    void peer_left();

    // Makes a new current generation now; writes that the peer lacks wait until it is stored.
    void make_new_generation(volume& target);

    // It stands, and the peer has turned out not to have some of our volumes.
    void peer_lacks_volumes();
    // What only a peer that has the volume can say or do.
    void forget_peer_of(volume& target);

    // Makes those that are due.
    void go_on_without_data_of_peer();

    // Sends what the peer must know.
    void send_state(volume& target);
    void send_uuids(volume& target, std::uint64_t extra_flags = 0);

private:
    struct moved {
        volume* target;
        state::volume_state before;
        state::volume_state after;
    };

    static std::optional<state::transition_context::negotiated_disks>
    without_peer(const volume& target);
    void apply(volume& target, const state::change_result& changed);
    void apply(std::vector<moved>& together);
    void at_change(volume& target, const state::volume_state& before,
                   const state::volume_state& after);
    static void note_who_is_behind(volume& target, const state::volume_state& after);
    void after_change(volume& target, const state::volume_state& before,
                      const state::volume_state& after);
    void after_thaw(const state::volume_state& before, const state::volume_state& after);
    void thaw_with_data(const state::volume_state& frozen);
    void thaw_with_peer(const state::volume_state& frozen);
    void after_connection(volume& target, const state::volume_state& before,
                          const state::volume_state& after);
    void after_disk(volume& target, const state::volume_state& before,
                    const state::volume_state& after);
    void after_sync(volume& target, const state::volume_state& before,
                    const state::volume_state& after);
    void share(std::vector<moved>& together);
    void log_change(const volume& target, const state::volume_state& before,
                    const state::volume_state& after) const;
    void clean_up_link();
    void set_connection(state::connection value);

    machinery& all_;
    bool cleaning_up_ = false;
};

// Does a write go to the peer as data in this state; or as OUT_OF_SYNC?
bool sends_data(const state::volume_state& now);
bool sends_out_of_sync(const state::volume_state& now);
// New requests of the application may begin.
bool takes_requests(const volume& target, std::uint32_t protocol_version);

} // namespace lockstep::replica
