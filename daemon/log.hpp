// Lines for syslog and, in the foreground, standard error; by libqb.
#pragma once

#include <string>

namespace lockstep::daemon {

// `to_standard_error`: in addition to syslog.
void open_log(bool to_standard_error);
void close_log();

void log_error(const std::string& line);
void log_notice(const std::string& line);

} // namespace lockstep::daemon
