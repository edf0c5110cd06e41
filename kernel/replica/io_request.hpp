// What a front end asks of a volume.
#pragma once

#include <cstdint>

#include "kernel/replica/buffer_pool.hpp"
#include "kernel/replica/ports.hpp"

namespace lockstep::replica {

// Owned by the front end, which keeps it unmoved from resource::submit() until ports::io_done()
// reports the end, exactly once. Offset and size are multiples of the volume's logical block;
// size is at most max_io_bytes for operations with data, any size for discard and write_zeroes,
// 0 for flush. The memory of a write is not changed, that of a read not looked at, until the end.
struct io_request {
    enum class operation : std::uint8_t { read, write, flush, discard, write_zeroes };

    operation op = operation::read;
    bool fua = false;
    bool may_unmap = true; // write_zeroes may deallocate
    volume_number volume = 0;
    std::uint64_t offset = 0; // bytes
    std::uint32_t size = 0;   // bytes
    // At least `size` bytes, aligned to 4096; empty where there is no data. The replica puts
    // another one of the same size in its place if a disk that was given up may still write into
    // it.
    buffer_ref buffer;

    // The replica's: parts still under way, and the first error.
    std::uint32_t parts_pending = 0;
    int first_error = 0;
    io_request* next = nullptr;
};

constexpr std::uint32_t max_io_bytes = 1U << 20;

} // namespace lockstep::replica
