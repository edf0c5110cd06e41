// Counts what operator new gives out in this program. Linking allocation_count.cpp replaces the
// global operators.
#pragma once

#include <cstddef>

namespace lockstep::support {

std::size_t allocation_count();

} // namespace lockstep::support
