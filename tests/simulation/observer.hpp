// What an outside observer knows, who sees both nodes at once: which of them has every write that
// was acknowledged, and so may be promoted. It is also the record that the fence-peer handlers ask.
#pragma once

#include <array>
#include <map>

#include "history_settings.hpp"
#include "world.hpp"

namespace lockstep::simulation {

class observer {
public:
    observer(world& in, const history_settings& settings) : world_(in), settings_(settings) {}

    // Called at each change of a state.
    void look();
    // The node may be promoted: nothing that was acknowledged is missing there.
    bool has_all(unsigned side) const { return !stale_[side] && !crashed_[side]; }
    // Of no use before it has been resynced, for a reason that its own states do not tell.
    void now_stale(unsigned side) { stale_[side] = true; }
    // The node loses power; looked at before it does.
    void crashes(unsigned side);
    // A handler has told the other node that this one is out.
    void now_fenced(unsigned side) { fenced_[side] = true; }
    bool fenced(unsigned side) const { return fenced_[side]; }
    // Somebody decided by hand: from here on a Primary may go on alone, and the nodes may meet with
    // histories of their own.
    void overruled() { overruled_ = true; }
    bool was_overruled() const { return overruled_; }
    // It crashed as Primary: what it had marked meanwhile looks like writes of its own.
    bool fell_as_primary(unsigned side) const { return fell_as_primary_[side]; }
    // As Secondary it took its data for the only ones, because its peer, a Primary, has (or asked
    // for leave to have) no disk: a generation of its own, which the peer may never hear of.
    bool kept_for_peer(unsigned side) const { return kept_for_peer_[side]; }
    // Some of what was acknowledged may be lost, and rightly so (an error of the only good disk).
    void all_is_doubtful();

    bool is_primary(unsigned side) const;
    bool in_sync(unsigned side) const;
    // Reads and writes of this node reach good data of the peer.
    bool reaches_good_peer(unsigned side) const;

    // Both say so: one of them may have left, and gone on, while the other does not know yet.
    bool linked() const { return connected(0) && connected(1); }

    // Every volume's good disk, here or there.
    bool reaches_good_data(unsigned side) const;

private:
    // As Primary, may it acknowledge something that the peer lacks?
    bool goes_on_alone(unsigned side) const;
    bool leans_on_peer(unsigned side) const;
    bool own_disks_good(unsigned side) const;
    bool stored_as_primary(unsigned side) const;
    bool connected(unsigned side) const;
    void look_for_errors();
    void look_for_lost_flushes();
    void look_at_moving(unsigned side, volume_number number);
    std::uint64_t stored_generation(unsigned side, volume_number number) const;
    bool keeps_for_peer(unsigned side) const;
    void judge_promotion(unsigned side);
    void look_at_crashed_primary(unsigned side);
    node& at(unsigned side) const { return *world_.nodes[side]; }

    world& world_;
    const history_settings& settings_;
    std::array<bool, 2> stale_{};
    // Its cache was lost while the other node had everything; until they are in sync again.
    std::array<bool, 2> crashed_{};
    std::array<bool, 2> crashed_primary_{}; // and nobody was promoted since
    std::array<bool, 2> fell_as_primary_{};
    std::array<bool, 2> kept_for_peer_{};
    std::array<bool, 2> fenced_{};
    std::array<std::uint64_t, 2> errors_{};
    std::array<bool, 2> was_primary_{};
    // Lost its disk: the peer's stored generation at that time.
    std::array<std::map<volume_number, std::uint64_t>, 2> moving_;
    std::array<std::map<volume_number, bool>, 2> flushes_here_; // a Primary with a good disk
    bool overruled_ = false;
};

} // namespace lockstep::simulation
