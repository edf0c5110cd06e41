#include "kernel/replica/handshake.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "kernel/replica/digests.hpp"
#include "kernel/replica/machinery.hpp"
#include "kernel/replica/peer_settings.hpp"

namespace lockstep::replica {

using wire::command;

namespace {

// A word in the part of CONNECTION_FEATURES that 8.4 sends as zeros and does not read
// (drbd_receiver.c, drbd_do_features): tells two Lockstep nodes from an in-kernel peer.
constexpr std::uint64_t lockstep_mark = 0x4c4f434b53544550; // "LOCKSTEP"
constexpr std::size_t mark_offset = 16;
constexpr std::size_t incarnation_offset = 24; // 0, or of the sender's engine
constexpr std::size_t features_bytes = 72;

} // namespace

handshake::handshake(machinery& all)
    : all_(all), deadline_(all.clock,
                           [this] {
                               all_.states.drop_link(
                                   state::connection::network_failure,
                                   "the peer did not answer during the handshake" +
                                       std::string(asked_for_secret_ ? where_it_ended() : ""));
                           }),
      waiting_deadline_(all.clock, [this] { let_waiting_go(); }) {}

// DRBD: four times ping-timeout for each packet of the handshake.
instant handshake::patience() const {
    return 4 * deciseconds(all_.net.ping_timeout_ds);
}

void handshake::when_over(std::function<void()> action) {
    if (!state_sent()) {
        action();
        return;
    }
    waiting_.push_back(std::move(action));
    if (!waiting_deadline_.armed()) {
        waiting_deadline_.arm(all_.now() + patience());
    }
}

void handshake::settle() {
    if (!waiting_.empty() && !state_sent()) {
        let_waiting_go();
    }
}

void handshake::let_waiting_go() {
    waiting_deadline_.cancel();
    for (const auto& action : std::exchange(waiting_, {})) {
        action();
    }
}

void handshake::stop() {
    phase_ = phase::idle;
    deadline_.cancel();
    asked_for_secret_ = false;
    peer_is_lockstep_ = false;
    peer_incarnation_ = 0;
    peer_discards_ = false;
    peer_tentative_ = false;
    integrity_.clear();
    for (auto& [number, each] : all_.volumes) {
        each->handshake_sent = false;
        each->peer_volume = at_peer::unknown;
    }
}

void handshake::link_established(bool resolve_conflicts) {
    all_.link.start(resolve_conflicts);
    phase_ = phase::features;
    deadline_.arm(all_.now() + patience());
    std::array<std::byte, wire::header_bytes_max + features_bytes> packet{};
    const std::size_t size = wire::encode_packet(
        packet, all_.link.rules, 0, command::connection_features, wire::connection_features{});
    std::byte* const features = packet.data() + size - features_bytes;
    store_big(features + mark_offset, lockstep_mark);
    store_big(features + incarnation_offset, all_.incarnation);
    all_.link.send_bytes(channel::data, 0, command::connection_features,
                         const_byte_span(packet).subspan(size - features_bytes, features_bytes));
}

void handshake::unexpected(command code) {
    if (phase_ == phase::challenge) {
        // As in DRBD only who has the secret gives up. The other one waits for it to come again.
        all_.states.disconnect_at_once(fmt::format(
            "this node has cram-hmac-alg {} and a shared-secret, and the peer has no cram-hmac-alg "
            "(it sent {} instead of a challenge). Set both in its net section as they are here, "
            "then there: drbdadm adjust; here: drbdadm connect.",
            all_.net.cram_hmac_alg, wire::name(code)));
        return;
    }
    if (code == command::auth_challenge && all_.net.cram_hmac_alg.empty()) {
        asked_for_secret_ = true; // it closes the connection when it hears that there is no answer
        if (!deadline_.armed()) {
            deadline_.arm(all_.now() + patience());
        }
        return;
    }
    all_.states.drop_link(
        state::connection::protocol_error,
        fmt::format("{} was not expected during the handshake", wire::name(code)));
}

std::string_view handshake::where_it_ended() const {
    if (authenticates()) {
        return " during the authentication: do shared-secret and cram-hmac-alg agree?";
    }
    if (asked_for_secret_) {
        return ": it asks for authentication, and this node has no cram-hmac-alg and no "
               "shared-secret. Set both in the net section as they are there, then here: drbdadm "
               "adjust; there, where it has been given up: drbdadm connect.";
    }
    const bool agreed = std::ranges::any_of(all_.volumes, [](const auto& entry) {
        return entry.second->state.connection >= state::connection::connected;
    });
    return phase_ == phase::parameters && !agreed && !all_.volumes.empty()
               ? " before the two had agreed: its log may say why"
               : std::string_view{};
}

void handshake::features_received(const wire::connection_features& features,
                                  const_byte_span payload) {
    if (phase_ != phase::features) {
        unexpected(command::connection_features);
        return;
    }
    const auto agreed = wire::agree({}, features);
    if (!agreed) {
        all_.states.disconnect_at_once(agreed.error().text());
        return;
    }
    const bool only_the_first =
        std::ranges::all_of(all_.volumes, [](const auto& entry) { return entry.first == 0; });
    if (!agreed->has_volumes() && !only_the_first) {
        all_.states.disconnect_at_once(fmt::format(
            "the peer speaks protocol version {} at most, which carries volume 0 only: split the "
            "volumes into resources of their own, or upgrade the peer",
            agreed->version));
        return;
    }
    peer_is_lockstep_ = payload.size() == features_bytes &&
                        load_big<std::uint64_t>(payload.data() + mark_offset) == lockstep_mark;
    peer_incarnation_ =
        peer_is_lockstep_ ? load_big<std::uint64_t>(payload.data() + incarnation_offset) : 0;
    all_.link.rules = *agreed;
    all_.link.last_data_bytes = std::min(agreed->data_bytes(), max_io_bytes);
    all_.link.input(channel::data).set_rules(*agreed);
    all_.link.input(channel::meta).set_rules(*agreed);
    all_.log(log_level::info,
             fmt::format("Handshake successful: Agreed network protocol version {}{}",
                         agreed->version, peer_is_lockstep_ ? " (Lockstep)" : ""));
    all_.log(log_level::info,
             fmt::format("Feature flags enabled on protocol level: {:#x}", agreed->features));
    if (all_.net.cram_hmac_alg.empty()) {
        enter_parameters();
        return;
    }
    phase_ = phase::challenge;
    own_challenge_.size = 64;
    for (std::size_t at = 0; at < 64; at += 8) {
        store_big(own_challenge_.bytes.data() + at, all_.world.random_number());
    }
    all_.link.send(channel::data, 0, command::auth_challenge, own_challenge_);
}

void handshake::challenge_received(const wire::auth_challenge& challenge) {
    if (phase_ != phase::challenge) {
        unexpected(command::auth_challenge);
        return;
    }
    if (challenge == own_challenge_) {
        all_.states.disconnect_at_once("the peer presented our own challenge to us");
        return;
    }
    phase_ = phase::response;
    wire::auth_response response;
    response.hmac = hmac_of(all_.net.cram_hmac_alg, all_.net.shared_secret, challenge.view());
    all_.link.send(channel::data, 0, command::auth_response, response);
}

void handshake::response_received(const wire::auth_response& response) {
    if (phase_ != phase::response) {
        unexpected(command::auth_response);
        return;
    }
    const auto right =
        hmac_of(all_.net.cram_hmac_alg, all_.net.shared_secret, own_challenge_.view());
    if (!(response.hmac == right)) {
        const std::string differs =
            response.hmac.size != right.size
                ? fmt::format("the peer uses another cram-hmac-alg than {}", all_.net.cram_hmac_alg)
                : fmt::format(
                      "with cram-hmac-alg {} the peer's shared-secret, or its algorithm, is "
                      "another one than here",
                      all_.net.cram_hmac_alg);
        all_.states.disconnect_at_once("Authentication of peer failed: " + differs +
                                       ". Make both alike in the net sections, then on both nodes: "
                                       "drbdadm adjust.");
        return;
    }
    all_.log(log_level::info, fmt::format("Peer authenticated using {} bytes HMAC", right.size));
    enter_parameters();
}

void handshake::enter_parameters() {
    phase_ = phase::parameters;
    all_.link.resume_receiving();
    const auto verdict = all_.states.change_all(
        state::state_change{}.with(state::connection::wf_report_params), state::change_kind::hard);
    if (verdict < state::verdict::success) {
        all_.states.drop_link(state::connection::network_failure, state::text(verdict));
        return;
    }
    if (all_.volumes.empty()) {
        all_.common.connection = state::connection::wf_report_params;
        all_.world.changed();
        deadline_.cancel();
    }
    all_.keepalive.start();
    send_protocol(command::protocol);
    all_.epochs.mark_what_peer_lacks();
    for (auto& [number, each] : all_.volumes) {
        send_volume(*each);
    }
}

void handshake::send_volume(volume& target) {
    target.sequence = 0;
    target.peer_sequence = 0;
    send_sync_settings(target);
    all_.sizes.send(target, target.size_sectors, 0);
    // Blocks that are marked because the device grows now are to be in our UUIDS.
    target.handshake_due = all_.sizes.may_grow(target) && !target.peer_sizes;
    if (!target.handshake_due) {
        send_generation(target);
    }
}

void handshake::send_added(volume& target) {
    target.peer_volume = at_peer::silent;
    send_volume(target);
}

// Its STATE follows from ours, which is sent when the two are connected.
void handshake::peer_has(volume& target) {
    const bool was_missing =
        target.peer_volume == at_peer::missing || target.peer_volume == at_peer::silent;
    target.peer_volume = at_peer::there;
    if (was_missing && target.handshake_sent &&
        target.state.connection == state::connection::wf_report_params) {
        target.sequence = 0;
        target.peer_sequence = 0;
        send_sync_settings(target);
        all_.sizes.send(target, target.size_sectors, 0);
        all_.states.send_uuids(target);
    }
}

// What was sent for it and is unanswered is as if the peer were lost; the connection goes on. When
// the peer adds it again it hears of ours as of one that it did not have yet.
void handshake::peer_removes(volume& target) {
    all_.log(log_level::info, target, "the peer has removed its volume");
    target.peer_volume = at_peer::missing;
    target.handshake_due = false;
    target.handshake_sent = true;
    all_.states.change(target, state::state_change{}.with(state::connection::wf_report_params),
                       state::change_kind::hard);
    all_.defer([this] { all_.states.peer_lacks_volumes(); });
    all_.states.forget_peer_of(target);
    all_.reads.peer_lost(target);
    all_.epochs.give_up_peer_of(target);
    if (target.disk != nullptr && target.state.disk >= state::disk::inconsistent) {
        target.disk->store_bitmap([](bool) {});
    }
}

// A peer that has taken a STATE of ours has sent all that it has before: of what it has not
// mentioned till now it will speak when it is added there.
void handshake::note_missing(const state::volume_state& reported) {
    if (reported.connection < state::connection::connected) {
        return;
    }
    bool some_missing = false;
    for (auto& [number, each] : all_.volumes) {
        if (each->peer_volume == at_peer::unknown) {
            each->peer_volume = at_peer::missing;
            some_missing = true;
        }
    }
    if (some_missing) {
        all_.defer([this] { all_.states.peer_lacks_volumes(); });
    }
}

void handshake::send_generation(volume& target) {
    target.handshake_due = false;
    all_.states.send_uuids(target);
    target.handshake_sent = true;
    all_.states.send_state(target);
}

bool handshake::state_sent() const {
    for (const auto& [number, each] : all_.volumes) {
        if (each->handshake_sent && each->may_be_answered() &&
            each->state.connection == state::connection::wf_report_params) {
            return true;
        }
    }
    return false;
}

bool handshake::comparing() const {
    return state_sent() || std::ranges::any_of(all_.volumes, [](const auto& entry) {
               const volume& each = *entry.second;
               return each.handshake_due && each.may_be_answered() &&
                      each.state.connection == state::connection::wf_report_params;
           });
}

// --- settings ---

void handshake::send_protocol(command code) {
    wire::connection_settings out;
    out.wire_protocol = static_cast<std::uint32_t>(all_.net.protocol);
    out.after_sb_0pri = static_cast<std::uint32_t>(all_.net.after_sb_0pri);
    out.after_sb_1pri = static_cast<std::uint32_t>(all_.net.after_sb_1pri);
    out.after_sb_2pri = static_cast<std::uint32_t>(all_.net.after_sb_2pri);
    out.flags = (discard_my_data_ ? wire::protocol_flag::discard_my_data : 0) |
                (tentative_ ? wire::protocol_flag::dry_run : 0);
    out.two_primaries = all_.net.allow_two_primaries ? 1 : 0;
    out.integrity = wire::make_algorithm_name(all_.net.data_integrity_alg);
    all_.link.send(channel::data, 0, code, out);
}

void handshake::send_sync_settings(volume& target) {
    wire::sync_settings out;
    out.rate_kib = target.options.resync_rate_kib;
    out.verify = wire::make_algorithm_name(all_.net.verify_alg);
    out.checksum = wire::make_algorithm_name(all_.net.csums_alg);
    out.plan_ahead_ds = target.options.c_plan_ahead_ds;
    out.delay_target_ds = target.options.c_delay_target_ds;
    out.fill_target_sectors = target.options.c_fill_target_sectors;
    out.max_rate_kib = target.options.c_max_rate_kib;
    all_.link.send(channel::data, target.number, wire::sync_settings_command(all_.link.rules), out);
}

bool handshake::settings_fit(const wire::connection_settings& settings) {
    std::string why = first_difference(all_.net, settings, all_.link.rules);
    if (why.empty() && discard_my_data_ &&
        (settings.flags & wire::protocol_flag::discard_my_data) != 0) {
        why = "incompatible discard-my-data settings: given on both nodes, so that neither would "
              "keep its data. Connect again, and give it only where changes are to be lost: "
              "drbdadm connect --discard-my-data; on the other node: drbdadm connect.";
    }
    if (!why.empty()) {
        all_.states.disconnect_at_once(why);
    }
    return why.empty();
}

void handshake::protocol_received(const wire::connection_settings& settings) {
    if (!settings_fit(settings)) {
        return;
    }
    // From here on pings tell whether the peer lives; a volume that it does not have stays alone.
    deadline_.cancel();
    peer_discards_ = (settings.flags & wire::protocol_flag::discard_my_data) != 0;
    peer_tentative_ = (settings.flags & wire::protocol_flag::dry_run) != 0;
    adopt_settings(settings);
}

void handshake::adopt_settings(const wire::connection_settings& settings) {
    integrity_ = settings.integrity.view();
    const auto size = digest_size(integrity_);
    if (!size) {
        all_.states.disconnect_at_once(size.error().text());
        return;
    }
    all_.link.input(channel::data).set_digest_bytes(*size);
}

void handshake::protocol_update_received(const wire::connection_settings& settings) {
    // Not compared: it switches this node too.
    auto net = taken_over(all_.net, settings);
    if (!net) {
        all_.states.disconnect_at_once(net.error().text());
        return;
    }
    all_.net = std::move(*net);
    adopt_settings(settings);
    all_.world.changed();
}

void handshake::sync_settings_received(volume& target, const wire::sync_settings& settings) {
    const bool connecting = target.state.connection == state::connection::wf_report_params;
    const auto differs = [&](std::string_view own, std::string_view theirs, const char* what) {
        if (own == theirs || !connecting) {
            return false;
        }
        all_.states.disconnect_at_once(
            fmt::format("different {} settings. me=\"{}\" peer=\"{}\". {}", what, own, theirs,
                        way_out_of_difference()));
        return true;
    };
    const auto& rules = all_.link.rules;
    if (rules.has_verify()) {
        if (differs(all_.net.verify_alg, settings.verify.view(), "verify-alg")) {
            return;
        }
        if (digest_size(settings.verify.view())) {
            all_.net.verify_alg = settings.verify.view();
        }
    }
    if (rules.has_checksum_resync()) {
        if (differs(all_.net.csums_alg, settings.checksum.view(), "csums-alg")) {
            return;
        }
        if (digest_size(settings.checksum.view())) {
            all_.net.csums_alg = settings.checksum.view();
        }
    }
    target.options.resync_rate_kib = settings.rate_kib;
    if (rules.has_resync_controller()) {
        target.options.c_plan_ahead_ds = settings.plan_ahead_ds;
        target.options.c_delay_target_ds = settings.delay_target_ds;
        target.options.c_fill_target_sectors = settings.fill_target_sectors;
        target.options.c_max_rate_kib = settings.max_rate_kib;
    }
    all_.resync.options_changed(target);
}

} // namespace lockstep::replica
