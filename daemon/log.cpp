#include "daemon/log.hpp"

#include <syslog.h>

#include <qb/qblog.h>

namespace lockstep::daemon {

namespace {

void log(int priority, const std::string& line) {
    qb_log_from_external_source("lockstepd", "lockstepd", "%s", static_cast<std::uint8_t>(priority),
                                0, 0, line.c_str());
}

} // namespace

void open_log(bool to_standard_error) {
    qb_log_init("lockstepd", LOG_DAEMON, LOG_INFO);
    qb_log_format_set(QB_LOG_SYSLOG, "%b");
    if (to_standard_error) {
        qb_log_filter_ctl(QB_LOG_STDERR, QB_LOG_FILTER_ADD, QB_LOG_FILTER_FILE, "*", LOG_INFO);
        qb_log_format_set(QB_LOG_STDERR, "%t %7p %b");
        qb_log_ctl(QB_LOG_STDERR, QB_LOG_CONF_ENABLED, QB_TRUE);
    }
}

void close_log() {
    qb_log_fini();
}

void log_error(const std::string& line) {
    log(LOG_ERR, line);
}

void log_notice(const std::string& line) {
    log(LOG_NOTICE, line);
}

} // namespace lockstep::daemon
