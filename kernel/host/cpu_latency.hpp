// Asks the kernel for processors that wake up fast, for as long as the engine is woken often.
//
// A processor that has nothing to do stops, and starts again when there is something. In a virtual
// machine both go through the hypervisor, which takes longer than all that the engine itself does
// for a write; and a write with a peer waits for it at each of its steps. PM QoS is the kernel's
// way to say so: a limit in microseconds written to /dev/cpu_dma_latency, which ends with its
// descriptor. Processors that are asked for 0 look for work in place of stopping, and take any that
// comes: nobody has to wait for them, they only use power.
#pragma once

#include <cstdint>
#include <string>

#include "kernel/base/error.hpp"
#include "kernel/base/owned_fd.hpp"
#include "kernel/host/event_loop.hpp"

namespace lockstep::host {

enum class cpu_latency_kind {
    automatic, // 0 where idle processors stop through a hypervisor, else nothing
    off,
    fixed,
};

struct cpu_latency_choice {
    cpu_latency_kind kind = cpu_latency_kind::automatic;
    std::uint32_t limit_us = 0; // fixed: which
};

// "auto", "off", or microseconds up to 10000. False: none of them, `to` is as it was.
bool set_cpu_latency(cpu_latency_choice& to, const std::string& text);

// The descriptor on which to ask; none if nothing is to be asked for. It is an error if a fixed
// limit cannot be asked for. `driver`: the file that names the driver for idle processors.
result<owned_fd>
open_cpu_latency(const cpu_latency_choice& choice,
                 const std::string& driver = "/sys/devices/system/cpu/cpuidle/current_driver");

class cpu_latency_request final : public wait_observer {
public:
    // The loop's observer as long as it lives. Without a descriptor it never asks.
    cpu_latency_request(event_loop& loop, owned_fd fd, std::uint32_t limit_us);
    ~cpu_latency_request() override;

    void woke(instant now) override;
    bool held() const { return held_; }

    // Woken at least so often within an interval: it asks; less than half of that: it takes it
    // back.
    static constexpr instant interval = 50 * millisecond;
    static constexpr unsigned often = 100;

private:
    struct clock : timer {
        explicit clock(cpu_latency_request& request)
            : timer([](timer& self) { static_cast<clock&>(self).of.look_again(); }), of(request) {}
        cpu_latency_request& of;
    };

    void look_again();
    void ask(std::int32_t limit_us);

    event_loop& loop_;
    owned_fd fd_;
    std::int32_t limit_us_;
    clock again_;
    instant since_ = 0;
    unsigned wakes_ = 0; // since then
    bool held_ = false;
};

} // namespace lockstep::host
