// The lines of the old `events` command, made of what events2 tells. Source: drbd-utils 8.4,
// drbdsetup.c (print_state, print_broadcast_events); 8.3 has the minor alone.
//
//   3 ST 0,r0[0] { cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate r--- }
//   4 UH 0,r0[0] fence-peer
//   5 UH-post 0,r0[0] fence-peer 0x0400
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "kernel/control/protocol/event.hpp"

namespace lockstep::drbdsetup {

class state_lines {
public:
    explicit state_lines(bool minors_only) : minors_only_(minors_only) {}

    // What is to be printed once `latest` is known, which `objects` (of the same resource, by
    // object and volume) include already; empty if nothing that is shown has changed.
    std::string lines(const control::event& latest,
                      const std::map<std::string, control::event>& objects);

private:
    std::string place(const control::event& device) const;

    bool minors_only_;
    std::uint32_t sequence_ = 0;
    std::map<std::uint32_t, std::string> shown_; // by minor
};

} // namespace lockstep::drbdsetup
