// A volume whose peer sends whatever it likes: STATE words, requests, UUIDS and SIZES, mixed with
// events of its own. No answer may leave the states that exist, make a second Primary, sync onto a
// Primary with good data, or forget marked blocks.
#include "kernel/base/check.hpp"
#include "kernel/state/peer_state.hpp"
#include "kernel/state/size_agreement.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>

using namespace lockstep;
using namespace lockstep::state;

namespace {

class bytes {
public:
    bytes(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}

    bool empty() const { return left_ == 0; }

    template <class Value>
    Value take() {
        Value value = {};
        const std::size_t size = left_ < sizeof(Value) ? left_ : sizeof(Value);
        std::memcpy(&value, data_, size);
        data_ += size;
        left_ -= size;
        return value;
    }

private:
    const std::uint8_t* data_;
    std::size_t left_;
};

transition_context context_of(bool verify) {
    transition_context context;
    context.net_configured = true;
    context.verify_algorithm_set = verify;
    return context;
}

void check_state_exists(const volume_state& at) {
    LOCKSTEP_CHECK(well_formed(at));
    LOCKSTEP_CHECK(at.connection >= connection::connected || at.peer_role == role::unknown);
}

replica_record record_from(bytes& in) {
    replica_record record;
    record.uuids = {in.take<std::uint64_t>(),
                    in.take<std::uint64_t>(),
                    {in.take<std::uint64_t>(), in.take<std::uint64_t>()}};
    record.bits = in.take<std::uint16_t>();
    const auto flags = in.take<std::uint8_t>();
    record.discard_my_data = (flags & 1U) != 0;
    record.crashed_primary = (flags & 2U) != 0;
    return record;
}

handshake_decision meet(const peer_state_facts& facts, const peer_state_view& view, bytes& in) {
    handshake_input input;
    input.self = record_from(in);
    input.self.disk = facts.own.disk == disk::negotiating ? disk::consistent : facts.own.disk;
    input.self.role = facts.own.role;
    input.peer = record_from(in);
    input.peer.disk = view.peer_disk;
    input.peer.role = facts.reported.role;
    input.disk_in_state = facts.own.disk;
    input.protocol_version = 86U + in.take<std::uint8_t>() % 16U;
    const auto policies = in.take<std::uint32_t>();
    input.after_sb_0pri = static_cast<options::after_split_brain>(policies % 11);
    input.after_sb_1pri = static_cast<options::after_split_brain>(policies / 11 % 11);
    input.after_sb_2pri = static_cast<options::after_split_brain>(policies / 121 % 11);
    input.always_asbp = (policies & 0x10000U) != 0;
    input.resolve_conflicts = (policies & 0x20000U) != 0;
    input.peer_is_lockstep = (policies & 0x40000U) != 0;
    const handshake_decision decision = decide(input);
    LOCKSTEP_CHECK(!decision.text().empty());
    if (!decision.refused() && decision.sync == sync_role::target) {
        LOCKSTEP_CHECK(input.self.role != role::primary || decision.demote_first ||
                       facts.own.disk < disk::consistent);
    }
    if (!decision.refused() && decision.sync == sync_role::none) {
        LOCKSTEP_CHECK(decision.kept_bits == input.self.bits);
    }
    return decision;
}

void hear_state(volume_state& now, bytes& in) {
    peer_state_facts facts;
    facts.own = now;
    facts.reported = unpack(in.take<std::uint32_t>());
    facts.peer_uuids_known = true;
    const auto flags = in.take<std::uint8_t>();
    facts.peer_inconsistent = (flags & 1U) != 0;
    facts.consider_resync = (flags & 2U) != 0;
    const peer_state_view view = look_at_peer_state(facts);
    connection next = view.connection;
    if (view.meaning == peer_state_meaning::handshake) {
        const handshake_decision decision = meet(facts, view, in);
        if (decision.refused() || decision.demote_first) {
            return;
        }
        next = decision.next_connection();
    } else if (view.meaning != peer_state_meaning::take) {
        return;
    }
    const adoption taken = adopt_peer_state(facts, view, next, disk::up_to_date);
    const change_result after = change(now, taken.wanted, taken.kind, context_of(true));
    if (after.accepted()) {
        LOCKSTEP_CHECK(taken.kind == change_kind::hard || after.state.role != role::primary ||
                       after.state.peer_role != role::primary);
        now = after.state;
    }
}

void hear_request(volume_state& now, bytes& in) {
    const auto wanted = to_peer_view({in.take<std::uint32_t>(), in.take<std::uint32_t>()});
    if (!wanted) {
        return;
    }
    const bool one_primary = now.role != role::primary || now.peer_role != role::primary;
    const change_result after = change(now, *wanted, change_kind::soft, context_of(true));
    if (after.accepted()) {
        LOCKSTEP_CHECK(!one_primary || after.state.role != role::primary ||
                       after.state.peer_role != role::primary);
        LOCKSTEP_CHECK(after.state.suspended() == now.suspended());
        now = after.state;
    }
}

void hear_sizes(const volume_state& now, bytes& in) {
    sizes_situation at;
    at.now = now;
    at.own = {in.take<std::uint32_t>(), 0, in.take<std::uint32_t>(), in.take<std::uint32_t>()};
    at.device = in.take<std::uint32_t>();
    const sizes_report report = {in.take<std::uint64_t>(), in.take<std::uint64_t>(),
                                 in.take<std::uint64_t>()};
    const sizes_decision decision = on_sizes(at, report);
    if (at.own.own_disk != 0 && decision.refusal == sizes_refusal::none &&
        decision.device != at.device) {
        LOCKSTEP_CHECK(decision.device <= at.own.own_disk);
    }
}

void happen(volume_state& now, bytes& in) {
    volume_state wanted = unpack(in.take<std::uint32_t>());
    if (!well_formed(wanted)) {
        return;
    }
    const auto kind = (in.take<std::uint8_t>() & 1U) != 0 ? change_kind::hard : change_kind::soft;
    state_change wish = whole(wanted);
    // What the peer is, only the peer says.
    wish.mask = in.take<std::uint32_t>() & ~state_change().with_peer(role::unknown).mask;
    if (!well_formed(apply(now, wish))) {
        return;
    }
    const change_result after = change(now, wish, kind, context_of(false));
    if (after.accepted()) {
        now = after.state;
    }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    bytes in(data, size);
    volume_state now;
    now.connection = connection::wf_report_params;
    now.disk = disk::up_to_date;
    while (!in.empty()) {
        switch (in.take<std::uint8_t>() % 4) {
        case 0:
            hear_state(now, in);
            break;
        case 1:
            hear_request(now, in);
            break;
        case 2:
            hear_sizes(now, in);
            break;
        default:
            happen(now, in);
            break;
        }
        check_state_exists(now);
    }
    return 0;
}
