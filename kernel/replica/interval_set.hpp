// Ranges of sectors that have something in flight, and the question that matters: does this range
// overlap any of them? Writes that overlap are done one after the other, or the replicas could end
// up with a different order of the two.
//
// Elements are nodes inside the caller's objects, so nothing is ever allocated. The set is a treap:
// a search tree by start in which each node also knows the furthest end below it. Its shape comes
// from priorities hashed from a running number: balanced whatever the order of the sectors, and the
// same in every run.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernel/base/check.hpp"

namespace lockstep::replica {

class interval_set {
public:
    // Owned by the caller and unmoved while in a set. Ranges of different nodes may be equal.
    class node {
    public:
        void* owner = nullptr; // the caller's, as is the tag; untouched here
        std::uint8_t tag = 0;

        bool linked() const { return set_ != nullptr; }
        std::uint64_t sector() const { return sector_; }
        std::uint64_t end() const { return end_; } // one past the last sector
        // Grows with each insertion: tells who was first.
        std::uint64_t serial() const { return serial_; }

    private:
        friend class interval_set;
        std::uint64_t sector_ = 0;
        std::uint64_t end_ = 0;
        std::uint64_t furthest_ = 0; // greatest end in the tree below, this node included
        std::uint64_t serial_ = 0;
        std::uint64_t priority_ = 0; // not smaller than the children's
        interval_set* set_ = nullptr;
        node* parent_ = nullptr;
        node* left_ = nullptr;
        node* right_ = nullptr;
    };

    interval_set() = default;
    interval_set(const interval_set&) = delete;
    interval_set& operator=(const interval_set&) = delete;

    bool empty() const { return root_ == nullptr; }
    std::size_t size() const { return size_; }

    // sectors > 0.
    void insert(node& item, std::uint64_t sector, std::uint64_t sectors);
    void erase(node& item);

    // The overlapping node with the lowest start (of equal ones, the one inserted first), or null.
    node* first_overlap(std::uint64_t sector, std::uint64_t sectors) const;
    // The one behind `item`, which is in the set; `item` need not overlap itself.
    node* next_overlap(const node& item, std::uint64_t sector, std::uint64_t sectors) const;
    bool overlaps(std::uint64_t sector, std::uint64_t sectors) const {
        return first_overlap(sector, sectors) != nullptr;
    }

    // Calls visit(node&) for each overlap, by start. The set must not change meanwhile.
    template <class Visitor>
    void for_each_overlap(std::uint64_t sector, std::uint64_t sectors, Visitor&& visit) const {
        for (node* item = first_overlap(sector, sectors); item != nullptr;
             item = next_overlap(*item, sector, sectors)) {
            visit(*item);
        }
    }

    // Order, priorities and furthest ends are as they must be. Walks everything: for tests.
    bool consistent() const { return consistent_below(root_, nullptr); }

private:
    static node* first_below(node* top, std::uint64_t sector, std::uint64_t end);
    static void refresh(node& item);
    static bool consistent_below(const node* top, const node* parent);
    void replace_child(node* parent, node& old_child, node* new_child);
    void rotate_up(node& child);

    node* root_ = nullptr;
    std::size_t size_ = 0;
    std::uint64_t next_serial_ = 1;
};

} // namespace lockstep::replica
