// The record of a cluster, kept by the majority of its daemons. Sans I/O: what the group delivers
// and what the disk has done goes in, what is to be sent and stored comes out.
//
// A configuration (the members of the process group) becomes a view in two steps. Its members tell
// each other what they have; each promises on its disk to take nothing of a lower view, and says
// so. Once members with a majority of the votes have promised, the highest version of each record
// is written again in the new view, and only then are proposals judged. A version is committed when
// a majority has acknowledged it, in its own view, from its disk. All members see the same messages
// in the same order, and judge them alike.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "daemon/arbiter/message.hpp"
#include "daemon/arbiter/record.hpp"
#include "daemon/arbiter/votes.hpp"

namespace lockstep::arbiter {

// What the ledger asks for. Nothing of it may call the ledger before it has returned.
class ledger_ports {
public:
    virtual ~ledger_ports() = default;
    // To all members, this one included.
    virtual void broadcast(const message& what) = 0;
    // Onto the disk, durably, in place of what is there; then stored(). One at a time.
    virtual void store(const ledger_state& state) = 0;
    // The present version of a resource's record, or of the cluster's, has become a committed one.
    virtual void committed(std::string_view resource) = 0;
    virtual void cluster_committed() = 0;
    // Whether the record can be changed here has changed: open().
    virtual void view_moved() = 0;
    // This node's own proposal for a resource is the present version now, or void.
    virtual void judged(std::string_view resource, bool accepted) = 0;
    // Something that should not be; for the log and the status.
    virtual void problem(const std::string& what) = 0;
};

class ledger {
public:
    // `kept`: what the disk holds; none if there is no file. `nonce`: random.
    ledger(node_id self, const std::optional<ledger_state>& kept, std::uint64_t nonce,
           ledger_ports& ports);

    // --- what happens ---

    // The group has these members now, this node among them.
    void configured(const node_set& members);
    // This node is not in the group.
    void alone();
    void delivered(node_id from, const message& what);
    // The last store() is durable; or has failed, and will be tried again when retry() is called.
    void stored();
    void store_failed();
    void retry();

    // --- what is wanted ---

    // Makes a cluster of this node alone, if it has no record and knows of none.
    bool found_cluster(std::uint64_t incarnation, std::uint32_t votes);
    // Sends a proposal upon the present version. False: nothing can be changed now.
    bool propose(const std::string& resource, const change& what);
    bool propose_cluster(const change& what);
    // That absent node is off for certain. Heard in this configuration only: said again in the
    // next.
    void say_off(node_id node);

    // --- what is known ---

    // The absent nodes, if all that keeps the members from a decision is that these may be on.
    node_set off_to_decide() const;

    // Proposals are judged: a majority has promised this view.
    bool open() const { return phase_ == phase::open; }
    std::uint64_t view() const { return view_; }
    const node_set& members() const { return members_; }
    const ledger_state& state() const { return state_; }
    // None while the present version is not committed.
    const resource_record* committed_resource(const std::string& name) const;
    const cluster_record* committed_cluster() const;

private:
    enum class phase : std::uint8_t {
        alone,     // not in the group
        gathering, // not every member has told what it has
        minority,  // they have no majority
        promising, // members with a majority, of whom not enough have promised
        open,
    };
    // Of one record, in this view.
    struct progress {
        std::map<node_id, std::uint64_t> acknowledged; // the highest counter
        std::optional<std::uint64_t> told;             // of our own acknowledgements
        bool committed = false;                        // the present version
    };

    void receive(node_id from, const present& what);
    void receive(node_id from, const hello& what);
    void receive(node_id from, const promised& what);
    void receive(node_id from, const acknowledged& what);
    void receive(node_id from, const votes_again& what);
    void receive(node_id from, const excuse& what);
    void receive(node_id from, const proposal& what);
    void receive(node_id, const outdate_request&) {} // not the ledger's
    void receive(node_id, const outdate_confirmed&) {}

    void start_over();
    void leave_view(phase next);
    bool knows_all() const { return phase_ >= phase::minority; }
    void weigh();
    void judge();
    bool can_form(std::uint64_t incarnation);
    void open_view();
    void save();
    void tell_what_is_stored();
    void tell_records();
    void check_all();
    void check(std::string_view name, const record_head& record, progress& its);
    void regain_vote();
    bool decided_by(const node_set& nodes) const;

    const node_id self_;
    ledger_ports& ports_;
    ledger_state state_;

    phase phase_ = phase::alone;
    node_set members_;
    electorate who_;
    bool steady_ = false; // was in an open view since the start

    // Gathering.
    std::uint64_t nonce_;
    std::map<node_id, std::uint64_t> nonces_;
    std::map<node_id, hello> told_;

    // The view that is being formed, or is open.
    std::uint64_t next_view_ = 0; // what it will be
    std::uint64_t view_ = 0;
    ledger_state best_;
    node_set promised_;
    bool told_promise_ = false;
    bool told_vote_ = false;
    progress cluster_;
    std::map<std::string, progress, std::less<>> resources_;

    // The disk.
    ledger_state on_disk_; // what the store under way, or the last one, holds
    bool storing_ = false;
    bool changed_ = false; // since that store was begun
    bool founded_ = false; // a cluster, which nobody was told of yet
};

} // namespace lockstep::arbiter
