// An open backing device, and the replica's disk_requests carried out on it.
//
//   read, write    direct I/O; short transfers are continued
//   fua            RWF_DSYNC
//   flush          fdatasync
//   discard        punches a hole: afterwards the range reads as zeros, so that both nodes agree
//   write_zeroes   punches a hole if it may unmap, else zeroes the range
//   The last two write zeros, piece by piece, where the device can do neither.
#pragma once

#include <cerrno>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "kernel/base/owned_fd.hpp"
#include "kernel/host/event_loop.hpp"
#include "kernel/replica/ports.hpp"

namespace lockstep::host {

// What the keeper's open-disk operation answers.
struct disk_facts {
    std::uint64_t size_bytes = 0;
    std::uint32_t logical_block_bytes = 512;
    bool can_discard = false;
    std::string identity; // the same for all names of one disk
};

class backing_disk;

// Requests in a line, linked by their `next`.
struct request_line {
    replica::disk_request* first = nullptr;
    replica::disk_request* last = nullptr;

    void push(replica::disk_request& request);
    replica::disk_request* pop();
};

// The operations under way on all disks of an engine: a fixed number, made at the start. Requests
// beyond it wait in line.
class disk_queue {
public:
    using on_done = std::function<void(replica::disk_request& request, int error)>;

    // done: called from the loop, once for each request.
    disk_queue(event_loop& loop, std::size_t operations, on_done done);
    ~disk_queue();
    disk_queue(const disk_queue&) = delete;
    disk_queue& operator=(const disk_queue&) = delete;

    void submit(replica::disk_request& request, backing_disk& on);
    // End a request from the loop without a disk: with ENODEV, with EIO.
    void refuse(replica::disk_request& request) { refuse(request, missing_); }
    void fail(replica::disk_request& request) { refuse(request, failed_); }
    std::size_t under_way() const { return under_way_; }

private:
    struct operation;
    struct refusal : deferred {
        refusal(disk_queue& of_, int error_) : deferred(refusals_due), of(of_), error(error_) {}
        disk_queue& of;
        int error;
        request_line line;
    };
    void refuse(replica::disk_request& request, refusal& how);
    static void operation_ended(completion& self, int result, unsigned flags);
    static void refusals_due(deferred& self);
    void begin(operation& one, replica::disk_request& request, backing_disk& on);
    void begin_waiting();
    void step(operation& one);
    void advance(operation& one, int result);
    void end(operation& one, int error);
    bool fall_back(operation& one, int error);
    void write_zeros(operation& one);

    event_loop& loop_;
    on_done done_;
    std::vector<std::unique_ptr<operation>> operations_;
    operation* free_ = nullptr;
    std::size_t under_way_ = 0;
    // Disks whose requests wait for a free operation, in turn.
    backing_disk* waiting_first_ = nullptr;
    backing_disk* waiting_last_ = nullptr;
    refusal missing_{*this, ENODEV};
    refusal failed_{*this, EIO};
    std::byte* zeros_ = nullptr;
};

// Its owner keeps it until `closed` was called, which is when the last request has ended, however
// late; and not from inside that call destroys it.
class backing_disk {
public:
    using on_closed = std::function<void(owned_fd)>;

    backing_disk(owned_fd fd, disk_facts facts) : fd_(std::move(fd)), facts_(std::move(facts)) {}

    const disk_facts& facts() const { return facts_; }
    // The size of the device as it is now.
    std::uint64_t measure_bytes();
    // How long nothing has come back of what is under way; 0 if nothing is.
    instant silent_for(instant now) const { return under_way_ == 0 ? 0 : now - heard_; }
    // No more requests. `closed` gets the descriptor, from inside this call if nothing is under
    // way.
    void close(on_closed closed);

private:
    friend class disk_queue;
    void ended_one(instant now);

    request_line waiting_; // for a free operation
    backing_disk* next_waiting_ = nullptr;
    owned_fd fd_;
    disk_facts facts_;
    std::size_t under_way_ = 0; // those that wait included
    instant heard_ = 0;         // of one that ended, or the first one after none
    on_closed closed_;
    // What the device has been found unable to do.
    bool no_dsync_ = false;
    bool no_punch_ = false;
    bool no_zero_range_ = false;
};

} // namespace lockstep::host
