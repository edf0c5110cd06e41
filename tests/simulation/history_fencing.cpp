// The fence-peer handler of both nodes. It asks the observer, who sees both; so whatever it answers
// is true, unless it is broken or never answers. What freezing promises is checked here too.
#include <memory>

#include <fmt/format.h>

#include "history.hpp"

namespace lockstep::simulation {

using state::connection;

bool history::helper_called(unsigned side, const replica::helper_call& call) {
    if (call.name != "fence-peer") {
        return false;
    }
    const std::uint64_t incarnation = at(side).incarnation();
    const std::uint64_t id = call.id;
    if (choices_.percent(4)) {
        return true; // hangs
    }
    if (choices_.percent(8)) {
        const int nonsense = std::array{0, 1, 2, 8, 127, 255}[choices_.below(6)];
        world_.events.after(choices_.below(second), [this, side, incarnation, id, nonsense] {
            at(side).answer_helper(incarnation, id, nonsense);
        });
        return true;
    }
    const instant takes = choices_.percent(80) ? 50 * millisecond : 3 * second;
    world_.events.after(choices_.below(takes), [this, side, incarnation, id] {
        if (up(side) && at(side).incarnation() == incarnation) {
            fence_peer(side, incarnation, id);
        }
    });
    return true;
}

void history::fence_peer(unsigned side, std::uint64_t incarnation, std::uint64_t id) {
    const unsigned other = 1 - side;
    seen_.look();
    if (!seen_.has_all(side) || seen_.fenced(side)) {
        // This one must not go on; whether the other is active or only has more.
        at(side).answer_helper(incarnation, id, seen_.is_primary(other) ? 6 : 1);
        return;
    }
    if (!up(other)) {
        at(side).answer_helper(incarnation, id, fence_absent_peer(side));
        return;
    }
    if (seen_.is_primary(other) && !settings_.freezes()) {
        at(side).answer_helper(incarnation, id, 6);
        return;
    }
    if (peace_) {
        at(side).answer_helper(incarnation, id, 1); // they are about to meet
        return;
    }
    if (seen_.is_primary(other) || (settings_.freezes() && choices_.percent(40))) {
        crash_node(other, choices_.percent(50));
        seen_.now_fenced(other);
        at(side).answer_helper(incarnation, id, 7);
        return;
    }
    outdate_peer(side, incarnation, id);
}

int history::fence_absent_peer(unsigned side) {
    seen_.now_fenced(1 - side);
    return settings_.freezes() && choices_.percent(50) ? 7 : 5;
}

// The peer is told to outdate its disks; when it has, it is out.
void history::outdate_peer(unsigned side, std::uint64_t incarnation, std::uint64_t id) {
    const unsigned other = 1 - side;
    auto left = std::make_shared<unsigned>(settings_.node.volumes);
    const auto one_done = [this, side, other, incarnation, id, left](const replica::outcome&) {
        if (--*left > 0 || !up(side) || !up(other)) {
            return;
        }
        state::disk best = state::disk::diskless;
        for (volume_number number = 0; number < settings_.node.volumes; ++number) {
            best = std::max(best, at(other).state(number).disk);
        }
        int answer = 1;
        if (best <= state::disk::outdated && !seen_.is_primary(other)) {
            answer = best == state::disk::outdated ? 4 : 3;
            seen_.now_fenced(other);
        }
        world_.events.after(choices_.below(20 * millisecond),
                            [this, side, incarnation, id, answer] {
                                at(side).answer_helper(incarnation, id, answer);
                            });
    };
    for (volume_number number = 0; number < settings_.node.volumes; ++number) {
        at(other).machine().outdate(number, one_done);
    }
}

// resource-and-stonith: a Primary whose peer is gone, and not known to be out, completes nothing.
void history::check_not_alone_unfenced() {
    for (unsigned side = 0; side < 2; ++side) {
        if (peace_ || seen_.was_overruled() || seen_.fenced(1 - side) || !seen_.is_primary(side)) {
            continue;
        }
        for (volume_number number = 0; number < settings_.node.volumes; ++number) {
            const auto now = at(side).state(number);
            const bool unknown =
                now.connection < connection::connected && now.peer_disk > state::disk::outdated;
            if (unknown && now.disk == state::disk::up_to_date && !now.suspended()) {
                world_.fail_with(fmt::format("node {} goes on alone though its peer is not fenced",
                                             side == 0 ? 'A' : 'B'));
            }
        }
    }
}

} // namespace lockstep::simulation
