// Assertions that stay on: for what cannot happen unless the program is wrong.
#pragma once

namespace lockstep {

[[noreturn]] void check_failed(const char* expression, const char* file, int line);

} // namespace lockstep

#define LOCKSTEP_CHECK(expression)                                                                 \
    ((expression) ? static_cast<void>(0)                                                           \
                  : ::lockstep::check_failed(#expression, __FILE__, __LINE__))
