// How large a replicated device is: the agreement of two disks by their SIZES packets. All sizes in
// sectors of 512 bytes; 0 means unknown, or not set.
//
// Source of the rules: Linux 6.1, drivers/block/drbd/drbd_nl.c (drbd_new_dev_size, drbd_adm_attach,
// drbd_adm_resize), drbd_receiver.c (receive_sizes).
#pragma once

#include "kernel/state/types.hpp"

#include <cstdint>
#include <string_view>

namespace lockstep::state {

struct size_facts {
    std::uint64_t own_disk = 0;    // what the disk can carry beside its metadata; 0: no disk
    std::uint64_t peer_disk = 0;   // the same of the peer, as last heard
    std::uint64_t last_agreed = 0; // from the metadata
    std::uint64_t user = 0;        // option size; 0: as large as possible
    // resize --assume-peer-has-space, while not connected.
    bool assume_peer_has_space = false;
};

// The size of the device. With both disks known it is what both can carry; with one, the last
// agreed size, never more; without any agreement, what is there. An option size that is larger than
// that has no effect. 0: no disk anywhere.
std::uint64_t agreed_size(const size_facts& facts);

// Numbers of DRBD's configuration errors.
enum class size_error : std::int16_t {
    none = 0,
    disk_too_small = 111,
    resize_during_resync = 130,
    no_primary = 131,
    needs_protocol_93 = 153,
    metadata_does_not_fit = 169,
    implicit_shrink = 170,
};
std::string_view text(size_error value);
std::string_view remedy(size_error value);

// Attach: the disk must carry the option size and the device as it is now, and must not cut off
// the end of consistent data unless the option size says so. device: its current size.
size_error check_attach_size(const size_facts& facts, std::uint64_t device, bool consistent);

// Resize: before anything is changed. `facts` are with the wanted option size.
struct resize_request {
    bool assume_clean = false; // no resync of the new part
};
size_error check_resize(const volume_state& now, const size_facts& facts,
                        const resize_request& request, std::uint32_t protocol_version);

// SIZES of the peer.
struct sizes_report {
    std::uint64_t disk = 0;    // d_size
    std::uint64_t user = 0;    // u_size
    std::uint64_t current = 0; // c_size; 0: please answer
    bool forced = false;
    bool no_resync = false;

    bool operator==(const sizes_report&) const = default;
};

struct sizes_situation {
    volume_state now;
    size_facts own;               // peer_disk is replaced by the report
    std::uint64_t device = 0;     // the size that the device has now
    bool backing_changed = false; // our backing device has another size than when last looked at
    bool resize_pending = false;  // a resize of ours waits for this answer
    // The current sizes last sent and last received on this connection; 0: none yet.
    std::uint64_t last_sent = 0;
    std::uint64_t last_received = 0;
};

enum class sizes_refusal : std::uint8_t {
    none,
    peer_disk_too_small, // usable data here would be cut off
    device_would_shrink, // diskless Primary: its users would lose the end of the device
};
std::string_view text(sizes_refusal value);
std::string_view remedy(sizes_refusal value);

struct sizes_decision {
    sizes_refusal refusal = sizes_refusal::none; // refused: disconnect to StandAlone
    std::uint64_t user = 0;                      // the option size from now on
    std::uint64_t device = 0;                    // the size of the device from now on
    bool reply = false;                          // answer with SIZES, carrying the device's size
    bool resync_new_part = false;                // both disks are there: now
    bool resync_later = false;                   // once both disks are negotiated

    bool operator==(const sizes_decision&) const = default;
};
sizes_decision on_sizes(const sizes_situation& at, const sizes_report& report);

// After growing online: the Primary is the source of the new part; with equal roles the node that
// resolves conflicts.
bool is_source_after_grow(const volume_state& now, bool resolve_conflicts);

} // namespace lockstep::state
