#include "kernel/host/cpu_latency.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <utility>

namespace lockstep::host {

namespace {

constexpr const char* request_path = "/dev/cpu_dma_latency";
// PM_QOS_CPU_LATENCY_DEFAULT_VALUE of linux/pm_qos.h: as if nothing was asked for.
constexpr std::int32_t no_limit_us = 2'000'000'000;
constexpr std::uint32_t most_us = 10'000;

// The driver of KVM guests, whose processors either look for work or stop.
bool stops_through_a_hypervisor(const std::string& driver) {
    std::ifstream file(driver);
    std::string name;
    return file >> name && name == "haltpoll";
}

} // namespace

bool set_cpu_latency(cpu_latency_choice& to, const std::string& text) {
    if (text == "auto" || text == "off") {
        to = {text == "off" ? cpu_latency_kind::off : cpu_latency_kind::automatic, 0};
        return true;
    }
    const char* const end = text.data() + text.size();
    std::uint32_t limit = 0;
    const auto [stop, problem] = std::from_chars(text.data(), end, limit);
    if (problem != std::errc() || stop != end || limit > most_us) {
        return false;
    }
    to = {cpu_latency_kind::fixed, limit};
    return true;
}

result<owned_fd> open_cpu_latency(const cpu_latency_choice& choice, const std::string& driver) {
    const bool fixed = choice.kind == cpu_latency_kind::fixed;
    if (!fixed && (choice.kind == cpu_latency_kind::off || !stops_through_a_hypervisor(driver))) {
        return owned_fd();
    }
    owned_fd fd(::open(request_path, O_RDWR | O_CLOEXEC));
    if (!fd.valid() && fixed) {
        return fail(std::string("no limit for waking up can be asked for: ") + std::strerror(errno),
                    request_path, "see that it can be opened, or leave --cpu-latency out");
    }
    return fd;
}

cpu_latency_request::cpu_latency_request(event_loop& loop, owned_fd fd, std::uint32_t limit_us)
    : loop_(loop), fd_(std::move(fd)), limit_us_(static_cast<std::int32_t>(limit_us)),
      again_(*this) {
    if (fd_.valid()) {
        loop_.set_wait_observer(this);
    }
}

cpu_latency_request::~cpu_latency_request() {
    loop_.set_wait_observer(nullptr);
    loop_.clear_timer(again_);
}

void cpu_latency_request::woke(instant now) {
    if (!held_ && now - since_ >= interval) {
        since_ = now;
        wakes_ = 0;
    }
    ++wakes_;
    if (!held_ && wakes_ >= often) {
        ask(limit_us_);
    }
}

void cpu_latency_request::look_again() {
    if (wakes_ < often / 2) {
        ask(no_limit_us);
    }
    wakes_ = 0;
    since_ = loop_.now();
    if (held_) {
        loop_.set_timer(again_, since_ + interval);
    }
}

void cpu_latency_request::ask(std::int32_t limit_us) {
    held_ = ::write(fd_.get(), &limit_us, sizeof limit_us) == sizeof limit_us &&
            limit_us != no_limit_us;
    wakes_ = 0;
    if (held_) {
        loop_.set_timer(again_, loop_.now() + interval);
    }
}

} // namespace lockstep::host
