#include "kernel/host/backing_disk.hpp"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "kernel/base/check.hpp"

namespace lockstep::host {

using replica::disk_request;
using operation_kind = replica::disk_request::operation;

namespace {

// Zeros are written in pieces of this size where the device cannot be told to zero a range.
constexpr std::uint32_t zeros_bytes = 256 * 1024;

bool unsupported(int error) {
    return error == EOPNOTSUPP || error == ENOSYS || error == EINVAL || error == ENODEV;
}

} // namespace

struct disk_queue::operation : completion {
    explicit operation(disk_queue& of_) : completion(operation_ended), of(of_) {}

    // What the kernel was asked for last.
    enum class doing : std::uint8_t { transfer, punch, zero_range, write_zeros, sync };

    disk_queue& of;
    operation* next = nullptr;
    disk_request* request = nullptr;
    backing_disk* disk = nullptr;
    std::uint32_t position = 0; // bytes of the request that are done
    doing now = doing::transfer;
};

// --- lines of requests ---

void request_line::push(disk_request& request) {
    request.next = nullptr;
    (last != nullptr ? last->next : first) = &request;
    last = &request;
}

disk_request* request_line::pop() {
    disk_request* const taken = first;
    if (taken != nullptr) {
        first = taken->next;
        last = first == nullptr ? nullptr : last;
        taken->next = nullptr;
    }
    return taken;
}

// --- the queue ---

disk_queue::disk_queue(event_loop& loop, std::size_t operations, on_done done)
    : loop_(loop), done_(std::move(done)) {
    for (std::size_t i = 0; i < operations; ++i) {
        operations_.push_back(std::make_unique<operation>(*this));
        operations_.back()->next = free_;
        free_ = operations_.back().get();
    }
    void* const zeros =
        ::mmap(nullptr, zeros_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    LOCKSTEP_CHECK(zeros != MAP_FAILED);
    zeros_ = static_cast<std::byte*>(zeros);
}

disk_queue::~disk_queue() {
    LOCKSTEP_CHECK(under_way_ == 0);
    loop_.remove(missing_);
    loop_.remove(failed_);
    ::munmap(zeros_, zeros_bytes);
}

void disk_queue::submit(disk_request& request, backing_disk& on) {
    if (on.under_way_++ == 0) {
        on.heard_ = loop_.now();
    }
    ++under_way_;
    if (free_ == nullptr) {
        if (on.waiting_.first == nullptr) {
            on.next_waiting_ = nullptr;
            (waiting_last_ != nullptr ? waiting_last_->next_waiting_ : waiting_first_) = &on;
            waiting_last_ = &on;
        }
        on.waiting_.push(request);
        return;
    }
    operation& one = *free_;
    free_ = one.next;
    begin(one, request, on);
}

void disk_queue::refuse(disk_request& request, refusal& how) {
    how.line.push(request);
    loop_.defer(how);
}

void disk_queue::refusals_due(deferred& self) {
    auto& how = static_cast<refusal&>(self);
    request_line due = std::exchange(how.line, {});
    while (disk_request* const one = due.pop()) {
        how.of.done_(*one, how.error);
    }
}

void disk_queue::begin(operation& one, disk_request& request, backing_disk& on) {
    one.request = &request;
    one.disk = &on;
    one.position = 0;
    switch (request.op) {
    case operation_kind::read:
    case operation_kind::write:
        one.now = operation::doing::transfer;
        break;
    case operation_kind::flush:
        one.now = operation::doing::sync;
        break;
    case operation_kind::discard:
        one.now = operation::doing::punch;
        break;
    case operation_kind::write_zeroes:
        one.now = request.may_unmap ? operation::doing::punch : operation::doing::zero_range;
        break;
    }
    step(one);
}

// One of those that wait for a free operation; the disks take turns.
void disk_queue::begin_waiting() {
    while (free_ != nullptr && waiting_first_ != nullptr) {
        backing_disk& disk = *waiting_first_;
        waiting_first_ = disk.next_waiting_;
        waiting_last_ = waiting_first_ == nullptr ? nullptr : waiting_last_;
        disk_request* const request = disk.waiting_.pop();
        if (disk.waiting_.first != nullptr) {
            disk.next_waiting_ = nullptr;
            (waiting_last_ != nullptr ? waiting_last_->next_waiting_ : waiting_first_) = &disk;
            waiting_last_ = &disk;
        }
        operation& one = *free_;
        free_ = one.next;
        begin(one, *request, disk);
    }
}

// Asks the kernel for what comes next.
void disk_queue::step(operation& one) {
    using doing = operation::doing;
    const disk_request& request = *one.request;
    const int fd = one.disk->fd_.get();
    const std::uint64_t offset = request.offset + one.position;
    const std::uint32_t left = request.size - one.position;
    if (one.now == doing::punch && one.disk->no_punch_) {
        one.now = doing::zero_range;
    }
    if (one.now == doing::zero_range && one.disk->no_zero_range_) {
        one.now = doing::write_zeros;
    }
    switch (one.now) {
    case doing::transfer:
        if (request.op == operation_kind::read) {
            loop_.read(one, fd, request.memory + one.position, left, offset);
        } else {
            loop_.write(one, fd, request.memory + one.position, left, offset,
                        request.fua && !one.disk->no_dsync_ ? RWF_DSYNC : 0);
        }
        break;
    case doing::punch:
        loop_.fallocate(one, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, left);
        break;
    case doing::zero_range:
        loop_.fallocate(one, fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, offset, left);
        break;
    case doing::write_zeros:
        loop_.write(one, fd, zeros_, std::min(left, zeros_bytes), offset, 0);
        break;
    case doing::sync:
        loop_.fdatasync(one, fd);
        break;
    }
}

void disk_queue::operation_ended(completion& self, int result, unsigned /*flags*/) {
    auto& one = static_cast<operation&>(self);
    one.of.advance(one, result);
}

// Something that the device cannot do is tried in the next best way, and not tried again.
bool disk_queue::fall_back(operation& one, int error) {
    using doing = operation::doing;
    if (one.now == doing::punch && unsupported(error)) {
        one.disk->no_punch_ = true;
    } else if (one.now == doing::zero_range && unsupported(error)) {
        one.disk->no_zero_range_ = true;
    } else if (one.now == doing::transfer && error == EOPNOTSUPP && one.request->fua &&
               !one.disk->no_dsync_) {
        one.disk->no_dsync_ = true;
    } else {
        return error == EINTR || error == EAGAIN;
    }
    return true;
}

void disk_queue::advance(operation& one, int result) {
    using doing = operation::doing;
    const disk_request& request = *one.request;
    if (result < 0) {
        if (fall_back(one, -result)) {
            step(one);
        } else {
            end(one, -result);
        }
        return;
    }
    switch (one.now) {
    case doing::sync:
        end(one, 0);
        return;
    case doing::punch:
    case doing::zero_range:
        one.position = request.size;
        break;
    case doing::transfer:
    case doing::write_zeros:
        if (result == 0) { // beyond the end of the device
            end(one, EIO);
            return;
        }
        one.position += static_cast<std::uint32_t>(result);
        break;
    }
    if (one.position < request.size) {
        step(one);
        return;
    }
    const bool durable = one.now == doing::transfer && !one.disk->no_dsync_;
    if (request.fua && request.op != operation_kind::read && !durable) {
        one.now = doing::sync;
        step(one);
        return;
    }
    end(one, 0);
}

void disk_queue::end(operation& one, int error) {
    disk_request& request = *one.request;
    backing_disk& disk = *one.disk;
    one.request = nullptr;
    one.disk = nullptr;
    one.next = free_;
    free_ = &one;
    --under_way_;
    begin_waiting();
    done_(request, error);
    disk.ended_one(loop_.now());
}

// --- a disk ---

std::uint64_t backing_disk::measure_bytes() {
    struct stat what = {};
    std::uint64_t bytes = 0;
    if (fd_.valid() && ::fstat(fd_.get(), &what) == 0) {
        if (!S_ISBLK(what.st_mode)) {
            facts_.size_bytes = static_cast<std::uint64_t>(what.st_size);
        } else if (::ioctl(fd_.get(), BLKGETSIZE64, &bytes) == 0) {
            facts_.size_bytes = bytes;
        }
    }
    return facts_.size_bytes;
}

void backing_disk::close(on_closed closed) {
    closed_ = std::move(closed);
    if (under_way_ == 0) {
        closed_(std::move(fd_));
    }
}

void backing_disk::ended_one(instant now) {
    --under_way_;
    heard_ = now;
    if (under_way_ == 0 && closed_) {
        closed_(std::move(fd_));
    }
}

} // namespace lockstep::host
