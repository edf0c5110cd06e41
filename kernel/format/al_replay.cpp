#include "kernel/format/al_replay.hpp"

#include <algorithm>

#include "kernel/base/check.hpp"
#include "kernel/format/activity_log.hpp"
#include "kernel/format/bitmap.hpp"

namespace lockstep::format {

namespace {

// A valid update transaction and where in the ring it was found.
struct found {
    std::uint32_t number;
    std::uint64_t position;
};

// Signed distance on the wrapping number line.
std::int32_t distance(std::uint32_t later, std::uint32_t earlier) {
    return static_cast<std::int32_t>(later - earlier);
}

// Sorts oldest first. True if the numbers do not run on as in a ring of that size.
bool put_in_order(std::vector<found>& list, std::uint64_t ring) {
    found newest = list.front();
    for (const auto& entry : list) {
        if (distance(entry.number, newest.number) > 0) {
            newest = entry;
        }
    }
    // Distances to one fixed number keep the order total whatever a damaged ring holds.
    std::stable_sort(list.begin(), list.end(), [&](const found& a, const found& b) {
        return newest.number - a.number > newest.number - b.number;
    });
    bool broken = false;
    for (std::size_t i = 0; i < list.size(); ++i) {
        const std::uint64_t back = newest.number - list[i].number;
        const bool duplicate = i != 0 && list[i].number == list[i - 1].number;
        const bool in_line = back < ring && (list[i].position + back) % ring == newest.position;
        // After the number wraps at 2^32 in a ring whose size is no power of two, the older
        // transactions lie elsewhere than the newest tells, but still where their number says.
        const bool in_place = back < 2 * ring && list[i].number % ring == list[i].position;
        broken = broken || duplicate || !(in_line || in_place);
    }
    return broken;
}

// The slot table being rebuilt, and what was mentioned at all.
class slot_table {
public:
    slot_table(al_replay& report, std::uint64_t extent_count, bool keep_all)
        : report_(report), extent_count_(extent_count), keep_all_(keep_all),
          slots_(al_slots_max, al_free) {}

    void put(std::uint32_t slot, std::uint32_t extent) {
        if (slot >= al_slots_max) {
            ++report_.slots_out_of_range;
            remember(extent);
            return;
        }
        slots_[slot] = extent;
        if (keep_all_) {
            remember(extent);
        }
    }

    void finish() {
        for (const std::uint32_t extent : slots_) {
            remember(extent);
        }
        auto& list = report_.extents;
        std::sort(list.begin(), list.end());
        list.erase(std::unique(list.begin(), list.end()), list.end());
        if (extent_count_ == 0) {
            return;
        }
        const auto last = static_cast<std::uint32_t>(extent_count_ - 1);
        while (!list.empty() && list.back() >= extent_count_) {
            ++report_.extents_out_of_range;
            list.pop_back();
        }
        if (report_.extents_out_of_range != 0 && (list.empty() || list.back() != last)) {
            list.push_back(last);
        }
    }

private:
    void remember(std::uint32_t extent) {
        if (extent != al_free) {
            report_.extents.push_back(extent);
        }
    }

    al_replay& report_;
    std::uint64_t extent_count_;
    // With a broken order nobody knows which entry is the last word: all of them count.
    bool keep_all_;
    std::vector<std::uint32_t> slots_;
};

void play84(const al_block& block, slot_table& table) {
    for (std::uint32_t i = 0; i < al_context_max; ++i) {
        const std::uint32_t slot = std::uint32_t{block.context_first} + i;
        if (block.context[i] == al_free && slot >= block.slots) {
            continue;
        }
        table.put(slot, block.context[i]);
    }
    for (std::uint32_t i = 0; i < al_updates_max; ++i) {
        const al_update& update = block.updates[i];
        if (i >= block.update_count && update.slot == al_slot_unused) {
            continue;
        }
        table.put(update.slot, update.extent);
    }
}

al_outcome outcome84(const al_replay& report, bool first_valid) {
    if (report.updates != 0) {
        return al_outcome::active_set;
    }
    if (report.valid_blocks == 0) {
        return al_outcome::no_valid_block;
    }
    // Only the very first transaction of a fresh ring may be torn without leaving an older one.
    const bool torn_first = !first_valid && report.valid_blocks + 1 == report.blocks;
    return report.valid_blocks == report.blocks || torn_first ? al_outcome::nothing_to_do
                                                              : al_outcome::no_update;
}

const_byte_span block_at(const_byte_span area, std::uint64_t index, std::size_t size) {
    return area.subspan(index * size, size);
}

} // namespace

al83_sector decode_al83_sector(const_byte_span sector) {
    LOCKSTEP_CHECK(sector.size() == sector_bytes);
    byte_reader in(sector);
    al83_sector value;
    value.magic = in.take<std::uint32_t>();
    value.number = in.take<std::uint32_t>();
    std::uint32_t sum = 0;
    for (auto& pair : value.pairs) {
        pair.slot = in.take<std::uint32_t>();
        pair.extent = in.take<std::uint32_t>();
        sum ^= pair.extent;
    }
    value.xor_sum = in.take<std::uint32_t>();
    LOCKSTEP_CHECK(in.ok());
    value.valid = value.magic == al83_magic && value.xor_sum == sum;
    return value;
}

std::uint32_t al83_sectors(std::uint32_t slots) {
    const std::uint64_t sectors = 1 + (std::uint64_t{slots} + al83_context - 1) / al83_context;
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(sectors, al83_sectors_max));
}

