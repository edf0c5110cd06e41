// The commands of clients, with what the front ends have to do before or after the replica.
//
//   primary                  the replica, then the volumes are published, then the answer
//   secondary, down          the volumes are withdrawn; if one is in use: -12, and they are
//                            published again; else the replica, whose refusal publishes them again.
//                            A forced secondary takes them from their users, who get I/O errors
//   resource-options         the replica, then the CPU mask
//
// One of the first three at a time: the next waits for the answer of the one before.
#pragma once

#include <deque>
#include <functional>

#include "kernel/control/target.hpp"
#include "kernel/engine_volumes.hpp"

namespace lockstep::engine {

class target final : public control::target {
public:
    target(control::target& inner, volumes& volumes, std::function<void()> options_changed)
        : inner_(inner), volumes_(volumes), options_changed_(std::move(options_changed)) {}

    control::snapshot look() const override { return inner_.look(); }
    void execute(const control::request& what, on_reply done) override;

    // The front ends are taken away from their users, who get I/O errors; then `down`.
    void force_down(on_reply done);

private:
    void begin(std::function<void()> step);
    void ended();
    void promote(const control::request& what, const on_reply& done);
    void demote(const control::request& what, bool force, const on_reply& done);

    control::target& inner_;
    volumes& volumes_;
    std::function<void()> options_changed_;
    bool busy_ = false;
    std::deque<std::function<void()>> waiting_;
};

} // namespace lockstep::engine
