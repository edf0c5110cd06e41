// The size of a volume: what both nodes can carry, and how it changes.
//
//     resize, SIZES -> our devices measured -> [nothing in flight, metadata moved]
//                   -> agreed -> [bitmap of that size, then the superblock, stored] -> told on
//
// What stands in brackets happens only if the place of the metadata or the size changes, with
// everything held (metadata_move.hpp). The new size is announced when it is stored: what is written
// there must be found again.
#pragma once

#include <cstdint>
#include <functional>

#include "kernel/replica/resource.hpp"
#include "kernel/state/size_agreement.hpp"
#include "kernel/wire/payloads.hpp"

namespace lockstep::replica {

class machinery;
struct volume;

class size_changes {
public:
    explicit size_changes(machinery& all) : all_(all) {}

    // SIZES with that current size (0: please answer).
    void send(volume& target, std::uint64_t current_sectors, std::uint16_t flags);
    void received(volume& target, const wire::sizes& sizes);
    // The device may become larger than it is when the peer has said what its disk can carry.
    bool may_grow(const volume& target) const;
    // The part that was added is synced from the Primary (or the node that resolves conflicts).
    void resync_new_part(volume& target);
    void resize(volume& target, const disk_properties& properties,
                const resize_arguments& arguments, on_outcome done);

private:
    // Takes a size that is not smaller than usable data; new bits are set unless `clean`. `done`
    // when it is stored. With a disk only while its requests are held.
    void change(volume& target, std::uint64_t sectors, bool clean, std::function<void(bool)> done);
    std::uint64_t capacity_now(const volume& target) const;
    void announce(volume& target, std::uint64_t sectors);
    void take_block_size(volume& target, const wire::sizes& sizes);
    void agree_with_peer(volume& target, const wire::sizes& sizes, bool grown_backing);
    void answer_peer(volume& target, const state::sizes_decision& decision, bool no_resync);
    void resize_now(volume& target, const disk_properties& properties,
                    const resize_arguments& arguments, on_outcome done);
    void resize_held(volume& target, const resize_arguments& arguments, on_outcome done);
    void tell_peer(volume& target, const resize_arguments& arguments, bool grew);

    machinery& all_;
};

} // namespace lockstep::replica
