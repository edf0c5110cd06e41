// Which volumes can be reached from outside: all of them while Primary, none while Secondary.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "kernel/device/front_ends.hpp"
#include "kernel/host/event_loop.hpp"
#include "kernel/replica/resource.hpp"

namespace lockstep::engine {

class volumes {
public:
    using on_done = std::function<void(result<>)>;
    // Empty: all are withdrawn; else who uses one.
    using on_withdrawn = std::function<void(std::string user)>;
    using on_error = std::function<void(const error&)>;

    volumes(host::event_loop& loop, const replica::resource& resource,
            device::front_ends& front_ends, on_error complain);
    ~volumes();
    volumes(const volumes&) = delete;
    volumes& operator=(const volumes&) = delete;

    // Whether the local disk can discard, as its clients are then told.
    void set_can_discard(replica::volume_number volume, bool can) { can_discard_[volume] = can; }
    void forget(replica::volume_number volume);

    // Makes what can be reached follow the role and the sizes, soon. `done`, if given, hears the
    // first thing that failed.
    void follow(on_done done = {});
    // Before a demotion. From here until release() nothing is published again by itself.
    void withdraw_all(bool force, on_withdrawn done);
    void release();

    bool any_published() const { return !published_.empty(); }

private:
    struct later : host::deferred {
        explicit later(volumes& of_) : deferred(run), of(of_) {}
        static void run(deferred& self);
        volumes& of;
    };

    void step();
    bool step_volume(const replica::volume_status& volume, bool primary);
    void step_ended(const result<>& how);
    void withdraw_next(bool force, const on_withdrawn& done);

    host::event_loop& loop_;
    const replica::resource& resource_;
    device::front_ends& front_ends_;
    on_error complain_;
    std::map<replica::volume_number, std::uint64_t> published_; // size in bytes
    std::map<replica::volume_number, bool> can_discard_;
    std::map<replica::volume_number, bool> failed_; // not tried again until the next follow()
    bool busy_ = false;                             // a front end has been asked something
    bool held_ = false;                             // between withdraw_all() and release()
    result<> first_failure_;
    std::vector<on_done> waiting_;
    std::deque<std::function<void()>> when_free_; // withdrawals that wait for busy_
    later later_{*this};
};

} // namespace lockstep::engine
