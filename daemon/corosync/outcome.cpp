#include "daemon/corosync/outcome.hpp"

#include <corosync/corotypes.h>
#include <fmt/format.h>

namespace lockstep::corosync {

std::string outcome_text(int code) {
    switch (code) {
    case CS_ERR_LIBRARY:
    case CS_ERR_BAD_HANDLE:
        return "corosync does not answer";
    case CS_ERR_TRY_AGAIN:
        return "corosync is busy, or not ready yet";
    case CS_ERR_ACCESS:
    case CS_ERR_SECURITY:
        return "corosync refuses this user";
    default:
        return fmt::format("corosync says {} ({})", cs_strerror(static_cast<cs_error_t>(code)),
                           code);
    }
}

} // namespace lockstep::corosync
