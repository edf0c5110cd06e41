#include "daemon/arbiter/votes.hpp"

namespace lockstep::arbiter {

namespace {

struct count {
    std::uint64_t all = 0;
    std::uint64_t given = 0;
    std::uint64_t steady = 0;
    std::uint64_t off = 0;
};

count counted(const vote_list& list, const node_set& for_it, const electorate& who) {
    count sum;
    for (const auto& [node, votes] : list) {
        const bool given = for_it.contains(node) && who.voters.contains(node);
        sum.all += votes;
        sum.given += given ? votes : 0;
        sum.steady += given && who.steady.contains(node) ? votes : 0;
        sum.off += who.excused.contains(node) ? votes : 0;
    }
    return sum;
}

bool decisive(const vote_list& list, const node_set& for_it, const electorate& who) {
    const count sum = counted(list, for_it, who);
    const bool most = sum.given * 2 > sum.all;
    const bool half_and_most_of_the_rest =
        sum.steady * 2 >= sum.all && sum.steady * 2 > sum.all - sum.off;
    return most || half_and_most_of_the_rest;
}

} // namespace

bool decisive(const cluster_record& cluster, const node_set& for_it, const electorate& who) {
    return decisive(cluster.nodes, for_it, who) &&
           (cluster.before.empty() || decisive(cluster.before, for_it, who));
}

} // namespace lockstep::arbiter
