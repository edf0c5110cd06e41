// What waits to be sent on one channel: packets in order, payloads by reference. The host fetches
// segments and says how much the socket took.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "kernel/replica/buffer_pool.hpp"
#include "kernel/replica/intrusive_list.hpp"
#include "kernel/replica/object_pool.hpp"
#include "kernel/replica/resource.hpp"
#include "kernel/wire/payloads.hpp"

namespace lockstep::replica {

struct in_output {};

struct outgoing_packet : list_hook<in_output> {
    // Header, fixed part, digest: enough for all packets of the data path. There are thousands of
    // these; what is longer lies in a buffer.
    static constexpr std::size_t head_bytes_max = 112;

    std::array<std::byte, head_bytes_max> head;
    std::uint32_t head_size = 0;
    const std::byte* data = nullptr;
    std::uint32_t data_size = 0;
    buffer_ref hold; // keeps `data` alive
    // Called when the socket has taken the last byte, or (sent false) when the link is gone.
    void (*gone)(void* who, bool sent) = nullptr;
    void* who = nullptr;

    std::size_t size() const { return head_size + std::size_t{data_size}; }
    void reset();
};

class packet_queue {
public:
    explicit packet_queue(std::size_t packets) : pool_(packets) {}

    // Takes a packet to fill, or null when there are too many: then the peer takes nothing, and
    // whoever wanted to send waits for room().
    outgoing_packet* take() { return pool_.take(); }
    void push(outgoing_packet& packet);

    bool empty() const { return queue_.empty(); }
    bool room(std::size_t packets = 1) const { return pool_.available() >= packets; }
    std::size_t bytes() const { return bytes_; }
    std::size_t packets() const { return queue_.size(); }

    std::size_t gather(std::span<output_segment> segments) const;
    // Returns how many packets were completed.
    std::size_t sent(std::size_t bytes);
    // Drops everything; `gone` hooks are called with sent = false.
    void clear();

private:
    object_pool<outgoing_packet> pool_;
    intrusive_list<outgoing_packet, in_output> queue_;
    std::size_t offset_ = 0; // bytes of the first packet that are sent
    std::size_t bytes_ = 0;
};

} // namespace lockstep::replica
