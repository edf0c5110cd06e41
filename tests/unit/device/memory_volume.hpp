// A volume in memory, for tests of front ends: requests wait until run() carries them out, writes
// are volatile until a flush, and errors can be ordered.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <deque>
#include <vector>

#include "kernel/device/volume_io.hpp"

namespace lockstep::device {

class memory_volume : public volume_io {
public:
    using operation = replica::io_request::operation;

    struct seen {
        operation op;
        std::uint64_t offset;
        std::uint32_t size;
        bool fua;
        bool may_unmap;
    };

    explicit memory_volume(std::size_t size) : bytes(size), durable(size) {}

    void submit(replica::io_request& asked) override {
        log.push_back({asked.op, asked.offset, asked.size, asked.fua, asked.may_unmap});
        const bool data = asked.op == operation::read || asked.op == operation::write;
        aligned =
            aligned && (!data || reinterpret_cast<std::uintptr_t>(asked.buffer.data()) % 4096 == 0);
        fitting =
            fitting &&
            (!data || (asked.size <= replica::max_io_bytes && asked.buffer.size() >= asked.size));
        waiting.push_back(&asked);
    }

    // Ends the request at this place in the queue.
    void run_one(std::size_t index = 0) {
        replica::io_request& one = *waiting.at(index);
        waiting.erase(waiting.begin() + static_cast<long>(index));
        finish(one, carry_out(one));
    }
    void run() {
        while (!waiting.empty()) {
            run_one();
        }
    }

    std::vector<std::byte> bytes;
    std::vector<std::byte> durable; // what a power cut would leave
    std::deque<replica::io_request*> waiting;
    std::vector<seen> log;
    int fail_next = 0;   // errno for the next request that is carried out
    bool aligned = true; // all data buffers were
    bool fitting = true; // all sizes and buffers were as replica::io_request wants them

private:
    int carry_out(replica::io_request& one) {
        if (fail_next != 0) {
            return std::exchange(fail_next, 0);
        }
        if (one.op == operation::flush) {
            durable = bytes;
            return 0;
        }
        if (one.offset > bytes.size() || one.size > bytes.size() - one.offset) {
            return EIO;
        }
        std::byte* const place = bytes.data() + one.offset;
        if (one.op == operation::read) {
            std::memcpy(one.buffer.data(), place, one.size);
            return 0;
        }
        if (one.op == operation::write) {
            std::memcpy(place, one.buffer.data(), one.size);
        } else {
            std::memset(place, 0, one.size);
        }
        if (one.fua) {
            std::memcpy(durable.data() + one.offset, place, one.size);
        }
        return 0;
    }
};

} // namespace lockstep::device
