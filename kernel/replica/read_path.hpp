// Reads of the application: from our disk where it is good, else from the peer.
#pragma once

#include "kernel/replica/request.hpp"
#include "kernel/wire/payloads.hpp"

namespace lockstep::replica {

class machinery;
struct volume;

class read_path {
public:
    explicit read_path(machinery& all) : all_(all) {}

    void start(app_request& read);
    // Our disk has answered (or failed).
    void local_done(app_request& read);
    // The disk is dropped while it has this read.
    void disk_given_up(app_request& read);
    // DATA_REPLY, or NEG_DREPLY.
    void reply_received(volume& target, const wire::data_header& head, std::uint32_t size,
                        const buffer_ref& data);
    void refused(volume& target, const wire::block_ack& ack);
    // The connection is gone: unanswered reads begin again.
    void link_lost();
    // The peer does not have this volume any more.
    void peer_lost(volume& target);

private:
    bool good_here(const volume& target, const app_request& read) const;
    bool prefer_peer(volume& target, const app_request& read);
    bool peer_can(const volume& target) const;
    bool leave_memory_to_disk(app_request& read);
    void from_disk(app_request& read);
    void from_peer(app_request& read);
    void finish(app_request& read, int error);

    machinery& all_;
    bool round_robin_ = false;
};

} // namespace lockstep::replica
