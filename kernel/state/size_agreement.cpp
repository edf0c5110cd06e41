#include "kernel/state/size_agreement.hpp"

#include <algorithm>

namespace lockstep::state {

namespace {

std::uint64_t smaller_known(std::uint64_t a, std::uint64_t b) {
    if (a == 0 || b == 0) {
        return std::max(a, b);
    }
    return std::min(a, b);
}

std::uint64_t first_known(std::uint64_t a, std::uint64_t b, std::uint64_t c) {
    if (a != 0) {
        return a;
    }
    return b != 0 ? b : c;
}

std::uint64_t size_of_disks(const size_facts& facts) {
    const std::uint64_t peer = facts.assume_peer_has_space ? facts.own_disk : facts.peer_disk;
    if (facts.own_disk != 0 && peer != 0) {
        return std::min(facts.own_disk, peer);
    }
    const std::uint64_t disk = smaller_known(facts.own_disk, peer);
    return smaller_known(facts.last_agreed, disk);
}

bool connecting(const sizes_situation& at) {
    return at.now.connection == connection::wf_report_params;
}

// An option size beyond what the disks carry does not shrink the device below what was agreed.
bool keeps_size(const size_facts& facts, std::uint64_t size) {
    return size < facts.last_agreed && facts.user > size;
}

void decide_with_disk(sizes_decision& decision, const sizes_situation& at,
                      const sizes_report& report) {
    size_facts facts = at.own;
    facts.peer_disk = report.disk;
    // Once connected the peer's word counts: that is how `resize` takes an option size back.
    facts.user = connecting(at) ? smaller_known(at.own.user, report.user) : report.user;
    facts.assume_peer_has_space = false;
    const bool has_usable_data = at.now.disk >= disk::outdated;
    const bool first_look =
        at.now.connection < connection::connected || at.now.peer_disk == disk::diskless;
    if (agreed_size(facts) < at.device && has_usable_data && first_look) {
        decision.refusal = sizes_refusal::peer_disk_too_small;
        return;
    }
    decision.user = facts.user;
    facts.assume_peer_has_space = report.forced && at.now.connection < connection::connected;
    const std::uint64_t size = agreed_size(facts);
    if (!keeps_size(facts, size)) {
        decision.device = size;
    }
}

void decide_diskless(sizes_decision& decision, const sizes_situation& at,
                     const sizes_report& report) {
    // Asked to answer we say what we have, and hear what the device has become: it need not have
    // grown to what the peer's disk can carry, as our own may be attached again. (The in-kernel
    // DRBD takes the peer's disk here, and parts from it when that says otherwise.)
    const bool asked = report.current == 0 && at.device != 0;
    const std::uint64_t told = asked ? 0 : first_known(report.current, report.user, report.disk);
    const bool peer_knows_nothing = told == 0 || (at.device != 0 && report.disk == 0);
    if (peer_knows_nothing || told == at.device) {
        return;
    }
    if (told < at.device && at.now.role == role::primary) {
        decision.refusal = sizes_refusal::device_would_shrink;
        return;
    }
    decision.device = told;
}

// A difference is answered, but the same difference not for ever: two nodes that cannot agree
// would otherwise send SIZES to each other without end.
bool needs_reply(const sizes_situation& at, const sizes_report& report, std::uint64_t device) {
    if (at.now.connection <= connection::wf_report_params) {
        return false;
    }
    if (at.backing_changed || report.current == 0) {
        return true;
    }
    const bool news = device != at.last_sent || report.current != at.last_received;
    return report.current != device && news;
}

void decide_resync(sizes_decision& decision, const sizes_situation& at,
                   const sizes_report& report) {
    const bool grew =
        at.own.own_disk != 0 && at.own.last_agreed != 0 && decision.device > at.own.last_agreed;
    const bool due = at.now.connection > connection::wf_report_params &&
                     (at.resize_pending || (grew && at.now.connection == connection::connected));
    if (!due) {
        return;
    }
    const bool both_there =
        at.now.disk >= disk::inconsistent && at.now.peer_disk >= disk::inconsistent;
    decision.resync_later = !both_there;
    decision.resync_new_part = both_there && !report.no_resync;
}

} // namespace

std::uint64_t agreed_size(const size_facts& facts) {
    const std::uint64_t size = size_of_disks(facts);
    return facts.user != 0 && facts.user <= size ? facts.user : size;
}

size_error check_attach_size(const size_facts& facts, std::uint64_t device, bool consistent) {
    if (facts.own_disk < facts.user || facts.own_disk < device) {
        return size_error::disk_too_small;
    }
    const std::uint64_t size = agreed_size(facts);
    const bool shrinks = consistent && size < facts.last_agreed;
    return shrinks && size != facts.user ? size_error::implicit_shrink : size_error::none;
}

size_error check_resize(const volume_state& now, const size_facts& facts,
                        const resize_request& request, std::uint32_t protocol_version) {
    if (now.connection > connection::connected) {
        return size_error::resize_during_resync;
    }
    if (now.role == role::secondary && now.peer_role == role::secondary) {
        return size_error::no_primary;
    }
    if (request.assume_clean && protocol_version < 93) {
        return size_error::needs_protocol_93;
    }
    const std::uint64_t size = agreed_size(facts);
    if (size >= facts.last_agreed) {
        return size_error::none;
    }
    if (facts.user > size) {
        return size_error::metadata_does_not_fit;
    }
    return facts.user == 0 ? size_error::implicit_shrink : size_error::none;
}

sizes_decision on_sizes(const sizes_situation& at, const sizes_report& report) {
    sizes_decision decision;
    decision.user = at.own.user;
    decision.device = at.device;
    if (at.own.own_disk != 0) {
        decide_with_disk(decision, at, report);
    } else {
        decide_diskless(decision, at, report);
    }
    if (decision.refusal != sizes_refusal::none) {
        return decision;
    }
    decision.reply = needs_reply(at, report, decision.device);
    decide_resync(decision, at, report);
    return decision;
}

bool is_source_after_grow(const volume_state& now, bool resolve_conflicts) {
    return now.role != now.peer_role ? now.role == role::primary : resolve_conflicts;
}

std::string_view text(size_error value) {
    switch (value) {
    case size_error::none:
        return "";
    case size_error::disk_too_small:
        return "Low.dev. smaller than requested DRBD-dev. size.";
    case size_error::resize_during_resync:
        return "Resize not allowed during resync.";
    case size_error::no_primary:
        return "Need one Primary node to resize.";
    case size_error::needs_protocol_93:
        return "Protocol version 93 required to use --assume-clean";
    case size_error::metadata_does_not_fit:
        return "Resulting AL does not fit into available meta data space";
    case size_error::implicit_shrink:
        return "Implicit device shrinking not allowed. See kernel log.";
    }
    return "?";
}

std::string_view remedy(size_error value) {
    switch (value) {
    case size_error::none:
        return "";
    case size_error::disk_too_small:
        return "Use a backing device at least as large as the replicated device and its metadata, "
               "or shrink the file system and the device first.";
    case size_error::resize_during_resync:
        return "Wait until the resync has finished.";
    case size_error::no_primary:
        return "Promote one node first (drbdadm primary).";
    case size_error::needs_protocol_93:
        return "Resize without --assume-clean, or update the software of the peer.";
    case size_error::metadata_does_not_fit:
        return "Ask for a smaller size, or enlarge the metadata device.";
    case size_error::implicit_shrink:
        return "If the device shall shrink, shrink the file system first and give the new size "
               "explicitly (drbdadm resize --size). Otherwise use the larger disk.";
    }
    return "";
}

std::string_view text(sizes_refusal value) {
    switch (value) {
    case sizes_refusal::none:
        return "";
    case sizes_refusal::peer_disk_too_small:
        return "The peer's disk size is too small!";
    case sizes_refusal::device_would_shrink:
        return "The peer's device size is too small; demote me first!";
    }
    return "?";
}

std::string_view remedy(sizes_refusal value) {
    switch (value) {
    case sizes_refusal::none:
        return "";
    case sizes_refusal::peer_disk_too_small:
        return "Give the peer a disk at least as large as this device, or shrink this device first "
               "(file system, then drbdadm resize --size).";
    case sizes_refusal::device_would_shrink:
        return "Stop what uses this device, demote it (drbdadm secondary), then connect.";
    }
    return "";
}

} // namespace lockstep::state
