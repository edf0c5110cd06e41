// The activity log against a naive model, and its transactions against the replay that runs after
// a crash: at every moment the disk must name every extent that has a write in flight.
#include "kernel/replica/activity_log.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <rapidcheck.h>
#include <set>
#include <vector>

#include "kernel/format/al_replay.hpp"
#include "unit/cmocka.hpp"

namespace {

using lockstep::byte_span;
using lockstep::replica::activity_log;
namespace format = lockstep::format;

using grant = activity_log::grant;
using block = std::array<std::byte, 4096>;

// The activity log area of a disk.
class area {
public:
    explicit area(format::al_striping ring) : ring_(ring), bytes_(ring.total_blocks() * 4096) {
        for (std::uint64_t at = 0; at < ring.total_blocks(); ++at) {
            format::encode_al_initialized(byte_span(bytes_).subspan(at * 4096, 4096));
        }
    }
    void write(std::uint64_t at, const block& content) {
        std::copy(content.begin(), content.end(),
                  bytes_.begin() + static_cast<std::ptrdiff_t>(at * 4096));
    }
    // A write that the crash cut in two.
    void tear(std::uint64_t at) { bytes_[at * 4096 + 2000] ^= std::byte{0xff}; }
    std::set<std::uint32_t> replay() const {
        const auto found = format::replay_al84(bytes_, ring_, 0);
        return {found.extents.begin(), found.extents.end()};
    }

private:
    format::al_striping ring_;
    std::vector<std::byte> bytes_;
};

std::set<std::uint32_t> committed_of(const activity_log& log) {
    std::set<std::uint32_t> extents;
    log.for_each_committed([&](std::uint32_t extent) { extents.insert(extent); });
    return extents;
}

void commit_all(activity_log& log) {
    block out;
    while (log.transaction_needed()) {
        log.prepare_transaction(out);
        log.commit_transaction();
    }
}

// A write that begin() admitted.
struct held {
    std::uint32_t first;
    std::uint32_t last;
    std::uint64_t ticket;
};

// Drives one log and its disk, and checks the promise after each step.
class run {
public:
    run(std::uint32_t slots, format::al_striping ring, std::uint32_t first_transaction)
        : log_(slots, ring, first_transaction), area_(ring) {}

    void begin(std::uint32_t first, std::uint32_t last) {
        const auto answer = log_.begin(first, last);
        if (answer.grant == grant::full) {
            // Honest only if the extents in use and those missing are more than the slots.
            std::set<std::uint32_t> needed;
            for (const auto& write : writes_) {
                for (std::uint32_t extent = write.first; extent <= write.last; ++extent) {
                    needed.insert(extent);
                }
            }
            // Extents whose writes ended before their transaction still occupy theirs.
            for (const std::uint32_t extent : promised_) {
                needed.insert(extent);
            }
            for (std::uint32_t extent = first; extent <= last; ++extent) {
                needed.insert(extent);
            }
            RC_ASSERT(needed.size() > log_.slots());
            return;
        }
        for (std::uint32_t extent = first; extent <= last; ++extent) {
            if (!log_.is_active(extent)) {
                RC_ASSERT(answer.grant == grant::wait_transaction);
                promised_.insert(extent);
            }
        }
        RC_ASSERT(answer.grant == grant::active || answer.ticket > log_.committed());
        writes_.push_back({first, last, answer.grant == grant::active ? 0 : answer.ticket});
    }

    void end(std::size_t which) {
        if (writes_.empty()) {
            return;
        }
        which %= writes_.size();
        log_.end(writes_[which].first, writes_[which].last);
        writes_.erase(writes_.begin() + static_cast<std::ptrdiff_t>(which));
    }

    void prepare() {
        if (!log_.transaction_needed()) {
            return;
        }
        const auto before = committed_of(log_);
        const auto built = log_.prepare_transaction(content_);
        block_ = built.ring_block;
        for (const std::uint32_t extent : built.evicted) {
            RC_ASSERT(before.count(extent) == 1U);
            for (const auto& write : writes_) {
                // Whoever may already write in it must not lose it.
                RC_ASSERT(write.ticket > log_.committed() || extent < write.first ||
                          extent > write.last);
            }
        }
        under_way_ = true;
    }

