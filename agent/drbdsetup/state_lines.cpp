#include "agent/drbdsetup/state_lines.hpp"

#include <cstdlib>
#include <optional>
#include <string_view>

#include <fmt/format.h>

namespace lockstep::drbdsetup {

namespace {

using control::event;
using control::event_kind;
using control::event_object;

std::string field(const event* of, std::string_view key, std::string_view fallback) {
    if (of != nullptr) {
        for (const control::event_field& each : of->fields) {
            if (each.key == key) {
                return each.value;
            }
        }
    }
    return std::string(fallback);
}

// 8's one word for what later versions tell in two.
std::string connection_of(const event* connection, const event* peer_device) {
    const std::string replication = field(peer_device, "replication", "Off");
    if (replication != "Off") {
        return replication == "Established" ? "Connected" : replication;
    }
    const std::string word = field(connection, "connection", "StandAlone");
    if (word == "Connecting") {
        return "WFConnection";
    }
    return word == "Connected" ? "WFReportParams" : word;
}

bool has_word(const std::string& list, std::string_view word) {
    return list.find(word) != std::string::npos;
}

const event* find(const std::map<std::string, event>& objects, event_object what,
                  std::optional<std::uint32_t> volume) {
    for (const auto& [id, each] : objects) {
        if (each.object == what && each.volume == volume) {
            return &each;
        }
    }
    return nullptr;
}

std::string state_of(const event& device, const std::map<std::string, event>& objects) {
    const event* resource = find(objects, event_object::resource, std::nullopt);
    const event* connection = find(objects, event_object::connection, std::nullopt);
    const event* peer = find(objects, event_object::peer_device, device.volume);
    const std::string paused = field(peer, "resync-suspended", "no");
    return fmt::format("{{ cs:{} ro:{}/{} ds:{}/{} {}{}{}{} }}", connection_of(connection, peer),
                       field(resource, "role", "Secondary"), field(connection, "role", "Unknown"),
                       field(&device, "disk", "Diskless"), field(peer, "peer-disk", "DUnknown"),
                       field(resource, "suspended", "no") == "no" ? 'r' : 's',
                       has_word(paused, "dependency") ? 'a' : '-',
                       has_word(paused, "peer") ? 'p' : '-', has_word(paused, "user") ? 'u' : '-');
}

} // namespace

std::string state_lines::place(const event& device) const {
    const std::uint32_t minor = device.minor.value_or(0);
    return minors_only_
               ? fmt::format("{}", minor)
               : fmt::format("{},{}[{}]", minor, device.resource, device.volume.value_or(0));
}

std::string state_lines::lines(const event& latest, const std::map<std::string, event>& objects) {
    if (latest.object == event_object::helper) {
        const std::string head = fmt::format("{} {} {} {}", ++sequence_,
                                             latest.kind == event_kind::call ? "UH" : "UH-post",
                                             place(latest), field(&latest, "helper", ""));
        // The kernel tells it as wait(2) does.
        const long status = std::strtol(field(&latest, "status", "0").c_str(), nullptr, 10);
        return latest.kind == event_kind::call ? head + "\n"
                                               : fmt::format("{} {:#06x}\n", head, status << 8);
    }
    if (latest.object == event_object::device && latest.kind == event_kind::destroy) {
        shown_.erase(latest.minor.value_or(0));
    }
    std::string text;
    for (const auto& [id, each] : objects) {
        if (each.object != event_object::device) {
            continue;
        }
        std::string now = state_of(each, objects);
        std::string& shown = shown_[each.minor.value_or(0)];
        if (now != shown) {
            text += fmt::format("{} ST {} {}\n", ++sequence_, place(each), now);
            shown = std::move(now);
        }
    }
    return text;
}

} // namespace lockstep::drbdsetup
