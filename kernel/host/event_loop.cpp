#include "kernel/host/event_loop.hpp"

#include <liburing.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <new>

#include "kernel/base/check.hpp"

namespace lockstep::host {

namespace {

// Completions that belong to nobody: those of cancel requests and of liburing's own time-out.
constexpr std::uint64_t nobody = 0;

// The flags worth having, best first. Older kernels refuse those that they do not know.
constexpr unsigned flag_choices[] = {
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CLAMP,
    IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CLAMP,
    IORING_SETUP_CLAMP,
    0,
};

constexpr int deferred_rounds = 4;

} // namespace

struct event_loop::ring {
    io_uring uring = {};
    bool open = false;
    bool in_pass = false;

    ~ring() {
        if (open) {
            io_uring_queue_exit(&uring);
        }
    }

    // A free submission entry; when all are taken the kernel is entered to free them.
    io_uring_sqe* entry() {
        io_uring_sqe* sqe = io_uring_get_sqe(&uring);
        while (sqe == nullptr) {
            const int submitted = io_uring_submit(&uring);
            LOCKSTEP_CHECK(submitted >= 0 || submitted == -EINTR || submitted == -EAGAIN ||
                           submitted == -EBUSY);
            sqe = io_uring_get_sqe(&uring);
        }
        return sqe;
    }
};

struct event_loop::submission {
    io_uring_sqe* sqe;
    completion* on;

