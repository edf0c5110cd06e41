// The engine as the control server sees it.
#pragma once

#include <functional>

#include "kernel/control/protocol/reply.hpp"
#include "kernel/control/protocol/request.hpp"
#include "kernel/control/protocol/snapshot.hpp"

namespace lockstep::control {

class target {
public:
    virtual ~target() = default;

    // Called from inside server::changed() too: must not change anything.
    virtual snapshot look() const = 0;

    // Any command but status and events. `done` is called exactly once, from inside the call or
    // later, also if the client has long gone; the reply's id is filled in by the server.
    using on_reply = std::function<void(reply)>;
    virtual void execute(const request& what, on_reply done) = 0;
};

} // namespace lockstep::control
