#include "kernel/replica/resync_extents.hpp"

#include <algorithm>

namespace lockstep::replica {

resync_extents::resync_extents(std::size_t capacity) : capacity_(capacity) {
    LOCKSTEP_CHECK(capacity > 0);
    entries_.reserve(capacity);
}

const resync_extents::entry* resync_extents::find(std::uint32_t extent) const {
    const auto at = std::find_if(entries_.begin(), entries_.end(),
                                 [extent](const entry& item) { return item.extent == extent; });
    return at == entries_.end() ? nullptr : &*at;
}

resync_extents::entry* resync_extents::find(std::uint32_t extent) {
    const auto at = std::find_if(entries_.begin(), entries_.end(),
                                 [extent](const entry& item) { return item.extent == extent; });
    return at == entries_.end() ? nullptr : &*at;
}

void resync_extents::drop_if_idle(entry& item) {
    if (item.in_flight == 0 && !item.resync_waits) {
        item = entries_.back();
        entries_.pop_back();
    }
}

bool resync_extents::application_in(std::uint32_t extent, const activity_log* log) {
    if (log == nullptr) {
        return false;
    }
    const std::uint32_t first = extent * al_extents_per_extent;
    for (std::uint32_t at = first; at < first + al_extents_per_extent; ++at) {
        if (log->references(at) != 0) {
            return true;
        }
    }
    return false;
}

bool resync_extents::begin_resync(std::uint32_t extent, const activity_log* log) {
    entry* item = find(extent);
    if (item == nullptr) {
        if (entries_.size() == capacity_) {
            return false;
        }
        item = &entries_.emplace_back();
        item->extent = extent;
    }
    if (item->in_flight > 0) {
        if (item->application_waits) {
            item->resync_waits = true;
            return false;
        }
    } else if (application_in(extent, log)) {
        item->resync_waits = true;
        item->application_turn = false;
        return false;
    }
    item->resync_waits = false;
    item->application_turn = false;
    ++item->in_flight;
    return true;
}

bool resync_extents::end_resync(std::uint32_t extent) {
    entry* const item = find(extent);
    LOCKSTEP_CHECK(item != nullptr && item->in_flight > 0);
    if (--item->in_flight > 0) {
        return false;
    }
    const bool somebody_waits = item->application_waits || item->resync_waits;
    item->application_turn = item->application_waits;
    item->application_waits = false;
    drop_if_idle(*item);
    // Those who found all entries taken have left no note.
    return somebody_waits || entries_.size() + 1 == capacity_;
}

bool resync_extents::cancel(entry& item) {
    const bool opens = item.in_flight == 0 && item.application_waits;
    item.resync_waits = false;
    drop_if_idle(item);
    return opens;
}

bool resync_extents::cancel_resync(std::uint32_t extent) {
    entry* const item = find(extent);
    return item != nullptr && cancel(*item);
}

bool resync_extents::cancel_all() {
    bool opens = false;
    for (std::size_t at = entries_.size(); at > 0; --at) {
        opens = cancel(entries_[at - 1]) || opens;
    }
    return opens;
}

bool resync_extents::application_may_begin(std::uint32_t first, std::uint32_t last) {
    if (entries_.empty()) {
        return true;
    }
    bool may = true;
    for (std::uint32_t extent = first / al_extents_per_extent;
         extent <= last / al_extents_per_extent; ++extent) {
        entry* const item = find(extent);
        if (item == nullptr) {
            continue;
        }
        if (item->in_flight > 0 || !item->application_turn) {
            item->application_waits = true;
            may = false;
        }
    }
    return may;
}

bool resync_extents::held(std::uint32_t extent) const {
    const entry* const item = find(extent);
    return item != nullptr && item->in_flight > 0;
}

bool resync_extents::application_waits(std::uint32_t extent) const {
    const entry* const item = find(extent);
    return item != nullptr && item->application_waits;
}

std::size_t resync_extents::extents_held() const {
    return static_cast<std::size_t>(std::count_if(
        entries_.begin(), entries_.end(), [](const entry& item) { return item.in_flight > 0; }));
}

} // namespace lockstep::replica
