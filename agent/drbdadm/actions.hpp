// Carries one command out on one subject.
#pragma once

#include <optional>

#include "agent/drbdadm/session.hpp"

namespace lockstep::drbdadm {

// An exit code. Commands of `up` and `adjust` are only collected in `run.deferred`.
int perform(session& run, const command& what, const subject& on);

// actions_83.cpp: nothing if 8.3 does it like 8.4.
std::optional<int> perform_83(session& run, const command& what, const subject& on);

// status_83.cpp: what 8.3 prints of the devices, between head and foot.
void print_status_head_83(const session& run);
void print_status_foot_83();
int print_status_83(const session& run, const config::resource& owner);

// adjust.cpp
int perform_adjust(session& run, const subject& on);
// Prints the resource's name if adjust would change anything.
int list_if_adjustable(session& run, const subject& on);

// queries.cpp: the sh-… commands and the dumps; prints to stdout, changes nothing.
int perform_query(session& run, const command& what, const subject& on);
void print_shell_status_head(const session& run);

// wait.cpp
int wait_for_all_connections(session& run);

// steps that several commands share (actions.cpp)
int call(const session& run, const config::resource& owner, command_words words,
         patience how_long = patience::brief);
int make_resource(const session& run, const config::resource& owner);
int make_minor(const session& run, const config::resource& owner, const config::volume& row);
int attach_disk(const session& run, const config::resource& owner, const config::volume& row);
int connect_peer(const session& run, const config::resource& owner);
int resize_disk(const session& run, const config::resource& owner, const config::volume& row,
                bool quiet);

} // namespace lockstep::drbdadm
