// The activity log of one volume: which 4 MiB extents may have writes in flight, and so may differ
// between the replicas after a crash. Extents live in numbered slots; the slots' contents are on
// disk as a ring of transactions (metadata v08; see kernel/format). This class decides what goes
// into which slot and builds the transactions; the caller does the input and output:
//
//     begin(first, last)             active: write at once
//                                    wait_transaction: write when committed() >= ticket
//                                    full: no slot is free; try again when end() returned true
//     while transaction_needed():    (one at a time)
//         t = prepare_transaction(block)
//         flush the data device if t.evicted is not empty, store the bitmap pages of t.evicted,
//         write block to ring block t.ring_block, flushed
//         commit_transaction()
//     end(first, last)               when the write is done everywhere it had to be
//
// What an extent in the log can be in, and what the calls do to it:
//
//     state       begin                     end                     prepare   commit
//     absent      takes a free or the       -                       -         -
//                 longest unused idle slot
//                 -> pending; else full
//     pending     one more reference, wait  one reference fewer     -> sent   -
//     sent        one more reference, wait  one reference fewer     -         -> used, or idle
//                                                                             if unreferenced
//     used        one more reference        -> idle if the last     -         -
//     idle        -> used                   -                       -         -
//
// A slot that is given to a new extent forgets the old one at once for begin(), but the context
// part of transactions goes on naming the old one until the change is committed.
//
// Fairness is the caller's: refused (full) writes wait in a queue, and nobody behind calls begin()
// while somebody in front waits. Nothing is allocated after construction.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "kernel/base/bytes.hpp"
#include "kernel/format/activity_log.hpp"
#include "kernel/format/geometry.hpp"

namespace lockstep::replica {

class activity_log {
public:
    // Extents in one begin(): 128 MiB of discard touch 33.
    static constexpr std::uint32_t range_max = 64;

    static std::uint32_t extent_of_sector(std::uint64_t sector) {
        return static_cast<std::uint32_t>(sector / format::al_extent_sectors);
    }
    // The configured al-extents, limited so that the ring always holds a whole set of contexts and
    // one transaction more: 919 * (blocks - 1), 6433 for the ring of 32 KiB.
    static std::uint32_t slots_for(std::uint32_t al_extents, format::al_striping ring);

    // `slots` from slots_for(). The log is empty (what was in it has been applied: apply-al) and
    // goes on with `first_transaction`; DRBD starts with 0 after each attach.
    activity_log(std::uint32_t slots, format::al_striping ring,
                 std::uint32_t first_transaction = 0);

    enum class grant : std::uint8_t { active, wait_transaction, full };
    struct begun {
        activity_log::grant grant = grant::full;
        std::uint64_t ticket = 0; // wait_transaction: may go when committed() >= ticket
    };

    // Takes a reference on each extent first..last, on all of them or (full) on none. The range is
    // at most range_max extents.
    begun begin(std::uint32_t first, std::uint32_t last);
    // Gives the references back. True if an extent was left without any: resync and writes that
    // were refused may find room now.
    bool end(std::uint32_t first, std::uint32_t last);

    struct transaction {
        std::uint32_t number = 0;
        std::uint64_t ring_block = 0; // block of 4 KiB within the activity log area
        // Extents that the log forgets, valid until the next prepare: their bitmap pages must be
        // stored, and the data they protected flushed, before the block is written.
        std::span<const std::uint32_t> evicted;
    };

    // Something waits for a transaction, and none is under way.
    bool transaction_needed() const;
    bool transaction_under_way() const { return under_way_; }
    // Builds the next transaction in `block` (4096 bytes) from the oldest up to 64 changes.
    transaction prepare_transaction(byte_span block);
    // One without changes, as DRBD writes to every block of a new ring before its first use: call
    // ring().total_blocks() times, each followed by commit_transaction().
    transaction prepare_empty_transaction(byte_span block);
    // The transaction is on stable storage: its extents are active.
    void commit_transaction();
    // Tickets up to this one may go.
    std::uint64_t committed() const { return committed_; }

    std::uint32_t slots() const { return static_cast<std::uint32_t>(slots_.size()); }
    format::al_striping ring() const { return ring_; }
    std::uint32_t next_transaction() const { return next_transaction_; }
    // In the log on disk and not about to be replaced.
    bool is_active(std::uint32_t extent) const;
    // Writes that hold the extent, waiting ones included.
    std::uint32_t references(std::uint32_t extent) const;
    // Extents with references.
    std::uint32_t used() const { return used_; }
    // What an apply-al would find after a crash now: calls visit(extent) for each committed slot.
    template <class Visitor>
    void for_each_committed(Visitor&& visit) const {
        for (const std::uint32_t extent : committed_extents_) {
            if (extent != format::al_free) {
                visit(extent);
            }
        }
    }

private:
    using index = std::uint32_t;
    static constexpr index nil = 0xffffffff;

    enum class slot_state : std::uint8_t { free, idle, used, pending, sent };

    struct slot {
        std::uint32_t extent = format::al_free; // what begin() finds: may not be committed yet
        std::uint32_t references = 0;
        index previous = nil; // neighbours in the list of its state
        index next = nil;
        index hash_next = nil;
        std::uint64_t ticket = 0;
        slot_state state = slot_state::free;
    };

    struct list {
        index head = nil;
        index tail = nil;
        std::uint32_t count = 0;
    };

    std::uint32_t bucket_of(std::uint32_t extent) const;
    index find(std::uint32_t extent) const;
    void hash_insert(index at);
    void hash_remove(index at);
    void push_back(list& to, index at);
    void remove(list& from, index at);
    void refer(index at);
    bool release(index at);
    void assign(std::uint32_t extent);
    std::uint64_t ticket_for_change();
    transaction build(byte_span block, std::uint32_t changes, std::uint32_t evictions);

    std::vector<slot> slots_;
    std::vector<std::uint32_t> committed_extents_; // of each slot: what the log on disk says
    std::vector<index> buckets_;
    list free_;
    list idle_; // longest unused first
    list pending_;
    list sent_;
    std::array<format::al_update, format::al_updates_max> updates_{};
    std::array<std::uint32_t, format::al_updates_max> evicted_{};
    format::al_striping ring_;
    std::uint32_t next_transaction_;
    std::uint16_t context_first_ = 0;
    std::uint32_t used_ = 0;
    bool under_way_ = false;
    std::uint64_t under_way_ticket_ = 0; // 0: one without changes
    // Tickets number the transactions with changes. The open one still takes changes.
    std::uint64_t committed_ = 0;
    std::uint64_t open_ticket_ = 1;
    std::uint32_t open_changes_ = 0;
};

} // namespace lockstep::replica
