// One NBD client, sans I/O: bytes go in, requests go to the engine, bytes come out. The connection
// (nbd_connection.hpp) moves the bytes; a test or a fuzzer may do it as well.
//
// Nothing is allocated once the transmission has begun: requests live in a fixed set of slots, and
// payloads in the engine's pool of buffers. When either runs out the session takes no more bytes,
// and so slows its client down. Payloads lie in aligned buffers of their own: what arrives behind a
// header is copied from the staging area, the rest of it is received in place.
//
// A request longer than replica::max_io_bytes is worked off in parts, one after the other, in one
// buffer; replies to a long read are sent as its parts come.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernel/base/bytes.hpp"
#include "kernel/device/nbd_negotiation.hpp"
#include "kernel/device/volume_io.hpp"

namespace lockstep::device {

class nbd_session;

class nbd_session_owner {
public:
    virtual ~nbd_session_owner() = default;
    // There is something to send, or bytes can be taken again, or the session has become idle: it
    // wants a call of resume(), later, not from inside this call.
    virtual void wants_turn(nbd_session& session) = 0;
    // Bytes of the pool that one session may hold now; at least max_io_bytes.
    virtual std::size_t buffer_quota() const = 0;
};

class nbd_session {
public:
    static constexpr std::size_t staging_bytes = 128U << 10;
    static constexpr std::size_t slots_max = 128;

    nbd_session(nbd_exports& exports, replica::buffer_pool& buffers, nbd_session_owner& owner);
    // idle() must be true.
    ~nbd_session();
    nbd_session(const nbd_session&) = delete;
    nbd_session& operator=(const nbd_session&) = delete;

    // Where the next bytes go, in this order; both empty: none are taken now. They stay valid until
    // received() is called, whatever happens meanwhile.
    std::array<byte_span, 2> receive_targets();
    // The first `count` bytes of the targets have been filled.
    void received(std::size_t count);
    // Goes on with what waited for a slot or a buffer.
    void resume();

    struct segment {
        const std::byte* bytes;
        std::size_t size;
    };
    // What is to be sent, in order; returns how many of `segments` were filled. They stay valid
    // until sent(), which says that the first `count` bytes of them were taken.
    std::size_t gather(std::span<segment> segments);
    void sent(std::size_t count);

    // No more is received. The connection may be closed once there is nothing left to send and
    // nothing under way: finished().
    // The client is done, or broke the protocol: what is under way is finished and answered.
    bool closing() const { return closing_; }
    // The connection may be closed: closing and all said, or ended.
    bool finished() const { return ended_ || (closing_ && idle() && !has_output()); }
    bool has_output() const;
    // The connection is gone, or is to go: nothing more is received or sent. What the engine has
    // goes on until idle(). Memory of targets and segments stays until the session's end.
    void end();
    // The engine has no request of this session.
    bool idle() const { return in_engine_ == 0; }
    // The export that the client has chosen; none during negotiation and after end().
    nbd_export* chosen() const { return export_; }

private:
    struct slot : request {
        nbd::command command = nbd::command::disconnect;
        std::uint32_t left = 0;   // bytes behind the part under way
        std::uint32_t filled = 0; // bytes of a write's part that have arrived
        bool in_engine = false;
        bool headed = false; // the header of the reply is out
        bool ready = false;  // what follows the header can be sent
        std::array<std::byte, nbd::reply_bytes> header = {};
        slot* following = nullptr; // in the free list or the list of replies
    };
    struct parsed_request {
        std::uint16_t flags;
        nbd::command command;
        std::uint64_t cookie;
        std::uint64_t offset;
        std::uint32_t length;
    };

    void work();
    bool take_negotiation();
    bool take_request();
    void begin(const parsed_request& asked);
    bool get_buffer(slot& one);
    void got_buffer(slot& one);
    void fill();
    void skip_payload();
    void submit(slot& one);
    void next_part(slot& one);
    void ended(slot& one, int error);
    void reply(slot& one, nbd::failure verdict);
    void release(slot& one);
    void want_turn() { owner_->wants_turn(*this); }
    std::size_t staged() const { return staged_end_ - staged_begin_; }
    static void slot_finished(request& self, int error);
    static void buffer_ready(replica::buffer_pool::waiter& self);
    static std::size_t reply_size(const slot& one);

    replica::buffer_pool* buffers_;
    nbd_session_owner* owner_;
    std::unique_ptr<nbd_negotiation> negotiation_; // until the transmission begins
    nbd_export* export_ = nullptr;

    std::unique_ptr<std::byte[]> staging_;
    std::size_t staged_begin_ = 0;
    std::size_t staged_end_ = 0;
    std::size_t posted_in_place_ = 0; // size of the first of the targets given out
    bool sending_ = false;            // segments are given out

    std::unique_ptr<slot[]> slots_;
    slot* free_ = nullptr;
    slot* filling_ = nullptr; // a write whose payload is arriving
    slot* waiting_ = nullptr; // a request that waits for a buffer; nothing is parsed behind it
    slot* replies_first_ = nullptr;
    slot* replies_last_ = nullptr;
    std::uint32_t skip_ = 0;       // bytes of payload of a refused write that are still to come
    std::size_t control_sent_ = 0; // of the negotiation's output
    std::size_t reply_sent_ = 0;   // of the first reply
    std::size_t held_bytes_ = 0;   // of the pool
    std::uint32_t in_engine_ = 0;
    bool closing_ = false;
    bool ended_ = false;
    bool queued_ = false; // waiter_ waits in the pool
    replica::buffer_pool::waiter waiter_;
};

} // namespace lockstep::device
