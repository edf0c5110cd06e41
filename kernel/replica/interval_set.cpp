#include "kernel/replica/interval_set.hpp"

#include <algorithm>

namespace lockstep::replica {

namespace {

// SplitMix64's finisher: every input bit reaches every output bit.
std::uint64_t scattered(std::uint64_t value) {
    value += 0x9e3779b97f4a7c15U;
    value = (value ^ (value >> 30U)) * 0xbf58476d1ce4e5b9U;
    value = (value ^ (value >> 27U)) * 0x94d049bb133111ebU;
    return value ^ (value >> 31U);
}

} // namespace

void interval_set::refresh(node& item) {
    item.furthest_ = item.end_;
    if (item.left_ != nullptr) {
        item.furthest_ = std::max(item.furthest_, item.left_->furthest_);
    }
    if (item.right_ != nullptr) {
        item.furthest_ = std::max(item.furthest_, item.right_->furthest_);
    }
}

void interval_set::replace_child(node* parent, node& old_child, node* new_child) {
    if (parent == nullptr) {
        root_ = new_child;
    } else if (parent->left_ == &old_child) {
        parent->left_ = new_child;
    } else {
        parent->right_ = new_child;
    }
    if (new_child != nullptr) {
        new_child->parent_ = parent;
    }
}

// The child takes its parent's place, the parent becomes its child.
void interval_set::rotate_up(node& child) {
    node& parent = *child.parent_;
    replace_child(parent.parent_, parent, &child);
    node*& inner = &child == parent.left_ ? child.right_ : child.left_;
    if (&child == parent.left_) {
        parent.left_ = inner;
    } else {
        parent.right_ = inner;
    }
    if (inner != nullptr) {
        inner->parent_ = &parent;
    }
    inner = &parent;
    parent.parent_ = &child;
    refresh(parent);
    refresh(child);
}

void interval_set::insert(node& item, std::uint64_t sector, std::uint64_t sectors) {
    LOCKSTEP_CHECK(!item.linked() && sectors > 0 && sector + sectors > sector);
    item.sector_ = sector;
    item.end_ = sector + sectors;
    item.furthest_ = item.end_;
    item.serial_ = next_serial_++;
    item.priority_ = scattered(item.serial_);
    item.set_ = this;
    item.parent_ = nullptr;
    item.left_ = nullptr;
    item.right_ = nullptr;
    node** link = &root_;
    while (*link != nullptr) {
        item.parent_ = *link;
        item.parent_->furthest_ = std::max(item.parent_->furthest_, item.end_);
        // Equal starts go right: those inserted first stay in front.
        link = sector < item.parent_->sector_ ? &item.parent_->left_ : &item.parent_->right_;
    }
    *link = &item;
    while (item.parent_ != nullptr && item.parent_->priority_ < item.priority_) {
        rotate_up(item);
    }
    ++size_;
}

void interval_set::erase(node& item) {
    LOCKSTEP_CHECK(item.set_ == this);
    while (item.left_ != nullptr && item.right_ != nullptr) {
        rotate_up(item.left_->priority_ > item.right_->priority_ ? *item.left_ : *item.right_);
    }
    replace_child(item.parent_, item, item.left_ != nullptr ? item.left_ : item.right_);
    for (node* above = item.parent_; above != nullptr; above = above->parent_) {
        refresh(*above);
    }
    item.set_ = nullptr;
    item.parent_ = nullptr;
    item.left_ = nullptr;
    item.right_ = nullptr;
    --size_;
}

interval_set::node* interval_set::first_below(node* top, std::uint64_t sector, std::uint64_t end) {
    while (top != nullptr) {
        // Something on the left ends behind `sector`: the first overlap is there, or that one
        // starts at or behind `end`, and so does everything further right.
        if (top->left_ != nullptr && top->left_->furthest_ > sector) {
            top = top->left_;
        } else if (top->sector_ >= end) {
            return nullptr;
        } else if (top->end_ > sector) {
            return top;
        } else {
            top = top->right_;
        }
    }
    return nullptr;
}

interval_set::node* interval_set::first_overlap(std::uint64_t sector, std::uint64_t sectors) const {
    return sectors == 0 ? nullptr : first_below(root_, sector, sector + sectors);
}

interval_set::node* interval_set::next_overlap(const node& item, std::uint64_t sector,
                                               std::uint64_t sectors) const {
    LOCKSTEP_CHECK(item.set_ == this);
    if (sectors == 0) {
        return nullptr;
    }
    const std::uint64_t end = sector + sectors;
    const node* at = &item;
    while (true) {
        if (at->right_ != nullptr && at->right_->furthest_ > sector) {
            return first_below(at->right_, sector, end);
        }
        while (at->parent_ != nullptr && at->parent_->right_ == at) {
            at = at->parent_;
        }
        node* const above = at->parent_;
        if (above == nullptr || above->sector_ >= end) {
            return nullptr;
        }
        if (above->end_ > sector) {
            return above;
        }
        at = above;
    }
}

bool interval_set::consistent_below(const node* top, const node* parent) {
    if (top == nullptr) {
        return true;
    }
    node copy = *top;
    refresh(copy);
    const bool left_in_order = top->left_ == nullptr || top->left_->sector_ <= top->sector_;
    const bool right_in_order = top->right_ == nullptr || top->right_->sector_ >= top->sector_;
    return top->parent_ == parent && top->furthest_ == copy.furthest_ && left_in_order &&
           right_in_order && (parent == nullptr || parent->priority_ >= top->priority_) &&
           consistent_below(top->left_, top) && consistent_below(top->right_, top);
}

} // namespace lockstep::replica
