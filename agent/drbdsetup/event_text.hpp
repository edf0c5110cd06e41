// `drbdsetup events2`: one line for each event.
#pragma once

#include <map>
#include <string>

#include "kernel/control/protocol/event.hpp"

namespace lockstep::drbdsetup {

struct event_style {
    bool timestamps = false;
    bool statistics = false;
    bool full = false; // all keys in change lines
    bool diff = false; // key:old->new
};

class event_text {
public:
    explicit event_text(event_style style) : style_(style) {}

    // The line with its line feed; empty if this style shows nothing of the event.
    std::string line(const control::event& what);
    // Objects that are described again are printed whole.
    void forget() { known_.clear(); }

private:
    std::string fields(const control::event& what, const control::event* before) const;

    event_style style_;
    std::map<std::string, control::event> known_; // by object: what was printed last
};

// "2026-11-22T09:43:32.123456+01:00"
std::string timestamp(std::int64_t time_us);

} // namespace lockstep::drbdsetup
