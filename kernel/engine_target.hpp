// The commands of clients, with what the front ends have to do before or after the replica.
//
//   primary                  the replica, then the volumes are published, then the answer; if none
//                            can be, it is Secondary again, and the answer is why
//   secondary, down          the volumes are withdrawn; if one is in use: -12, and they are
//                            published again; else the replica, whose refusal publishes them again.
//                            A forced secondary takes them from their users, who get I/O errors
//   down --force             the volumes are taken from their users, who get I/O errors; then
//                            down, and if that is refused or takes too long, without waiting for
//                            disk and peer. Not held up by what else is under way.
//   resource-options         the replica, then the CPU mask
//
// One of the first three at a time: the next waits for the answer of the one before.
#pragma once

#include <deque>
#include <functional>
#include <vector>

#include "kernel/control/target.hpp"
#include "kernel/engine_volumes.hpp"
#include "kernel/host/event_loop.hpp"

namespace lockstep::engine {

class target final : public control::target {
public:
    target(host::event_loop& loop, control::target& inner, volumes& volumes,
           std::function<void()> options_changed)
        : loop_(loop), inner_(inner), volumes_(volumes),
          options_changed_(std::move(options_changed)) {}
    ~target() override { loop_.clear_timer(patience_); }

    control::snapshot look() const override { return inner_.look(); }
    void execute(const control::request& what, on_reply done) override;

    // `down --force`.
    void force_down(on_reply done);

private:
    struct patience : host::timer {
        explicit patience(target& of_) : timer(over), of(of_) {}
        static void over(host::timer& self) { static_cast<patience&>(self).of.tear_down(); }
        target& of;
    };

    void begin(std::function<void()> step);
    void ended();
    void promote(const control::request& what, const on_reply& done);
    void take_back(const error& why, const on_reply& done);
    void demote(const control::request& what, const on_reply& done);
    void tear_down();
    void torn_down(const control::reply& end);

    host::event_loop& loop_;
    control::target& inner_;
    volumes& volumes_;
    std::function<void()> options_changed_;
    bool busy_ = false;
    std::deque<std::function<void()>> waiting_;
    std::vector<on_reply> waiting_forced_;
    bool tearing_down_ = false;
    patience patience_{*this}; // until what can be done politely has been done
};

} // namespace lockstep::engine
