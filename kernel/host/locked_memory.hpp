// Memory that is there for good: mapped, touched and locked before the first request.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "kernel/base/bytes.hpp"
#include "kernel/base/error.hpp"

namespace lockstep::host {

class memory_arena {
public:
    // A multiple of 4096 bytes, aligned to 2 MiB. Every page is touched.
    static result<memory_arena> create(std::size_t bytes);
    memory_arena(memory_arena&& other) noexcept;
    memory_arena& operator=(memory_arena&& other) noexcept;
    ~memory_arena();

    byte_span bytes() const { return {memory_, size_}; }

private:
    memory_arena(std::byte* memory, std::size_t size) : memory_(memory), size_(size) {}

    std::byte* memory_ = nullptr;
    std::size_t size_ = 0;
};

// What a process on the write-out path of the kernel needs, so that it can never wait for memory
// that only it could free: all memory locked, allocations that do not wait for I/O, not chosen by
// the OOM killer. Each is left out where it is not permitted; the sentences returned say which.
std::vector<std::string> protect_process();

} // namespace lockstep::host
