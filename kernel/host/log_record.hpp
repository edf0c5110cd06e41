// A line on its way to the log writer: one packet of a SOCK_SEQPACKET pair, its first byte the
// severity (the numbers of syslog), the rest the text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace lockstep::host {

enum class log_severity : std::uint8_t { error = 3, warning = 4, notice = 5, info = 6, debug = 7 };

constexpr std::size_t log_text_max = 1000; // longer lines are cut

// Never blocks. False if the writer has no room now (or, for good, if there is no writer).
bool send_log_record(int socket, log_severity severity, std::string_view text);

} // namespace lockstep::host
