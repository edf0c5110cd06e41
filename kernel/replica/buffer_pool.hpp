// Payload buffers: a fixed arena, given by the owner, cut into power-of-two blocks of 4 KiB to
// 1 MiB, each aligned to 4096 (to its own size within the arena). An allocation that finds no room
// yields an empty handle; the asker then waits, and so slows down whoever sent it data.
//
// The arena is a set of 1 MiB blocks that are halved on demand and joined again with their other
// half (the "buddy") when both are free, so the pool never wears out by fragmentation: once the
// buffers are back, the large blocks are.
//
// One thread only: counts are plain integers. Nothing is allocated after construction.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "kernel/base/bytes.hpp"

namespace lockstep::replica {

class buffer_pool;

namespace detail {

// One for each 4 KiB of the arena; the first of a block speaks for the block.
struct buffer_block {
    buffer_pool* pool = nullptr;
    std::byte* memory = nullptr;
    std::uint32_t references = 0;
    std::uint32_t size = 0;     // bytes asked for
    std::uint32_t previous = 0; // neighbours in the free list of its order
    std::uint32_t next = 0;
    std::uint8_t order = 0;
    bool free = false;
};

} // namespace detail

// A share in a buffer; the last one gives it back. Copies are cheap. The pool must outlive it.
class buffer_ref {
public:
    buffer_ref() = default;
    buffer_ref(const buffer_ref& other) : block_(other.block_) {
        if (block_ != nullptr) {
            ++block_->references;
        }
    }
    buffer_ref(buffer_ref&& other) noexcept : block_(std::exchange(other.block_, nullptr)) {}
    buffer_ref& operator=(const buffer_ref& other) {
        buffer_ref copy(other);
        std::swap(block_, copy.block_);
        return *this;
    }
    buffer_ref& operator=(buffer_ref&& other) noexcept {
        buffer_ref taken(std::move(other));
        std::swap(block_, taken.block_);
        return *this;
    }
    ~buffer_ref() { reset(); }

    void reset();
    explicit operator bool() const { return block_ != nullptr; }
    bool operator==(const buffer_ref& other) const { return block_ == other.block_; }

    std::byte* data() const { return block_ == nullptr ? nullptr : block_->memory; }
    // Bytes that were asked for; the block may be larger.
    std::uint32_t size() const { return block_ == nullptr ? 0 : block_->size; }
    std::uint32_t capacity() const;
    byte_span bytes() const { return {data(), size()}; }
    // Shares in the buffer, this one included; 0 if empty.
    std::uint32_t references() const { return block_ == nullptr ? 0 : block_->references; }

private:
    friend class buffer_pool;
    explicit buffer_ref(detail::buffer_block* block) : block_(block) { ++block_->references; }

    detail::buffer_block* block_ = nullptr;
};

class buffer_pool {
public:
    static constexpr std::uint32_t smallest = 4096;
    static constexpr std::uint32_t largest = 1U << 20;

    // The arena is aligned to 4096, stays the owner's, and outlives the pool; what is left over
    // of whole MiB is used in smaller blocks, what is left over of 4 KiB is not used.
    explicit buffer_pool(byte_span arena);
    ~buffer_pool();
    buffer_pool(const buffer_pool&) = delete;
    buffer_pool& operator=(const buffer_pool&) = delete;

    // 0 < size <= largest. Empty if there is no room now. The bytes are not cleared.
    buffer_ref allocate(std::uint32_t size);
    // Whether allocate(size) would succeed.
    bool available(std::uint32_t size) const;

    std::size_t capacity_bytes() const { return blocks_.size() * smallest; }
    std::size_t free_bytes() const { return free_bytes_; }
    std::size_t used_bytes() const { return capacity_bytes() - free_bytes_; }
    // The least that was ever free: what tells whether the arena is large enough.
    std::size_t free_bytes_min() const { return free_bytes_min_; }

    // Somebody who found no room. Owned by the one who waits, unmoved while waiting.
    struct waiter {
        std::uint32_t size = 0;
        void (*ready)(waiter& self) = nullptr;
        void* owner = nullptr;

    private:
        friend class buffer_pool;
        waiter* previous = nullptr;
        waiter* next = nullptr;
        bool waiting = false;
    };

    // ready() is called once, first come first served, when a buffer of that size can be had. It
    // is called from inside the release of another buffer: it may allocate, and else only takes a
    // note of what to do. The waiter is not waiting any more by then. While anybody waits, those
    // who come later should wait behind, or large requests never get their turn.
    void wait(waiter& who);
    void cancel(waiter& who);
    bool anybody_waits() const { return first_waiter_ != nullptr; }

private:
    friend class buffer_ref;
    using index = std::uint32_t;
    static constexpr index nil = 0xffffffff;
    static constexpr std::uint8_t orders = 9; // 4 KiB << 8 = 1 MiB

    static std::uint8_t order_of(std::uint32_t size);
    void put_free(index at, std::uint8_t order);
    void take_free(index at);
    void release(detail::buffer_block& block);
    void wake_waiters();

    std::vector<detail::buffer_block> blocks_;
    std::array<index, orders> free_lists_{};
    std::size_t free_bytes_ = 0;
    std::size_t free_bytes_min_ = 0;
    waiter* first_waiter_ = nullptr;
    waiter* last_waiter_ = nullptr;
    bool waking_ = false;
};

} // namespace lockstep::replica
