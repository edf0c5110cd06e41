#include "agent/drbdsetup/engines.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace lockstep::drbdsetup {

namespace {

bool has_minor(const control::snapshot& state, std::uint32_t minor) {
    return std::any_of(
        state.volumes.begin(), state.volumes.end(),
        [&](const control::volume_snapshot& volume) { return volume.minor == minor; });
}

// All engines together have so long to take a connection and to greet.
constexpr std::int64_t greetings_ms = 2000;

result<control::snapshot> look_at(const result<client_pointer>& begun, std::int64_t deadline_ms) {
    if (!begun) {
        return tl::unexpected<error>(begun.error());
    }
    if (const result<> greeted = (*begun)->greeted(deadline_ms); !greeted) {
        return tl::unexpected<error>(greeted.error());
    }
    return (*begun)->look();
}

bool left_behind(const result<control::snapshot>& state) {
    return !state &&
           (state.error().code == error_no_engine || state.error().code == error_engine_gone);
}

tl::unexpected<error> unknown_minor(std::string where) {
    return fail("Device minor not allocated", std::move(where), {}, code_minor_invalid);
}

} // namespace

result<client_pointer> engines::of_resource(const std::string& name) const {
    result<client_pointer> opened = engine_client::open(where_, name);
    if (!opened && opened.error().code == error_no_engine) {
        return fail("Unknown resource", "unknown resource", {}, code_resource_unknown);
    }
    return opened;
}

result<client_pointer> engines::of_minor(std::uint32_t minor) const {
    // The link is only a hint; the engine itself is believed.
    if (const std::optional<std::string> owner = where_.resource_of_minor(minor)) {
        result<client_pointer> opened = engine_client::open(where_, *owner);
        if (!opened && opened.error().code == error_no_engine) {
            return unknown_minor(fmt::format(
                "the engine of resource {}, which had this minor, does not run", *owner));
        }
        if (!opened) {
            return opened;
        }
        const result<control::snapshot> state = (*opened)->look();
        if (!state) {
            return tl::unexpected<error>(state.error());
        }
        if (has_minor(*state, minor)) {
            return opened;
        }
    }
    return unknown_minor("unknown minor");
}

result<client_pointer> engines::of_connection(const std::string& local,
                                              const std::string& peer) const {
    const sighting* silent = nullptr;
    const std::vector<sighting> all = look_at_all();
    for (const sighting& each : all) {
        if (!each.state) {
            silent = &each;
        } else if (each.state->has_net && each.state->local_address == local &&
                   each.state->peer_address == peer) {
            return engine_client::open(where_, each.resource);
        }
    }
    if (silent != nullptr) {
        return tl::unexpected<error>(silent->state.error()); // it may be its connection
    }
    return fail("Invalid configuration request", "unknown connection",
                "drbdsetup show prints the addresses of each connection; it may be disconnected "
                "already.",
                code_invalid_request);
}

// While one that does not greet is waited for, the others do: such ones take two seconds together.
std::vector<sighting> engines::look_at_all() const {
    const std::int64_t deadline = now_ms() + greetings_ms;
    const std::vector<std::string> all = names();
    std::vector<result<client_pointer>> begun;
    begun.reserve(all.size());
    for (const std::string& name : all) {
        begun.push_back(engine_client::begin(where_, name, deadline));
    }
    std::vector<sighting> seen;
    for (std::size_t at = 0; at < all.size(); ++at) {
        result<control::snapshot> state = look_at(begun[at], deadline);
        if (!left_behind(state)) {
            seen.push_back({all[at], std::move(state)});
        }
    }
    return seen;
}

} // namespace lockstep::drbdsetup
