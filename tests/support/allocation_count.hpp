// Counts what operator new gives out in this program. Linking allocation_count.cpp replaces the
// global operators.
#pragma once

#include <cstddef>

namespace lockstep::support {

std::size_t allocation_count();

// From now on only those count during which `condition` holds; null: all of them.
void count_allocations_while(bool (*condition)());

} // namespace lockstep::support