    void commit() {
        if (!under_way_) {
            return;
        }
        area_.write(block_, content_);
        log_.commit_transaction();
        under_way_ = false;
        for (auto it = promised_.begin(); it != promised_.end();) {
            it = log_.is_active(*it) ? promised_.erase(it) : std::next(it);
        }
    }

    void check() const {
        const auto on_disk = area_.replay();
        RC_ASSERT(on_disk == committed_of(log_));
        promise_holds_in(on_disk);
        if (under_way_) {
            // A crash now may have left the block whole or torn.
            area whole = area_;
            whole.write(block_, content_);
            promise_holds_in(whole.replay());
            whole.tear(block_);
            promise_holds_in(whole.replay());
        }
        std::map<std::uint32_t, std::uint32_t> references;
        for (const auto& write : writes_) {
            for (std::uint32_t extent = write.first; extent <= write.last; ++extent) {
                ++references[extent];
            }
        }
        RC_ASSERT(log_.used() == references.size());
        for (const auto& [extent, count] : references) {
            RC_ASSERT(log_.references(extent) == count);
        }
    }

private:
    void promise_holds_in(const std::set<std::uint32_t>& on_disk) const {
        for (const auto& write : writes_) {
            if (write.ticket > log_.committed()) {
                continue;
            }
            for (std::uint32_t extent = write.first; extent <= write.last; ++extent) {
                RC_ASSERT(on_disk.count(extent) == 1U);
            }
        }
    }

