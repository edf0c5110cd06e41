// What an attach under way needs until it is done.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "kernel/replica/ports.hpp"
#include "kernel/replica/resource.hpp"
#include "kernel/state/attach_state.hpp"

namespace lockstep::replica {

struct attach_job {
    static constexpr std::size_t chunk_bytes = 1U << 20;

    struct released {
        void operator()(std::byte* memory) const noexcept;
    };

    attach_job();

    std::unique_ptr<std::byte, released> buffer; // chunk_bytes, aligned to 4096
    disk_request request;
    on_outcome done;
    std::vector<std::function<void()>> waiting; // commands for the disk, until this has ended
    state::attached judged;
    std::uint64_t bitmap_read = 0; // bytes
    std::uint64_t new_size = 0;    // sectors
    bool layout_changed = false;   // first use, or another size: log and bitmap are written whole
};

} // namespace lockstep::replica
