#include "daemon/control/request.hpp"

#include <array>
#include <limits>
#include <utility>

#include <nlohmann/json.hpp>

namespace lockstep::daemon {

namespace {

using json = nlohmann::json;

constexpr std::size_t name_bytes_most = 127; // as drbd.conf allows it

constexpr std::array<std::pair<verb, std::string_view>, 9> verbs = {{
    {verb::status, "status"},
    {verb::init, "init"},
    {verb::add_node, "add-node"},
    {verb::remove_node, "remove-node"},
    {verb::create, "create"},
    {verb::remove, "remove"},
    {verb::promote, "promote"},
    {verb::demote, "demote"},
    {verb::fence_peer, "fence-peer"},
}};

bool needs_resource(verb what) {
    return what >= verb::create;
}

bool needs_node(verb what) {
    return what == verb::add_node || what == verb::remove_node;
}

result<json> object_of(std::string_view text) {
    if (text.size() > text_bytes_max) {
        return fail("longer than is taken");
    }
    json read = json::parse(text, nullptr, false);
    if (!read.is_object()) {
        return fail("not a JSON object");
    }
    return read;
}

// Absent: as it was. Not a number that fits: false.
template <class Number>
bool take_number(const json& from, const char* key, Number& into) {
    const auto found = from.find(key);
    if (found == from.end()) {
        return true;
    }
    if (!found->is_number_unsigned() ||
        found->template get<std::uint64_t>() > std::numeric_limits<Number>::max()) {
        return false;
    }
    into = found->template get<Number>();
    return true;
}

result<verb> verb_of(const json& from) {
    const auto found = from.find("command");
    if (found == from.end() || !found->is_string()) {
        return fail("a word is needed", "command");
    }
    for (const auto& [what, name] : verbs) {
        if (found->get_ref<const std::string&>() == name) {
            return what;
        }
    }
    return fail("not a command of this version", "command");
}

result<> take_resource(const json& from, request& into) {
    const auto found = from.find("resource");
    if (found != from.end() && found->is_string()) {
        into.resource = found->get<std::string>();
    }
    if (needs_resource(into.what) == into.resource.empty() ||
        into.resource.size() > name_bytes_most || into.resource.find('\n') != std::string::npos) {
        return fail(needs_resource(into.what) ? "the name of a resource is needed"
                                              : "this command is not about a resource",
                    "resource");
    }
    return {};
}

result<> take_node(const json& from, request& into) {
    arbiter::node_id node = 0;
    if (!take_number(from, "node", node)) {
        return fail("a number from 0 to 4294967295 is needed", "node");
    }
    if (!take_number(from, "votes", into.votes) || into.votes < 1 || into.votes > votes_max) {
        return fail("a number from 1 to 1000 is needed", "votes");
    }
    if (node != 0) {
        into.node = node;
    } else if (needs_node(into.what)) {
        return fail("corosync's number of a node is needed", "node");
    }
    return {};
}

} // namespace

std::string_view name_of(verb what) {
    for (const auto& [each, name] : verbs) {
        if (each == what) {
            return name;
        }
    }
    return {};
}

fence_reason reason_of(std::string_view in_environment) {
    if (in_environment == "own-disk") {
        return fence_reason::own_disk;
    }
    const bool of_peer = in_environment == "peer-disk" || in_environment == "write-refused";
    return of_peer ? fence_reason::peer_disk : fence_reason::peer_lost;
}

std::string text_of(const request& what) {
    json text = {{"command", name_of(what.what)}};
    if (!what.resource.empty()) {
        text["resource"] = what.resource;
    }
    if (what.node) {
        text["node"] = *what.node;
    }
    text["votes"] = what.votes;
    text["reason"] = static_cast<unsigned>(what.reason);
    return text.dump(-1, ' ', false, json::error_handler_t::replace);
}

result<request> parse_request(std::string_view text) {
    const auto from = object_of(text);
    if (!from) {
        return tl::unexpected(from.error());
    }
    const auto what = verb_of(*from);
    if (!what) {
        return tl::unexpected(what.error());
    }
    request read;
    read.what = *what;
    if (auto taken = take_resource(*from, read); !taken) {
        return tl::unexpected(taken.error());
    }
    if (auto taken = take_node(*from, read); !taken) {
        return tl::unexpected(taken.error());
    }
    std::uint8_t reason = 0;
    if (!take_number(*from, "reason", reason) ||
        reason > static_cast<std::uint8_t>(fence_reason::own_disk)) {
        return fail("not a reason of this version", "reason");
    }
    read.reason = static_cast<fence_reason>(reason);
    return read;
}

std::string text_of(const answer& what) {
    return json{{"code", what.code}, {"text", what.text}}.dump(-1, ' ', false,
                                                               json::error_handler_t::replace);
}

result<answer> parse_answer(std::string_view text) {
    const auto from = object_of(text);
    if (!from) {
        return tl::unexpected(from.error());
    }
    const auto code = from->find("code");
    const auto said = from->find("text");
    if (code == from->end() || !code->is_number_integer() || said == from->end() ||
        !said->is_string()) {
        return fail("not an answer of lockstepd: has it another version?");
    }
    const auto number = code->get<std::int64_t>();
    if (number < 0 || number > 255) {
        return fail("the code of an answer is from 0 to 255", "code");
    }
    return answer{static_cast<int>(number), said->get<std::string>()};
}

} // namespace lockstep::daemon
