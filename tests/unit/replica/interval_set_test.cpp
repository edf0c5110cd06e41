// The interval set against a plain list that is searched from end to end.
#include "kernel/replica/interval_set.hpp"

#include <algorithm>
#include <chrono>
#include <rapidcheck.h>
#include <vector>

#include "unit/cmocka.hpp"

namespace {

using lockstep::replica::interval_set;
using node = interval_set::node;

std::vector<const node*> overlaps_by_list(const std::vector<node>& nodes, std::uint64_t sector,
                                          std::uint64_t sectors) {
    std::vector<const node*> found;
    for (const auto& item : nodes) {
        if (item.linked() && sectors > 0 && item.sector() < sector + sectors &&
            item.end() > sector) {
            found.push_back(&item);
        }
    }
    std::sort(found.begin(), found.end(), [](const node* a, const node* b) {
        return a->sector() != b->sector() ? a->sector() < b->sector() : a->serial() < b->serial();
    });
    return found;
}

void finds_what_a_list_finds(void**) {
    assert_true(rc::check("interval set = list", [] {
        interval_set subject;
        std::vector<node> nodes(60);
        const auto space = *rc::gen::element<std::uint64_t>(40, 400, 100000);
        const auto steps = *rc::gen::inRange(1, 200);
        for (int i = 0; i < steps; ++i) {
            const auto which = *rc::gen::inRange<std::size_t>(0, nodes.size());
            const auto sector = *rc::gen::inRange<std::uint64_t>(0, space);
            const auto sectors = *rc::gen::element<std::uint64_t>(1, 3, 8, 64, 2048);
            if (nodes[which].linked()) {
                subject.erase(nodes[which]);
            } else {
                subject.insert(nodes[which], sector, sectors);
            }
            RC_ASSERT(subject.consistent());

            const auto from = *rc::gen::inRange<std::uint64_t>(0, space);
            const auto length = *rc::gen::element<std::uint64_t>(0, 1, 8, 100, 5000);
            std::vector<const node*> found;
            subject.for_each_overlap(from, length, [&](node& item) { found.push_back(&item); });
            RC_ASSERT(found == overlaps_by_list(nodes, from, length));
            RC_ASSERT(subject.overlaps(from, length) == !found.empty());
        }
        const auto linked =
            std::count_if(nodes.begin(), nodes.end(), [](const node& n) { return n.linked(); });
        RC_ASSERT(subject.size() == static_cast<std::size_t>(linked));
    }));
}

void touching_ranges_do_not_overlap(void**) {
    interval_set subject;
    node item;
    subject.insert(item, 8, 8);
    assert_false(subject.overlaps(0, 8));
    assert_false(subject.overlaps(16, 8));
    assert_true(subject.overlaps(15, 1));
    assert_true(subject.overlaps(0, 9));
    assert_true(subject.overlaps(10, 2));
    assert_false(subject.overlaps(10, 0));
    subject.erase(item);
    assert_false(subject.overlaps(8, 8));
    assert_true(subject.empty());
}

void equal_ranges_come_in_the_order_of_insertion(void**) {
    interval_set subject;
    std::vector<node> nodes(20);
    for (auto& item : nodes) {
        subject.insert(item, 100, 8);
    }
    std::size_t at = 0;
    subject.for_each_overlap(104, 1, [&](node& item) { assert_ptr_equal(&item, &nodes[at++]); });
    assert_int_equal(at, nodes.size());
}

// Sequential writes are the worst case for a plain tree. The bound is generous: a list would need
// hundreds of times as long.
void sequential_inserts_stay_fast(void**) {
    constexpr std::size_t count = 20000;
    interval_set subject;
    std::vector<node> nodes(count);
    const auto begin = std::chrono::steady_clock::now();
    for (std::size_t i = 0; i < count; ++i) {
        assert_false(subject.overlaps(i * 8, 8));
        subject.insert(nodes[i], i * 8, 8);
    }
    const auto spent = std::chrono::duration_cast<std::chrono::milliseconds>(
                           std::chrono::steady_clock::now() - begin)
                           .count();
    print_message("# %zu sequential inserts: %ld ms\n", count, static_cast<long>(spent));
    assert_true(spent < 1000);
    assert_true(subject.consistent());
    for (auto& item : nodes) {
        subject.erase(item);
    }
    assert_true(subject.empty());
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_a_list_finds),
        cmocka_unit_test(touching_ranges_do_not_overlap),
        cmocka_unit_test(equal_ranges_come_in_the_order_of_insertion),
        cmocka_unit_test(sequential_inserts_stay_fast),
    };
    return cmocka_run_group_tests_name("interval_set", tests, nullptr, nullptr);
}
