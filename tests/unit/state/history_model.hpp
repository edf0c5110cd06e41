// Two nodes in miniature: a few blocks, bitmaps, generations, roles and disks, moved by the very
// functions of kernel/state, with the link lost and nodes killed at every step. What each
// acknowledged write means for the two copies is known, so a wrong decision shows as data.
#pragma once

#include "kernel/state/attach_state.hpp"
#include "kernel/state/handshake.hpp"
#include "kernel/state/transition.hpp"

#include <array>
#include <cstdint>
#include <string>

namespace lockstep::test {

struct model_options {
    std::uint32_t protocol_version = 101;
    bool both_lockstep = false;
    bool keep_trace = false;
};

class history_model {
public:
    static constexpr unsigned block_count = 5;

    history_model(std::uint64_t seed, const model_options& options);

    // One random event. False: an invariant broke, see failure() and trace().
    bool step();

    const std::string& failure() const { return failure_; }
    const std::string& trace() const { return trace_; }

    // What has happened so far, to know that a run was not idle.
    struct counts {
        std::uint64_t writes = 0;
        std::uint64_t syncs = 0;
        std::uint64_t split_brains = 0;
        std::uint64_t corrections = 0;
        std::uint64_t in_sync_meetings = 0;
        std::uint64_t lost_sync_starts = 0;
        std::uint64_t lost_sync_ends = 0;
    };
    const counts& seen() const { return counts_; }

private:
    struct node {
        state::volume_state now;
        state::generation uuids;
        state::metadata_flags flags;
        std::uint64_t presented = 0;
        std::array<int, block_count> data = {};
        std::uint32_t bits = 0;
        std::uint64_t acknowledged = 0; // the acknowledged writes that its data contains
        bool alive = true;
        bool crashed_primary = false;
        bool discards = false;

        bool has_disk() const { return now.disk >= state::disk::inconsistent; }
    };
    enum class phase : std::uint8_t { idle, bitmaps, copying };
    using decisions = std::array<state::handshake_decision, 2>;

    std::uint64_t random();
    bool one_in(unsigned n) { return random() % n == 0; }
    node& at(unsigned which) { return nodes_[which]; }
    node& other(unsigned which) { return nodes_[1 - which]; }
    bool broken(const std::string& what);
    void note(const std::string& what);
    std::string shown(const node& one) const;

    state::transition_context context_of() const;
    void enter(node& one, const state::volume_state& after);
    bool request(node& one, const state::state_change& wish);
    void force(node& one, const state::state_change& wish);
    bool linked() const;
    void part();

    bool random_event(unsigned which);
    void lose_link();
    void crash(unsigned which);
    void restart(unsigned which);
    void replace_disk(unsigned which);
    void write(unsigned which);
    void write_and_fail(unsigned which);
    void promote(unsigned which);
    void demote(unsigned which);
    void detach(unsigned which);
    bool attach(unsigned which);
    void bit_rot_and_verify(unsigned which);
    bool check();

    // history_meeting.cpp
    bool meet();
    bool connect();
    bool generations_fit();
    state::handshake_input input_of(unsigned which);
    bool decide_together(decisions& made);
    bool check_decisions(const decisions& made);
    bool adopt_decisions(const decisions& made);
    void primary_agrees(node& one);
    void begin_sync(const decisions& made);
    bool attach_connected(unsigned which, const state::attached& found);
    void exchange_bitmaps();
    void copy_or_finish();
    void finish_sync();

    model_options options_;
    std::uint64_t random_state_;
    std::array<node, 2> nodes_;
    // What the target knows of the source's identifiers while a sync is on.
    state::generation source_uuids_;
    unsigned source_ = 0;
    phase phase_ = phase::idle;
    unsigned next_write_ = 0;
    int next_value_ = 1;
    bool resolver_is_first_ = false;
    std::string failure_;
    std::string trace_;
    counts counts_;
};

} // namespace lockstep::test
