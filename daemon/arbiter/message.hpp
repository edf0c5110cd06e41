// What daemons tell each other, all of it to the whole group.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "daemon/arbiter/change.hpp"
#include "daemon/arbiter/record.hpp"

namespace lockstep::arbiter {

// First in every configuration. A message that was sent in an earlier one may be delivered in this
// one; whoever knows the numbers of all members knows that they have come that far.
struct present {
    std::uint64_t nonce = 0;
};

// All that the sender has, to the members that have these numbers.
struct hello {
    std::map<node_id, std::uint64_t> nonces;
    ledger_state state;
    node_set excused;
    bool steady = false; // was in a view since it was started
};

// The sender has it on disk that it takes nothing of a lower view.
struct promised {
    std::uint64_t view = 0;
};

// The sender has this version of a record on disk. `cluster` or the name of a resource.
struct acknowledged {
    struct entry {
        bool cluster = false;
        std::string resource;
        std::uint64_t counter = 0;
        std::uint64_t lineage = 0;
    };
    std::uint64_t view = 0;
    std::vector<entry> records;
};

// The sender, who had lost its state, has it again on disk, and votes.
struct votes_again {
    std::uint64_t view = 0;
};

// `node` is known to be off: its votes count for nobody while it is away.
struct excuse {
    node_id node = 0;
};

struct proposal {
    version base; // of the record: void if it has another one by then
    bool cluster = false;
    std::string resource;
    change what;
};

// The sender is primary, has lost its link to the peer, and asks for the peer's disk to be
// outdated; `at`: the record upon which it asks.
struct outdate_request {
    std::string resource;
    version at;
};
// It is.
struct outdate_confirmed {
    std::string resource;
    version at;
};

using message = std::variant<present, hello, promised, acknowledged, votes_again, excuse, proposal,
                             outdate_request, outdate_confirmed>;

} // namespace lockstep::arbiter
