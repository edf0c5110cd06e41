#pragma once

#include <cstdint>

namespace lockstep::daemon {

// Never 0, which stands for none.
std::uint64_t random_identity();

} // namespace lockstep::daemon
