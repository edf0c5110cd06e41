// Handlers: `drbdadm NAME minor-N` or `drbdadm NAME RESOURCE`, run by the keeper.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "kernel/host/keeper.hpp"
#include "kernel/replica/ports.hpp"

namespace lockstep::host {

struct helper_settings {
    std::string program; // path of drbdadm; "disabled": none is run
    std::string resource;
    std::uint32_t limit_ms = 300'000;     // then it is killed, and counts as broken; 0: none
    std::vector<std::string> environment; // NAME=VALUE, added to what every handler gets
};

// What the environment of a handler tells besides; as it is at the moment of the call.
struct helper_facts {
    struct volume {
        std::uint32_t number = 0;
        std::uint32_t minor = 0;
        std::string backing_device; // empty: none
    };
    std::vector<volume> volumes;
    std::string my_family; // "ipv4", "ipv6"; empty: not configured
    std::string my_address;
    std::string peer_family;
    std::string peer_address;
    std::string connection; // "Connected"
    // Of all volumes.
    bool own_up_to_date = false;
    bool peer_up_to_date = false;
};

// Exit code of a handler that had to be killed: none of those that mean something (3 to 7), and
// not 0, so that nothing goes on as if it had succeeded.
constexpr int helper_timed_out = 124;

// NAME=VALUE of all that a handler gets. Variables as the in-kernel DRBD sets them, 8.4 and 9.
std::vector<std::string> helper_environment(const helper_settings& settings,
                                            const replica::helper_call& call,
                                            const helper_facts& facts);

class helper_calls {
public:
    using on_log = std::function<void(replica::log_level, const std::string&)>;
    using on_ended = std::function<void(int exit_code)>;

    helper_calls(keeper& keeper, helper_settings settings, on_log log)
        : keeper_(keeper), settings_(std::move(settings)), log_(std::move(log)) {}

    // `ended` is called later, exactly once; exit_code as DRBD counts it: 0 also for a handler that
    // was killed by a signal, is missing, or disabled.
    void run(const replica::helper_call& call, const helper_facts& facts, on_ended ended);
    // The time limit of handlers begins now for a call that was made without.
    void limit(std::uint64_t id);

private:
    keeper& keeper_;
    helper_settings settings_;
    on_log log_;
    std::map<std::uint64_t, std::uint64_t> unlimited_; // calls of the replica; the keeper's number
};

} // namespace lockstep::host
