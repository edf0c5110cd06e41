// State changes that an administrator asks for. Those that the peer has a say in are sent to it and
// wait for its answer; one at a time for the whole resource.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <vector>

#include "kernel/replica/resource.hpp"
#include "kernel/replica/timers.hpp"
#include "kernel/state/transition.hpp"
#include "kernel/wire/payloads.hpp"

namespace lockstep::replica {

class machinery;
struct volume;

class command_queue {
public:
    explicit command_queue(machinery& all);

    // Asks for a change of one volume; of all volumes (roles, disconnect).
    void change_volume(volume& target, const state::state_change& wanted, on_outcome done);
    void change_resource(const state::state_change& wanted, on_outcome done);

    // STATE_CHG_REQ and CONN_ST_CHG_REQ of the peer; the answer to ours.
    void request_received(volume& target, const wire::state_request& request);
    // For a volume that we do not have.
    void request_for_missing(volume_number number, const wire::state_request& request);
    void connection_request_received(const wire::state_request& request);
    void reply_received(std::int32_t code);
    void link_lost();
    // A change of ours waits for the peer's answer.
    bool waiting() const { return active_; }
    // One that starts a verify or a full sync of this volume.
    bool asks_for_sync(const volume& target) const;
    bool asks_to_detach(const volume& target) const;
    bool asks_for_role() const;
    // Once the peer's answer to what it is asked now is known: before that it may take for granted
    // what `then` would forbid.
    void when_answered(std::function<void()> then);

private:
    struct job {
        bool whole_resource = false;
        volume_number number = 0;
        state::state_change wanted;
        on_outcome done;
        bool sent = false;
        std::uint32_t tries = 0;
        bool waited = false; // for the end of a handshake
    };

    void next();
    void heard();
    void begin(job& current);
    void finish(state::verdict result);
    void try_later(job& current);
    bool asks_about(const volume& target) const;
    bool disturbs_resize(const volume* target, const state::state_change& wanted) const;
    state::verdict apply(const job& current);
    bool needs_peer(const job& current) const;
    static bool peer_removes(const volume& target, const state::state_change& wanted);
    void answer(volume_number number, bool connection, state::verdict result);

    machinery& all_;
    std::deque<job> jobs_;
    std::vector<std::function<void()>> behind_answer_;
    bool active_ = false;
    timer retry_;
};

outcome outcome_of(state::verdict result);

} // namespace lockstep::replica
