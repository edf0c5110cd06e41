#include "network.hpp"

#include <algorithm>
#include <cerrno>

#include "node.hpp"

namespace lockstep::simulation {

void network::open(unsigned side) {
    open_[side] = true;
    try_connect();
}

void network::try_connect() {
    if (connecting_) {
        return;
    }
    connecting_ = true;
    const instant delay = random_.between(1'000'000, 300'000'000);
    events_.after(delay, [this] {
        connecting_ = false;
        if (!open_[0] || !open_[1]) {
            return; // open() comes back
        }
        if (of_[0] != nullptr || of_[1] != nullptr || faults.cut || faults.cut_from[0] ||
            faults.cut_from[1]) {
            try_connect();
            return;
        }
        auto made = std::make_shared<connection>();
        current_ = made;
        of_ = {made, made};
        const unsigned resolver = static_cast<unsigned>(random_.below(2));
        for (unsigned side = 0; side < 2; ++side) {
            events_.after(random_.below(2'000'000), [this, made, side, resolver] {
                if (!made->held[side] || nodes_[side] == nullptr) {
                    return;
                }
                made->established[side] = true;
                nodes_[side]->link_established(side == resolver);
                schedule_deliver(made, side, 0);
                schedule_deliver(made, side, 1);
            });
        }
    });
}

void network::let_go(const shared& link, unsigned side) {
    link->held[side] = false;
    if (of_[side] == link) {
        of_[side] = nullptr;
    }
    if (current_ == link) {
        current_ = nullptr;
    }
}

void network::close(unsigned side) {
    open_[side] = false;
    const shared link = of_[side];
    if (link == nullptr) {
        return;
    }
    let_go(link, side);
    const unsigned other = 1 - side;
    if (vanishes(side)) {
        return; // the other end finds out by itself
    }
    // What was sent before arrives first.
    instant last = events_.now();
    for (const stream& each : link->from[side]) {
        last = std::max(last, each.last_arrival);
    }
    events_.at(last + random_.below(1'000'000), [this, link, other] { end_for(link, other, 0); });
}

void network::end_for(const shared& link, unsigned side, int error) {
    if (!link->held[side]) {
        return;
    }
    if (!link->established[side]) {
        // Failed before it was reported: the host tries again by itself.
        let_go(link, side);
        try_connect();
        return;
    }
    const channel which = random_.percent(50) ? channel::data : channel::meta;
    let_go(link, side);
    open_[side] = false;
    nodes_[side]->link_lost(which, error);
}

void network::crash(unsigned side, bool noticed) {
    open_[side] = false;
    nodes_[side] = nullptr;
    const shared link = of_[side];
    if (link == nullptr) {
        return;
    }
    let_go(link, side);
    if (noticed) {
        events_.after(random_.below(5'000'000),
                      [this, link, side] { end_for(link, 1 - side, ECONNRESET); });
    }
}

void network::break_connection() {
    const shared link = current_;
    if (link == nullptr) {
        return;
    }
    for (unsigned side = 0; side < 2; ++side) {
        events_.after(random_.below(5'000'000),
                      [this, link, side] { end_for(link, side, ECONNRESET); });
    }
}

void network::want_send(unsigned side, channel which) {
    const shared link = of_[side];
    const auto index = static_cast<std::size_t>(which);
    if (link == nullptr || link->from[side][index].pump_due) {
        return;
    }
    link->from[side][index].pump_due = true;
    events_.after(random_.below(20'000), [this, link, side, index] {
        link->from[side][index].pump_due = false;
        pump(link, side, index);
    });
}

void network::pump(const shared& link, unsigned side, std::size_t which) {
    if (!link->held[side] || nodes_[side] == nullptr) {
        return;
    }
    stream& out = link->from[side][which];
    const std::size_t used = out.on_the_way_bytes + out.arrived.size() - out.taken;
    if (used >= faults.window_bytes) {
        return; // deliver() comes back when there is room
    }
    std::size_t room = faults.window_bytes - used;
    if (random_.percent(20)) {
        room = std::min<std::size_t>(room, random_.between(1, 5000));
    }
    std::array<replica::output_segment, 16> segments;
    const std::size_t count = nodes_[side]->machine().gather(static_cast<channel>(which), segments);
    std::vector<std::byte> bytes;
    for (std::size_t index = 0; index < count && bytes.size() < room; ++index) {
        const std::size_t part = std::min(segments[index].size, room - bytes.size());
        bytes.insert(bytes.end(), segments[index].bytes, segments[index].bytes + part);
    }
    if (bytes.empty()) {
        return;
    }
    const std::size_t size = bytes.size();
    if (which == 0) {
        speak_dialect(out.sent, bytes);
    }
    out.sent += size;
    if (tamper) {
        tamper(side, static_cast<channel>(which), bytes);
    }
    out.on_the_way_bytes += size;
    out.on_the_way.push_back(std::move(bytes));
    const instant when =
        std::max(out.last_arrival, events_.now() + random_.below(faults.delay_max + 1));
    out.last_arrival = when;
    events_.at(when, [this, link, side, which] { arrive(link, side, which); });
    nodes_[side]->sent(static_cast<channel>(which), size);
    if (of_[side] == link) {
        want_send(side, static_cast<channel>(which));
    }
}

// The first packet of the data channel is CONNECTION_FEATURES under a header of 8 bytes: lowest
// version, features, highest version, then zeros, of which a Lockstep node uses bytes 16 to 23.
void network::speak_dialect(std::uint64_t position, std::vector<std::byte>& bytes) const {
    constexpr std::uint64_t header = 8;
    std::array<std::byte, 24> wanted{};
    store_big(wanted.data() + 4, dialect.features);
    store_big(wanted.data() + 8, dialect.version_max);
    for (std::uint64_t at = header + 4; at < header + wanted.size(); ++at) {
        const bool in_words = at < header + 12;
        const bool in_mark = at >= header + 16 && !dialect.marked;
        if ((in_words || in_mark) && at >= position && at - position < bytes.size()) {
            bytes[at - position] = wanted[at - header];
        }
    }
}

void network::arrive(const shared& link, unsigned side, std::size_t which) {
    stream& out = link->from[side][which];
    if (!link->held[1 - side]) {
        return;
    }
    if (vanishes(side)) {
        // Sent again later. Whichever event finds the way open takes the oldest bytes.
        const instant again = events_.now() + random_.between(20'000'000, 200'000'000);
        out.last_arrival = std::max(out.last_arrival, again);
        events_.at(again, [this, link, side, which] { arrive(link, side, which); });
        return;
    }
    const std::vector<std::byte> bytes = std::move(out.on_the_way.front());
    out.on_the_way.pop_front();
    out.on_the_way_bytes -= bytes.size();
    out.arrived.insert(out.arrived.end(), bytes.begin(), bytes.end());
    deliver(link, 1 - side, which);
}

void network::want_receive(unsigned side, channel which) {
    const shared link = of_[side];
    if (link == nullptr) {
        return;
    }
    const auto index = static_cast<std::size_t>(which);
    link->from[1 - side][index].stalled = false;
    schedule_deliver(link, side, index);
}

void network::schedule_deliver(const shared& link, unsigned to, std::size_t which) {
    stream& in = link->from[1 - to][which];
    if (in.deliver_due) {
        return;
    }
    in.deliver_due = true;
    events_.after(random_.below(20'000), [this, link, to, which] {
        link->from[1 - to][which].deliver_due = false;
        deliver(link, to, which);
    });
}

void network::deliver(const shared& link, unsigned to, std::size_t which) {
    stream& in = link->from[1 - to][which];
    const std::size_t waiting = in.arrived.size() - in.taken;
    if (!link->held[to] || nodes_[to] == nullptr || !link->established[to] || in.stalled ||
        waiting == 0) {
        return;
    }
    std::size_t part = waiting;
    if (random_.percent(10)) {
        part = random_.between(1, part);
    }
    const channel name = static_cast<channel>(which);
    const const_byte_span offered(in.arrived.data() + in.taken, part);
    const byte_span target = nodes_[to]->machine().receive_target(name);
    std::size_t taken = 0;
    if (!target.empty() && random_.percent(50)) {
        taken = std::min(part, target.size());
        std::copy_n(offered.begin(), taken, target.begin());
        nodes_[to]->received_in_place(name, taken);
    } else {
        in.stalled = true; // unless it takes all; want_receive() may come meanwhile
        taken = nodes_[to]->receive(name, offered);
        if (taken == part) {
            in.stalled = false;
        }
    }
    in.taken += taken;
    if (in.taken == in.arrived.size()) {
        in.arrived.clear();
        in.taken = 0;
    }
    if (!link->held[to]) {
        return;
    }
    if (in.taken < in.arrived.size() && !in.stalled) {
        schedule_deliver(link, to, which);
    }
    // The window has room again.
    if (taken > 0 && link->held[1 - to] && of_[1 - to] == link) {
        want_send(1 - to, name);
    }
}

} // namespace lockstep::simulation
