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
    for (const std::string& name : names()) {
        result<client_pointer> opened = engine_client::open(where_, name);
        if (!opened && opened.error().code == error_no_engine) {
            continue;
        }
        if (!opened) {
            return opened;
        }
        const result<control::snapshot> state = (*opened)->look();
        if (!state) {
            return tl::unexpected<error>(state.error());
        }
        if (state->has_net && state->local_address == local && state->peer_address == peer) {
            return opened;
        }
    }
    return fail("Invalid configuration request", "unknown connection",
                "drbdsetup show prints the addresses of each connection; it may be disconnected "
                "already.",
                code_invalid_request);
}

std::vector<sighting> engines::look_at_all() const {
    std::vector<sighting> seen;
    for (const std::string& name : names()) {
        const result<client_pointer> opened = engine_client::open(where_, name);
        if (!opened) {
            const int code = opened.error().code;
            if (code != error_no_engine && code != error_engine_gone) {
                seen.push_back({name, tl::unexpected<error>(opened.error())});
            }
            continue;
        }
        result<control::snapshot> state = (*opened)->look();
        if (state || state.error().code != error_engine_gone) {
            seen.push_back({name, std::move(state)});
        }
    }
    return seen;
}

} // namespace lockstep::drbdsetup
