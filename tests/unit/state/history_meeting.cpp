// The meeting of the two nodes in the model: handshake, bitmaps, copying, the end of the sync.
#include "unit/state/history_model.hpp"

namespace lockstep::test {

using namespace lockstep::state;

namespace {

constexpr std::uint32_t all_bits = (1U << history_model::block_count) - 1U;

std::uint64_t weight(std::uint32_t bits) {
    std::uint64_t count = 0;
    for (; bits != 0; bits &= bits - 1) {
        ++count;
    }
    return count;
}

std::string summary(const handshake_decision& one) {
    return std::to_string(one.compared.result) + " by rule " + std::to_string(one.compared.rule) +
           ", " + std::string(one.text());
}

} // namespace

// While linked: the next step of a running sync. Otherwise: connect.
bool history_model::meet() {
    if (linked()) {
        if (phase_ == phase::bitmaps) {
            exchange_bitmaps();
        } else if (phase_ == phase::copying) {
            copy_or_finish();
        }
        return true;
    }
    return !nodes_[0].alive || !nodes_[1].alive || connect();
}

bool history_model::connect() {
    resolver_is_first_ = one_in(2);
    for (node& one : nodes_) {
        force(one, state_change().with(connection::wf_report_params));
    }
    if (!generations_fit()) {
        part();
        note("meet: another generation is in use");
        return true;
    }
    decisions made;
    if (!decide_together(made)) {
        return false;
    }
    if (!adopt_decisions(made)) {
        part();
        note("refused");
    }
    return true;
}

bool history_model::generations_fit() {
    for (unsigned which = 0; which < 2; ++which) {
        if (!may_connect_generation(at(which).now, at(which).presented,
                                    other(which).uuids.current)) {
            return false;
        }
    }
    return true;
}

handshake_input history_model::input_of(unsigned which) {
    const auto record = [](const node& one) {
        replica_record made;
        made.uuids = one.uuids;
        made.bits = weight(one.bits);
        made.discard_my_data = one.discards;
        made.crashed_primary = one.crashed_primary;
        made.disk = one.now.disk;
        made.role = one.now.role;
        if (one.now.disk == disk::negotiating) {
            made.disk = state_on_attach(one.flags, one.now, options::fencing::dont_care).disk;
        }
        return made;
    };
    handshake_input input;
    input.self = record(at(which));
    input.peer = record(other(which));
    // The peer sees no more of a negotiating disk than whether it is usable.
    input.peer.disk = real_peer_disk(other(which).now.disk, input.peer.disk == disk::inconsistent);
    input.disk_in_state = at(which).now.disk;
    input.protocol_version = options_.protocol_version;
    input.resolve_conflicts = (which == 0) == resolver_is_first_;
    input.peer_is_lockstep = options_.both_lockstep;
    return input;
}

bool history_model::decide_together(decisions& made) {
    const bool both = at(0).now.disk >= disk::negotiating && at(1).now.disk >= disk::negotiating;
    if (!both) {
        return true; // no data to compare: connected
    }
    for (unsigned which = 0; which < 2; ++which) {
        made[which] = decide(input_of(which));
    }
    if (options_.keep_trace) {
        note("meet: " + summary(made[0]) + " | " + summary(made[1]));
    }
    return check_decisions(made);
}

bool history_model::check_decisions(const decisions& made) {
    const handshake_decision& a = made[0];
    if ((a.sync == sync_role::source) != (made[1].sync == sync_role::target) ||
        (a.sync == sync_role::target) != (made[1].sync == sync_role::source) ||
        a.full != made[1].full) {
        return broken("the decisions do not fit together");
    }
    counts_.split_brains += a.split_brain_found ? 1 : 0;
    if (a.refused() || made[1].refused()) {
        return true;
    }
    counts_.corrections += a.compared.correction != correction::none ? 1 : 0;
    if (a.sync == sync_role::none) {
        ++counts_.in_sync_meetings;
        const bool left = (nodes_[0].bits | nodes_[1].bits) != 0;
        const bool usable = input_of(0).self.disk > disk::inconsistent &&
                            input_of(1).self.disk > disk::inconsistent;
        return !(options_.both_lockstep && left && usable) ||
               broken("two of ours leave bits unsynced");
    }
    const unsigned source = a.sync == sync_role::source ? 0 : 1;
    const std::uint64_t lost = other(source).acknowledged & ~at(source).acknowledged;
    return lost == 0 || a.split_brain_found ||
           broken("an acknowledged write is discarded without a split brain");
}

// Both go where their decisions lead. False: refused.
bool history_model::adopt_decisions(const decisions& made) {
    if (made[0].refused() || made[1].refused()) {
        // The administrator gives up one side's changes now and then.
        const auto victim = static_cast<unsigned>(random() % 2);
        at(victim).discards = made[0].refusal == refusal::split_brain && one_in(2) &&
                              at(victim).now.role == role::secondary;
        return false;
    }
    std::array<volume_state, 2> after;
    for (unsigned which = 0; which < 2; ++which) {
        const handshake_input seen = input_of(which);
        state_change wish = state_change()
                                .with(made[which].next_connection())
                                .with_peer(seen.peer.role)
                                .with_peer(seen.peer.disk);
        if (at(which).now.disk == disk::negotiating && made[which].sync != sync_role::target) {
            wish = wish.with(seen.self.disk);
        }
        const change_result result = change(at(which).now, wish, change_kind::soft, context_of());
        if (!result.accepted()) {
            return false;
        }
        after[which] = result.state;
    }
    begin_sync(made);
    std::array<bool, 2> may_refuse = {};
    for (unsigned which = 0; which < 2; ++which) {
        may_refuse[which] = diskless_primary_connects(at(which).now, after[which]);
        enter(at(which), after[which]);
    }
    for (unsigned which = 0; which < 2; ++which) {
        if (may_refuse[which]) {
            primary_agrees(at(which));
        }
    }
    for (unsigned which = 0; which < 2; ++which) {
        at(which).presented =
            presented_after_uuids(at(which).now, at(which).presented, other(which).uuids.current);
    }
    note("connected");
    return true;
}

// The diskless Primary has compared what its peer has with what it presents.
void history_model::primary_agrees(node& one) {
    force(one, state_change());
    if (peer_begins_to_write(one.now, one.uuids)) {
        one.uuids = new_current(one.uuids, random(), one.now.role);
        one.presented = one.uuids.current;
    }
}

// What a decision changes before the states do.
void history_model::begin_sync(const decisions& made) {
    const std::array<generation, 2> sent = {nodes_[0].uuids, nodes_[1].uuids};
    for (unsigned which = 0; which < 2; ++which) {
        node& one = at(which);
        const correction what = made[which].compared.correction;
        one.uuids = corrected_self(one.uuids, what);
        one.bits |= made[which].full ? all_bits : 0;
        one.discards = false;
        if (made[which].sync == sync_role::target) {
            source_ = 1 - which;
            source_uuids_ = corrected_peer(sent[1 - which], what);
            one.acknowledged &= at(source_).acknowledged; // the rest is given up by decision
            phase_ = phase::bitmaps;
        }
    }
}

bool history_model::attach_connected(unsigned which, const attached& found) {
    node& one = at(which);
    one.now.disk = disk::negotiating;
    decisions made;
    if (!decide_together(made)) {
        return false;
    }
    if (!other(which).has_disk()) {
        // Nothing to compare with: the disk is what it was.
        force(one, state_change().with(found.disk));
        force(other(which), state_change().with_peer(found.disk));
        one.uuids = with_role(one.uuids, one.now.role);
        note("attach beside a diskless peer " + std::to_string(which));
        return true;
    }
    if (!adopt_decisions(made)) {
        one.now.disk = disk::diskless;
        note("attach refused " + std::to_string(which));
    }
    return true;
}

// The bitmaps are united, the source makes and sends the identifier of the sync.
void history_model::exchange_bitmaps() {
    node& source = at(source_);
    node& target = other(source_);
    source.bits |= target.bits;
    target.bits = source.bits;
    force(target, state_change().with(connection::wf_sync_uuid));
    force(source, state_change().with(connection::sync_source));
    const sync_start start = start_sync_source(source.uuids, random());
    source.uuids = start.own;
    if (one_in(6)) {
        ++counts_.lost_sync_starts;
        lose_link();
        note("the start of the sync is lost");
        return;
    }
    target.uuids = adopt_sync_uuid(target.uuids, start.sync_uuid, target.now.role);
    target.acknowledged = 0; // in pieces from now on
    force(target, state_change().with(connection::sync_target));
    phase_ = phase::copying;
    ++counts_.syncs;
    note("sync begins");
}

void history_model::copy_or_finish() {
    node& source = at(source_);
    node& target = other(source_);
    for (unsigned block = 0; block < block_count; ++block) {
        const std::uint32_t bit = 1U << block;
        if ((target.bits & bit) == 0) {
            continue;
        }
        target.data[block] = source.data[block];
        target.bits &= ~bit;
        if (one_in(10)) {
            lose_link();
            note("an acknowledgement of the resync is lost");
            return;
        }
        source.bits &= ~bit;
        note("copied block " + std::to_string(block));
        return;
    }
    finish_sync();
}

void history_model::finish_sync() {
    node& source = at(source_);
    node& target = other(source_);
    const state_change end = state_change()
                                 .with(connection::connected)
                                 .with(disk::up_to_date)
                                 .with_peer(disk::up_to_date);
    const auto end_target = [&] {
        target.uuids = finish_sync_target(target.uuids, source_uuids_, target.now.role);
        target.acknowledged = source.acknowledged;
        force(target, end);
    };
    const auto end_source = [&] {
        source.uuids = finish_sync_source(source.uuids);
        force(source, end);
    };
    // From 96 on the source waits for the target's word; before, each counts for itself.
    const bool source_first = options_.protocol_version < 96 && one_in(2);
    if (source_first) {
        end_source();
    } else {
        end_target();
    }
    if (one_in(5)) {
        ++counts_.lost_sync_ends;
        lose_link();
        note("the end of the sync is recorded by one side only");
        return;
    }
    if (source_first) {
        end_target();
    } else {
        end_source();
    }
    phase_ = phase::idle;
    note("sync ends");
}

} // namespace lockstep::test
