// What the peer tells of its net options in PROTOCOL, beside what is set here.
#pragma once

#include <string>
#include <string_view>

#include "kernel/base/error.hpp"
#include "kernel/options/options.hpp"
#include "kernel/wire/payloads.hpp"

namespace lockstep::replica {

// The net options of this node when it takes over what the peer has told. Where the peer discards
// its local changes this node has to discard the remote ones. Fails if there is no such policy.
result<options::net_options> taken_over(const options::net_options& own,
                                        const wire::connection_settings& told);

// For a person: the first option with which the two can't be connected, both its values and the way
// out. Empty if there is none.
std::string first_difference(const options::net_options& own, const wire::connection_settings& told,
                             const wire::protocol& rules);

// How to get out of that, as the end of a message.
std::string_view way_out_of_difference();

} // namespace lockstep::replica
