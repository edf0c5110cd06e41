#include "daemon/explain.hpp"

#include <array>

namespace lockstep::daemon {

namespace {

using reason = arbiter::resource_arbiter::reason;

struct line {
    reason why;
    std::string_view word;
    std::string_view sentence;
};

constexpr std::array<line, 14> lines = {{
    {reason::nothing, "nothing", "nothing is waited for"},
    {reason::not_wanted, "not-wanted",
     "nobody has asked for this node to be primary: lockstep promote"},
    {reason::no_engine, "no-engine", "no engine of it runs on this node: drbdadm up"},
    {reason::no_majority, "no-majority",
     "no majority of the nodes that keep the record is here: start lockstepd and corosync there"},
    {reason::other_primary, "other-primary", "another node is primary: lockstep demote there"},
    {reason::link_shows_primary, "link-shows-primary",
     "the peer is Primary, as the replication link shows: demote it there"},
    {reason::not_in_sync, "not-in-sync",
     "this node's data may lack acknowledged writes: connect it, and let it resync"},
    {reason::disk, "disk", "a disk of this node is not UpToDate: attach it, and let it resync"},
    {reason::link, "link", "the replication link is being dropped"},
    {reason::commit, "commit", "a majority is about to keep the change of the record"},
    {reason::lease, "lease", "the primary before may still complete reads for a moment"},
    {reason::promotion, "promotion", "the engine is being promoted"},
    {reason::outdating, "outdating", "the peer is asked to outdate its disk"},
    {reason::fencing, "fencing", "the peer is being fenced"},
}};

const line& of(reason why) {
    for (const line& each : lines) {
        if (each.why == why) {
            return each;
        }
    }
    return lines.front();
}

} // namespace

std::string_view word(reason why) {
    return of(why).word;
}

std::string_view sentence(reason why) {
    return of(why).sentence;
}

} // namespace lockstep::daemon
