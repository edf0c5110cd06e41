#include "daemon/control/client.hpp"

#include <sys/uio.h>

#include <cerrno>
#include <memory>
#include <vector>

#include <qb/qbipcc.h>

namespace lockstep::daemon {

namespace {

struct disconnecting {
    void operator()(qb_ipcc_connection_t* connection) const { qb_ipcc_disconnect(connection); }
};
using connection = std::unique_ptr<qb_ipcc_connection_t, disconnecting>;

constexpr const char* remedy = "look at its log, and start it: systemctl start lockstepd";

} // namespace

result<answer> ask(const request& what, std::optional<std::chrono::milliseconds> limit) {
    const connection to(qb_ipcc_connect(service_name, text_bytes_max));
    if (to == nullptr) {
        return fail_errno(errno, "lockstepd of this node can't be reached", {}, remedy);
    }
    const std::string text = text_of(what);
    qb_ipc_request_header head = {};
    head.size = static_cast<std::int32_t>(sizeof head + text.size());
    const iovec parts[] = {{&head, sizeof head}, {const_cast<char*>(text.data()), text.size()}};
    if (const ssize_t sent = qb_ipcc_sendv(to.get(), parts, 2); sent < 0) {
        return fail_errno(static_cast<int>(-sent), "lockstepd of this node does not listen", {},
                          remedy);
    }
    std::vector<char> buffer(static_cast<std::size_t>(qb_ipcc_get_buffer_size(to.get())));
    const ssize_t came = qb_ipcc_recv(to.get(), buffer.data(), buffer.size(),
                                      limit ? static_cast<std::int32_t>(limit->count()) : -1);
    if (came == -ETIMEDOUT || came == -EAGAIN) {
        return fail("lockstepd of this node does not answer", {}, "look at its log");
    }
    if (came < static_cast<ssize_t>(sizeof(qb_ipc_response_header))) {
        return fail_errno(came < 0 ? static_cast<int>(-came) : EPROTO,
                          "lockstepd of this node went away before it answered", {}, remedy);
    }
    return parse_answer({buffer.data() + sizeof(qb_ipc_response_header),
                         static_cast<std::size_t>(came) - sizeof(qb_ipc_response_header)});
}

} // namespace lockstep::daemon
