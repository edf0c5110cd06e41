#include "kernel/host/link_setup.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "kernel/base/bytes.hpp"

namespace lockstep::host {

using replica::channel;
using replica::log_level;

namespace {

constexpr std::uint32_t h80_magic = 0x83740267;
constexpr std::uint16_t initial_meta = 0xfff1;
constexpr std::uint16_t initial_data = 0xfff2;

} // namespace

first_packet read_first_packet(const std::array<std::byte, first_packet_bytes>& bytes) {
    byte_reader from(bytes);
    const auto magic = from.take<std::uint32_t>();
    const auto command = from.take<std::uint16_t>();
    const auto length = from.take<std::uint16_t>();
    if (magic != h80_magic || length != 0) {
        return first_packet::garbage;
    }
    return command == initial_data   ? first_packet::data
           : command == initial_meta ? first_packet::meta
                                     : first_packet::garbage;
}

std::array<std::byte, first_packet_bytes> make_first_packet(channel which) {
    std::array<std::byte, first_packet_bytes> bytes = {};
    byte_writer to(bytes);
    to.put<std::uint32_t>(h80_magic);
    to.put<std::uint16_t>(which == channel::data ? initial_data : initial_meta);
    to.put<std::uint16_t>(0);
    return bytes;
}

void link_setup::begin(const link_timing& timing) {
    end();
    timing_ = timing;
    resolve_conflicts_ = false;
    told_error_ = 0;
    attempt();
}

void link_setup::end() {
    if (phase_ == phase::attempting) {
        world_.cancel_attempt();
    }
    phase_ = phase::idle;
    world_.set_timer(never);
    for (slot& one : slots_) {
        close_slot(one);
    }
    while (greeting_count_ != 0) {
        world_.close(greeting_[--greeting_count_]);
    }
}

void link_setup::close_slot(slot& which) {
    if (which.socket != no_socket) {
        world_.close(which.socket);
        which = {};
    }
}

void link_setup::attempt() {
    phase_ = phase::attempting;
    world_.set_timer(timing_.connect_interval);
    world_.start_attempt();
}

void link_setup::wait() {
    phase_ = phase::waiting;
    // A seventh more or less, so that two nodes that began together do not stay in step.
    const instant jitter = timing_.connect_interval / 7;
    world_.set_timer((world_.random_number() & 1) != 0 ? timing_.connect_interval + jitter
                                                       : timing_.connect_interval - jitter);
}

void link_setup::check() {
    if (phase_ == phase::attempting) {
        world_.cancel_attempt();
    }
    phase_ = phase::checking;
    world_.set_timer(timing_.check_delay);
}

void link_setup::attempt_succeeded(socket_id socket) {
    if (phase_ != phase::attempting) {
        world_.close(socket);
        return;
    }
    told_error_ = 0;
    const bool is_data = of(channel::data).socket == no_socket;
    const channel which = is_data ? channel::data : channel::meta;
    of(which) = {socket, true, world_.now()};
    if (which == channel::meta) {
        resolve_conflicts_ = false;
    }
    world_.send_first(socket, which);
    wait();
    if (both()) {
        check();
    }
}

void link_setup::attempt_failed(int error) {
    if (phase_ != phase::attempting) {
        return;
    }
    if (error != told_error_) {
        told_error_ = error;
        std::array<char, 160> text = {};
        std::snprintf(text.data(), text.size(),
                      "cannot connect to the peer yet: %s; trying on, and waiting for it",
                      std::strerror(error));
        world_.log(log_level::info, text.data());
    }
    wait();
}

void link_setup::accepted(socket_id socket) {
    if (phase_ == phase::idle) {
        world_.close(socket);
        return;
    }
    if (greeting_count_ == greeting_max) {
        // The newest is the most likely to be the peer in earnest.
        const socket_id oldest = greeting_[0];
        complain("too many connections that say nothing; the oldest was closed", 0);
        forget_greeting(oldest);
        world_.close(oldest);
    }
    greeting_[greeting_count_++] = socket;
    world_.read_first(socket, timing_.first_packet_limit);
}

bool link_setup::forget_greeting(socket_id socket) {
    const auto last = greeting_.begin() + static_cast<std::ptrdiff_t>(greeting_count_);
    const auto found = std::find(greeting_.begin(), last, socket);
    if (found == last) {
        return false;
    }
    std::move(found + 1, last, found);
    --greeting_count_;
    return true;
}

void link_setup::complain(const char* what, int error) {
    if (!complaints_.pass(world_.now())) {
        return;
    }
    std::array<char, 240> text = {};
    const std::uint64_t withheld = complaints_.take_withheld();
    int size = std::snprintf(text.data(), text.size(), "%s%s%s", what, error != 0 ? ": " : "",
                             error != 0 ? std::strerror(error) : "");
    if (withheld != 0) {
        std::snprintf(text.data() + size, text.size() - static_cast<std::size_t>(size),
                      " (and %llu such lines before that were not logged)",
                      static_cast<unsigned long long>(withheld));
    }
    world_.log(log_level::warning, text.data());
}

void link_setup::first_packet_failed(socket_id socket, int error) {
    if (!forget_greeting(socket)) {
        return;
    }
    world_.close(socket);
    if (error == ETIMEDOUT) {
        complain("a connection from the peer's address said nothing in time and was closed", 0);
    } else if (error == 0) {
        complain("a connection from the peer's address was closed before it said what it is", 0);
    } else {
        complain("a connection from the peer's address failed before it said what it is", error);
    }
}

void link_setup::first_packet_came(socket_id socket, first_packet what) {
    if (!forget_greeting(socket)) {
        return;
    }
    if (what == first_packet::garbage) {
        world_.close(socket);
        complain("a connection from the peer's address does not speak DRBD's protocol and was "
                 "closed; is the port used for something else?",
                 0);
        return;
    }
    file(socket, what == first_packet::data ? channel::data : channel::meta);
}

bool link_setup::keeps(const slot& mine) {
    return timing_.keeps_own && mine.own && world_.now() - mine.since < 2 * timing_.check_delay;
}

void link_setup::file(socket_id socket, channel which) {
    slot& into = of(which);
    // One that has died meanwhile is not a crossing; it is simply replaced.
    const bool crossed = into.socket != no_socket && world_.alive(into.socket);
    if (crossed) {
        world_.log(log_level::info, which == channel::data ? "initial packet S crossed"
                                                           : "initial packet M crossed");
    }
    if (crossed && keeps(into)) {
        world_.close(socket);
        go_on(crossed);
        return;
    }
    close_slot(into);
    into = {socket, false, world_.now()};
    told_error_ = 0;
    if (which == channel::meta) {
        resolve_conflicts_ = true;
    }
    go_on(crossed);
}

void link_setup::go_on(bool crossed) {
    if (both()) {
        check();
        return;
    }
    if (phase_ == phase::waiting) {
        if (crossed && timing_.keeps_own && (world_.random_number() & 1) != 0) {
            wait();
        } else {
            attempt();
        }
    }
}

void link_setup::expired() {
    switch (phase_) {
    case phase::idle:
        break;
    case phase::attempting:
        world_.cancel_attempt();
        attempt_failed(ETIMEDOUT);
        break;
    case phase::waiting:
        attempt();
        break;
    case phase::checking:
        finish();
        break;
    }
}

void link_setup::finish() {
    bool alive = true;
    for (slot& one : slots_) {
        if (!world_.alive(one.socket)) {
            close_slot(one);
            alive = false;
        }
    }
    if (!alive) {
        attempt();
        return;
    }
    phase_ = phase::idle;
    world_.set_timer(never);
    while (greeting_count_ != 0) {
        world_.close(greeting_[--greeting_count_]);
    }
    const socket_id data = slots_[0].socket;
    const socket_id meta = slots_[1].socket;
    slots_ = {};
    world_.established(data, meta, resolve_conflicts_);
}

} // namespace lockstep::host
