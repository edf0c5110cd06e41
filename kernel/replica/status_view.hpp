// Gathers what status shows from the mechanisms.
#pragma once

#include "kernel/replica/status.hpp"

namespace lockstep::replica {

class machinery;

resource_status view_status(const machinery& all);

} // namespace lockstep::replica