    ~submission() { io_uring_sqe_set_data(sqe, on); }
};

result<std::unique_ptr<event_loop>> event_loop::create(unsigned entries) {
    auto made = std::make_unique<ring>();
    int error = 0;
    for (const unsigned flags : flag_choices) {
        io_uring_params parameters = {};
        parameters.flags = flags | IORING_SETUP_CQSIZE;
        parameters.cq_entries = entries * 8;
        error = -io_uring_queue_init_params(entries, &made->uring, &parameters);
        if (error != EINVAL) {
            break;
        }
    }
    if (error != 0) {
        return fail_errno(error, "cannot set up io_uring", {},
                          error == EPERM || error == ENOSYS
                              ? "allow io_uring (kernel.io_uring_disabled = 0, Linux 5.11 or later)"
                              : "raise the limit of locked memory (ulimit -l)");
    }
    made->open = true;
    io_uring_ring_dontfork(&made->uring);
    // Spares each call the search for the descriptor; older kernels can't, and need not.
    [[maybe_unused]] const int registered = io_uring_register_ring_fd(&made->uring);
    auto loop = std::unique_ptr<event_loop>(new event_loop(std::move(made)));
    return loop;
}

event_loop::event_loop(std::unique_ptr<ring> made) : ring_(std::move(made)), now_(clock()) {}

event_loop::~event_loop() = default;

instant event_loop::clock() {
    timespec time = {};
    clock_gettime(CLOCK_MONOTONIC, &time);
    return static_cast<instant>(time.tv_sec) * second + static_cast<instant>(time.tv_nsec);
}

event_loop::submission event_loop::start(completion& on) {
    LOCKSTEP_CHECK(!on.pending && on.done != nullptr);
    on.pending = true;
    ++pending_;
    return submission{ring_->entry(), &on};
}

void event_loop::read(completion& on, int fd, void* memory, std::size_t size,
                      std::uint64_t offset) {
    const auto entry = start(on);
    io_uring_prep_read(entry.sqe, fd, memory, static_cast<unsigned>(size), offset);
}

void event_loop::write(completion& on, int fd, const void* memory, std::size_t size,
                       std::uint64_t offset, int flags) {
    const auto entry = start(on);
    io_uring_prep_write(entry.sqe, fd, memory, static_cast<unsigned>(size), offset);
    entry.sqe->rw_flags = flags;
}

void event_loop::readv(completion& on, int fd, const iovec* parts, unsigned count,
                       std::uint64_t offset) {
    const auto entry = start(on);
    io_uring_prep_readv(entry.sqe, fd, parts, count, offset);
}

void event_loop::writev(completion& on, int fd, const iovec* parts, unsigned count,
                        std::uint64_t offset, int flags) {
    const auto entry = start(on);
    io_uring_prep_writev2(entry.sqe, fd, parts, count, offset, flags);
}

void event_loop::fdatasync(completion& on, int fd) {
    const auto entry = start(on);
    io_uring_prep_fsync(entry.sqe, fd, IORING_FSYNC_DATASYNC);
}

void event_loop::fallocate(completion& on, int fd, int mode, std::uint64_t offset,
                           std::uint64_t size) {
    const auto entry = start(on);
    io_uring_prep_fallocate(entry.sqe, fd, mode, static_cast<off_t>(offset),
                            static_cast<off_t>(size));
}

void event_loop::recv(completion& on, int fd, void* memory, std::size_t size, int flags) {
    const auto entry = start(on);
    io_uring_prep_recv(entry.sqe, fd, memory, size, flags);
}

void event_loop::send(completion& on, int fd, const void* memory, std::size_t size, int flags) {
    const auto entry = start(on);
    io_uring_prep_send(entry.sqe, fd, memory, size, flags | MSG_NOSIGNAL);
}

void event_loop::recvmsg(completion& on, int fd, msghdr* message, int flags) {
    const auto entry = start(on);
    io_uring_prep_recvmsg(entry.sqe, fd, message, static_cast<unsigned>(flags));
}

void event_loop::sendmsg(completion& on, int fd, const msghdr* message, int flags) {
    const auto entry = start(on);
    io_uring_prep_sendmsg(entry.sqe, fd, message, static_cast<unsigned>(flags | MSG_NOSIGNAL));
}

void event_loop::accept(completion& on, int fd, sockaddr* from, unsigned* from_size) {
    const auto entry = start(on);
    io_uring_prep_accept(entry.sqe, fd, from, from_size, SOCK_CLOEXEC);
}

void event_loop::connect(completion& on, int fd, const sockaddr* to, unsigned to_size) {
    const auto entry = start(on);
    io_uring_prep_connect(entry.sqe, fd, to, to_size);
}

void event_loop::poll(completion& on, int fd, unsigned events, bool multishot) {
    const auto entry = start(on);
    if (multishot) {
        io_uring_prep_poll_multishot(entry.sqe, fd, events);
    } else {
        io_uring_prep_poll_add(entry.sqe, fd, events);
    }
}

void event_loop::cancel(completion& target) {
    if (!target.pending) {
        return;
    }
    io_uring_sqe* sqe = ring_->entry();
    io_uring_prep_cancel(sqe, &target, 0);
    io_uring_sqe_set_data64(sqe, nobody);
}

void event_loop::set_timer(timer& which, instant when) {
    LOCKSTEP_CHECK(which.fired != nullptr);
    clear_timer(which);
    if (when == never) {
        return;
    }
    which.when = when;
    which.set = true;
    timer** link = &timers_;
    timer* before = nullptr;
    while (*link != nullptr && (*link)->when <= when) {
        before = *link;
        link = &before->next;
    }
    which.previous = before;
    which.next = *link;
    if (which.next != nullptr) {
        which.next->previous = &which;
    }
    *link = &which;
}

void event_loop::clear_timer(timer& which) {
    if (!which.set) {
        return;
    }
    (which.previous != nullptr ? which.previous->next : timers_) = which.next;
    if (which.next != nullptr) {
        which.next->previous = which.previous;
    }
    which.next = nullptr;
    which.previous = nullptr;
    which.when = never;
    which.set = false;
}

void event_loop::defer(deferred& which) {
    LOCKSTEP_CHECK(which.run != nullptr);
    if (which.waiting) {
        return;
    }
    which.waiting = true;
    which.round = round_;
    which.next = nullptr;
    (deferred_last_ != nullptr ? deferred_last_->next : deferred_first_) = &which;
    deferred_last_ = &which;
}

void event_loop::remove(deferred& which) {
    if (!which.waiting) {
        return;
    }
    deferred* before = nullptr;
    for (deferred* one = deferred_first_; one != &which; one = one->next) {
        LOCKSTEP_CHECK(one != nullptr);
        before = one;
    }
    (before != nullptr ? before->next : deferred_first_) = which.next;
    if (deferred_last_ == &which) {
        deferred_last_ = before;
    }
    which.next = nullptr;
    which.waiting = false;
}

instant event_loop::next_wakeup() const {
    if (deferred_first_ != nullptr) {
        return 0;
    }
    const instant timers = timers_ != nullptr ? timers_->when : never;
    const instant source = source_ != nullptr ? source_->next_deadline() : never;
    return std::min(timers, source);
}

// Submits, and looks for at most `limit` whether something has happened, without sleeping.
bool event_loop::comes_within(instant limit) {
    const instant end = clock() + limit;
    do {
        const int result = io_uring_submit_and_get_events(&ring_->uring);
        LOCKSTEP_CHECK(result >= 0 || result == -EINTR || result == -EAGAIN || result == -EBUSY);
        if (io_uring_cq_ready(&ring_->uring) != 0) {
            return true;
        }
    } while (clock() < end);
    return false;
}

void event_loop::enter(instant timeout) {
    if (busy_wait_ != 0 && eventful_ && timeout != 0) {
        const instant limit = std::min(busy_wait_, timeout);
        if (comes_within(limit) || limit == timeout) {
            return;
        }
        timeout -= timeout == never ? 0 : limit;
    }
    int result = 0;
    if (timeout == 0) {
        result = io_uring_submit_and_get_events(&ring_->uring);
    } else if (timeout == never) {
        result = io_uring_submit_and_wait(&ring_->uring, 1);
    } else {
        __kernel_timespec limit = {};
        limit.tv_sec = static_cast<long long>(timeout / second);
        limit.tv_nsec = static_cast<long long>(timeout % second);
        io_uring_cqe* ignored = nullptr;
        result = io_uring_submit_and_wait_timeout(&ring_->uring, &ignored, 1, &limit, nullptr);
    }
    LOCKSTEP_CHECK(result >= 0 || result == -ETIME || result == -EINTR || result == -EAGAIN ||
                   result == -EBUSY);
}

void event_loop::reap() {
    // What `done` starts is submitted with the next pass: all of a pass goes in one system call.
    io_uring_cqe* batch[64];
    eventful_ = io_uring_cq_ready(&ring_->uring) != 0;
    for (;;) {
        const unsigned count = io_uring_peek_batch_cqe(&ring_->uring, batch, 64);
        if (count == 0) {
            return;
        }
        for (unsigned i = 0; i < count; ++i) {
            const std::uint64_t data = io_uring_cqe_get_data64(batch[i]);
            void* const owner = io_uring_cqe_get_data(batch[i]);
            const int result = batch[i]->res;
            const unsigned flags = batch[i]->flags;
            io_uring_cqe_seen(&ring_->uring, batch[i]);
            if (data == nobody || data == LIBURING_UDATA_TIMEOUT) {
                continue;
            }
            auto* on = static_cast<completion*>(owner);
            LOCKSTEP_CHECK(on->pending);
            if ((flags & IORING_CQE_F_MORE) == 0) {
                on->pending = false;
                --pending_;
            }
            on->done(*on, result, flags);
        }
    }
}

void event_loop::run_timers() {
    while (timers_ != nullptr && timers_->when <= now_) {
        timer& due = *timers_;
        clear_timer(due);
        due.fired(due);
    }
    if (source_ != nullptr && source_->next_deadline() <= now_) {
        source_->expire();
    }
}

void event_loop::run_deferred() {
    // A call often defers the next one: a request ends, its reply is gathered. A few rounds are
    // made, so that what they ask for goes to the kernel at once; those who go on wait for the next
    // pass, so that they cannot starve the ring.
    for (int round = 0; round < deferred_rounds && deferred_first_ != nullptr; ++round) {
        ++round_;
        while (deferred_first_ != nullptr && deferred_first_->round != round_) {
            deferred& one = *deferred_first_;
            remove(one);
            one.run(one);
        }
    }
}

void event_loop::run_once(instant timeout) {
    const instant wakeup = next_wakeup();
    instant wait = timeout;
    if (wakeup != never) {
        const instant current = clock();
        wait = std::min(timeout, wakeup > current ? wakeup - current : 0);
    }
    // A pass inside a pass would see completions twice: whoever waits does so outside.
    LOCKSTEP_CHECK(!ring_->in_pass);
    ring_->in_pass = true;
    enter(wait);
    now_ = clock();
    if (observer_ != nullptr && wait != 0) {
        observer_->woke(now_);
    }
    reap();
    run_timers();
    run_deferred();
    ring_->in_pass = false;
}

void event_loop::run() {
    stopped_ = false;
    while (!stopped_) {
        run_once(never);
    }
}

void event_loop::stop() {
    stopped_ = true;
}

} // namespace lockstep::host
