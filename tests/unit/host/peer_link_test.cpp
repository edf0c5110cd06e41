// Two links, or a link and a hand-made peer, over loopback.
#include "kernel/host/peer_link.hpp"

#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <deque>
#include <string>
#include <vector>

#include "unit/cmocka.hpp"

namespace {

using namespace lockstep;
using namespace lockstep::host;
using replica::channel;

// Stands in for the replica at one end.
struct user final : link_user {
    void link_established(bool resolve_) override {
        up = true;
        ++established;
        resolve = resolve_;
    }
    void link_lost(channel, int error) override {
        ++lost;
        last_error = error;
        up = false;
        if (close_when_lost) {
            of->close();
        }
    }
    std::size_t receive(channel which, const_byte_span bytes) override {
        const std::size_t count = std::min(bytes.size(), accept);
        auto& to = received[static_cast<std::size_t>(which)];
        to.append(reinterpret_cast<const char*>(bytes.data()), count);
        accept -= count;
        if (count < bytes.size() && resume_inside) {
            accept = ~std::size_t{0};
            of->want_receive(which);
        }
        if (reopen_on_receive) {
            reopen_on_receive = false;
            of->close();
            of->open(net);
            return bytes.size();
        }
        return count;
    }
    byte_span receive_target(channel which) override {
        return which == channel::data ? byte_span(place.data() + placed, place.size() - placed)
                                      : byte_span();
    }
    void received_in_place(channel, std::size_t count) override { placed += count; }
    std::size_t gather(channel which, std::span<replica::output_segment> segments) override {
        std::size_t count = 0;
        for (const std::string& one : output[static_cast<std::size_t>(which)]) {
            if (count == segments.size()) {
                break;
            }
            segments[count++] = {reinterpret_cast<const std::byte*>(one.data()), one.size()};
        }
        return count;
    }
    void sent(channel which, std::size_t bytes) override {
        auto& queue = output[static_cast<std::size_t>(which)];
        while (bytes != 0) {
            const std::size_t part = std::min(bytes, queue.front().size());
            queue.front().erase(0, part);
            bytes -= part;
            if (queue.front().empty()) {
                queue.pop_front();
            }
        }
    }
    const std::string& data() const { return received[0]; }

    peer_link* of = nullptr;
    options::net_options net;
    bool up = false;
    bool resolve = false;
    bool close_when_lost = true;
    bool reopen_on_receive = false;
    bool resume_inside = false;
    int established = 0;
    int lost = 0;
    int last_error = -1;
    std::size_t accept = ~std::size_t{0};
    std::array<std::string, 2> received;
    std::array<std::deque<std::string>, 2> output;
    std::vector<std::byte> place;
    std::size_t placed = 0;
};

struct node {
    node(event_loop& loop, const std::string& local, const std::string& peer)
        : wire(loop, end,
               [this](replica::log_level, std::string_view text) { lines.emplace_back(text); }) {
        end.of = &wire;
        end.net.connect_int_s = 1;
        end.net.ping_timeout_ds = 1;
        const auto set =
            wire.set_addresses(*parse_socket_address(local), *parse_socket_address(peer));
        assert_true(set.has_value());
    }
    ~node() { wire.quiesce(); }
    void open() { wire.open(end.net); }
    bool said(const std::string& part) const {
        return std::any_of(lines.begin(), lines.end(), [&part](const std::string& line) {
            return line.find(part) != std::string::npos;
        });
    }

    std::vector<std::string> lines;
    user end;
    peer_link wire;
};

// A port that nobody has at the moment.
std::string free_port(int family = AF_INET) {
    const owned_fd socket(::socket(family, SOCK_STREAM, 0));
    sockaddr_storage address = {};
    address.ss_family = static_cast<sa_family_t>(family);
    socklen_t size = family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
    assert_int_equal(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size);
    return std::to_string(ntohs(family == AF_INET
                                    ? reinterpret_cast<sockaddr_in&>(address).sin_port
                                    : reinterpret_cast<sockaddr_in6&>(address).sin6_port));
}

struct stage {
    std::unique_ptr<event_loop> loop = std::move(*event_loop::create());
    std::string here = "ipv4:127.0.0.1:" + free_port();
    std::string there = "ipv4:127.0.0.2:" + free_port();

