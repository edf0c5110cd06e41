// One resource, as the daemon of one of its nodes sees to it: answers its engine's fence-peer,
// makes its node primary, gives that up, and keeps the in-sync set true. Sans I/O.
//
// Everything is looked at anew after each event: what the committed record says, what the engine of
// this node says, what was asked for. Nothing is concluded from a time-out, and nothing that was
// concluded in one view is used in another.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "daemon/arbiter/change.hpp"
#include "daemon/arbiter/message.hpp"
#include "daemon/arbiter/record.hpp"

namespace lockstep::arbiter {

using instant = std::uint64_t; // nanoseconds of a clock that runs on while this daemon lives
constexpr instant never = ~instant{0};

// What the engine of this node says of itself and of its link.
struct engine_facts {
    bool running = false;
    bool primary = false;
    bool up_to_date = false; // the disks of all volumes
    bool connected = false;
    bool stands_alone = false;    // it does not try to connect
    bool peer_up_to_date = false; // those of the peer
    bool peer_primary = false;    // as the link shows it
    std::uint64_t connection = 0; // counts the losses of the link
    instant started = 0;          // of the engine
    instant separated = 0;        // since when there is no link

    friend bool operator==(const engine_facts&, const engine_facts&) = default;
};

struct resource_settings {
    std::string name;
    node_id self = 0;
    node_id peer = 0;
    instant lease = 0; // for so long a peer's engine may complete reads after the link is lost
    instant outdate_limit = 0; // a peer in the group that does not confirm within it counts as gone
    bool fencing_device = false;
    bool link_dropped = false; // as keep_dropped() was told last, by the daemon before this one
};

// What fence-peer tells the engine: the exit codes of DRBD's handlers.
enum class fence_answer : std::uint8_t {
    outdated = 4,    // the peer's disk is outdated, and said so
    unreachable = 5, // the record is without the peer, which nobody could ask
    self = 6,        // the record is without this node
    fenced = 7,      // the peer is off
    void_now = 1,    // the link is back, or this node can't be primary: no answer is to be had
};

enum class engine_command : std::uint8_t {
    drop_link,
    connect,
    outdate, // then outdated()
    promote,
    demote_with_errors, // whoever waits for a write gets an error
};

class resource_ports {
public:
    virtual ~resource_ports() = default;
    // None while there is no committed one in an open view.
    virtual const resource_record* record() const = 0;
    virtual const node_set& members() const = 0;
    // False: not now. Else judged() or view_moved() comes.
    virtual bool propose(const change& what) = 0;
    virtual void tell(const outdate_request& what) = 0;
    virtual void tell(const outdate_confirmed& what) = 0;
    virtual void command(engine_command what) = 0;
    virtual void answer(std::uint64_t request, fence_answer with) = 0;
    // Off, for certain; then fenced().
    virtual void fence(node_id node) = 0;
    // Whether the link is this daemon's to connect again, after a promotion or a demotion: over a
    // restart.
    virtual void keep_dropped(bool dropped) = 0;
    virtual void set_timer(instant when) = 0; // one; never: none
    virtual instant now() const = 0;
};

class resource_arbiter {
public:
    resource_arbiter(resource_settings settings, resource_ports& ports);

    // --- what happens ---

    void engine(const engine_facts& now);
    // What the engine's fence-peer handler asks for.
    enum class fence_cause : std::uint8_t {
        link, // the peer cannot be reached
        disk, // it can, and does not have what was written
    };
    // The handler asks, and waits; or waits no longer. It may be faster than what the engine says
    // of its link.
    void fence_asked(std::uint64_t request, fence_cause cause);
    void fence_given_up(std::uint64_t request);
    void record_committed();
    void view_moved();
    // Our last proposal is void, or is the record now, which is not committed yet.
    void judged(bool accepted);
    void told(node_id from, const outdate_request& what);
    void told(node_id from, const outdate_confirmed& what);
    // The engine's disk is outdated, as engine() has said meanwhile; or that could not be done. To
    // each command.
    void outdated(bool done);
    void fenced(node_id node, bool done);
    void promoted(bool done);
    void timer();

    // --- what is wanted ---

    // This node is to be primary, by decision of a promoter or of a person; or is not any more.
    void want_primary(bool wanted);
    // Something is asked for that only a majority can give.
    bool wants_majority() const { return wanted_ || !requests_.empty(); }

    // --- what is known ---

    // What this node waits for before it is primary, or before its writes go on: the first of them.
    enum class reason : std::uint8_t {
        nothing,
        not_wanted,
        no_engine,
        no_majority,        // or its record is not committed yet
        other_primary,      // in the view
        link_shows_primary, // whatever the record says
        not_in_sync,        // the record is without this node
        disk,               // that of the engine is not UpToDate
        link,               // is to be dropped first
        commit,             // of what was proposed
        lease,              // that of the primary before may not have run out
        promotion,          // the engine is at it
        outdating,          // the peer is asked to
        fencing,            // the device is at work
    };
    reason waits_for() const { return waits_for_; }

private:
    struct fence_request {
        fence_cause cause = fence_cause::link;
        std::uint64_t connection = 0; // link: after which loss
        std::optional<version> since; // a later version answers; none: nothing was committed yet
    };
    enum class peer_state : std::uint8_t { unknown, asked, outdated, fencing, off, gone };

    // Each does the first thing that is due, and says whether it was something to wait for.
    bool give_way(const resource_record& record);
    bool keep_set(const resource_record& record);
    bool settle_peer(const resource_record& record);
    bool is_to_be_outdated(const resource_record& record) const;
    void outdate();
    bool drop_link();
    void let_peer_back(const resource_record& record);
    void keep_dropped(bool dropped);
    bool wait_for_lease();
    void answer_engine(const resource_record& record);
    void become_primary(const resource_record& record);
    reason obstacle(const resource_record& record) const;

    void look();
    void drop_void_requests();
    bool link_is_awaited() const;
    void forget_peer();
    void answer_all(fence_answer with);
    void propose(const change& what);
    void wait_for(reason what) { waits_for_ = what; }
    bool peer_is_here() const { return ports_.members().contains(settings_.peer); }

    const resource_settings settings_;
    resource_ports& ports_;
    std::optional<engine_facts> engine_; // none: not heard of since the daemon's start
    std::map<std::uint64_t, fence_request> requests_;
    peer_state peer_ = peer_state::unknown;
    instant asked_ = 0;
    bool proposed_ = false;          // and not judged, or not committed yet
    bool wanted_ = false;            // to be primary
    bool promoting_ = false;         // the engine is to become primary, and may do so at any time
    bool commanded_ = false;         // because it was told to, and promoted() comes
    bool demoting_ = false;          // or not to be
    bool dropping_ = false;          // the link: the engine was told to
    bool dropped_;                   // or lost: it is ours to connect again
    bool connecting_ = false;        // it was told to
    bool outdate_commanded_ = false; // and outdated() comes
    std::optional<outdate_request> outdating_; // our own disk, for the peer
    reason waits_for_ = reason::no_engine;
};

} // namespace lockstep::arbiter
