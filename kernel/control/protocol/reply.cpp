#include "kernel/control/protocol/reply.hpp"

#include "kernel/control/protocol/message_json.hpp"

namespace lockstep::control {

namespace {

result<hello> hello_from_json(const json& object) {
    json_fields fields(object, "greeting");
    hello taken;
    if (!fields.has("hello")) {
        fields.wrong("hello", "the number of the protocol's version");
    }
    taken.protocol = fields.small<std::uint32_t>("hello", 0);
    taken.program = fields.text("program", "", 256);
    taken.resource = fields.text("resource", "", 1024);
    taken.pid = fields.signed_number("pid", 0);
    const result<> good = fields.finish(true);
    if (!good) {
        return tl::unexpected<error>(good.error());
    }
    return taken;
}

void take_info(json_fields& fields, reply& into) {
    fields.array("info", 1024, [&](const json& line) {
        if (!line.is_string()) {
            fields.wrong("info", "an array of texts");
            return;
        }
        into.info.push_back(line.get<std::string>());
    });
}

result<reply> reply_from_json(const json& object) {
    json_fields fields(object, "reply");
    reply taken;
    taken.id = fields.number("reply", 0);
    taken.ok = fields.boolean("ok", false);
    taken.is_state_change = fields.boolean("state-change", false);
    taken.code = static_cast<std::int32_t>(fields.signed_number("code", 0));
    taken.text = fields.text("text", "", 1U << 16);
    taken.remedy = fields.text("remedy", "", 1U << 16);
    take_info(fields, taken);
    if (const json* state = fields.member("state")) {
        result<snapshot> seen = snapshot_from_json(*state);
        if (seen) {
            taken.state = std::move(*seen);
        } else {
            fields.adopt(seen.error());
        }
    }
    const result<> good = fields.finish(true);
    if (!good) {
        return tl::unexpected<error>(good.error());
    }
    return taken;
}

template <class Value>
result<server_message> as_message(result<Value> value) {
    if (!value) {
        return tl::unexpected<error>(value.error());
    }
    return server_message(std::move(*value));
}

} // namespace

std::string encode(const hello& value) {
    json object = {{"hello", value.protocol}, {"program", value.program}, {"pid", value.pid}};
    if (!value.resource.empty()) {
        object["resource"] = value.resource;
    }
    return to_line(object);
}

std::string encode(const reply& value) {
    json object = {{"reply", value.id}, {"ok", value.ok}};
    if (value.is_state_change) {
        object["state-change"] = true;
    }
    if (value.code != 0) {
        object["code"] = value.code;
    }
    if (!value.text.empty()) {
        object["text"] = value.text;
    }
    if (!value.remedy.empty()) {
        object["remedy"] = value.remedy;
    }
    if (!value.info.empty()) {
        object["info"] = value.info;
    }
    if (value.state) {
        object["state"] = to_json(*value.state);
    }
    return to_line(object);
}

result<hello> decode_hello(std::string_view line) {
    const result<json> object = parse_object(line, "greeting");
    if (!object) {
        return tl::unexpected<error>(object.error());
    }
    return hello_from_json(*object);
}

result<server_message> decode_server_message(std::string_view line) {
    const result<json> object = parse_object(line, "message of the engine");
    if (!object) {
        return tl::unexpected<error>(object.error());
    }
    if (object->contains("reply")) {
        return as_message(reply_from_json(*object));
    }
    if (object->contains("event")) {
        return as_message(event_from_json(*object));
    }
    return as_message(hello_from_json(*object));
}

} // namespace lockstep::control
