// From two connected sockets to an agreed state: features, authentication, settings, then for each
// volume sizes, generations and states, and the decision who syncs from whom.
//
//     phase        what arrives moves it on               what is sent on entering
//     idle         (link established)                     CONNECTION_FEATURES
//     features     CONNECTION_FEATURES                    AUTH_CHALLENGE, or as parameters
//     challenge    AUTH_CHALLENGE (answered)              -
//     response     AUTH_RESPONSE (checked)                -
//     parameters   PROTOCOL; per volume SYNC_PARAM,       PROTOCOL; per volume SYNC_PARAM, SIZES,
//                  SIZES, UUIDS, STATE                    UUIDS, STATE
//
// Anything else before `parameters` drops the connection.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/replica/timers.hpp"
#include "kernel/state/handshake.hpp"
#include "kernel/state/peer_state.hpp"
#include "kernel/wire/payloads.hpp"

namespace lockstep::replica {

class machinery;
struct volume;

class handshake {
public:
    explicit handshake(machinery& all);

    void link_established(bool resolve_conflicts);
    void stop();

    void features_received(const wire::connection_features& features, const_byte_span payload);
    void challenge_received(const wire::auth_challenge& challenge);
    void response_received(const wire::auth_response& response);
    void unexpected(wire::command code);
    // What to add to the news that the connection is gone; empty once it stood.
    std::string_view where_it_ended() const;

    void protocol_received(const wire::connection_settings& settings);
    void protocol_update_received(const wire::connection_settings& settings);
    void sync_settings_received(volume& target, const wire::sync_settings& settings);
    void uuids_received(volume& target, const wire::uuids& uuids);
    void state_received(volume& target, const wire::state_word& word);

    bool before_parameters() const { return phase_ != phase::parameters; }
    // Our STATE is out and the peer's has not come: role and disk must not change. A volume that
    // the peer does not have keeps nothing waiting.
    bool state_sent() const;
    // Some volume is still to be compared: its STATE is out, or waits for what comes before.
    bool comparing() const;
    // Runs `action` when no such STATE is out (any more), or when the peer lets us wait too long.
    void when_over(std::function<void()> action);
    void settle();
    std::string_view integrity_algorithm() const { return integrity_; }
    bool peer_is_lockstep() const { return peer_is_lockstep_; }

    void set_discard_my_data(bool value) { discard_my_data_ = value; }
    bool discard_my_data() const { return discard_my_data_; }
    void set_tentative(bool value) { tentative_ = value; }

    // Tells the peer of changed settings on a live connection.
    void send_protocol(wire::command code);
    void send_sync_settings(volume& target);
    // Everything that the peer has to know of one volume.
    void send_volume(volume& target);
    // The same for one that is new in a connection that stands: the peer may not have it yet.
    void send_added(volume& target);
    // The peer speaks of the volume. What it ignored, because it did not have it, it hears now.
    void peer_has(volume& target);
    // The peer takes its volume, which has no disk any more, out of the resource.
    void peer_removes(volume& target);
    // UUIDS and STATE: with SIZES, or when the peer's SIZES have been taken.
    void send_generation(volume& target);

private:
    enum class phase : std::uint8_t { idle, features, challenge, response, parameters };

    instant patience() const;
    void let_waiting_go();
    bool authenticates() const { return phase_ == phase::challenge || phase_ == phase::response; }
    void enter_parameters();
    void note_missing(const state::volume_state& reported);
    bool settings_fit(const wire::connection_settings& settings);
    void adopt_settings(const wire::connection_settings& settings);
    bool decide(volume& target, const state::peer_state_facts& facts, bool& take_over,
                state::connection& next);
    void mark_all(volume& target, const state::peer_state_facts& facts, state::connection decided);
    bool demote_victim();
    void call_handlers(volume& target, const state::handshake_decision& decision);
    void skip_initial_sync(volume& target, const wire::uuids& uuids);
    void finish_state(volume& target, const state::peer_state_facts& facts,
                      const state::peer_state_view& view, state::connection next);

    machinery& all_;
    phase phase_ = phase::idle;
    timer deadline_;
    timer waiting_deadline_;
    std::vector<std::function<void()>> waiting_;
    wire::auth_challenge own_challenge_;
    std::string integrity_;
    bool peer_is_lockstep_ = false;
    std::uint64_t peer_incarnation_ = 0; // of its engine; 0: not known
    bool peer_discards_ = false;
    std::uint64_t demoted_in_link_ = ~std::uint64_t{0}; // the link whose handshake demoted us
    bool peer_tentative_ = false;
    bool discard_my_data_ = false;
    bool tentative_ = false;
    bool asked_for_secret_ = false; // and we have none
};

} // namespace lockstep::replica
