// The decision of a handshake in one sentence, and what a user can do about a refusal.
#include "kernel/state/handshake.hpp"

namespace lockstep::state {

namespace {

std::string_view text_of_refusal(const handshake_decision& decision) {
    switch (decision.refusal) {
    case refusal::unrelated_data:
        return "Unrelated data: the two disks have no generation in common.";
    case refusal::needs_newer_protocol:
        return "The end of the last resync has to be corrected, and the peer speaks a protocol "
               "version below 91, which cannot do that.";
    case refusal::needs_feature:
        return "Both disks hold the same generation although a Primary had crashed, and the peer "
               "is too old to resolve that while a node is Primary.";
    case refusal::split_brain:
        return "Split brain: both nodes changed their data while they were apart, and nothing "
               "says which of them to give up.";
    case refusal::source_inconsistent:
        return "This node would have to be the sync source, but its data is Inconsistent.";
    case refusal::target_is_primary:
        return "This node would have to be the sync target, but it is Primary.";
    case refusal::none:
    case refusal::dry_run:
        break;
    }
    switch (decision.sync) {
    case sync_role::source:
        return decision.full ? "Dry run: this node would become SyncSource, doing a full resync."
                             : "Dry run: this node would become SyncSource, doing a bitmap-based "
                               "resync.";
    case sync_role::target:
        return decision.full ? "Dry run: this node would become SyncTarget, doing a full resync."
                             : "Dry run: this node would become SyncTarget, doing a bitmap-based "
                               "resync.";
    case sync_role::none:
        break;
    }
    return "Dry run: no resync, the nodes would be Connected at once.";
}

std::string_view text_of_source(const handshake_decision& decision) {
    if (decision.solved_by_policy) {
        return "Split brain, solved by the after-sb policy: the peer's changes are discarded.";
    }
    if (decision.solved_by_hand) {
        return "Split brain, solved by --discard-my-data on the peer: its changes are discarded.";
    }
    if (decision.both_lockstep) {
        return "Same generation, but blocks are marked: the peer gets them from this node.";
    }
    if (decision.by_disk_states) {
        return "Becoming sync source, since the peer's disk is Inconsistent.";
    }
    return decision.full ? "Becoming sync source of a full resync."
                         : "Becoming sync source of the blocks marked in the bitmaps.";
}

std::string_view text_of_target(const handshake_decision& decision) {
    if (decision.solved_by_policy) {
        return "Split brain, solved by the after-sb policy: this node's changes are discarded.";
    }
    if (decision.solved_by_hand) {
        return "Split brain, solved by --discard-my-data: this node's changes are discarded.";
    }
    if (decision.both_lockstep) {
        return "Same generation, but blocks are marked: this node gets them from the peer.";
    }
    if (decision.by_disk_states) {
        return "Becoming sync target, since this disk is Inconsistent.";
    }
    return decision.full ? "Becoming sync target of a full resync."
                         : "Becoming sync target of the blocks marked in the bitmaps.";
}

} // namespace

std::string_view handshake_decision::text() const {
    if (refused()) {
        return text_of_refusal(*this);
    }
    switch (sync) {
    case sync_role::source:
        return text_of_source(*this);
    case sync_role::target:
        return text_of_target(*this);
    case sync_role::none:
        break;
    }
    if (kept_bits != 0 || kept_bits_peer != 0) {
        return "Same generation: connected without resync, the marked blocks stay marked.";
    }
    return "Same generation: connected without resync.";
}

std::string_view handshake_decision::remedy() const {
    switch (refusal) {
    case refusal::none:
    case refusal::dry_run:
        return {};
    case refusal::unrelated_data:
        return "Check that both nodes name the right disks. To make this node a copy of the other: "
               "drbdadm create-md here (this discards its data), then connect again.";
    case refusal::needs_newer_protocol:
    case refusal::needs_feature:
        return "Update the software of the peer, or invalidate the node whose data is not needed.";
    case refusal::split_brain:
        return "Decide which node's changes to discard. There: drbdadm secondary, then drbdadm "
               "connect --discard-my-data. On the other node: drbdadm connect.";
    case refusal::source_inconsistent:
        return "Neither node has complete data. Restore one disk and promote it with --force, or "
               "attach the disk that has it.";
    case refusal::target_is_primary:
        return "Stop what uses this device and demote it (drbdadm secondary), then drbdadm "
               "connect.";
    }
    return {};
}

} // namespace lockstep::state
