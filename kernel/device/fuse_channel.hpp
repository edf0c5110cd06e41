// A fuse_session on its descriptor of /dev/fuse.
//
// The loop is asked when there are messages, and they are then read and answered by plain system
// calls that do not block: on kernels before 6.7 io_uring would hand reads of this device to
// worker threads.
#pragma once

#include "kernel/base/owned_fd.hpp"
#include "kernel/device/fuse_session.hpp"
#include "kernel/host/event_loop.hpp"

namespace lockstep::device {

class fuse_channel;

class fuse_channel_owner {
public:
    virtual ~fuse_channel_owner() = default;
    // The loop device has let go of the file, or the kernel has ended the connection.
    virtual void channel_released(fuse_channel& channel) = 0;
    // close() is complete, and the engine has nothing of it any more; it may be destroyed, later.
    virtual void channel_closed(fuse_channel& channel) = 0;
};

class fuse_channel : private fuse_session_owner {
public:
    fuse_channel(host::event_loop& loop, owned_fd fuse, std::string file_name,
                 const volume_properties& properties, volume_io& engine,
                 replica::buffer_pool& buffers, fuse_channel_owner& owner);
    // Only once channel_closed() was called, or the loop has ended.
    ~fuse_channel() override;
    fuse_channel(const fuse_channel&) = delete;
    fuse_channel& operator=(const fuse_channel&) = delete;

    void grow(std::uint64_t size_bytes) { session_.grow(size_bytes); }
    // Ends the connection: whoever still waits for an answer gets an I/O error as soon as the
    // descriptor is closed, in the next turn of the loop.
    void close();
    std::uint32_t pending() const { return session_.in_engine(); }

private:
    struct operation : host::completion {
        fuse_channel* channel = nullptr;
    };
    struct turn : host::deferred {
        fuse_channel* channel = nullptr;
    };

    void send(const_byte_span header, const_byte_span body) override;
    void wants_turn() override;
    void released() override;
    void take_turn();
    bool read_message();

    host::event_loop& loop_;
    owned_fd fuse_;
    fuse_channel_owner* owner_;
    fuse_session session_;
    operation poll_;
    turn turn_;
    bool readable_ = true;
    bool closing_ = false;
    bool closed_ = false;
};

} // namespace lockstep::device
