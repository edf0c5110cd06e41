// Writes an activity log the way an engine does, for tests of the replay: a slot table, a ring,
// a transaction for each change.
#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <vector>

#include "kernel/format/activity_log.hpp"

namespace lockstep::test {

class al_writer {
public:
    al_writer(format::al_striping striping, std::uint16_t slots, std::uint32_t first_number)
        : striping_(striping), number_(first_number), table_(slots, format::al_free),
          area_(striping.total_blocks() * format::block_bytes) {
        for (std::size_t at = 0; at < area_.size(); at += format::block_bytes) {
            format::encode_al_initialized(byte_span(area_).subspan(at, format::block_bytes));
        }
    }

    // Each entry: slot and the extent that it holds from now on.
    void commit(const std::vector<format::al_update>& updates) {
        const std::size_t first = context_first_;
        const std::size_t count =
            std::min<std::size_t>(format::al_context_max, table_.size() - first);
        const format::al_transaction transaction = {
            number_, static_cast<std::uint16_t>(table_.size()), context_first_, updates,
            std::span<const std::uint32_t>(table_).subspan(first, count)};
        format::encode_al_update(transaction, last_block());
        context_first_ =
            format::al_next_context(context_first_, static_cast<std::uint16_t>(table_.size()));
        ++number_;
        for (const auto& update : updates) {
            table_[update.slot] = update.extent;
        }
    }

    // Where the transaction with the next number goes; after commit, `newest` is what it wrote.
    byte_span last_block() { return block_of(number_); }
    byte_span newest() { return block_of(number_ - 1); }
    byte_span block_of(std::uint32_t number) {
        const auto index = format::al_block_of(number, striping_);
        return byte_span(area_).subspan(index * format::block_bytes, format::block_bytes);
    }

    const_byte_span area() const { return area_; }
    std::vector<std::uint32_t> active() const {
        std::set<std::uint32_t> found(table_.begin(), table_.end());
        found.erase(format::al_free);
        return {found.begin(), found.end()};
    }
    std::size_t slots() const { return table_.size(); }

private:
    format::al_striping striping_;
    std::uint32_t number_;
    std::uint16_t context_first_ = 0;
    std::vector<std::uint32_t> table_;
    std::vector<std::byte> area_;
};

} // namespace lockstep::test
