#include "daemon/random.hpp"

#include <sys/random.h>

#include "kernel/base/check.hpp"

namespace lockstep::daemon {

std::uint64_t random_identity() {
    std::uint64_t number = 0;
    LOCKSTEP_CHECK(::getrandom(&number, sizeof number, 0) == sizeof number);
    return number | 1;
}

} // namespace lockstep::daemon
