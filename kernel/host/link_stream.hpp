// One established connection: carries what the replica has to send, and brings it what arrives.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <vector>

#include "kernel/base/bytes.hpp"
#include "kernel/base/owned_fd.hpp"
#include "kernel/host/event_loop.hpp"
#include "kernel/replica/resource.hpp"

namespace lockstep::host {

// Whoever is at this end of the link: replica::resource (see there), or a test. May close the link
// from inside any of these, and open another.
class link_user {
public:
    virtual ~link_user() = default;
    virtual void link_established(bool resolve_conflicts) = 0;
    virtual void link_lost(replica::channel which, int error) = 0;
    virtual std::size_t receive(replica::channel which, const_byte_span bytes) = 0;
    virtual byte_span receive_target(replica::channel which) = 0;
    virtual void received_in_place(replica::channel which, std::size_t count) = 0;
    virtual std::size_t gather(replica::channel which,
                               std::span<replica::output_segment> segments) = 0;
    virtual void sent(replica::channel which, std::size_t bytes) = 0;
};

// Receiving: what comes is read into a buffer here and offered; when all of it was taken and the
// replica says where the next bytes belong, they are read straight there, by a system call that
// does not wait, so that the kernel never holds on to the replica's memory.
class link_stream {
public:
    static constexpr std::size_t staging_bytes = std::size_t{64} * 1024;
    static constexpr std::size_t segments_max = 64;

    link_stream(event_loop& loop, link_user& user, replica::channel which);
    ~link_stream();
    link_stream(const link_stream&) = delete;
    link_stream& operator=(const link_stream&) = delete;

    // cork: a burst that takes several system calls leaves in full segments.
    void start(owned_fd socket, bool cork);
    void want_send();
    void want_receive();
    // Nothing is delivered afterwards, and no memory of the user touched. What the kernel has
    // already taken is still sent.
    void stop();
    // Nothing is pending any more: it may be destroyed.
    bool ended() const { return !receiving_.pending && !sending_.pending; }

private:
    struct operation : completion {
        operation(link_stream& of_, completion::function called) : completion(called), of(of_) {}
        link_stream& of;
    };
    struct later : deferred {
        later(link_stream& of_, deferred::function called) : deferred(called), of(of_) {}
        link_stream& of;
    };

    static void received(completion& self, int result, unsigned flags);
    static void sent(completion& self, int result, unsigned flags);
    static void send_deferred(deferred& self);
    static void offer_deferred(deferred& self);

    void send_now();
    void came(int result);
    void offer();
    // True as long as there is more to do.
    bool read_in_place();
    void wait_for_bytes();
    void lost(int error);
    void close_when_ended();

    event_loop& loop_;
    link_user& user_;
    replica::channel which_;
    owned_fd socket_;
    bool running_ = false;
    bool lost_ = false; // and told
    bool cork_ = true;

    operation receiving_{*this, received};
    std::vector<std::byte> staging_;
    std::size_t begin_ = 0; // bytes that were not taken yet
    std::size_t end_ = 0;
    bool polling_ = false; // the operation is a poll, not a read
    bool stalled_ = false; // until want_receive()

    operation sending_{*this, sent};
    later send_later_{*this, send_deferred};
    later offer_later_{*this, offer_deferred};
    std::array<replica::output_segment, segments_max> segments_;
    std::array<iovec, segments_max> parts_;
    msghdr header_ = {};
};

} // namespace lockstep::host
