// Asking the user's fence-peer handler whether a Primary may go on without one of the two disks.
//
// What is asked, and how the handler is called (`drbdadm VERB RESOURCE`, DRBD_FENCE_REASON):
//
//   question     verb        reason         when
//   peer         fence-peer  peer-lost      a Primary has lost the link
//   peer         fence-peer  promotion      a node is to become Primary and does not know its peer
//   peer_disk    fence-disk  peer-disk      connected Primary: the peer's disk was UpToDate, and is
//   not peer_disk    fence-disk  write-refused  connected Primary: NEG_ACK for a write own_disk
//   fence-disk  own-disk       connected Primary: its own disk was UpToDate, and is not
//
// The first question is DRBD's, asked by every policy but dont-care. The others are ours: with
// resource-and-stonith every acknowledged write is on both disks, or somebody has put on record
// that one of them does not count any more. They are asked with that policy only. A handler that
// knows nothing of reasons would take the peer for the culprit, and could shoot the node that has
// the only good data, or one whose disk was detached for repair; so these come as a verb of their
// own, which our drbdadm runs only for a handler that knows DRBD_FENCE_REASON, and any other
// drbdadm refuses with 3. Then the Primary goes on as DRBD does. Nothing of it shows on the wire.
//
//   exit   meaning                       peer lost: the peer's disk becomes    a disk lost
//   3      Inconsistent or worse         Inconsistent                          go on
//   4      outdated / fenced             Outdated                              go on
//   5      unreachable, assumed dead     Outdated, if our disk is UpToDate     go on
//   6      it is Primary                 -, ours becomes Outdated              stay frozen
//   7      shot                          Outdated                              go on
//   other  the handler is broken         nothing: frozen I/O stays frozen      stay frozen
//
// A Primary can't become Outdated: after 6 it stays frozen until it is demoted.
//
// An answer counts only for the condition for which it was asked. The condition changes, and every
// open question with it, when a connection is made or lost, and when the disk in question is
// UpToDate again: then I/O goes on by itself, or the new state asks anew. A disk that gets worse
// changes nothing: who goes on without it may do so whatever is left of it.
//
// A question that freezes I/O has no time limit as long as its condition holds: the handler may
// have to wait for a quorum. From when it is void the limit of all handlers applies. Nothing else
// waits for the answer.
//
// Source: Linux 6.1 drivers/block/drbd/drbd_nl.c (conn_try_outdate_peer).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "kernel/options/options.hpp"
#include "kernel/state/types.hpp"

namespace lockstep::replica {

class machinery;
struct volume;

class fencing {
public:
    explicit fencing(machinery& all) : all_(all) {}

    // A Primary has lost the peer.
    void peer_lost();
    // For a promotion; `done` hears whether the peer is known to be out (Outdated or worse).
    void ask(std::function<void(bool)> done);

    // Every change of a volume's state passes here.
    void state_moved(volume& target, const state::volume_state& before,
                     const state::volume_state& after);
    // NEG_ACK: the peer has not written something, whatever it says of its disk. Called before the
    // write can be completed.
    void write_refused(volume& target);
    // As source: with every volume in sync again, what was done against the peer can be undone.
    void resync_finished();
    // The handshake found that this Primary would have to be sync target. What it writes now would
    // be lost: with resource-and-stonith or rr-conflict violently it stays frozen, whatever a
    // handler says, until it is demoted (or resume-io).
    void peer_is_newer();
    bool superseded() const { return superseded_; }
    // I/O is held for one of the two disks, or was refused, in this very connection: that a volume
    // comes or goes is no answer.
    bool holds() const;
    // Connected with all volumes that the peer has: newer data it had none.
    void peer_is_back();
    // resume-io: the administrator has answered.
    void overruled();

    // The strictest policy of all volumes with a disk that could go on.
    options::fencing policy() const;
    // A handler runs whose answer will count.
    bool asking() const;

private:
    enum class subject : std::uint8_t { peer, peer_disk, own_disk };
    static constexpr std::array all_subjects{subject::peer, subject::peer_disk, subject::own_disk};

    // Whether I/O is held for a disk. Excused: it is on record that it does not count.
    enum class standing : std::uint8_t { good, open, excused };

    struct question {
        subject about;
        std::uint64_t condition;
        std::uint64_t helper;
        bool limited;
        std::vector<std::function<void(bool)>> waiting; // promotions
    };

    void pose(subject about, std::string_view reason, std::function<void(bool)> done);
    void limit(question& which);
    void change_condition(subject about);
    void supersede();
    void end_superseded();
    void disk_lost(subject about, std::string_view reason);
    void answered(std::uint64_t helper, int exit_code);
    void take_peer_answer(int exit_code);
    void take_disk_answer(subject about, int exit_code);
    void outdate_self();
    void not_even_consistent();
    void thaw_if_settled();
    bool peer_is_out() const;
    bool usable_disk() const;

    standing& of(subject about) { return standing_[static_cast<std::size_t>(about)]; }
    std::uint64_t& condition(subject about) { return conditions_[static_cast<std::size_t>(about)]; }

    machinery& all_;
    std::array<standing, all_subjects.size()> standing_{};
    std::array<std::uint64_t, all_subjects.size()> conditions_{};
    std::vector<question> questions_; // whose handlers run
    bool superseded_ = false;
    std::uint64_t superseded_in_ = 0; // the link, or the last one
};

} // namespace lockstep::replica
