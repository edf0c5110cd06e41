// The process that writes the log. It may block for as long as a disk or syslog likes: it has
// nothing else to do, and those who send it lines never wait for it.
#pragma once

#include <string>

namespace lockstep::host {

struct log_writer_settings {
    std::string name = "lockstep"; // how syslog calls it
    std::string target = "syslog"; // or the path of a file
    std::string fallback;          // a file for as long as there is no /dev/log; may be empty
    std::string syslog_socket = "/dev/log";
};

// Reads log records (log_record.hpp) until all senders are gone. A file that was moved away (log
// rotation) is made anew. Lines that can't be written, because a disk is full say, are kept and
// come late; if there are too many the oldest are lost. Either is counted, and the log says so.
void write_log(int socket, const log_writer_settings& settings);

} // namespace lockstep::host
