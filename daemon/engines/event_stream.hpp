// The facts of all engines of this node, told as long as the main loop runs: from one `drbdsetup
// events2 all`, which is started again a second after it ended. Engines that start later are in it,
// ours and the in-kernel DRBD's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "daemon/engines/child_process.hpp"
#include "daemon/engines/resource_view.hpp"
#include "daemon/loop/timer.hpp"

namespace lockstep::engines {

class event_stream_user {
public:
    virtual ~event_stream_user() = default;
    virtual void facts(const std::string& resource, const engine_facts& now) = 0;
    // After facts() that say so, and how often the link was lost till then.
    virtual void gone(const std::string& resource) = 0;
    // What was known stays, and may be wrong, until what exists is told anew.
    virtual void problem(const std::string& text) = 0;
};

class event_stream {
public:
    using clock = std::function<instant()>;

    // `drbdsetup`: a path, or a name that is in PATH. `user` is called by the loop only, and must
    // not destroy this object when it is.
    event_stream(qb_loop_t* loop, std::string drbdsetup, clock now, event_stream_user& user);

private:
    void start();
    void printed(std::string_view text);
    void take(std::string_view line);
    void give_up(const std::string& because);
    void ended(const child_end& end);
    void tell();

    qb_loop_t* const loop_;
    const std::string drbdsetup_;
    const clock now_;
    event_stream_user& user_;
    resource_view view_;
    std::string unfinished_; // line
    bool given_up_ = false;  // what comes of this child is not read any more
    daemon::loop_timer start_again_;
    daemon::loop_timer tell_;
    std::unique_ptr<child_process> child_;
};

} // namespace lockstep::engines
