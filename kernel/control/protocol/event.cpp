#include "kernel/control/protocol/event.hpp"

#include <array>

#include "kernel/control/protocol/message_json.hpp"

namespace lockstep::control {

namespace {

constexpr std::array<std::string_view, 6> kind_names = {"exists",  "create", "change",
                                                        "destroy", "call",   "response"};
constexpr std::array<std::string_view, 6> object_names = {"-",      "resource",    "connection",
                                                          "device", "peer-device", "helper"};

template <class Value, class Names>
std::optional<Value> value_named(const Names& names, std::string_view text) {
    for (std::size_t at = 0; at < names.size(); ++at) {
        if (names[at] == text) {
            return static_cast<Value>(at);
        }
    }
    return std::nullopt;
}

// [key, value, flags]: flags is a string of letters: c changed, s statistic, q quiet.
json field_json(const event_field& field) {
    std::string flags;
    flags += field.changed ? "c" : "";
    flags += field.statistic ? "s" : "";
    flags += field.quiet ? "q" : "";
    return json::array({field.key, field.value, flags});
}

std::optional<event_field> field_of(const json& from) {
    const bool good = from.is_array() && from.size() == 3 && from[0].is_string() &&
                      from[1].is_string() && from[2].is_string();
    if (!good) {
        return std::nullopt;
    }
    const std::string flags = from[2].get<std::string>();
    const auto has = [&](char flag) { return flags.find(flag) != std::string::npos; };
    return event_field{from[0].get<std::string>(), from[1].get<std::string>(), has('c'), has('s'),
                       has('q')};
}

void take_fields(json_fields& fields, event& into) {
    fields.array("fields", 64, [&](const json& element) {
        const std::optional<event_field> field = field_of(element);
        if (!field) {
            fields.wrong("fields", "an array of key, value and flags");
            return;
        }
        into.fields.push_back(*field);
    });
}

} // namespace

std::string_view name(event_kind kind) {
    return kind_names[static_cast<std::size_t>(kind)];
}

std::string_view name(event_object object) {
    return object_names[static_cast<std::size_t>(object)];
}

std::string encode(const event& value) {
    json object = {{"event", name(value.kind)},
                   {"object", name(value.object)},
                   {"resource", value.resource},
                   {"time", value.time_us}};
    if (value.has_connection) {
        object["connection"] = true;
    }
    if (value.volume) {
        object["volume"] = *value.volume;
    }
    if (value.minor) {
        object["minor"] = *value.minor;
    }
    json fields = json::array();
    for (const event_field& field : value.fields) {
        fields.push_back(field_json(field));
    }
    object["fields"] = std::move(fields);
    return to_line(object);
}

result<event> event_from_json(const json& object) {
    json_fields fields(object, "event");
    event taken;
    const auto kind = value_named<event_kind>(kind_names, fields.text("event", "", 32));
    const auto what = value_named<event_object>(object_names, fields.text("object", "", 32));
    if (!kind || !what) {
        fields.wrong("event", "a known event of a known object");
    }
    taken.kind = kind.value_or(event_kind::exists);
    taken.object = what.value_or(event_object::none);
    taken.resource = fields.text("resource", "", 1024);
    taken.time_us = fields.signed_number("time", 0);
    taken.has_connection = fields.boolean("connection", false);
    if (fields.has("volume")) {
        taken.volume = fields.small<std::uint32_t>("volume", 0);
    }
    if (fields.has("minor")) {
        taken.minor = fields.small<std::uint32_t>("minor", 0);
    }
    take_fields(fields, taken);
    const result<> good = fields.finish(true);
    if (!good) {
        return tl::unexpected<error>(good.error());
    }
    return taken;
}

} // namespace lockstep::control
