// The kernel logs among the fixtures: what the in-kernel DRBD 8.4.11 decided, line by line, so that
// our rules can be held against it.
#pragma once

#include "kernel/options/options.hpp"
#include "kernel/state/generation.hpp"
#include "kernel/state/types.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace lockstep::test {

// One "self" or "peer" line of a handshake.
struct logged_record {
    state::generation uuids;
    std::uint64_t bits = 0;
    std::uint64_t flags = 0;
};

// One line, without time stamp and device name.
struct log_line {
    std::string text;
    int number = 0; // in the file
};

struct node_log {
    std::string file; // "split-brain.txt"
    std::string node; // "a"
    std::vector<log_line> lines;
    options::net_options net;
    options::disk_options disk;

    std::string place(const log_line& line) const;
};

// All node logs of all files, in order of their names; the two of a file follow each other.
std::vector<node_log> read_kernel_logs();

// "role( A -> B ) conn( C -> D )": the state before and after, as far as the line names it.
struct logged_transition {
    state::volume_state before; // fields not named are those of `now`
    state::volume_state after;
};
std::optional<logged_transition> parse_transition(const std::string& text,
                                                  const state::volume_state& now);

// Four identifiers after `prefix`.
std::optional<state::generation> parse_generation(const std::string& text,
                                                  const std::string& prefix);
std::optional<logged_record> parse_record(const std::string& text, const std::string& who);

// "uuid_compare()=1 by rule 70".
struct logged_comparison {
    int result = 0;
    int rule = 0;
};
std::optional<logged_comparison> parse_comparison(const std::string& text);

} // namespace lockstep::test
