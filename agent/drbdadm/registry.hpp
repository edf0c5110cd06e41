// Which configuration file made a minor or a resource: the engine calls `drbdadm HANDLER minor-N`,
// and that must find the file that was given by -c. Kept as symbolic links in the run directory,
// where drbdadm 8.4 keeps them too.
#pragma once

#include <optional>
#include <string>

namespace lockstep::drbdadm {

// $LOCKSTEP_RUNTIME_DIRECTORY/configurations where engines are kept apart by that variable, which
// they pass on to their handlers; else /var/run/drbd, as drbd-utils has it.
std::string registry_directory();

// What cannot be remembered is said on stderr and does no other harm. `path` must be absolute.
void register_minor(unsigned minor, const std::string& path);
void register_resource(const std::string& name, const std::string& path);

// By "minor-N" or the name of a resource.
std::optional<std::string> registered_config(const std::string& target);

} // namespace lockstep::drbdadm
