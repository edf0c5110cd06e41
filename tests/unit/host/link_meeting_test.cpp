// Two nodes that set up their link against each other on a simulated network.
#include "kernel/host/link_setup.hpp"

#include <algorithm>
#include <cerrno>
#include <functional>
#include <map>
#include <set>
#include <vector>

#include "unit/cmocka.hpp"

namespace {

using namespace lockstep::host;
using lockstep::replica::channel;
using lockstep::replica::log_level;
using phase = link_setup::phase;

// A network on which everything takes `delay`; connections are pairs of socket numbers.
struct network {
    struct node final : link_setup::outside {
        node(network& net_, int number_) : net(net_), number(number_), setup(*this) {}
        void start_attempt() override { net.attempt(*this); }
        void cancel_attempt() override { ++attempts; }
        void read_first(socket_id socket, instant) override { reading.insert(socket); }
        void send_first(socket_id socket, channel which) override {
            net.send(socket, which == channel::data ? first_packet::data : first_packet::meta);
        }
        void close(socket_id socket) override { net.close(socket); }
        bool alive(socket_id socket) override { return net.dead.count(socket) == 0; }
        void set_timer(instant delay) override {
            ++timers;
            if (delay != never) {
                net.at(delay, [this, mine = timers] {
                    if (mine == timers) {
                        setup.expired();
                    }
                });
            }
        }
        std::uint64_t random_number() override {
            net.seed = net.seed * 6364136223846793005ULL + 1442695040888963407ULL;
            return net.seed >> 33;
        }
        instant now() override { return net.time; }
        void log(log_level, std::string_view) override {}
        void established(socket_id data_, socket_id meta_, bool resolve_) override {
            data = data_;
            meta = meta_;
            resolve = resolve_;
        }

        network& net;
        int number;
        unsigned timers = 0;
        unsigned attempts = 0;
        std::set<socket_id> reading;
        socket_id data = no_socket;
        socket_id meta = no_socket;
        bool resolve = false;
        link_setup setup;
    };

    explicit network(std::uint64_t seed_) : seed(seed_) {}

    void at(instant delay, std::function<void()> what) {
        queue.emplace(time + delay, std::move(what));
    }
    instant delay() { return (a.random_number() % 2000) * 1000; } // up to 2 ms
    static socket_id other(socket_id socket) { return socket ^ 1U; }
    node& peer_of(const node& one) { return one.number == 0 ? b : a; }
    node& owner(socket_id socket) { return owners.at(socket) == 0 ? a : b; }

    void attempt(node& from) {
        const unsigned mine = ++from.attempts;
        at(delay(), [this, &from, mine] {
            node& to = peer_of(from);
            if (mine != from.attempts || from.setup.current() != phase::attempting) {
                return;
            }
            if (to.setup.current() == phase::idle) { // nobody listens
                from.setup.attempt_failed(ECONNREFUSED);
                return;
            }
            const socket_id mine_end = next;
            next += 2;
            owners[mine_end] = from.number;
            owners[other(mine_end)] = to.number;
            at(delay(), [&to, mine_end] { to.setup.accepted(other(mine_end)); });
            from.setup.attempt_succeeded(mine_end);
        });
    }
    void send(socket_id socket, first_packet what) {
        at(2 * millisecond + delay(), [this, socket, what] {
            node& to = owner(other(socket));
            if (to.reading.erase(other(socket)) != 0) {
                to.setup.first_packet_came(other(socket), what);
            }
        });
    }
    void close(socket_id socket) {
        dead.insert(socket);
        at(delay(), [this, socket] { dead.insert(other(socket)); });
    }
    bool agreed() const {
        return a.data != no_socket && a.meta != no_socket && b.data == other(a.data) &&
               b.meta == other(a.meta) && dead.count(a.data) == 0 && dead.count(a.meta) == 0;
    }
    // Returns the time that it took to agree; 0: not within a minute.
    instant run() {
        const instant start = time;
        while (!queue.empty() && time - start < 60 * second) {
            const auto first = queue.begin();
            time = first->first;
            const auto what = std::move(first->second);
            queue.erase(first);
            what();
            if (agreed()) {
                return time - start;
            }
            // One believes to be connected and the other does not: its handshake fails.
            for (node* one : {&a, &b}) {
                if (one->data != no_socket &&
                    (dead.count(one->data) != 0 || dead.count(one->meta) != 0)) {
                    close(one->data);
                    close(one->meta);
                    one->data = one->meta = no_socket;
                    one->setup.begin(one->number == 0 ? timing_a : timing_b);
                }
            }
        }
        return 0;
    }

    std::uint64_t seed;
    instant time = second;
    std::multimap<instant, std::function<void()>> queue;
    std::set<socket_id> dead;
    std::map<socket_id, int> owners;
    socket_id next = 2;
    node a{*this, 0};
    node b{*this, 1};
    link_timing timing_a;
    link_timing timing_b;
};

void two_nodes_that_begin_together_agree_on_both_connections(void**) {
    std::vector<instant> times;
    for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
        network net(seed);
        net.timing_a.keeps_own = true;
        net.a.setup.begin(net.timing_a);
        net.at(seed % 7 * millisecond, [&net] { net.b.setup.begin(net.timing_b); });
        const instant took = net.run();
        if (took == 0) {
            fail_msg("seed %llu: no agreement", static_cast<unsigned long long>(seed));
        }
        assert_true(net.a.resolve != net.b.resolve);
        times.push_back(took);
    }
    std::sort(times.begin(), times.end());
    assert_true(times[times.size() / 2] < 2 * second);
    print_message("agreed after %llu ms (median), %llu ms (longest)\n",
                  static_cast<unsigned long long>(times[times.size() / 2] / millisecond),
                  static_cast<unsigned long long>(times.back() / millisecond));
}

void two_nodes_that_always_take_the_peers_agree_too(void**) {
    for (std::uint64_t seed = 1; seed <= 500; ++seed) { // two in-kernel ones, in effect
        network net(seed);
        net.a.setup.begin(net.timing_a);
        net.at(seed % 5 * millisecond, [&net] { net.b.setup.begin(net.timing_b); });
        assert_true(net.run() != 0);
    }
}

void a_node_that_comes_minutes_later_is_connected_within_a_second(void**) {
    network net(5);
    net.a.setup.begin(net.timing_a);
    net.at(300 * second, [&net] { net.b.setup.begin(net.timing_b); });
    while (net.time < 300 * second) {
        const auto first = net.queue.begin();
        net.time = first->first;
        const auto what = std::move(first->second);
        net.queue.erase(first);
        what();
    }
    const instant took = net.run();
    assert_true(took != 0 && took < second);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(two_nodes_that_begin_together_agree_on_both_connections),
        cmocka_unit_test(two_nodes_that_always_take_the_peers_agree_too),
        cmocka_unit_test(a_node_that_comes_minutes_later_is_connected_within_a_second),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
