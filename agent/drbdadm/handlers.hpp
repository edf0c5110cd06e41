// Handlers: the commands of drbd.conf's handlers {} that the engine has run.
#pragma once

#include <string>
#include <vector>

#include "agent/config/tree.hpp"
#include "agent/drbdadm/session.hpp"

namespace lockstep::drbdadm {

// What drbdadm adds to the environment that the engine gave: DRBD_RESOURCE, DRBD_MINOR (all minors
// of the resource if the call is not for a volume), DRBD_VOLUME, DRBD_LL_DISK, DRBD_CONF and, where
// the peer is known, DRBD_PEER, DRBD_PEERS, DRBD_PEER_AF, DRBD_PEER_ADDRESS; with node-ids in the
// configuration DRBD_MY_NODE_ID and DRBD_NODE_ID_n.
std::vector<std::string> handler_environment(const session& run, const subject& what);

// Runs the configured command by the shell and returns its exit code; 0 if none is configured,
// 127 with a message if its program does not exist, 20 if it outlived cmd-timeout-long.
int run_handler(const session& run, const subject& what, const std::string& verb);

// The program that a handler's command starts, as far as can be seen without being a shell; empty
// if it begins with anything but a plain word (a shell construct or built-in).
std::string handler_program(const std::string& command);

// A sentence for each handler whose program does not exist.
std::vector<std::string> missing_handler_programs(const config::resource& owner);

} // namespace lockstep::drbdadm