    activity_log log_;
    area area_;
    std::vector<held> writes_;
    std::set<std::uint32_t> promised_;
    block content_{};
    std::uint64_t block_ = 0;
    bool under_way_ = false;
};

void every_write_in_flight_is_in_the_log_on_disk(void**) {
    assert_true(rc::check("a crash finds every extent with a write in flight", [] {
        const format::al_striping ring =
            *rc::gen::element(format::al_striping{1, 8}, format::al_striping{4, 16});
        const std::uint32_t slots = *rc::gen::element<std::uint32_t>(67, 70, 930);
        const std::uint32_t first =
            *rc::gen::element<std::uint32_t>(0, 5, 0xfffffffe); // numbers wrap
        run subject(slots, ring, first);
        const auto spread = *rc::gen::element<std::uint32_t>(80, 200, 5000);
        const auto steps = *rc::gen::inRange(1, 300);
        for (int i = 0; i < steps; ++i) {
            switch (*rc::gen::inRange(0, 6)) {
            case 0:
            case 1: {
                const auto extent = *rc::gen::inRange<std::uint32_t>(0, spread);
                subject.begin(extent, extent + *rc::gen::element<std::uint32_t>(0, 0, 0, 1, 33));
                break;
            }
            case 2:
            case 3:
                subject.end(*rc::gen::inRange<std::size_t>(0, 1000));
                break;
            case 4:
                subject.prepare();
                break;
            default:
                subject.commit();
                break;
            }
            subject.check();
        }
    }));
}

void an_extent_in_the_log_is_active_at_once(void**) {
    activity_log log(67, {}, 0);
    auto answer = log.begin(5, 5);
    assert_true(answer.grant == grant::wait_transaction);
    assert_int_equal(answer.ticket, 1);
    assert_int_equal(log.committed(), 0);
    assert_false(log.is_active(5));
    commit_all(log);
    assert_int_equal(log.committed(), 1);
    assert_true(log.is_active(5));
    assert_true(log.begin(5, 5).grant == grant::active);
    assert_false(log.end(5, 5));
    assert_true(log.end(5, 5));
    // Idle, and still in the log: a hot extent costs no transaction.
    assert_true(log.begin(5, 5).grant == grant::active);
    assert_false(log.transaction_needed());
    log.end(5, 5);
}

void the_longest_unused_extent_is_evicted(void**) {
    activity_log log(67, {}, 0);
    for (std::uint32_t extent = 0; extent < 67; ++extent) {
        log.begin(extent, extent);
    }
    commit_all(log);
    assert_int_equal(log.committed(), 2); // 64 and 3
    assert_true(log.begin(100, 100).grant == grant::full);
    assert_true(log.end(30, 30));
    log.end(10, 10);
    const auto answer = log.begin(100, 100);
    assert_true(answer.grant == grant::wait_transaction);
    block out;
    const auto built = log.prepare_transaction(out);
    assert_int_equal(built.evicted.size(), 1);
    assert_int_equal(built.evicted[0], 30);
    assert_false(log.is_active(30));
    log.commit_transaction();
    assert_true(log.is_active(10));
    assert_true(log.is_active(100));
}

void a_range_is_granted_as_a_whole_or_not(void**) {
    activity_log log(67, {}, 0);
    for (std::uint32_t extent = 0; extent < 66; ++extent) {
        log.begin(extent, extent);
    }
    commit_all(log);
    assert_true(log.begin(65, 67).grant == grant::full); // two missing, one free
    assert_int_equal(log.references(65), 1);
    assert_int_equal(log.references(66), 0);
    assert_true(log.begin(65, 66).grant == grant::wait_transaction);
    assert_int_equal(log.references(65), 2);
}

void changes_during_a_transaction_go_into_the_next(void**) {
    activity_log log(67, {}, 0);
    block out;
    log.begin(1, 1);
    log.prepare_transaction(out);
    assert_false(log.transaction_needed()); // one at a time
    assert_int_equal(log.begin(1, 1).ticket, 1);
    assert_int_equal(log.begin(2, 2).ticket, 2);
    log.commit_transaction();
    assert_int_equal(log.committed(), 1);
    assert_true(log.transaction_needed());
    log.prepare_transaction(out);
    log.commit_transaction();
    assert_int_equal(log.committed(), 2);
}

void a_new_ring_is_filled_with_empty_transactions(void**) {
    const format::al_striping ring{4, 16};
    activity_log log(67, ring, 0);
    area disk(ring);
    block out;
    for (std::uint64_t i = 0; i < ring.total_blocks(); ++i) {
        const auto built = log.prepare_empty_transaction(out);
        assert_int_equal(built.number, i);
        disk.write(built.ring_block, out);
        log.commit_transaction();
    }
    assert_int_equal(log.committed(), 0);
    assert_true(disk.replay().empty());
    log.begin(9, 9);
    const auto built = log.prepare_transaction(out);
    assert_int_equal(built.number, 64); // DRBD 8.4: the first real one after N empty ones is N
    assert_int_equal(built.ring_block, 0);
}

void the_context_goes_round_by_919_slots(void**) {
    activity_log log(1237, {}, 0);
    block out;
    const std::uint16_t expected[] = {0, 919, 0, 919};
    std::uint32_t extent = 0;
    for (const std::uint16_t first : expected) {
        log.begin(extent, extent);
        ++extent;
        log.prepare_transaction(out);
        const auto read = format::decode_al_block(out);
        assert_true(read.valid);
        assert_int_equal(read.slots, 1237);
        assert_int_equal(read.context_first, first);
        log.commit_transaction();
    }
}

void slots_are_limited_by_the_ring(void**) {
    assert_int_equal(activity_log::slots_for(1237, {1, 8}), 1237);
    assert_int_equal(activity_log::slots_for(65534, {1, 8}), 6433);
    assert_int_equal(activity_log::slots_for(65534, {4, 64}), 65534);
    assert_int_equal(activity_log::slots_for(7, {1, 8}), 67);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(every_write_in_flight_is_in_the_log_on_disk),
        cmocka_unit_test(an_extent_in_the_log_is_active_at_once),
        cmocka_unit_test(the_longest_unused_extent_is_evicted),
        cmocka_unit_test(a_range_is_granted_as_a_whole_or_not),
        cmocka_unit_test(changes_during_a_transaction_go_into_the_next),
        cmocka_unit_test(a_new_ring_is_filled_with_empty_transactions),
        cmocka_unit_test(the_context_goes_round_by_919_slots),
        cmocka_unit_test(slots_are_limited_by_the_ring),
    };
    return cmocka_run_group_tests_name("activity_log", tests, nullptr, nullptr);
}
