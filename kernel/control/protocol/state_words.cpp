#include "kernel/control/protocol/state_words.hpp"

#include <array>
#include <utility>

#include <fmt/format.h>

namespace lockstep::control {

namespace {

template <std::size_t Count>
std::string reasons(const std::array<std::pair<bool, std::string_view>, Count>& all) {
    std::string text;
    for (const auto& each : all) {
        if (each.first) {
            text += text.empty() ? "" : ",";
            text += each.second;
        }
    }
    return text.empty() ? "no" : text;
}

} // namespace

std::string_view connection_word(state::connection value) {
    if (value == state::connection::wf_connection) {
        return "Connecting";
    }
    return value >= state::connection::wf_report_params ? "Connected" : state::name(value);
}

std::string_view replication_word(state::connection value) {
    if (value <= state::connection::wf_report_params) {
        return "Off";
    }
    return value == state::connection::connected ? "Established" : state::name(value);
}

std::string suspended_words(const snapshot& from) {
    return reasons<3>({{{from.suspended_user, "user"},
                        {from.suspended_no_data, "no-data"},
                        {from.suspended_fencing, "fencing"}}});
}

std::string resync_suspended_words(const volume_snapshot& from) {
    return reasons<3>({{{from.state.sync_paused_user, "user"},
                        {from.state.sync_paused_peer, "peer"},
                        {from.state.sync_paused_after, "dependency"}}});
}

std::string_view write_ordering_word(char letter) {
    switch (letter) {
    case 'b':
        return "barrier";
    case 'd':
        return "drain";
    case 'n':
        return "none";
    default:
        return "flush";
    }
}

std::string blocked_words(const snapshot& from) {
    return from.suspended() ? "upper" : "no";
}

std::string_view open_word(const volume_snapshot& from) {
    if (!from.open_is_known) {
        return "unknown";
    }
    return from.open ? "yes" : "no";
}

std::string_view backing_device_word(const volume_snapshot& from) {
    return from.backing_device.empty() ? std::string_view("none") : from.backing_device;
}

std::string percent_done(const progress_snapshot& from) {
    if (from.total_bits == 0 || from.left_bits > from.total_bits) {
        return from.left_bits == 0 ? "100.00" : "0.00";
    }
    const double done = static_cast<double>(from.total_bits - from.left_bits);
    return fmt::format("{:.2f}", 100.0 * done / static_cast<double>(from.total_bits));
}

} // namespace lockstep::control
