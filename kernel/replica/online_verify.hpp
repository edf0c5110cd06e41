// Comparing the replicas block by block while they are in use.
//
// The node that was asked (VerifyS) leads: it keeps the application out of a block, has the peer
// send the digest of its own (OV_REQUEST, OV_REPLY), compares, and tells the result (OV_RESULT).
// Different blocks are marked out of sync on both nodes; the next connect resyncs them.
#pragma once

#include "kernel/replica/request.hpp"
#include "kernel/replica/resource.hpp"
#include "kernel/state/types.hpp"
#include "kernel/wire/payloads.hpp"

namespace lockstep::replica {

class machinery;
struct volume;

class online_verify {
public:
    explicit online_verify(machinery& all) : all_(all) {}

    void start(volume& target, std::uint64_t start_sector, std::uint64_t stop_sector,
               on_outcome done);
    void at_change(volume& target, const state::volume_state& before,
                   const state::volume_state& after);
    void tick(volume& target);
    void requested(volume& target, const wire::block_request& request);
    void reply_received(volume& target, const wire::digest_request& reply);
    void result_received(volume& target, const wire::block_ack& ack);
    // False: no block of a verify.
    bool refused(volume& target, const wire::block_ack& ack, bool cancelled);
    void read_done(peer_request& request, int error);
    void finish(volume& target);
    void link_lost(volume& target);

private:
    void begun(volume& target);
    void interrupted(volume& target);
    bool ask_next(volume& target);
    peer_request* find_asked(volume& target, std::uint64_t sector) const;
    void answer(peer_request& request, int error);
    void conclude(volume& target, std::uint64_t sector, std::uint32_t size, bool same);
    void compared(volume& target, std::uint64_t sector, std::uint32_t size, bool same);
    void check_finished(volume& target);
    void end(volume& target);

    machinery& all_;
};

} // namespace lockstep::replica
