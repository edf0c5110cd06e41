// What an engine says to a client: a greeting, answers, and events (event.hpp); one JSON object on
// one line each.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "kernel/base/error.hpp"
#include "kernel/control/protocol/event.hpp"
#include "kernel/control/protocol/snapshot.hpp"

namespace lockstep::control {

// The first line in each direction.
struct hello {
    std::uint32_t protocol = 0;
    std::string program;  // "lockstep-engine 0.1.0", "drbdsetup 0.1.0"
    std::string resource; // engine only
    std::int64_t pid = 0; // of the sender

    bool operator==(const hello&) const = default;
};

// The end of a request. code: 0 for success; 101..176 for refused configuration ("Failure: (CODE)
// TEXT"); with is_state_change a state::verdict ("State change failed: (CODE) TEXT").
struct reply {
    std::uint64_t id = 0;
    bool ok = true;
    bool is_state_change = false;
    std::int32_t code = 0;
    std::string text;
    std::string remedy;
    std::vector<std::string> info; // lines of "additional info from kernel:"
    std::optional<snapshot> state; // command::status only

    bool operator==(const reply&) const = default;
};

using server_message = std::variant<hello, reply, event>;

std::string encode(const hello& value);
std::string encode(const reply& value);

result<hello> decode_hello(std::string_view line);
result<server_message> decode_server_message(std::string_view line);

} // namespace lockstep::control
