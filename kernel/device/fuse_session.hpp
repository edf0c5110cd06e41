// The FUSE file behind a loop device, sans I/O: messages of the kernel go in, requests go to the
// engine, replies come out. One file in one directory, as large as the volume, for direct I/O.
//
// The kernel's protocol (Linux 6.1 include/uapi/linux/fuse.h) is spoken directly. libfuse would
// receive each write into a buffer of its own, behind its header; here the header is received
// apart, and the payload lands in an aligned buffer of the pool, where the replica wants it.
//
// A read() of /dev/fuse must offer room for the longest message, whatever comes. What is offered
// is a buffer of the size that the last writes had, and a staging area behind it; a payload that
// reaches into the staging area is copied.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "kernel/base/bytes.hpp"
#include "kernel/device/volume_io.hpp"

struct fuse_in_header;

namespace lockstep::device {

class fuse_session_owner {
public:
    virtual ~fuse_session_owner() = default;
    // One message for the kernel: header and body, to be written as a whole. Errors are not the
    // session's: they mean that the kernel no longer wants the answer.
    virtual void send(const_byte_span header, const_byte_span body) = 0;
    // Messages can be taken again.
    virtual void wants_turn() = 0;
    // The last file handle has been closed: the loop device no longer uses the file.
    virtual void released() = 0;
};

class fuse_session {
public:
    // Header and arguments of a write, in front of its payload.
    static constexpr std::size_t header_bytes = 80;
    static constexpr std::size_t requests_max = 160;
    // What goes into the kernel's max_background.
    static constexpr std::uint16_t background_max = 128;

    fuse_session(std::string file_name, const volume_properties& properties, volume_io& engine,
                 replica::buffer_pool& buffers, fuse_session_owner& owner);
    // idle() must be true.
    ~fuse_session();
    fuse_session(const fuse_session&) = delete;
    fuse_session& operator=(const fuse_session&) = delete;

    // Where the next message goes: header_bytes for the header, then payload. All empty: no
    // message can be taken now; wants_turn() tells when.
    std::array<byte_span, 3> receive_targets();
    // A message of `size` bytes has been put there.
    void received(std::size_t size);

    void grow(std::uint64_t size_bytes) { properties_.size_bytes = size_bytes; }
    // No reply is sent any more. What the engine has goes on until idle().
    void end();
    bool idle() const { return in_engine_ == 0; }
    std::uint32_t in_engine() const { return in_engine_; }
    // The kernel's handles of the file.
    unsigned handles() const { return handles_; }

private:
    struct slot : request {
        std::uint64_t unique = 0; // the kernel's name for the message
        std::uint64_t left = 0;   // bytes of a fallocate behind the part under way
        slot* following = nullptr;
    };

    void dispatch(const fuse_in_header& header, std::size_t size);
    void initialize(const fuse_in_header& header, std::size_t size);
    void look_up(const fuse_in_header& header, std::size_t size);
    void get_attributes(const fuse_in_header& header);
    void open(const fuse_in_header& header);
    void release_handle(const fuse_in_header& header);
    void tell_space(const fuse_in_header& header);
    void read(const fuse_in_header& header, std::size_t size);
    void write(const fuse_in_header& header, std::size_t size);
    void flush(const fuse_in_header& header);
    void allocate_range(const fuse_in_header& header, std::size_t size);

    bool names_our_file(std::size_t size) const;
    bool begin_data();
    bool place_payload(slot& one);
    bool room_for_data();
    bool wait_for(std::uint32_t size);
    bool is_file(const fuse_in_header& header) const;
    slot& take_slot(const fuse_in_header& header);
    void submit(slot& one);
    void next_part(slot& one);
    void ended(slot& one, int error);
    void release(slot& one);
    void reply(std::uint64_t unique, int error, const_byte_span body = {});
    template <class Argument>
    bool argument(Argument& into, std::size_t size) const;
    static void slot_finished(request& self, int error);
    static void buffer_ready(replica::buffer_pool::waiter& self);

    std::string file_name_;
    volume_properties properties_;
    volume_io* engine_;
    replica::buffer_pool* buffers_;
    fuse_session_owner* owner_;

    alignas(8) std::array<std::byte, header_bytes> header_ = {};
    replica::buffer_ref spare_;            // takes the next write's payload
    std::uint32_t spare_wanted_ = 4096;    // how large it should be
    std::unique_ptr<std::byte[]> staging_; // takes what does not fit into it
    std::unique_ptr<slot[]> slots_;
    slot* free_ = nullptr;
    slot* waiting_ = nullptr; // a request that waits for a buffer; no message is taken meanwhile
    std::uint32_t in_engine_ = 0;
    unsigned handles_ = 0;
    bool initialized_ = false;
    bool stalled_ = false; // receive_targets() had none to give
    bool ended_ = false;
    bool queued_ = false; // waiter_ waits in the pool
    replica::buffer_pool::waiter waiter_;
};

} // namespace lockstep::device
