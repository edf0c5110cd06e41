// The one loop of an engine: io_uring, a single thread, no allocation after create().
//
// Everything that can happen is represented by an object that its owner embeds and keeps unmoved:
// a `completion` for an operation in the kernel, a `timer`, a `deferred` call. The loop links them;
// it owns none of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernel/base/error.hpp"

struct iovec;
struct msghdr;
struct sockaddr;

namespace lockstep::host {

// Nanoseconds of CLOCK_MONOTONIC (the same type and meaning as replica::instant).
using instant = std::uint64_t;
constexpr instant never = ~instant{0};
constexpr instant microsecond = 1'000;
constexpr instant millisecond = 1'000'000;
constexpr instant second = 1'000'000'000;

// One operation under way. `done` is called from the loop exactly once for each operation started
// (for multishot ones: until `flags` no longer has completion_more). result: as the system call's
// return value, or a negative errno value. The object and all memory named in the call stay where
// they are until then; it may be used again from inside `done`.
struct completion {
    using function = void (*)(completion& self, int result, unsigned flags);

    completion() = default;
    explicit completion(function called) : done(called) {}
    completion(const completion&) = delete;
    completion& operator=(const completion&) = delete;

    function done = nullptr;
    bool pending = false; // the loop's: the kernel holds it
};
constexpr unsigned completion_more = 1U << 1; // IORING_CQE_F_MORE

// A call at a later time. `fired` is called once for each set_timer() that was not cleared before.
struct timer {
    using function = void (*)(timer& self);

    timer() = default;
    explicit timer(function called) : fired(called) {}
    timer(const timer&) = delete;
    timer& operator=(const timer&) = delete;

    function fired = nullptr;
    instant when = never;
    timer* next = nullptr; // the loop's
    timer* previous = nullptr;
    bool set = false;
};

// A call as soon as the stack is unwound. Deferring one that is already waiting changes nothing.
struct deferred {
    using function = void (*)(deferred& self);

    deferred() = default;
    explicit deferred(function called) : run(called) {}
    deferred(const deferred&) = delete;
    deferred& operator=(const deferred&) = delete;

    function run = nullptr;
    deferred* next = nullptr; // the loop's
    unsigned round = 0;
    bool waiting = false;
};

// Somebody who knows by himself when he wants to be called: asked before every wait.
class deadline_source {
public:
    virtual ~deadline_source() = default;
    virtual instant next_deadline() const = 0;
    virtual void expire() = 0;
};

// Told of each pass of the loop that was allowed to sleep.
class wait_observer {
public:
    virtual ~wait_observer() = default;
    virtual void woke(instant now) = 0;
};

// Usage: each operation takes the completion first. fds are plain descriptors owned by the caller,
// who keeps them open until the operation has ended. `offset` is in bytes; ~0: the file position
// (pipes, /dev/fuse, sockets).
class event_loop {
public:
    // entries: submissions gathered before the kernel is entered; not a limit of operations.
    static result<std::unique_ptr<event_loop>> create(unsigned entries = 256);
    ~event_loop();
    event_loop(const event_loop&) = delete;
    event_loop& operator=(const event_loop&) = delete;

    // Runs until stop().
    void run();
    void stop();
    // One pass: submits, waits for at most `timeout` nanoseconds for something to happen (0: does
    // not wait), and makes the calls that are due. For tests and for the last steps of a shutdown.
    void run_once(instant timeout);

    // The time at which this pass of the loop began to make calls; cheap. clock() asks the kernel.
    instant now() const { return now_; }
    static instant clock();

    static constexpr std::uint64_t no_offset = ~std::uint64_t{0};

    void read(completion& on, int fd, void* memory, std::size_t size, std::uint64_t offset);
    // flags: RWF_DSYNC and the like.
    void write(completion& on, int fd, const void* memory, std::size_t size, std::uint64_t offset,
               int flags = 0);
    void readv(completion& on, int fd, const iovec* parts, unsigned count, std::uint64_t offset);
    void writev(completion& on, int fd, const iovec* parts, unsigned count, std::uint64_t offset,
                int flags = 0);
    void fdatasync(completion& on, int fd);
    // mode: FALLOC_FL_*.
    void fallocate(completion& on, int fd, int mode, std::uint64_t offset, std::uint64_t size);

    void recv(completion& on, int fd, void* memory, std::size_t size, int flags = 0);
    void send(completion& on, int fd, const void* memory, std::size_t size, int flags = 0);
    void recvmsg(completion& on, int fd, msghdr* message, int flags = 0);
    void sendmsg(completion& on, int fd, const msghdr* message, int flags = 0);
    // The new socket is close-on-exec; its number is the result.
    void accept(completion& on, int fd, sockaddr* from = nullptr, unsigned* from_size = nullptr);
    void connect(completion& on, int fd, const sockaddr* to, unsigned to_size);
    // result: the events (POLLIN ...) that came. Once; or, multishot, until cancelled.
    void poll(completion& on, int fd, unsigned events, bool multishot = false);

    // The operation ends soon: with -ECANCELED, or with its result if that was faster.
    void cancel(completion& target);

    void set_timer(timer& which, instant when);
    void clear_timer(timer& which);
    void defer(deferred& which);
    void remove(deferred& which);
    void set_deadline_source(deadline_source* source) { source_ = source; }
    void set_wait_observer(wait_observer* observer) { observer_ = observer; }

    // After a pass in which something happened, the loop looks for at most `limit` nanoseconds for
    // what comes next before it sleeps. Spares what waking up a processor takes, and keeps it busy
    // for that long; worth it only where each loop can have a processor of its own. 0: never.
    void set_busy_wait(instant limit) { busy_wait_ = limit; }

    // Operations that the kernel holds. A shutdown ends when there are none left.
    std::size_t pending() const { return pending_; }

private:
    struct ring;
    explicit event_loop(std::unique_ptr<ring> ring);
    struct submission;
    submission start(completion& on);
    void enter(instant timeout);
    bool comes_within(instant limit);
    void reap();
    void run_timers();
    void run_deferred();
    instant next_wakeup() const;

    std::unique_ptr<ring> ring_;
    std::size_t pending_ = 0;
    instant now_ = 0;
    bool stopped_ = false;
    instant busy_wait_ = 0;
    bool eventful_ = false;   // something happened in the pass before
    timer* timers_ = nullptr; // ordered by time
    unsigned round_ = 0;      // of deferred calls
    deferred* deferred_first_ = nullptr;
    deferred* deferred_last_ = nullptr;
    deadline_source* source_ = nullptr;
    wait_observer* observer_ = nullptr;
};

} // namespace lockstep::host
