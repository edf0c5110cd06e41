#include "kernel/replica/packet_queue.hpp"

#include <algorithm>

namespace lockstep::replica {

void outgoing_packet::reset() {
    head_size = 0;
    data = nullptr;
    data_size = 0;
    hold.reset();
    gone = nullptr;
    who = nullptr;
}

void packet_queue::push(outgoing_packet& packet) {
    LOCKSTEP_CHECK(packet.head_size > 0 && packet.head_size <= outgoing_packet::head_bytes_max);
    bytes_ += packet.size();
    queue_.push_back(packet);
}

std::size_t packet_queue::gather(std::span<output_segment> segments) const {
    std::size_t used = 0;
    std::size_t skip = offset_;
    const auto add = [&](const std::byte* bytes, std::size_t size) {
        const std::size_t skipped = std::min(skip, size);
        skip -= skipped;
        if (size > skipped && used < segments.size()) {
            segments[used++] = {bytes + skipped, size - skipped};
        }
    };
    for (outgoing_packet* packet = queue_.front(); packet != nullptr && used < segments.size();
         packet = queue_.after(*packet)) {
        add(packet->head.data(), packet->head_size);
        add(packet->data, packet->data_size);
    }
    return used;
}

std::size_t packet_queue::sent(std::size_t bytes) {
    LOCKSTEP_CHECK(bytes <= bytes_);
    bytes_ -= bytes;
    offset_ += bytes;
    std::size_t completed = 0;
    while (outgoing_packet* packet = queue_.front()) {
        if (offset_ < packet->size()) {
            break;
        }
        offset_ -= packet->size();
        queue_.remove(*packet);
        const auto gone = packet->gone;
        void* who = packet->who;
        pool_.give_back(*packet);
        ++completed;
        if (gone != nullptr) {
            gone(who, true);
        }
    }
    return completed;
}

void packet_queue::clear() {
    bytes_ = 0;
    offset_ = 0;
    while (outgoing_packet* packet = queue_.pop_front()) {
        const auto gone = packet->gone;
        void* who = packet->who;
        pool_.give_back(*packet);
        if (gone != nullptr) {
            gone(who, false);
        }
    }
}

} // namespace lockstep::replica
