#include "kernel/replica/activity_log.hpp"

#include <algorithm>
#include <bit>

namespace lockstep::replica {

std::uint32_t activity_log::slots_for(std::uint32_t al_extents, format::al_striping ring) {
    LOCKSTEP_CHECK(ring.total_blocks() >= format::al_blocks_min);
    const std::uint64_t held = (ring.total_blocks() - 1) * format::al_context_max;
    const std::uint64_t most = std::min<std::uint64_t>(held, format::al_slots_max);
    return static_cast<std::uint32_t>(
        std::clamp<std::uint64_t>(al_extents, format::al_slots_min, most));
}

activity_log::activity_log(std::uint32_t slots, format::al_striping ring,
                           std::uint32_t first_transaction)
    : slots_(slots), committed_extents_(slots, format::al_free),
      buckets_(std::bit_ceil(slots) * std::size_t{2}, nil), ring_(ring),
      next_transaction_(first_transaction) {
    LOCKSTEP_CHECK(slots == slots_for(slots, ring));
    for (index at = 0; at < slots; ++at) {
        push_back(free_, at);
    }
}

std::uint32_t activity_log::bucket_of(std::uint32_t extent) const {
    // Fibonacci hashing: writes in large strides, which share their low bits, spread as well.
    const std::uint32_t mixed = extent * 2654435769U;
    return mixed >> (32 - std::countr_zero(buckets_.size()));
}

activity_log::index activity_log::find(std::uint32_t extent) const {
    index at = buckets_[bucket_of(extent)];
    while (at != nil && slots_[at].extent != extent) {
        at = slots_[at].hash_next;
    }
    return at;
}

void activity_log::hash_insert(index at) {
    index& head = buckets_[bucket_of(slots_[at].extent)];
    slots_[at].hash_next = head;
    head = at;
}

void activity_log::hash_remove(index at) {
    index* link = &buckets_[bucket_of(slots_[at].extent)];
    while (*link != at) {
        LOCKSTEP_CHECK(*link != nil);
        link = &slots_[*link].hash_next;
    }
    *link = slots_[at].hash_next;
}

void activity_log::push_back(list& to, index at) {
    slots_[at].previous = to.tail;
    slots_[at].next = nil;
    (to.tail == nil ? to.head : slots_[to.tail].next) = at;
    to.tail = at;
    ++to.count;
}

void activity_log::remove(list& from, index at) {
    const slot& it = slots_[at];
    (it.previous == nil ? from.head : slots_[it.previous].next) = it.next;
    (it.next == nil ? from.tail : slots_[it.next].previous) = it.previous;
    --from.count;
}

void activity_log::refer(index at) {
    slot& it = slots_[at];
    if (it.references++ != 0) {
        return;
    }
    ++used_;
    if (it.state == slot_state::idle) {
        remove(idle_, at);
        it.state = slot_state::used;
    }
}

bool activity_log::release(index at) {
    slot& it = slots_[at];
    LOCKSTEP_CHECK(it.references > 0);
    if (--it.references != 0) {
        return false;
    }
    --used_;
    if (it.state == slot_state::used) {
        it.state = slot_state::idle;
        push_back(idle_, at);
    }
    return true;
}

std::uint64_t activity_log::ticket_for_change() {
    if (open_changes_ == format::al_updates_max) {
        ++open_ticket_;
        open_changes_ = 0;
    }
    ++open_changes_;
    return open_ticket_;
}

void activity_log::assign(std::uint32_t extent) {
    list& source = free_.count != 0 ? free_ : idle_;
    const index at = source.head;
    LOCKSTEP_CHECK(at != nil);
    remove(source, at);
    slot& it = slots_[at];
    if (it.state == slot_state::idle) {
        hash_remove(at);
    }
    it.extent = extent;
    it.state = slot_state::pending;
    it.ticket = ticket_for_change();
    hash_insert(at);
    push_back(pending_, at);
    refer(at);
}

activity_log::begun activity_log::begin(std::uint32_t first, std::uint32_t last) {
    LOCKSTEP_CHECK(first <= last && last - first < range_max && last != format::al_free);
    // Those that are in the log are held first, so that they are not evicted for their neighbours.
    std::uint32_t missing = 0;
    for (std::uint32_t extent = first; extent <= last; ++extent) {
        const index at = find(extent);
        if (at == nil) {
            ++missing;
        } else {
            refer(at);
        }
    }
    const bool fits = missing <= free_.count + idle_.count;
    begun answer{fits ? grant::active : grant::full, 0};
    for (std::uint32_t extent = first; extent <= last; ++extent) {
        const index at = find(extent);
        if (at == nil && fits) {
            assign(extent);
        } else if (at != nil && !fits) {
            release(at);
        }
    }
    if (!fits) {
        return answer;
    }
    for (std::uint32_t extent = first; extent <= last; ++extent) {
        const slot& it = slots_[find(extent)];
        if (it.state != slot_state::used) {
            answer.grant = grant::wait_transaction;
            answer.ticket = std::max(answer.ticket, it.ticket);
        }
    }
    return answer;
}

bool activity_log::end(std::uint32_t first, std::uint32_t last) {
    LOCKSTEP_CHECK(first <= last && last - first < range_max);
    bool some_free = false;
    for (std::uint32_t extent = first; extent <= last; ++extent) {
        const index at = find(extent);
        LOCKSTEP_CHECK(at != nil);
        some_free = release(at) || some_free;
    }
    return some_free;
}

bool activity_log::transaction_needed() const {
    return !under_way_ && pending_.count != 0;
}

activity_log::transaction activity_log::prepare_transaction(byte_span block) {
    LOCKSTEP_CHECK(transaction_needed());
    under_way_ticket_ = slots_[pending_.head].ticket;
    if (under_way_ticket_ == open_ticket_) {
        ++open_ticket_;
        open_changes_ = 0;
    }
    std::uint32_t changes = 0;
    std::uint32_t evictions = 0;
    while (pending_.count != 0 && slots_[pending_.head].ticket == under_way_ticket_) {
        const index at = pending_.head;
        remove(pending_, at);
        push_back(sent_, at);
        slots_[at].state = slot_state::sent;
        updates_[changes++] = {static_cast<std::uint16_t>(at), slots_[at].extent};
        if (committed_extents_[at] != format::al_free) {
            evicted_[evictions++] = committed_extents_[at];
        }
    }
    return build(block, changes, evictions);
}

activity_log::transaction activity_log::prepare_empty_transaction(byte_span block) {
    LOCKSTEP_CHECK(!under_way_);
    under_way_ticket_ = 0;
    return build(block, 0, 0);
}

activity_log::transaction activity_log::build(byte_span block, std::uint32_t changes,
                                              std::uint32_t evictions) {
    under_way_ = true;
    const std::uint32_t context =
        std::min<std::uint32_t>(format::al_context_max, slots() - context_first_);
    format::al_transaction content;
    content.number = next_transaction_;
    content.slots = static_cast<std::uint16_t>(slots());
    content.context_first = context_first_;
    content.updates = std::span(updates_).first(changes);
    content.context = std::span(committed_extents_).subspan(context_first_, context);
    format::encode_al_update(content, block);
    return {next_transaction_, format::al_block_of(next_transaction_, ring_),
            std::span(evicted_).first(evictions)};
}

void activity_log::commit_transaction() {
    LOCKSTEP_CHECK(under_way_);
    under_way_ = false;
    context_first_ = format::al_next_context(context_first_, static_cast<std::uint16_t>(slots()));
    ++next_transaction_;
    while (sent_.count != 0) {
        const index at = sent_.head;
        remove(sent_, at);
        slot& it = slots_[at];
        committed_extents_[at] = it.extent;
        it.state = it.references != 0 ? slot_state::used : slot_state::idle;
        if (it.state == slot_state::idle) {
            push_back(idle_, at);
        }
    }
    if (under_way_ticket_ != 0) {
        committed_ = under_way_ticket_;
    }
}

bool activity_log::is_active(std::uint32_t extent) const {
    const index at = find(extent);
    return at != nil &&
           (slots_[at].state == slot_state::used || slots_[at].state == slot_state::idle);
}

std::uint32_t activity_log::references(std::uint32_t extent) const {
    const index at = find(extent);
    return at == nil ? 0 : slots_[at].references;
}

} // namespace lockstep::replica
