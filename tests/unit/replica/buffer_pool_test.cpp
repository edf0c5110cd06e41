// Buffers from a fixed arena: whole, disjoint, aligned, and all there again in the end.
#include "kernel/replica/buffer_pool.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <rapidcheck.h>
#include <vector>

#include "unit/cmocka.hpp"

namespace {

using lockstep::byte_span;
using lockstep::replica::buffer_pool;
using lockstep::replica::buffer_ref;

constexpr std::uint32_t kib = 1024;

class arena {
public:
    explicit arena(std::size_t size)
        : memory_(static_cast<std::byte*>(std::aligned_alloc(4096, size)), &std::free),
          size_(size) {}
    byte_span bytes() const { return {memory_.get(), size_}; }

private:
    std::unique_ptr<std::byte, void (*)(void*)> memory_;
    std::size_t size_;
};

void buffers_are_disjoint_and_none_is_lost(void**) {
    assert_true(rc::check("buffer pool", [] {
        const auto pages = *rc::gen::inRange<std::size_t>(1, 700);
        const arena memory(pages * 4096);
        buffer_pool pool(memory.bytes());
        RC_ASSERT(pool.capacity_bytes() == pages * 4096);
        std::vector<buffer_ref> held;
        std::vector<std::byte> marks;
        const auto steps = *rc::gen::inRange(1, 150);
        for (int i = 0; i < steps; ++i) {
            if (*rc::gen::inRange(0, 3) != 0) {
                const auto size =
                    *rc::gen::oneOf(rc::gen::inRange<std::uint32_t>(1, 20000),
                                    rc::gen::element<std::uint32_t>(4096, 128 * kib, 1024 * kib));
                const bool there = pool.available(size);
                buffer_ref got = pool.allocate(size);
                RC_ASSERT(there == static_cast<bool>(got));
                if (got) {
                    RC_ASSERT(reinterpret_cast<std::uintptr_t>(got.data()) % 4096 == 0U);
                    RC_ASSERT(got.size() == size);
                    RC_ASSERT(got.capacity() >= size);
                    RC_ASSERT(got.data() >= memory.bytes().data());
                    RC_ASSERT(got.data() + size <= memory.bytes().data() + memory.bytes().size());
                    marks.push_back(static_cast<std::byte>(i));
                    std::memset(got.data(), i, size);
                    held.push_back(std::move(got));
                }
            } else if (!held.empty()) {
                const auto which = *rc::gen::inRange<std::size_t>(0, held.size());
                const auto at = static_cast<std::ptrdiff_t>(which);
                held.erase(held.begin() + at);
                marks.erase(marks.begin() + at);
            }
            std::size_t used = 0;
            for (std::size_t at = 0; at < held.size(); ++at) {
                used += held[at].capacity();
                const auto bytes = held[at].bytes();
                RC_ASSERT(std::all_of(bytes.begin(), bytes.end(),
                                      [&](std::byte b) { return b == marks[at]; }));
            }
            RC_ASSERT(pool.used_bytes() == used);
        }
        held.clear();
        RC_ASSERT(pool.free_bytes() == pool.capacity_bytes());
        // Joined again: the largest block that ever fitted fits.
        RC_ASSERT(pool.available(pages >= 256 ? buffer_pool::largest : 1));
    }));
}

void an_exhausted_pool_gives_empty_handles(void**) {
    const arena memory(std::size_t{2048} * kib);
    buffer_pool pool(memory.bytes());
    const buffer_ref first = pool.allocate(1024 * kib);
    buffer_ref second = pool.allocate(600 * kib);
    assert_true(static_cast<bool>(first));
    assert_int_equal(second.capacity(), 1024 * kib);
    const buffer_ref none = pool.allocate(1);
    assert_false(static_cast<bool>(none));
    assert_null(none.data());
    assert_int_equal(none.size(), 0);
    second.reset();
    assert_true(static_cast<bool>(pool.allocate(1)));
    assert_int_equal(pool.free_bytes_min(), 0);
}

void the_last_share_gives_the_buffer_back(void**) {
    const arena memory(4096);
    buffer_pool pool(memory.bytes());
    buffer_ref one = pool.allocate(100);
    buffer_ref two = one;
    assert_int_equal(one.references(), 2);
    assert_true(one == two);
    const buffer_ref three = std::move(one);
    assert_int_equal(two.references(), 2);
    const buffer_ref& same = two;
    two = same;
    assert_int_equal(two.references(), 2);
    two.reset();
    assert_int_equal(pool.free_bytes(), 0);
    assert_int_equal(three.references(), 1);
    {
        buffer_ref four;
        four = three;
        assert_int_equal(four.references(), 2);
    }
    assert_int_equal(pool.used_bytes(), 4096);
}

struct recorder {
    buffer_pool::waiter waiter;
    std::vector<int>* order = nullptr;
    int name = 0;
    buffer_pool* pool = nullptr;
    buffer_ref got;
};

void take(buffer_pool::waiter& who) {
    auto& self = *static_cast<recorder*>(who.owner);
    self.order->push_back(self.name);
    self.got = self.pool->allocate(who.size);
}

void waiters_are_served_in_their_order(void**) {
    const arena memory(std::size_t{1024} * kib);
    buffer_pool pool(memory.bytes());
    std::vector<int> order;
    std::vector<recorder> waiting(3);
    buffer_ref half = pool.allocate(512 * kib);
    buffer_ref quarter = pool.allocate(256 * kib);
    const buffer_ref rest = pool.allocate(256 * kib);
    const std::uint32_t sizes[] = {512 * kib, 4 * kib, 4 * kib};
    for (int i = 0; i < 3; ++i) {
        recorder& each = waiting[static_cast<std::size_t>(i)];
        each.waiter.size = sizes[i];
        each.waiter.ready = take;
        each.waiter.owner = &each;
        each.order = &order;
        each.name = i;
        each.pool = &pool;
        pool.wait(each.waiter);
    }
    assert_true(pool.anybody_waits());
    quarter.reset();
    assert_true(order.empty()); // the large one is first, and small ones do not pass it
    pool.cancel(waiting[1].waiter);
    pool.cancel(waiting[1].waiter);
    half.reset();
    assert_true(order == (std::vector<int>{0, 2}));
    assert_true(static_cast<bool>(waiting[0].got));
    assert_true(static_cast<bool>(waiting[2].got));
    assert_false(pool.anybody_waits());
}

void an_arena_of_odd_size_is_used_to_the_page(void**) {
    const arena memory(std::size_t{7} * 4096);
    buffer_pool pool(memory.bytes());
    std::vector<buffer_ref> all;
    for (int i = 0; i < 7; ++i) {
        all.push_back(pool.allocate(4096));
        assert_true(static_cast<bool>(all.back()));
    }
    assert_false(pool.available(1));
    all.clear();
    assert_true(pool.available(4 * 4096));
    assert_false(pool.available(5 * 4096));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(buffers_are_disjoint_and_none_is_lost),
        cmocka_unit_test(an_exhausted_pool_gives_empty_handles),
        cmocka_unit_test(the_last_share_gives_the_buffer_back),
        cmocka_unit_test(waiters_are_served_in_their_order),
        cmocka_unit_test(an_arena_of_odd_size_is_used_to_the_page),
    };
    return cmocka_run_group_tests_name("buffer_pool", tests, nullptr, nullptr);
}
