#include "daemon/control/server.hpp"

#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

#include "kernel/base/check.hpp"

namespace lockstep::daemon {

namespace {

control_server* serving = nullptr;
qb_loop_t* main_loop = nullptr;

std::int32_t add_job(qb_loop_priority priority, void* data, qb_loop_job_dispatch_fn call) {
    return qb_loop_job_add(main_loop, priority, data, call);
}

std::int32_t add_descriptor(qb_loop_priority priority, std::int32_t descriptor, std::int32_t events,
                            void* data, qb_ipcs_dispatch_fn_t call) {
    return qb_loop_poll_add(main_loop, priority, descriptor, events, data, call);
}

std::int32_t change_descriptor(qb_loop_priority priority, std::int32_t descriptor,
                               std::int32_t events, void* data, qb_ipcs_dispatch_fn_t call) {
    return qb_loop_poll_mod(main_loop, priority, descriptor, events, data, call);
}

std::int32_t remove_descriptor(std::int32_t descriptor) {
    return qb_loop_poll_del(main_loop, descriptor);
}

void send(qb_ipcs_connection_t* to, const std::string& text) {
    qb_ipc_response_header head = {};
    head.size = static_cast<std::int32_t>(sizeof head + text.size());
    const iovec parts[] = {{&head, sizeof head}, {const_cast<char*>(text.data()), text.size()}};
    // One that does not read what it has asked for loses it.
    if (qb_ipcs_response_sendv(to, parts, 2) < 0) {
        qb_ipcs_disconnect(to);
    }
}

} // namespace

struct control_server::callbacks {
    static std::int32_t accept(qb_ipcs_connection_t*, uid_t user, gid_t) {
        return user == 0 ? 0 : -EACCES;
    }
    static void created(qb_ipcs_connection_t* client) {
        serving->clients_[client] = ++serving->last_;
    }
    static std::int32_t message(qb_ipcs_connection_t* client, void* data, std::size_t size) {
        if (size < sizeof(qb_ipc_request_header)) {
            return -EINVAL;
        }
        const std::string_view text(static_cast<const char*>(data) + sizeof(qb_ipc_request_header),
                                    size - sizeof(qb_ipc_request_header));
        const auto read = parse_request(text);
        if (read) {
            serving->user_.asked(serving->clients_.at(client), *read);
        } else {
            send(client, text_of(answer{2, read.error().text()}));
        }
        return 0;
    }
    static std::int32_t closed(qb_ipcs_connection_t* client) {
        if (serving == nullptr) {
            return 0;
        }
        if (const auto found = serving->clients_.find(client); found != serving->clients_.end()) {
            const client_number number = found->second;
            serving->clients_.erase(found);
            serving->user_.left(number);
        }
        return 0;
    }
    static void destroyed(qb_ipcs_connection_t*) {}
};

result<std::unique_ptr<control_server>> control_server::open(qb_loop_t* loop, control_user& user) {
    LOCKSTEP_CHECK(serving == nullptr);
    std::unique_ptr<control_server> made(new control_server(user));
    qb_ipcs_service_handlers handlers = {};
    handlers.connection_accept = callbacks::accept;
    handlers.connection_created = callbacks::created;
    handlers.msg_process = callbacks::message;
    handlers.connection_closed = callbacks::closed;
    handlers.connection_destroyed = callbacks::destroyed;
    made->service_ = qb_ipcs_create(service_name, 0, QB_IPC_SHM, &handlers);
    if (made->service_ == nullptr) {
        return fail_errno(errno, "can't make the service for lockstep", service_name);
    }
    qb_ipcs_poll_handlers polls = {};
    polls.job_add = add_job;
    polls.dispatch_add = add_descriptor;
    polls.dispatch_mod = change_descriptor;
    polls.dispatch_del = remove_descriptor;
    qb_ipcs_poll_handlers_set(made->service_, &polls);
    qb_ipcs_enforce_buffer_size(made->service_, text_bytes_max);
    serving = made.get();
    main_loop = loop;
    if (const std::int32_t code = qb_ipcs_run(made->service_); code < 0) {
        return fail_errno(-code, "can't open the service for lockstep", service_name,
                          "another lockstepd may run on this node");
    }
    return made;
}

control_server::~control_server() {
    serving = nullptr;
    if (service_ != nullptr) {
        qb_ipcs_destroy(service_);
    }
}

void control_server::reply(client_number to, const answer& what) {
    const auto found = std::find_if(clients_.begin(), clients_.end(),
                                    [to](const auto& each) { return each.second == to; });
    if (found != clients_.end()) {
        send(found->first, text_of(what));
    }
}

} // namespace lockstep::daemon
