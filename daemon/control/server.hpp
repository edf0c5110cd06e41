// The end of lockstepd to which programs of this node connect, by libqb's IPC. Root only.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include <qb/qbipcs.h>
#include <qb/qbloop.h>

#include "daemon/control/request.hpp"

namespace lockstep::daemon {

using client_number = std::uint64_t; // never given twice

class control_user {
public:
    virtual ~control_user() = default;
    // Is to be answered once, at any time.
    virtual void asked(client_number who, const request& what) = 0;
    // Whoever asked has gone: an answer is not waited for any more.
    virtual void left(client_number who) = 0;
};

class control_server {
public:
    // One at a time in a process: libqb's callbacks know no owner. The user is called by the loop
    // only.
    static result<std::unique_ptr<control_server>> open(qb_loop_t* loop, control_user& user);
    ~control_server();
    control_server(const control_server&) = delete;
    control_server& operator=(const control_server&) = delete;

    // To one that has left: nothing.
    void reply(client_number to, const answer& what);

private:
    struct callbacks;

    explicit control_server(control_user& user) : user_(user) {}

    control_user& user_;
    qb_ipcs_service_t* service_ = nullptr;
    client_number last_ = 0;
    std::map<qb_ipcs_connection_t*, client_number> clients_;
};

} // namespace lockstep::daemon
