// What is refused of options that are each in their range: values that do not go together, digests
// that do not exist, changes that can't be made while something runs. The codes are DRBD's.
#pragma once

#include "kernel/options/options.hpp"
#include "kernel/replica/resource.hpp"

namespace lockstep::replica {

class machinery;
struct volume;

outcome check_disk_options(const machinery& all, const volume& target,
                           const options::disk_options& wanted);
outcome check_net_options(const machinery& all, const options::net_options& wanted);
// Besides that, for a connection that is configured.
outcome check_net_change(const machinery& all, const options::net_options& wanted);

} // namespace lockstep::replica
