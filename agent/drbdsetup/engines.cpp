#include "agent/drbdsetup/engines.hpp"

#include <algorithm>
#include <atomic>
#include <thread>

#include <fmt/format.h>

namespace lockstep::drbdsetup {

namespace {

bool has_minor(const control::snapshot& state, std::uint32_t minor) {
    return std::any_of(
        state.volumes.begin(), state.volumes.end(),
        [&](const control::volume_snapshot& volume) { return volume.minor == minor; });
}

// How many engines are asked at the same time.
constexpr std::size_t looks_at_once = 32;

// Nothing if it is only what an engine left behind.
std::optional<sighting> look_at(const control::runtime_directory& where, const std::string& name) {
    const result<client_pointer> opened = engine_client::open(where, name);
    result<control::snapshot> state =
        opened ? (*opened)->look() : tl::unexpected<error>(opened.error());
    if (!state &&
        (state.error().code == error_no_engine || state.error().code == error_engine_gone)) {
        return {};
    }
    return sighting{name, std::move(state)};
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

// Those that do not answer are waited for together, not one after the other.
std::vector<sighting> engines::look_at_all() const {
    const std::vector<std::string> all = names();
    std::vector<std::optional<sighting>> seen(all.size());
    std::atomic<std::size_t> next = 0;
    const auto look_on = [&] {
        for (std::size_t at = next++; at < all.size(); at = next++) {
            seen[at] = look_at(where_, all[at]);
        }
    };
    {
        std::vector<std::jthread> others;
        while (others.size() + 1 < std::min(all.size(), looks_at_once)) {
            others.emplace_back(look_on);
        }
        look_on();
    }
    std::vector<sighting> found;
    for (std::optional<sighting>& each : seen) {
        if (each) {
            found.push_back(std::move(*each));
        }
    }
    return found;
}

} // namespace lockstep::drbdsetup
