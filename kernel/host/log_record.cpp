#include "kernel/host/log_record.hpp"

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

namespace lockstep::host {

bool send_log_record(int socket, log_severity severity, std::string_view text) {
    auto first = static_cast<unsigned char>(severity);
    iovec parts[2] = {
        {&first, 1},
        {const_cast<char*>(text.data()), std::min(text.size(), log_text_max)},
    };
    msghdr header = {};
    header.msg_iov = parts;
    header.msg_iovlen = 2;
    ssize_t sent = 0;
    do {
        sent = sendmsg(socket, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent >= 0;
}

} // namespace lockstep::host
