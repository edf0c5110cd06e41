// Finds, reads and resolves the configuration of a run.
#pragma once

#include "agent/drbdadm/session.hpp"

namespace lockstep::drbdadm {

// uname -n, or what __DRBD_NODE__ pretends.
std::string node_name();

// The file that a run reads: -c, the file registered for the target of an engine's call, or the
// first of the default files. An error's code is the exit code.
result<std::string> choose_config_file(const request& what, bool for_8_3);

// Reads and resolves everything into the session. Messages are in session.found; the error, if
// any, has the exit code and may have no text of its own.
result<> load_configuration(session& run, const std::string& file);

// Where an address of this host is configured that no interface has, that is an error, unless
// disable-ip-verification says otherwise. False if it was one.
bool verify_address(session& run, const config::resource& owner);

} // namespace lockstep::drbdadm
