// Becoming Primary, becoming Secondary, and leaving the peer in peace. Each may need the peer's
// consent, the fence-peer handler, or both.
#pragma once

#include "kernel/replica/resource.hpp"

namespace lockstep::replica {

class machinery;

// `done` hears of success when the generation identifiers are on disk.
void promote(machinery& all, bool force, on_outcome done);
void demote(machinery& all, on_outcome done);
void disconnect_politely(machinery& all, on_outcome done);

} // namespace lockstep::replica
