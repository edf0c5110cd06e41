// The border of the sans-I/O core. Everything that the replica wants done in the outside world it
// asks of `ports`; everything that happens out there comes in through the methods of `resource`.
// An implementation of `ports` never calls back into the resource from inside one of these calls:
// completions are delivered later, from the event loop (or from the simulation's).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "kernel/options/options.hpp"
#include "kernel/replica/intrusive_list.hpp"
#include "kernel/state/types.hpp"

namespace lockstep::replica {

// Nanoseconds of a clock that only goes forward.
using instant = std::uint64_t;
constexpr instant nanoseconds_per_second = 1'000'000'000;
constexpr instant never = ~instant{0};

using volume_number = std::uint16_t;

enum class backing : std::uint8_t { data, metadata };

class local_disk;
// What a disk has under way, oldest first.
struct on_disk {};

// One operation on a backing device. Owned by the replica; the host keeps a pointer until it
// reports the end with resource::disk_done(), exactly once. Offsets, sizes and memory are aligned
// to the device's logical block; metadata is always in units of 4096 bytes except the superblock
// (one logical block).
struct disk_request : list_hook<on_disk> {
    enum class operation : std::uint8_t { read, write, flush, discard, write_zeroes };

    operation op = operation::read;
    backing device = backing::data;
    volume_number volume = 0;
    bool fua = false;         // durable once done
    bool may_unmap = false;   // write_zeroes may deallocate
    bool resync = false;      // of a resync or a verify, not of an application
    std::uint64_t offset = 0; // bytes from the start of the device
    std::uint32_t size = 0;   // bytes
    std::byte* memory = nullptr;

    // Submitted, and its end not reported yet: the device may still read or write the memory.
    bool under_way() const { return linked(); }

    // The replica's own business: what to do at the end. `error` is 0 or an errno value.
    void (*finished)(disk_request& self, int error) = nullptr;
    void* owner = nullptr;
    local_disk* disk = nullptr;
    instant submitted = 0;
    disk_request* next = nullptr; // free for lists of whoever holds the request
};

// The backing devices that the host has opened for a volume.
struct disk_properties {
    std::uint64_t data_sectors = 0;     // of 512 bytes
    std::uint64_t metadata_sectors = 0; // the same device's for internal metadata
    std::uint32_t logical_block_bytes = 512;
    bool can_discard = false;
    bool internal_metadata = true;
    // Index word: internal, flexible external, or the number of a 128 MiB slot.
    enum class placement : std::uint8_t { internal, flexible, indexed } where = placement::internal;
    std::uint32_t index = 0;
};

// The two TCP connections of a pair.
enum class channel : std::uint8_t { data = 0, meta = 1 };

enum class log_level : std::uint8_t { error, warning, notice, info, debug };

struct io_request;

// A call of a user's program by way of `drbdadm NAME TARGET`.
struct helper_call {
    std::uint64_t id = 0;
    std::string name;         // "fence-peer"
    bool for_volume = false;  // target is minor-N, else the resource's name
    volume_number volume = 0; // if for_volume
    std::string reason;       // ours: why fence-peer is called; DRBD_FENCE_REASON
    bool unlimited = false;   // until limit_helper()
};

class ports {
public:
    virtual ~ports() = default;

    virtual instant now() const = 0;
    virtual std::uint64_t random_number() = 0;

    // Disks. submit() may complete in any order; a flush covers all writes whose completion was
    // reported before the flush was submitted.
    virtual void submit(disk_request& request) = 0;
    // The replica no longer uses the disk of this volume. Requests still outstanding are reported
    // when they end, however late.
    virtual void release_disk(volume_number volume) = 0;

    // The devices of an attached disk as they are now: they may have grown. Nothing if they can't
    // be looked at.
    virtual std::optional<disk_properties> measure_disk(volume_number volume) = 0;

    // The link. open_link(): make both connections (resource::link_established() tells), again and
    // again until close_link(). close_link(): close both, forget what was queued; nothing of this
    // link is delivered afterwards. After link_lost() the host opens nothing by itself.
    virtual void open_link(const options::net_options& net) = 0;
    virtual void close_link() = 0;
    // There is something to fetch with resource::gather().
    virtual void want_send(channel which) = 0;
    // resource::receive() took less than it was offered and can take more now.
    virtual void want_receive(channel which) = 0;

    // Front ends.
    virtual void io_done(io_request& request, int error) = 0;
    // Does somebody use the volume's block device (mounted, opened, an NBD client)?
    virtual bool in_use(volume_number volume) = 0;
    virtual void size_changed(volume_number volume, std::uint64_t sectors) = 0;
    virtual void role_changed(state::role role) = 0;

    // resync-after between resources. Whether another engine of this node shows that its minor
    // syncs, and the same of ours.
    virtual bool minor_is_busy(std::uint32_t minor) = 0;
    virtual void show_minor_busy(std::uint32_t minor, bool busy) = 0;

    // Programs. Ends in resource::helper_done().
    virtual void run_helper(const helper_call& call) = 0;
    // From now on the time limit of handlers holds for this one, too.
    virtual void limit_helper(std::uint64_t id) = 0;

    // Something that status shows has changed; called once for each change, synchronously, so that
    // an observer who looks at resource::status() sees every state that was passed through.
    virtual void changed() = 0;
    virtual void log(log_level level, std::string_view text) = 0;
};

} // namespace lockstep::replica
