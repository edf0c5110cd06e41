// States in the words that status and events2 use: those of later versions of DRBD, which tell the
// connection from the replication. Source: drbd-utils, user/v84/drbdsetup.c.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kernel/control/protocol/snapshot.hpp"

namespace lockstep::control {

std::string_view connection_word(state::connection value);  // "Connecting", "Connected"
std::string_view replication_word(state::connection value); // "Off", "Established", "SyncSource"

std::string suspended_words(const snapshot& from);                 // "no", "user,fencing"
std::string resync_suspended_words(const volume_snapshot& from);   // "no", "user,peer,dependency"
std::string_view write_ordering_word(char letter);                 // "flush"
std::string blocked_words(const snapshot& from);                   // "no", "upper"
std::string_view open_word(const volume_snapshot& from);           // "no", "yes", "unknown"
std::string_view backing_device_word(const volume_snapshot& from); // "/dev/sdb1", "none"

// How much of a resync or verify is done, with two decimals: "12.34".
std::string percent_done(const progress_snapshot& from);

} // namespace lockstep::control
