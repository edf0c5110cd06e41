#include "unit/state/history_model.hpp"

namespace lockstep::test {

using namespace lockstep::state;

namespace {

constexpr std::uint32_t all_bits = (1U << history_model::block_count) - 1U;
// Identifiers of acknowledged writes are the bits of a word.
constexpr unsigned most_writes = 64;

std::uint32_t bit_of(unsigned block) {
    return 1U << block;
}

} // namespace

history_model::history_model(std::uint64_t seed, const model_options& options)
    : options_(options), random_state_(seed) {
    // Two disks in sync, as after the first full sync.
    for (node& one : nodes_) {
        one.uuids = {0xabcd'0000'0000'1110, 0, {uuid_just_created, 0}};
        one.now.connection = connection::wf_connection;
        one.now.disk = disk::up_to_date;
        one.flags = flags_to_store(one.now, {}, false);
        one.presented = one.uuids.current;
    }
}

// splitmix64: every seed gives another, reproducible run.
std::uint64_t history_model::random() {
    random_state_ += 0x9e3779b97f4a7c15;
    std::uint64_t z = random_state_;
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111eb;
    return z ^ (z >> 31U);
}

bool history_model::broken(const std::string& what) {
    failure_ = what;
    note("BROKEN: " + what);
    return false;
}

std::string history_model::shown(const node& one) const {
    std::string line = one.alive ? "" : "(dead) ";
    line += std::string(name(one.now.connection)) + " " + std::string(name(one.now.role)) + " " +
            std::string(name(one.now.disk)) + "/" + std::string(name(one.now.peer_disk)) + " " +
            std::string(text(one.uuids).view()) + " bits " + std::to_string(one.bits) +
            (one.crashed_primary ? " crashed" : "") + " data";
    for (const int value : one.data) {
        line += " " + std::to_string(value);
    }
    return line;
}

void history_model::note(const std::string& what) {
    if (!options_.keep_trace) {
        return;
    }
    trace_ += what + "\n  0: " + shown(nodes_[0]) + "\n  1: " + shown(nodes_[1]) + "\n";
}

transition_context history_model::context_of() const {
    transition_context context;
    context.net_configured = true;
    context.protocol_version = options_.protocol_version;
    return context;
}

// Takes a new state, and what follows from it for the identifiers and the flags.
void history_model::enter(node& one, const volume_state& after) {
    const volume_state before = one.now;
    one.presented = presented_after_change(before, after, one.presented, one.uuids.current);
    one.now = after;
    if (settles_crash(before, after)) {
        one.crashed_primary = false;
    }
    if (generation_after(before, after, one.uuids) == new_generation::now) {
        one.uuids = new_current(one.uuids, random(), after.role);
        one.presented = one.uuids.current;
    }
    one.flags = flags_to_store(after, one.flags, one.crashed_primary);
}

bool history_model::request(node& one, const state_change& wish) {
    const change_result result = change(one.now, wish, change_kind::soft, context_of());
    if (!result.accepted()) {
        return false;
    }
    enter(one, result.state);
    return true;
}

void history_model::force(node& one, const state_change& wish) {
    const change_result result = change(one.now, wish, change_kind::hard, context_of());
    if (result.accepted()) {
        enter(one, result.state);
    }
}

bool history_model::linked() const {
    return nodes_[0].now.connection >= connection::connected;
}

void history_model::part() {
    phase_ = phase::idle;
    for (node& one : nodes_) {
        if (one.alive) {
            force(one, state_change().with(connection::network_failure));
            force(one, state_change().with(connection::unconnected));
            force(one, state_change().with(connection::wf_connection));
        }
    }
}

void history_model::lose_link() {
    if (linked()) {
        part();
    }
}

void history_model::crash(unsigned which) {
    node& one = at(which);
    const bool was_linked = linked();
    one.alive = false;
    if (was_linked) {
        part();
    }
    one.now = volume_state();
    one.now.connection = connection::wf_connection;
    one.discards = false;
}

void history_model::restart(unsigned which) {
    node& one = at(which);
    one.alive = true;
    const attached found = state_on_attach(one.flags, one.now, options::fencing::dont_care);
    one.now.disk = found.disk;
    one.now.peer_disk = found.peer_disk;
    one.crashed_primary = found.crashed_primary;
    one.uuids = with_role(one.uuids, role::secondary);
    one.presented = one.uuids.current;
    one.flags = flags_to_store(one.now, one.flags, one.crashed_primary);
    note("restart " + std::to_string(which));
}

void history_model::replace_disk(unsigned which) {
    node& one = at(which);
    one.uuids = generation();
    one.flags = metadata_flags();
    one.bits = all_bits;
    one.data.fill(-1);
    one.acknowledged = 0;
    note("new disk " + std::to_string(which));
}

// A write goes to every disk that takes part, and is marked where it does not reach the other.
void history_model::write(unsigned which) {
    node& writer = at(which);
    node& peer = other(which);
    const bool target_waits = phase_ == phase::bitmaps && which != source_;
    if (writer.now.role != role::primary || target_waits || next_write_ == most_writes) {
        return;
    }
    const bool local = writer.has_disk() && (writer.now.disk == disk::up_to_date || linked());
    const bool peer_disk = linked() && peer.has_disk();
    const bool remote = peer_disk && phase_ != phase::bitmaps;
    const bool usable =
        writer.now.disk == disk::up_to_date || (peer_disk && peer.now.disk == disk::up_to_date);
    if (!usable) {
        return;
    }
    const auto block = static_cast<unsigned>(random() % block_count);
    const std::uint64_t id = 1ULL << next_write_++;
    const int value = next_value_++;
    const auto put = [&](node& one, bool reaches_other) {
        one.data[block] = value;
        one.acknowledged |= one.now.disk == disk::up_to_date ? id : 0;
        one.bits = reaches_other ? one.bits & ~bit_of(block) : one.bits | bit_of(block);
    };
    if (local) {
        put(writer, remote);
    }
    if (remote) {
        put(peer, local);
    } else if (peer_disk) {
        peer.bits |= bit_of(block); // OUT_OF_SYNC
    }
    ++counts_.writes;
    note("write by " + std::to_string(which) + " to block " + std::to_string(block));
}

// A write that is on its way when the link or the writer fails: it may have reached any of the
// disks, and is never acknowledged. The writer finds it marked: by the transfer log while it lives,
// by the activity log after a crash.
void history_model::write_and_fail(unsigned which) {
    node& writer = at(which);
    node& peer = other(which);
    const bool simple = linked() && phase_ == phase::idle && writer.now.role == role::primary &&
                        writer.now.disk == disk::up_to_date && peer.has_disk();
    if (!simple) {
        return;
    }
    const auto block = static_cast<unsigned>(random() % block_count);
    const int value = next_value_++;
    if (one_in(2)) {
        peer.data[block] = value;
    }
    const bool dies = one_in(2);
    if (!dies || one_in(2)) {
        writer.data[block] = value;
    }
    writer.bits |= bit_of(block);
    if (dies) {
        crash(which);
    } else {
        lose_link();
    }
    note("write in flight by " + std::to_string(which) + " to block " + std::to_string(block));
}

void history_model::promote(unsigned which) {
    node& one = at(which);
    node& peer = other(which);
    if (one.now.role == role::primary) {
        return;
    }
    if (linked()) {
        const change_result there = change(peer.now, state_change().with_peer(role::primary),
                                           change_kind::soft, context_of());
        if (!there.accepted() || !request(one, state_change().with(role::primary))) {
            return;
        }
        enter(peer, there.state);
    } else if (!request(one, state_change().with(role::primary))) {
        return;
    }
    if (one.has_disk()) {
        if (promotion_makes_generation(one.now, one.uuids, false)) {
            one.uuids = new_current(one.uuids, random(), role::primary);
        }
        one.uuids = with_role(one.uuids, role::primary);
        one.presented = one.uuids.current;
    } else if (linked()) {
        one.presented = peer.uuids.current;
    }
    one.discards = false;
    note("promote " + std::to_string(which));
}

void history_model::demote(unsigned which) {
    node& one = at(which);
    if (one.now.role != role::primary || !request(one, state_change().with(role::secondary))) {
        return;
    }
    if (one.has_disk()) {
        one.uuids = with_role(one.uuids, role::secondary);
    }
    if (linked()) {
        force(other(which), state_change().with_peer(role::secondary));
    }
    note("demote " + std::to_string(which));
}

void history_model::detach(unsigned which) {
    node& one = at(which);
    if (!one.has_disk() || phase_ != phase::idle ||
        !request(one, state_change().with(disk::failed))) {
        return;
    }
    if (linked()) {
        force(other(which), state_change().with_peer(disk::failed));
        force(other(which), state_change().with_peer(disk::diskless));
    }
    force(one, state_change().with(disk::diskless));
    if (linked()) {
        // The peer sends UUIDS if it made a generation for us.
        one.presented = presented_after_uuids(one.now, one.presented, other(which).uuids.current);
    }
    note("detach " + std::to_string(which));
}

bool history_model::attach(unsigned which) {
    node& one = at(which);
    if (one.now.disk != disk::diskless || phase_ != phase::idle ||
        !may_attach_generation(one.now, one.presented, one.uuids.current)) {
        return true;
    }
    const attached found = state_on_attach(one.flags, one.now, options::fencing::dont_care);
    one.crashed_primary = found.crashed_primary;
    if (found.negotiate) {
        return attach_connected(which, found);
    }
    volume_state after = one.now;
    after.disk = found.disk;
    after.peer_disk = found.peer_disk;
    enter(one, after);
    one.uuids = with_role(one.uuids, one.now.role);
    one.presented = one.uuids.current;
    note("attach " + std::to_string(which));
    return true;
}

// A block rots on one disk; a verify of the connected pair finds it and marks it on both.
void history_model::bit_rot_and_verify(unsigned which) {
    const bool quiet = linked() && phase_ == phase::idle &&
                       at(which).now.disk == disk::up_to_date &&
                       other(which).now.disk == disk::up_to_date;
    if (!quiet) {
        return;
    }
    const auto block = static_cast<unsigned>(random() % block_count);
    at(which).data[block] = -2 - static_cast<int>(random() % 1000);
    for (node& one : nodes_) {
        one.bits |= bit_of(block);
    }
    note("verify finds block " + std::to_string(block) + " of " + std::to_string(which));
}

bool history_model::step() {
    const auto which = static_cast<unsigned>(random() % 2);
    if (at(which).alive) {
        return random_event(which) && check();
    }
    if (one_in(8)) {
        replace_disk(which);
    }
    restart(which);
    return check();
}

bool history_model::random_event(unsigned which) {
    switch (random() % 16) {
    case 0:
        lose_link();
        note("link lost");
        return true;
    case 1:
        crash(which);
        note("crash " + std::to_string(which));
        return true;
    case 2:
        promote(which);
        return true;
    case 3:
        demote(which);
        return true;
    case 4:
        write_and_fail(which);
        return true;
    case 5:
        detach(which);
        return true;
    case 6:
        return attach(which);
    case 7:
        bit_rot_and_verify(which);
        return true;
    case 8:
    case 9:
    case 10:
        write(which);
        return true;
    default:
        return meet();
    }
}

// What must hold whatever has happened.
bool history_model::check() {
    const node& a = nodes_[0];
    const node& b = nodes_[1];
    if (!linked()) {
        return true;
    }
    if (a.now.role == role::primary && b.now.role == role::primary) {
        return broken("two Primaries are connected");
    }
    const bool settled =
        phase_ == phase::idle && a.now.disk == disk::up_to_date && b.now.disk == disk::up_to_date;
    if (!settled) {
        return true;
    }
    for (unsigned block = 0; block < block_count; ++block) {
        const bool marked = ((a.bits | b.bits) & bit_of(block)) != 0;
        if (a.data[block] != b.data[block] && !marked) {
            return broken("both are UpToDate, but differ in an unmarked block");
        }
    }
    if (a.acknowledged != b.acknowledged) {
        return broken("both are UpToDate, but one lacks an acknowledged write");
    }
    return true;
}

} // namespace lockstep::test
