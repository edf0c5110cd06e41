// How calls of corosync's libraries end.
#pragma once

#include <string>

namespace lockstep::corosync {

// `code`: a cs_error_t, in words of our own where its own say little.
std::string outcome_text(int code);

} // namespace lockstep::corosync
