// The command line, taken apart and checked. The 8.3 grammar is translated by legacy_grammar.hpp
// first.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/drbdsetup/command_table.hpp"
#include "kernel/base/error.hpp"
#include "kernel/control/protocol/request.hpp"

namespace lockstep::drbdsetup {

// One of a command's own options, as given.
struct given_option {
    const own_option* option = nullptr;
    std::string value; // booleans: "yes" or "no"; numbers: in units of the option's scale
};

struct invocation {
    const command_row* row = nullptr;
    // What the object is: on_minor, on_resource, or on_all.
    context object_kind = on_nothing;
    std::string object;        // as typed; messages begin with it
    std::uint32_t minor = 0;   // object_kind == on_minor
    std::string local_address; // normalised
    std::string peer_address;
    std::vector<std::string> arguments; // as many as the row has
    std::vector<given_option> options;
    std::vector<control::option_setting> settings; // normalised
    bool set_defaults = false;

    bool has(std::string_view option) const; // given, and not "no"
    // The value of an option; the fallback if it was not given.
    std::string value(std::string_view option, std::string_view fallback) const;
};

// `words`: the command and what follows it. Errors name what is expected, and carry the usage of
// the command as their remedy.
result<invocation> parse_arguments(const std::vector<std::string>& words);

} // namespace lockstep::drbdsetup
