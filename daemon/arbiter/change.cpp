#include "daemon/arbiter/change.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace lockstep::arbiter {

namespace {

template <class... Functions>
struct overloaded : Functions... {
    using Functions::operator()...;
};
template <class... Functions>
overloaded(Functions...) -> overloaded<Functions...>;

// FNV-1a, which is enough to tell histories apart that went different ways by a fault of ours.
std::uint64_t digest(std::uint64_t before, const std::string& words) {
    constexpr std::uint64_t prime = 1099511628211U;
    std::uint64_t sum = 14695981039346656037U ^ before;
    for (const char each : words) {
        sum = (sum ^ static_cast<unsigned char>(each)) * prime;
    }
    return sum * prime;
}

// A primary that is in the view speaks for itself; nobody takes its place.
bool primary_gives_way(const resource_record& record, const circumstances& now) {
    return !record.primary || *record.primary == now.proposer ||
           !now.members.contains(*record.primary);
}

bool apply(resource_record& to, const create_resource& by, const circumstances&) {
    if ((to.incarnation != 0 && !to.removed) || by.incarnation == 0) {
        return false;
    }
    to.incarnation = by.incarnation;
    to.removed = false;
    to.epoch = 0;
    return true;
}

bool apply(resource_record& to, const remove_resource&, const circumstances&) {
    if (to.primary) {
        return false;
    }
    to.removed = true;
    to.in_sync.clear();
    return true;
}

bool apply(resource_record& to, const found_set& by, const circumstances&) {
    if (!to.in_sync.empty()) {
        return false;
    }
    to.in_sync.insert(by.member);
    return true;
}

bool apply(resource_record& to, const leave_set& by, const circumstances& now) {
    const bool is_primary = to.primary == now.proposer;
    if (!to.in_sync.contains(by.node)) {
        // Of one who is out already the primary may ask again: a version that is committed now says
        // that nobody has put it back since.
        return is_primary;
    }
    // The last member stays: what it has is all that there is.
    if (!(is_primary || by.node == now.proposer) || to.in_sync.size() == 1) {
        return false;
    }
    to.in_sync.erase(by.node);
    return true;
}

bool apply(resource_record& to, const join_set& by, const circumstances& now) {
    const bool may_say_so = !to.primary || *to.primary == now.proposer;
    if (!may_say_so || !to.in_sync.contains(now.proposer) || to.in_sync.contains(by.node)) {
        return false;
    }
    to.in_sync.insert(by.node);
    return true;
}

bool apply(resource_record& to, const claim& by, const circumstances& now) {
    if (!to.in_sync.contains(now.proposer) || !primary_gives_way(to, now)) {
        return false;
    }
    to.primary = now.proposer;
    ++to.epoch;
    if (by.alone) {
        to.in_sync = {now.proposer};
    }
    return true;
}

bool apply(resource_record& to, const resign&, const circumstances& now) {
    if (to.primary != now.proposer) {
        return false;
    }
    to.primary.reset();
    return true;
}

bool apply(cluster_record& to, const set_nodes& by, const circumstances&) {
    const bool some_vote = std::any_of(by.nodes.begin(), by.nodes.end(),
                                       [](const auto& each) { return each.second > 0; });
    if (!to.before.empty() || !some_vote || by.nodes == to.nodes) {
        return false;
    }
    to.before = to.nodes;
    to.nodes = by.nodes;
    return true;
}

bool apply(cluster_record& to, const finish_nodes&, const circumstances&) {
    if (to.before.empty()) {
        return false;
    }
    to.before.clear();
    return true;
}

template <class Record>
std::optional<Record> advance(const Record& record, const change& by, const circumstances& now) {
    Record next = record;
    const bool allowed = std::visit(
        [&](const auto& what) {
            if constexpr (requires { apply(next, what, now); }) {
                return apply(next, what, now);
            } else {
                return false; // a change of the other kind of record
            }
        },
        by);
    if (!allowed) {
        return {};
    }
    ++next.at.counter;
    next.lineage = digest(record.lineage, fmt::format("{} by {}", text(by), now.proposer));
    return next;
}

} // namespace

std::optional<resource_record> changed(const resource_record& record, const change& by,
                                       const circumstances& now) {
    const bool there = record.incarnation != 0 && !record.removed;
    if (!there && !std::holds_alternative<create_resource>(by)) {
        return {};
    }
    return advance(record, by, now);
}

std::optional<cluster_record> changed(const cluster_record& record, const change& by,
                                      const circumstances& now) {
    if (record.incarnation == 0) {
        return {};
    }
    return advance(record, by, now);
}

std::string text(const change& what) {
    const auto list = [](const vote_list& nodes) {
        std::string words;
        for (const auto& [node, votes] : nodes) {
            words += fmt::format(" {}:{}", node, votes);
        }
        return words;
    };
    return std::visit(
        overloaded{
            [](const create_resource& it) { return fmt::format("create {:x}", it.incarnation); },
            [](const remove_resource&) { return std::string("remove"); },
            [](const found_set& it) { return fmt::format("first member {}", it.member); },
            [](const leave_set& it) { return fmt::format("leave {}", it.node); },
            [](const join_set& it) { return fmt::format("join {}", it.node); },
            [](const claim& it) { return std::string(it.alone ? "claim alone" : "claim"); },
            [](const resign&) { return std::string("resign"); },
            [&](const set_nodes& it) { return "nodes" + list(it.nodes); },
            [](const finish_nodes&) { return std::string("nodes finished"); },
        },
        what);
}

} // namespace lockstep::arbiter
