// Asking the fence-peer handler what has become of the peer.
//
//   exit   meaning                       the peer's disk becomes
//   3      Inconsistent or worse         Inconsistent
//   4      outdated / fenced             Outdated
//   5      unreachable, assumed dead     Outdated, if our disk is UpToDate; else nothing
//   6      it is Primary                 -, ours becomes Outdated
//   7      shot                          Outdated
//   other  the handler is broken         nothing: frozen I/O stays frozen
//
// Source: Linux 6.1 drivers/block/drbd/drbd_nl.c (conn_try_outdate_peer).
#pragma once

#include <functional>
#include <vector>

#include "kernel/options/options.hpp"

namespace lockstep::replica {

class machinery;

class fencing {
public:
    explicit fencing(machinery& all) : all_(all) {}

    // A Primary has lost the peer.
    void peer_lost();
    // Asks now; `done` hears whether the peer is known to be out (Outdated or worse).
    void ask(std::function<void(bool)> done);
    // The strictest policy of all volumes with a disk that could go on.
    options::fencing policy() const;
    bool asking() const { return asking_; }

private:
    void answered(int exit_code, std::uint64_t link_serial);
    bool peer_is_out() const;

    machinery& all_;
    bool asking_ = false;
    std::vector<std::function<void(bool)>> waiting_;
};

} // namespace lockstep::replica
