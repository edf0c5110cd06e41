// on-congestion: what happens when the peer does not keep up with the writes of protocol A.
//
//     Connected --(congestion-fill or congestion-extents reached)--> Ahead   / peer: Behind
//     Ahead     --(the peer has acknowledged all that was sent)-----> SyncSource
//
// While Ahead the peer is only told which blocks it lacks (OUT_OF_SYNC), and its disk is Outdated.
// With `disconnect` the connection is given up instead.
#pragma once

#include <cstdint>

namespace lockstep::replica {

class machinery;
struct volume;
struct app_request;

class congestion {
public:
    explicit congestion(machinery& all) : all_(all) {}

    // Before a write is sent; the state may be another one afterwards.
    void check(volume& target);
    // The write is on its way to the peer.
    static void entered(app_request& write);
    // The peer has it, or will never get it.
    static void left(app_request& write);
    // Ahead: whether the resync can begin.
    void tick(volume& target);

private:
    machinery& all_;
};

} // namespace lockstep::replica