    template <class Condition>
    void wait(Condition condition) {
        const instant limit = event_loop::clock() + 20 * second;
        while (!condition()) {
            assert_true(event_loop::clock() < limit);
            loop->run_once(20 * millisecond);
        }
    }
    void run_for(instant time) {
        const instant limit = event_loop::clock() + time;
        while (event_loop::clock() < limit) {
            loop->run_once(10 * millisecond);
        }
    }
};

// A connection made by hand.
owned_fd connect_from(const std::string& from, const std::string& to) {
    auto source = *parse_socket_address("ipv4:" + from + ":1");
    reinterpret_cast<sockaddr_in&>(source.raw).sin_port = 0;
    const auto target = *parse_socket_address(to);
    owned_fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    assert_int_equal(::bind(socket.get(), source.get(), source.size), 0);
    if (::connect(socket.get(), target.get(), target.size) != 0) {
        socket.reset();
    }
    return socket;
}

bool closed_by_peer(const owned_fd& socket) {
    char byte = 0;
    const ssize_t count = ::recv(socket.get(), &byte, 1, MSG_DONTWAIT);
    return count == 0 || (count < 0 && errno != EAGAIN);
}

void addresses_are_understood_as_drbdsetup_writes_them(void**) {
    const auto v4 = parse_socket_address("ipv4:10.0.0.1:7789");
    assert_true(v4.has_value());
    assert_int_equal(v4->port, 7789);
    assert_string_equal(v4->text().c_str(), "ipv4:10.0.0.1:7789");
    assert_string_equal(parse_socket_address("10.0.0.1:1")->text().c_str(), "ipv4:10.0.0.1:1");
    assert_string_equal(parse_socket_address("ipv6:[::1]:7789")->text().c_str(), "ipv6:[::1]:7789");
    assert_string_equal(parse_socket_address("[fd00::2]:7789")->text().c_str(),
                        "ipv6:[fd00::2]:7789");
    for (const char* bad :
         {"", "ipv4:", "ipv4:10.0.0.1", "ipv4:10.0.0.1:0", "ipv4:10.0.0.1:65536", "ipv4:host:1",
          "ipv4:10.0.0.1:7x", "sdp:10.0.0.1:7789", "ssocks:10.0.0.1:7789", "ipv6:10.0.0.1:1"}) {
        const auto refused = parse_socket_address(bad);
        assert_false(refused.has_value());
        assert_int_equal(refused.error().code, 162);
    }
    assert_true(comes_before(*v4, *parse_socket_address("ipv4:10.0.0.1:7790")));
    assert_true(comes_before(*v4, *parse_socket_address("ipv4:10.0.0.2:1")));
    assert_false(comes_before(*v4, *v4));
}

void two_links_connect_and_exactly_one_resolves_conflicts(void**) {
    stage on;
    node a(*on.loop, on.here, on.there);
    node b(*on.loop, on.there, on.here);
    a.open();
    b.open();
    on.wait([&] { return a.end.up && b.end.up; });
    assert_true(a.end.resolve != b.end.resolve);
    a.end.output[0].push_back("data of a");
    a.end.output[1].push_back("meta of a");
    b.end.output[0].push_back("data of b");
    a.wire.want_send(channel::data);
    a.wire.want_send(channel::meta);
    b.wire.want_send(channel::data);
    on.wait([&] {
        return b.end.received[0] == "data of a" && b.end.received[1] == "meta of a" &&
               a.end.received[0] == "data of b";
    });
}

void the_link_works_over_ipv6(void**) {
    stage on;
    on.here = "ipv6:[::1]:" + free_port(AF_INET6);
    on.there = "ipv6:[::1]:" + free_port(AF_INET6);
    node a(*on.loop, on.here, on.there);
    node b(*on.loop, on.there, on.here);
    a.open();
    b.open();
    on.wait([&] { return a.end.up && b.end.up; });
}

void a_lost_link_is_told_once_and_can_be_opened_again(void**) {
    stage on;
    node a(*on.loop, on.here, on.there);
    node b(*on.loop, on.there, on.here);
    for (int round = 1; round <= 3; ++round) {
        a.open();
        b.open();
        on.wait([&] { return a.end.up && b.end.up; });
        b.wire.close();
        b.end.up = false;
        on.wait([&] { return a.end.lost == round; });
        assert_int_equal(b.end.lost, 0);
    }
    assert_int_equal(a.end.established, 3);
}

void megabytes_in_many_segments_arrive_whole(void**) {
    stage on;
    node a(*on.loop, on.here, on.there);
    node b(*on.loop, on.there, on.here);
    a.open();
    b.open();
    on.wait([&] { return a.end.up && b.end.up; });
    std::string all;
    for (int i = 0; i < 1000; ++i) {
        std::string part(static_cast<std::size_t>(i * 17 % 9000 + 1),
                         static_cast<char>('a' + i % 26));
        all += part;
        a.end.output[0].push_back(std::move(part));
    }
    a.wire.want_send(channel::data);
    on.wait([&] { return b.end.data().size() == all.size(); });
    assert_true(b.end.data() == all);
}

void payload_is_read_where_the_replica_wants_it(void**) {
    stage on;
    node a(*on.loop, on.here, on.there);
    node b(*on.loop, on.there, on.here);
    a.open();
    b.open();
    on.wait([&] { return a.end.up && b.end.up; });
    on.loop->run_once(0); // what waits for bytes was asked before there was a place for them
    a.end.output[0].push_back("head");
    a.wire.want_send(channel::data);
    on.wait([&] { return b.end.data() == "head"; });
    b.end.place.resize(3 << 20);
    std::string payload(b.end.place.size(), 'p');
    for (std::size_t i = 0; i < payload.size(); i += 1000) {
        payload[i] = static_cast<char>(i / 1000);
    }
    a.end.output[0].push_back("x"); // wakes it up
    a.wire.want_send(channel::data);
    on.wait([&] { return b.end.data() == "headx"; });
    a.end.output[0].push_back(payload);
    a.end.output[0].push_back("tail");
    a.wire.want_send(channel::data);
    on.wait([&] { return b.end.data() == "headxtail"; });
    assert_int_equal(b.end.placed, b.end.place.size());
    assert_memory_equal(b.end.place.data(), payload.data(), payload.size());
}

void a_replica_that_takes_no_more_stops_the_sender_and_gets_the_rest_later(void**) {
    stage on;
    node a(*on.loop, on.here, on.there);
    node b(*on.loop, on.there, on.here);
    a.open();
    b.open();
    on.wait([&] { return a.end.up && b.end.up; });
    b.end.accept = 100;
    const std::string all(32 << 20, 'z');
    a.end.output[0].push_back(all);
    a.wire.want_send(channel::data);
    on.wait([&] { return b.end.data().size() == 100; });
    on.run_for(300 * millisecond);
    assert_int_equal(b.end.data().size(), 100);
    assert_false(a.end.output[0].empty()); // the sockets' buffers are full
    b.end.accept = ~std::size_t{0};
    b.wire.want_receive(channel::data);
    on.wait([&] { return b.end.data().size() == all.size(); });
}

void a_replica_that_can_take_more_before_receive_returns_gets_it(void**) {
    stage on;
    node a(*on.loop, on.here, on.there);
    node b(*on.loop, on.there, on.here);
    a.open();
    b.open();
    on.wait([&] { return a.end.up && b.end.up; });
    b.end.accept = 100;
    b.end.resume_inside = true;
    a.end.output[0].push_back(std::string(1000, 'r'));
    a.wire.want_send(channel::data);
    on.wait([&] { return b.end.data().size() == 1000; });
}

void a_link_can_be_closed_and_opened_from_inside_receive(void**) {
    stage on;
    node a(*on.loop, on.here, on.there);
    node b(*on.loop, on.there, on.here);
    a.open();
    b.open();
    on.wait([&] { return a.end.up && b.end.up; });
    b.end.reopen_on_receive = true;
    b.end.up = false;
    a.end.output[0].push_back("bang");
    a.wire.want_send(channel::data);
    on.wait([&] { return a.end.lost == 1; });
    assert_int_equal(b.end.lost, 0);
    a.open();
    on.wait([&] { return a.end.up && b.end.up; });
}

void a_port_in_use_is_refused_with_code_and_remedy(void**) {
    stage on;
    const auto address = *parse_socket_address(on.here);
    const owned_fd other(::socket(AF_INET, SOCK_STREAM, 0));
    assert_int_equal(::bind(other.get(), address.get(), address.size), 0);
    assert_int_equal(::listen(other.get(), 1), 0);
    user end;
    peer_link wire(*on.loop, end, [](replica::log_level, std::string_view) {});
    const auto refused = wire.set_addresses(address, *parse_socket_address(on.there));
    assert_false(refused.has_value());
    assert_int_equal(refused.error().code, 102);
    assert_non_null(std::strstr(refused.error().text().c_str(), on.here.c_str()));
    assert_false(wire.local().has_value());
}

void a_port_taken_later_is_told_and_waited_for(void**) {
    stage on;
    node a(*on.loop, on.here, on.there);
    const auto address = *parse_socket_address(on.here);
    owned_fd other(::socket(AF_INET, SOCK_STREAM, 0));
    assert_int_equal(::bind(other.get(), address.get(), address.size), 0);
    assert_int_equal(::listen(other.get(), 1), 0);
    a.open();
    assert_true(a.said("in use by another program"));
    other.reset();
    on.wait([&] { return connect_from("127.0.0.2", on.here).valid(); });
}

void a_stranger_is_refused_and_named(void**) {
    stage on;
    node a(*on.loop, on.here, on.there);
    a.open();
    const owned_fd stranger = connect_from("127.0.0.3", on.here);
    assert_true(stranger.valid());
    on.wait([&] { return closed_by_peer(stranger); });
    assert_true(a.said("refused a connection from 127.0.0.3"));
    for (int i = 0; i < 50; ++i) {
        const owned_fd again = connect_from("127.0.0.3", on.here);
        on.wait([&] { return closed_by_peer(again); });
    }
    assert_true(std::count_if(a.lines.begin(), a.lines.end(), [](const std::string& line) {
                    return line.find("127.0.0.3") != std::string::npos;
                }) <= 6);
}

void garbage_from_the_peers_address_is_refused_and_the_peer_still_connects(void**) {
    stage on;
    node a(*on.loop, on.here, on.there);
    a.open();
    const owned_fd web = connect_from("127.0.0.2", on.here);
    assert_true(::send(web.get(), "GET / HTTP/1.0\r\n\r\n", 18, 0) == 18);
    on.wait([&] { return closed_by_peer(web); });
    assert_true(a.said("does not speak DRBD's protocol"));
    const owned_fd silent = connect_from("127.0.0.2", on.here);
    on.wait([&] { return closed_by_peer(silent); });
    assert_true(a.said("said nothing in time"));
    node b(*on.loop, on.there, on.here);
    b.open();
    on.wait([&] { return a.end.up && b.end.up; });
}

void a_purely_active_peer_is_connected(void**) {
    stage on;
    node a(*on.loop, on.here, on.there);
    a.open();
    on.run_for(50 * millisecond);
    const owned_fd data = connect_from("127.0.0.2", on.here);
    const auto first = make_first_packet(channel::data);
    assert_true(::send(data.get(), first.data(), 3, 0) == 3); // in two pieces
    on.run_for(30 * millisecond);
    assert_true(::send(data.get(), first.data() + 3, 5, 0) == 5);
    const owned_fd meta = connect_from("127.0.0.2", on.here);
    const auto other = make_first_packet(channel::meta);
    assert_true(::send(meta.get(), other.data(), other.size(), 0) == 8);
    on.wait([&] { return a.end.up; });
    assert_true(a.end.resolve);
    assert_true(::send(data.get(), "hello", 5, 0) == 5);
    on.wait([&] { return a.end.data() == "hello"; });
    // Connected means that nobody listens any more, as with the in-kernel DRBD.
    assert_false(connect_from("127.0.0.2", on.here).valid());
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(addresses_are_understood_as_drbdsetup_writes_them),
        cmocka_unit_test(two_links_connect_and_exactly_one_resolves_conflicts),
        cmocka_unit_test(the_link_works_over_ipv6),
        cmocka_unit_test(a_lost_link_is_told_once_and_can_be_opened_again),
        cmocka_unit_test(megabytes_in_many_segments_arrive_whole),
        cmocka_unit_test(payload_is_read_where_the_replica_wants_it),
        cmocka_unit_test(a_replica_that_takes_no_more_stops_the_sender_and_gets_the_rest_later),
        cmocka_unit_test(a_replica_that_can_take_more_before_receive_returns_gets_it),
        cmocka_unit_test(a_link_can_be_closed_and_opened_from_inside_receive),
        cmocka_unit_test(a_port_in_use_is_refused_with_code_and_remedy),
        cmocka_unit_test(a_port_taken_later_is_told_and_waited_for),
        cmocka_unit_test(a_stranger_is_refused_and_named),
        cmocka_unit_test(garbage_from_the_peers_address_is_refused_and_the_peer_still_connects),
        cmocka_unit_test(a_purely_active_peer_is_connected),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
