// The border between the front ends and the engine. Front ends turn what a client asks into
// `request`s and hand them to a `volume_io`; the engine passes them to replica::resource::submit(),
// a test may answer them from memory. The end of each comes back through finish().
#pragma once

#include <cstdint>
#include <string>

#include "kernel/replica/buffer_pool.hpp"
#include "kernel/replica/io_request.hpp"

namespace lockstep::device {

using replica::volume_number;

// A request of a front end. Every replica::io_request that reaches a volume_io is one of these, so
// that the end finds its way back without a table.
struct request : replica::io_request {
    // error: 0 or an errno value. Called once; may submit this or other requests again.
    using function = void (*)(request& self, int error);

    function finished = nullptr;
    void* owner = nullptr;
};

// For whoever implements volume_io: what replica::ports::io_done() calls. Not from inside
// volume_io::submit().
inline void finish(replica::io_request& ended, int error) {
    auto& mine = static_cast<request&>(ended);
    mine.finished(mine, error);
}

// What clients of a volume see; constant from publication to withdrawal, but for the size.
struct volume_properties {
    volume_number volume = 0;
    std::uint32_t minor = 0;
    std::uint64_t size_bytes = 0;            // a multiple of the logical block
    std::uint32_t logical_block_bytes = 512; // 512 or 4096; offsets and sizes are multiples of it
    bool read_only = false;
    // Discards and write_zeroes are carried out without writing the zeros out. If not, clients are
    // told that there is no such operation, and write zeros themselves where they need them.
    bool can_discard = false;
};

class volume_io {
public:
    virtual ~volume_io() = default;

    // See replica::io_request for what must hold. Always ends, through finish(), later.
    virtual void submit(replica::io_request& asked) = 0;
};

} // namespace lockstep::device