al_form detect_al_form(const superblock& value, const_byte_span area) {
    if (value.magic == magic_v84_unclean || !value.striping().is_default()) {
        return al_form::v84;
    }
    for (std::size_t at : {std::size_t{0}, std::size_t{block_bytes}}) {
        if (area.size() >= at + 4 && load_big<std::uint32_t>(area.data() + at) == al_magic) {
            return al_form::v84;
        }
    }
    return al_form::v83;
}

al_replay replay_al84(const_byte_span area, al_striping striping, std::uint64_t extent_count) {
    const std::uint64_t ring = striping.total_blocks();
    LOCKSTEP_CHECK(ring != 0 && area.size() == ring * block_bytes);
    al_replay report;
    report.form = al_form::v84;
    report.blocks = static_cast<std::uint32_t>(ring);
    std::vector<found> updates;
    bool first_valid = false;
    for (std::uint64_t position = 0; position < ring; ++position) {
        const auto index = al_block_of(static_cast<std::uint32_t>(position), striping);
        const al_block block = decode_al_block(block_at(area, index, block_bytes));
        if (!block.valid) {
            continue;
        }
        ++report.valid_blocks;
        first_valid = first_valid || position == 0;
        if (block.type != al_type_initialized) {
            updates.push_back({block.number, position});
        }
    }
    report.updates = static_cast<std::uint32_t>(updates.size());
    report.outcome = outcome84(report, first_valid);
    if (updates.empty()) {
        return report;
    }
    report.order_broken = put_in_order(updates, ring);
    slot_table table(report, extent_count, report.order_broken);
    for (const auto& update : updates) {
        const auto index = al_block_of(static_cast<std::uint32_t>(update.position), striping);
        play84(decode_al_block(block_at(area, index, block_bytes)), table);
    }
    table.finish();
    return report;
}

al_replay replay_al83(const_byte_span area, std::uint32_t slots, std::uint64_t extent_count) {
    const std::uint32_t ring = al83_sectors(slots);
    LOCKSTEP_CHECK(area.size() >= std::size_t{ring} * sector_bytes);
    al_replay report;
    report.form = al_form::v83;
    report.blocks = ring;
    std::vector<found> updates;
    for (std::uint32_t position = 0; position < ring; ++position) {
        const al83_sector sector = decode_al83_sector(block_at(area, position, sector_bytes));
        if (sector.valid) {
            updates.push_back({sector.number, position});
        }
    }
    report.valid_blocks = static_cast<std::uint32_t>(updates.size());
    report.updates = report.valid_blocks;
    if (updates.empty()) {
        return report;
    }
    report.outcome = al_outcome::active_set;
    report.order_broken = put_in_order(updates, ring);
    slot_table table(report, extent_count, report.order_broken);
    for (const auto& update : updates) {
        const al83_sector sector =
            decode_al83_sector(block_at(area, update.position, sector_bytes));
        // Pair 0 is the change that the transaction makes; the rest is as it was before.
        for (std::size_t i = sector.pairs.size(); i-- > 0;) {
            if (sector.pairs[i].extent != al_free) {
                table.put(sector.pairs[i].slot, sector.pairs[i].extent);
            }
        }
    }
    table.finish();
    return report;
}

al_replay replay_activity_log(const superblock& value, const_byte_span area) {
    const std::uint64_t extent_count = al_extents(value.la_size_sectors);
    if (detect_al_form(value, area) == al_form::v84) {
        return replay_al84(area, value.striping(), extent_count);
    }
    return replay_al83(area, value.al_nr_extents, extent_count);
}

} // namespace lockstep::format
