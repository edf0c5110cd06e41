// `drbdsetup show`: the running configuration in the language of drbd.conf, as `drbdadm adjust`
// reads it back.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "kernel/control/protocol/snapshot.hpp"

namespace lockstep::drbdsetup {

// only_minor: of the volumes only this one. Nothing configured is an empty text.
std::string show_text(const std::vector<control::snapshot>& resources, bool with_defaults,
                      std::optional<std::uint32_t> only_minor = std::nullopt);

} // namespace lockstep::drbdsetup
