#include "kernel/replica/buffer_pool.hpp"

#include <algorithm>
#include <bit>

namespace lockstep::replica {

void buffer_ref::reset() {
    detail::buffer_block* const block = std::exchange(block_, nullptr);
    if (block != nullptr && --block->references == 0) {
        block->pool->release(*block);
    }
}

std::uint32_t buffer_ref::capacity() const {
    return block_ == nullptr ? 0 : buffer_pool::smallest << block_->order;
}

buffer_pool::buffer_pool(byte_span arena) {
    LOCKSTEP_CHECK(reinterpret_cast<std::uintptr_t>(arena.data()) % smallest == 0);
    free_lists_.fill(nil);
    const std::size_t count = arena.size() / smallest;
    LOCKSTEP_CHECK(count < nil);
    blocks_.resize(count);
    for (std::size_t at = 0; at < count; ++at) {
        blocks_[at].pool = this;
        blocks_[at].memory = arena.data() + at * smallest;
    }
    // The largest block that is aligned within the arena and still fits, again and again.
    for (std::size_t at = 0; at < count;) {
        std::uint8_t order = orders - 1;
        while (at % (std::size_t{1} << order) != 0 || at + (std::size_t{1} << order) > count) {
            --order;
        }
        put_free(static_cast<index>(at), order);
        at += std::size_t{1} << order;
    }
    free_bytes_min_ = free_bytes_;
}

buffer_pool::~buffer_pool() {
    LOCKSTEP_CHECK(used_bytes() == 0);
    LOCKSTEP_CHECK(first_waiter_ == nullptr);
}

std::uint8_t buffer_pool::order_of(std::uint32_t size) {
    LOCKSTEP_CHECK(size > 0 && size <= largest);
    const std::uint32_t pages = (size + smallest - 1) / smallest;
    return static_cast<std::uint8_t>(std::bit_width(pages - 1));
}

void buffer_pool::put_free(index at, std::uint8_t order) {
    detail::buffer_block& block = blocks_[at];
    block.order = order;
    block.free = true;
    block.previous = nil;
    block.next = free_lists_[order];
    if (block.next != nil) {
        blocks_[block.next].previous = at;
    }
    free_lists_[order] = at;
    free_bytes_ += std::size_t{smallest} << order;
}

void buffer_pool::take_free(index at) {
    detail::buffer_block& block = blocks_[at];
    LOCKSTEP_CHECK(block.free);
    block.free = false;
    if (block.previous == nil) {
        free_lists_[block.order] = block.next;
    } else {
        blocks_[block.previous].next = block.next;
    }
    if (block.next != nil) {
        blocks_[block.next].previous = block.previous;
    }
    free_bytes_ -= std::size_t{smallest} << block.order;
}

bool buffer_pool::available(std::uint32_t size) const {
    for (std::size_t order = order_of(size); order < orders; ++order) {
        if (free_lists_[order] != nil) {
            return true;
        }
    }
    return false;
}

buffer_ref buffer_pool::allocate(std::uint32_t size) {
    const std::uint8_t wanted = order_of(size);
    std::uint8_t order = wanted;
    while (order < orders && free_lists_[order] == nil) {
        ++order;
    }
    if (order == orders) {
        return {};
    }
    const index at = free_lists_[order];
    take_free(at);
    while (order > wanted) {
        --order;
        put_free(at + (index{1} << order), order);
    }
    detail::buffer_block& block = blocks_[at];
    block.order = wanted;
    block.size = size;
    free_bytes_min_ = std::min(free_bytes_min_, free_bytes_);
    return buffer_ref(&block);
}

void buffer_pool::release(detail::buffer_block& block) {
    auto at = static_cast<index>(&block - blocks_.data());
    std::uint8_t order = block.order;
    while (order + 1 < orders) {
        const index buddy = at ^ (index{1} << order);
        if (buddy >= blocks_.size() || !blocks_[buddy].free || blocks_[buddy].order != order) {
            break;
        }
        take_free(buddy);
        at = std::min(at, buddy);
        ++order;
    }
    put_free(at, order);
    wake_waiters();
}

void buffer_pool::wait(waiter& who) {
    LOCKSTEP_CHECK(!who.waiting && who.ready != nullptr);
    LOCKSTEP_CHECK(who.size > 0 && who.size <= largest);
    who.waiting = true;
    who.next = nullptr;
    who.previous = last_waiter_;
    (last_waiter_ == nullptr ? first_waiter_ : last_waiter_->next) = &who;
    last_waiter_ = &who;
}

void buffer_pool::cancel(waiter& who) {
    if (!who.waiting) {
        return;
    }
    who.waiting = false;
    (who.previous == nullptr ? first_waiter_ : who.previous->next) = who.next;
    (who.next == nullptr ? last_waiter_ : who.next->previous) = who.previous;
    who.previous = nullptr;
    who.next = nullptr;
}

void buffer_pool::wake_waiters() {
    // A callback may release buffers itself; the loop of the outer call then goes on for it.
    if (waking_) {
        return;
    }
    waking_ = true;
    while (first_waiter_ != nullptr && available(first_waiter_->size)) {
        waiter& who = *first_waiter_;
        cancel(who);
        who.ready(who);
    }
    waking_ = false;
}

} // namespace lockstep::replica
