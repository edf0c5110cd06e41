#include "agent/drbdsetup/messages.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "kernel/state/types.hpp"

namespace lockstep::drbdsetup {

namespace {

// Texts: drbd-utils 8.4, drbdsetup.c, those of 171 and above from drbd-utils 9. What they say of
// the kernel is meant for the engine here.
constexpr std::array codes = {
    code_text{101, "No further Information available.",
              "The log of the engine says more (syslog, lockstep-RESOURCE)."},
    code_text{102, "Local address(port) already in use.",
              "drbdsetup show tells which resource has it; give this one another port."},
    code_text{103, "Remote address(port) already in use.",
              "drbdsetup show tells which resource has it; give this one another port."},
    code_text{104, "Can not open backing device.",
              "Check that the path is right and the device exists: lsblk, ls -l PATH."},
    code_text{105, "Can not open meta device.",
              "Check that the path is right and the device exists: lsblk, ls -l PATH."},
    code_text{106, "Lower device already in use.", "Stop its user first: lsblk, fuser -v PATH."},
    code_text{107, "Lower device is not a block device.",
              "Make a loop device of a file (losetup -f --show FILE) and use that."},
    code_text{108, "Meta device is not a block device.",
              "Make a loop device of a file (losetup -f --show FILE) and use that."},
    code_text{109, "Open of lower device failed.", "See the log for the reason."},
    code_text{110, "Open of meta device failed.", "See the log for the reason."},
    code_text{111, "Low.dev. smaller than requested DRBD-dev. size.",
              "Use a larger disk, or a smaller size option. If the peer's disk is larger, this one "
              "has to grow to the same size."},
    code_text{112, "Meta device too small.",
              "drbdmeta needs 128 MiB for each indexed slot; flexible external metadata needs 36 "
              "KiB and 32 KiB for each GiB of data."},
    code_text{113, "You have to use the disk command first.", "drbdsetup attach, then again."},
    code_text{114, "Lower device is already claimed. This usually means it is mounted.",
              "findmnt and lsblk tell what uses it: unmount it, or stop its user."},
    code_text{115, "Meta device is already claimed. This usually means it is mounted.",
              "findmnt and lsblk tell what uses it: unmount it, or stop its user."},
    code_text{116, "Lower device / meta device / index combination invalid.",
              "Give the same device twice and internal, or another device and flexible or a slot "
              "number."},
    code_text{117, "Currently we only support devices up to 3.998TB.",
              "Use a smaller size option."},
    code_text{118, "IO error(s) occurred during initial access to meta-data.\n",
              "Look at the log for the failing disk: dmesg, smartctl -a. Replace it and let it "
              "sync, or attach another."},
    code_text{119,
              "No valid meta-data signature found.\n\n"
              "\t==> Use 'drbdadm create-md res' to initialize meta-data area. <==\n",
              "If there should be metadata, check that this is the right device and index."},
    code_text{120,
              "The 'cram-hmac-alg' you specified is not known in the kernel. (Maybe you need to "
              "modprobe it, or modprobe hmac?)",
              "Use one that both nodes know, for example cram-hmac-alg sha1 or sha256."},
    code_text{121, "The 'cram-hmac-alg' you specified is not a digest.",
              "Use a digest, for example cram-hmac-alg sha256."},
    code_text{122, "kmalloc() failed. Out of memory?",
              "Free memory, or raise the limit of locked memory (ulimit -l, LimitMEMLOCK)."},
    code_text{123, "--discard-my-data not allowed when primary.",
              "Stop what uses the device, drbdadm secondary, then connect --discard-my-data."},
    code_text{124, "Device is attached to a disk (use detach first)",
              "To use another disk: drbdadm detach, then attach."},
    code_text{125, "Device has a net-config (use disconnect first)",
              "drbdadm disconnect, then connect; options alone: drbdadm net-options."},
    code_text{126, "UnknownMandatoryTag",
              "drbdsetup and the engine are of different versions: restart the engine with "
              "drbdadm down and up."},
    code_text{127, "Device minor not allocated",
              "No such device here: drbdsetup status --verbose shows those that exist, drbdadm up "
              "makes those of the configuration."},
    code_text{128, "Resulting device state would be invalid",
              "drbdsetup status tells the states that are in the way."},
    code_text{129, "Interrupted by Signal", "Try again."},
    code_text{130, "Resize not allowed during resync.",
              "Wait until the resync is finished (drbdsetup wait-sync MINOR), then resize."},
    code_text{131, "Need one Primary node to resize.",
              "drbdadm primary on one node, then resize there."},
    code_text{132, "The resync-after minor number is invalid",
              "Name the minor of another device of this node, or -1 for none."},
    code_text{133, "This would cause a resync-after dependency cycle",
              "Follow the resync-after options of the devices: one of them must be -1."},
    code_text{134, "Sync-pause flag is already set", "drbdadm resume-sync clears it."},
    code_text{135, "Sync-pause flag is already cleared",
              "Nothing has to be done: no resync is paused by this node."},
    code_text{136, "Disk state is lower than outdated", "Nothing has to be done."},
    code_text{137, "Kernel does not know how to handle your request.\nMaybe API_VERSION mismatch?",
              "drbdsetup and the engine are of different versions: restart the engine with "
              "drbdadm down and up."},
    code_text{138, "Device does not have a disk-config", "drbdadm attach, then again."},
    code_text{139, "Protocol C required",
              "allow-two-primaries needs protocol C on both nodes: set it in the net section, or "
              "do without two primaries."},
    code_text{140, "vmalloc() failed. Out of memory?",
              "The bitmap takes 32 MiB of memory for each TiB of disk: free memory, or raise the "
              "limit of locked memory."},
    code_text{141,
              "The 'data-integrity-alg' you specified is not known in the kernel. (Maybe you need "
              "to modprobe it, or modprobe hmac?)",
              "Use one that both nodes know, for example crc32c."},
    code_text{142, "The 'data-integrity-alg' you specified is not a digest.",
              "Use a digest, for example crc32c or sha1."},
    code_text{143, "Invalid cpu-mask.", "A cpu-mask is a hexadecimal number, for example 3."},
    code_text{144, "CSUMSAlgNotAvail", "Use one that both nodes know, for example crc32c."},
    code_text{145, "CSUMSAlgNotDigest", "Use a digest, for example crc32c or sha1."},
    code_text{146, "VERIFYAlgNotAvail", "Use one that both nodes know, for example crc32c."},
    code_text{147, "VERIFYAlgNotDigest", "Use a digest, for example crc32c or sha1."},
    code_text{148, "Can not change csums-alg while resync is in progress",
              "Wait until the resync is finished (drbdsetup wait-sync MINOR)."},
    code_text{149, "Can not change verify-alg while online verify runs",
              "Wait until the verify is finished, or disconnect and connect to stop it."},
    code_text{150, "Can only attach to the data we lost last (see kernel log).",
              "This disk has another generation of data than the one that the running Primary "
              "uses: attach the disk that was lost, or demote first and let this one sync."},
    code_text{151, "Need to be StandAlone", "drbdadm disconnect first."},
    code_text{152, "Permission denied. CAP_SYS_ADMIN necessary", "Run as root."},
    code_text{153, "Protocol version 93 required to use --assume-clean",
              "Leave --assume-clean away, or update the software of the peer."},
    code_text{154, "Fencing policy resource-and-stonith only with prot B or C allowed",
              "Use protocol C (or B), or fencing resource-only."},
    code_text{155, "on-congestion policy pull-ahead only with prot A allowed",
              "Use protocol A, or on-congestion block."},
    code_text{156,
              "Sync-pause flag is already cleared.\n"
              "Note: Resync pause caused by a local resync-after dependency.",
              "It goes on by itself when the resync that it waits for is done."},
    code_text{157,
              "Sync-pause flag is already cleared.\nNote: Resync pause caused by the peer node.",
              "drbdadm resume-sync on the peer."},
    code_text{158, "Unknown resource",
              "drbdsetup status shows those that run; drbdadm up starts those of the "
              "configuration."},
    code_text{159, "Resource still in use (delete all minors first)",
              "drbdsetup del-minor for each of them, or drbdadm down."},
    code_text{160, "Minor still configured (down it first)",
              "Demote it and detach its disk first, or drbdadm down."},
    code_text{161, "Minor or volume exists already (delete it first)",
              "drbdsetup status --verbose shows who has it: use another number, or take that one "
              "down."},
    code_text{162, "Invalid configuration request", "drbdsetup help COMMAND shows what is taken."},
    code_text{163,
              "Prot version 100 required in order to change\nthese network options while connected",
              "drbdadm disconnect and connect, on both nodes."},
    code_text{164, "Can not clear allow_two_primaries as long as\nthere a primaries on both sides",
              "Demote one of the nodes first."},
    code_text{165, "Unclean meta-data found.\nYou need to 'drbdadm apply-al res'\n",
              "drbdadm up does that by itself."},
    code_text{166, "DRBD need to be connected for online MD layout change\n",
              "Connect first, or take it down and use drbdmeta."},
    code_text{167, "Resulting AL area too big\n", "Use fewer or smaller stripes."},
    code_text{168, "Resulting AL are too small\n", "Use more or larger stripes."},
    code_text{169, "Resulting AL does not fit into available meta data space\n",
              "Use fewer or smaller stripes, or a larger metadata device."},
    code_text{170, "Implicit device shrinking not allowed. See kernel log.\n",
              "Attach a disk that is at least as large as before, or shrink on purpose: "
              "drbdadm -- --size=... resize while connected."},
    code_text{171, "Invalid peer-node-id\n", "A resource has one peer: give its addresses."},
    code_text{172, "Failed to create transport (drbd_transport_xxx module missing?)\n",
              "Only tcp is offered."},
    code_text{173, "Combination of local address(port) and remote address(port) already in use\n",
              "drbdsetup show tells which resource has it; give this one another port."},
    code_text{174, "Already exists\n", "drbdsetup show tells what is there."},
    code_text{175, "A higher DRBD protocol level is required for this operation\n",
              "Update the software of the peer."},
    code_text{176, "Path collides with existing path\n", "A resource has one pair of addresses."},
};

int state_exit_code(state::verdict code) {
    switch (code) {
    case state::verdict::no_up_to_date_disk:
        return exit_no_data;
    case state::verdict::lower_than_outdated:
        return exit_timed_out;
    case state::verdict::no_local_disk:
        return exit_no_disk;
    default:
        return exit_state;
    }
}

// No refusal without a way on, not even one that nobody has thought of.
std::string hint(std::string_view remedy) {
    constexpr std::string_view last_resort =
        "The log of the engine says more (syslog, lockstep-RESOURCE); drbdsetup status --verbose "
        "shows its state.";
    return fmt::format("hint: {}\n", remedy.empty() ? last_resort : remedy);
}

std::string info_lines(const control::reply& end) {
    std::string text;
    for (const std::string& line : end.info) {
        text += text.empty() ? "additional info from kernel:\n" : "";
        text += line + "\n";
    }
    return text;
}

message refused_state(std::string_view object, const control::reply& end) {
    const auto code = static_cast<state::verdict>(end.code);
    const std::string_view text = end.text.empty() ? state::text(code) : std::string_view(end.text);
    const std::string_view remedy =
        end.remedy.empty() ? state::remedy(code) : std::string_view(end.remedy);
    return {fmt::format("{}: State change failed: ({}) {}\n{}{}", object, end.code, text,
                        info_lines(end), hint(remedy)),
            state_exit_code(code)};
}

message refused_configuration(std::string_view object, const control::reply& end) {
    const code_text* known = find_code(end.code);
    const std::string_view text = known != nullptr ? known->text : std::string_view(end.text);
    std::string_view remedy = end.remedy;
    if (remedy.empty() && known != nullptr) {
        remedy = known->remedy;
    }
    control::reply rest = end;
    // The engine's own sentence says more than the fixed one, if it differs.
    const bool says_more =
        known != nullptr && !end.text.empty() && std::string_view(end.text) != known->text;
    if (says_more) {
        rest.info.insert(rest.info.begin(), end.text);
    }
    return {fmt::format("{}: Failure: ({}) {}\n{}{}", object, end.code, text, info_lines(rest),
                        hint(remedy)),
            exit_refused};
}

} // namespace

const code_text* find_code(int code) {
    const auto found = std::find_if(codes.begin(), codes.end(),
                                    [&](const code_text& each) { return each.code == code; });
    return found == codes.end() ? nullptr : &*found;
}

message describe_outcome(std::string_view object, const control::reply& end) {
    const bool agreed =
        end.is_state_change && end.code >= static_cast<int>(state::verdict::success);
    if (end.ok || agreed) {
        message said;
        for (const std::string& line : end.info) {
            said.text += fmt::format("{}: {}\n", object, line);
        }
        return said;
    }
    if (end.is_state_change) {
        return refused_state(object, end);
    }
    if (end.code > 100) {
        return refused_configuration(object, end);
    }
    return {fmt::format("{}: {}\n{}{}", object, end.text, info_lines(end), hint(end.remedy)),
            exit_usage};
}

} // namespace lockstep::drbdsetup
