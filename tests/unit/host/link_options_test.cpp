// What the options of net {} do to the sockets and to the time it takes to connect. Real sockets
// over loopback, looked at from outside: by what the kernel says of this process's descriptors.
#include <dirent.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <deque>
#include <linux/tcp.h>
#include <string>
#include <vector>

#include "kernel/host/peer_link.hpp"
#include "unit/cmocka.hpp"

namespace {

using namespace lockstep;
using namespace lockstep::host;
using replica::channel;

struct user final : link_user {
    void link_established(bool) override { up = true; }
    void link_lost(channel, int) override {
        up = false;
        of->close();
    }
    std::size_t receive(channel, const_byte_span bytes) override {
        received += bytes.size();
        return bytes.size();
    }
    byte_span receive_target(channel) override { return {}; }
    void received_in_place(channel, std::size_t) override {}
    std::size_t gather(channel which, std::span<replica::output_segment> segments) override {
        if (which != channel::data) {
            return 0;
        }
        std::size_t count = 0;
        for (; count < std::min(segments.size(), segments_left); ++count) {
            segments[count] = {piece.data(), piece.size()};
        }
        return count;
    }
    // Sent whole: the pieces are small.
    void sent(channel, std::size_t bytes) override { segments_left -= bytes / piece.size(); }

    peer_link* of = nullptr;
    bool up = false;
    std::size_t received = 0;
    std::size_t segments_left = 0;
    std::array<std::byte, 16> piece{};
};

std::uint16_t free_port() {
    const owned_fd socket(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    socklen_t size = sizeof address;
    assert_int_equal(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &size);
    return ntohs(address.sin_port);
}

struct node {
    node(event_loop& loop, const std::string& local, const std::string& peer)
        : wire(loop, end, [](replica::log_level, std::string_view) {}) {
        end.of = &wire;
        const auto set =
            wire.set_addresses(*parse_socket_address(local), *parse_socket_address(peer));
        assert_true(set.has_value());
    }
    ~node() { wire.quiesce(); }

    user end;
    peer_link wire;
};

struct stage {
    std::unique_ptr<event_loop> loop = std::move(*event_loop::create());
    std::string here = "ipv4:127.0.0.1:" + std::to_string(free_port());
    std::string there = "ipv4:127.0.0.2:" + std::to_string(free_port());
    node a{*loop, here, there};
    node b{*loop, there, here};

    template <class Condition>
    instant wait(Condition condition) {
        const instant begun = event_loop::clock();
        while (!condition()) {
            assert_true(event_loop::clock() < begun + 30 * second);
            loop->run_once(10 * millisecond);
        }
        return event_loop::clock() - begun;
    }
    instant connect(const options::net_options& net) {
        a.wire.open(net);
        b.wire.open(net);
        return wait([this] { return a.end.up && b.end.up; });
    }
};

// Connected TCP sockets of this process.
std::vector<int> connections() {
    std::vector<int> found;
    DIR* const all = ::opendir("/proc/self/fd");
    assert_non_null(all);
    while (const dirent* each = ::readdir(all)) {
        const int fd = static_cast<int>(std::strtol(each->d_name, nullptr, 10));
        sockaddr_in peer = {};
        socklen_t size = sizeof peer;
        if (::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) == 0 &&
            peer.sin_family == AF_INET) {
            found.push_back(fd);
        }
    }
    ::closedir(all);
    return found;
}

int option_of(int fd, int level, int name) {
    int value = 0;
    socklen_t size = sizeof value;
    assert_int_equal(::getsockopt(fd, level, name, &value, &size), 0);
    return value;
}

options::net_options quick() {
    options::net_options net;
    net.connect_int_s = 1;
    net.ping_timeout_ds = 1;
    return net;
}

void sndbuf_size_and_rcvbuf_size_are_those_of_the_sockets(void**) {
    // The kernel doubles what it is told, and locks it against its own tuning.
    options::net_options net = quick();
    net.sndbuf_size = 65536;
    net.rcvbuf_size = 49152;
    {
        stage on;
        on.connect(net);
        const auto fds = connections();
        assert_int_equal(fds.size(), 4);
        for (const int fd : fds) {
            assert_int_equal(option_of(fd, SOL_SOCKET, SO_SNDBUF), 2 * 65536);
            assert_int_equal(option_of(fd, SOL_SOCKET, SO_RCVBUF), 2 * 49152);
        }
    }
    stage on;
    on.connect(quick());
    for (const int fd : connections()) {
        assert_true(option_of(fd, SOL_SOCKET, SO_SNDBUF) != 2 * 65536);
        assert_true(option_of(fd, SOL_SOCKET, SO_RCVBUF) != 2 * 49152);
    }
}

// TCP segments that a long row of small pieces needs.
std::uint32_t segments_for_small_pieces(bool cork) {
    constexpr std::size_t pieces = 64 * 200;
    options::net_options net = quick();
    net.tcp_cork = cork;
    stage on;
    on.connect(net);
    on.a.end.segments_left = pieces;
    on.a.wire.want_send(channel::data);
    on.wait([&] { return on.b.end.received == pieces * on.a.end.piece.size(); });
    std::uint32_t most = 0;
    for (const int fd : connections()) {
        tcp_info info = {};
        socklen_t size = sizeof info;
        assert_int_equal(::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size), 0);
        most = std::max(most, info.tcpi_data_segs_out);
    }
    return most;
}

void tcp_cork_gathers_small_packets(void**) {
    const std::uint32_t plain = segments_for_small_pieces(false);
    const std::uint32_t corked = segments_for_small_pieces(true);
    assert_true(plain >= 200);
    assert_true(corked < 100);
}

void socket_check_timeout_is_the_time_before_both_sockets_are_looked_at(void**) {
    options::net_options net = quick();
    const auto took = [&] {
        stage on;
        return on.connect(net);
    };
    net.ping_timeout_ds = 1;
    net.socket_check_timeout_ds = 12;
    assert_true(took() >= 1200 * millisecond);
    net.ping_timeout_ds = 12;
    net.socket_check_timeout_ds = 1;
    assert_true(took() < 1200 * millisecond);
    net.socket_check_timeout_ds = 0; // that of ping-timeout
    assert_true(took() >= 1200 * millisecond);
}

// How often a port at which nobody listens is tried in four seconds.
unsigned attempts_with(std::uint32_t connect_int_s) {
    options::net_options net = quick();
    net.connect_int_s = connect_int_s;
    auto loop = std::move(*event_loop::create());
    const std::string here = "ipv4:127.0.0.1:" + std::to_string(free_port());
    const std::uint16_t port = free_port();
    node a(*loop, here, "ipv4:127.0.0.2:" + std::to_string(port));
    // Accepts and closes: each attempt is seen once.
    const owned_fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
    const auto there = *parse_socket_address("ipv4:127.0.0.2:" + std::to_string(port));
    assert_int_equal(::bind(listener.get(), there.get(), there.size), 0);
    assert_int_equal(::listen(listener.get(), 16), 0);
    a.wire.open(net);
    unsigned seen = 0;
    const instant begun = event_loop::clock();
    while (event_loop::clock() < begun + 4 * second) {
        loop->run_once(10 * millisecond);
        const owned_fd one(::accept(listener.get(), nullptr, nullptr));
        seen += one.valid() ? 1 : 0;
    }
    return seen;
}

void connect_int_is_the_pause_between_attempts(void**) {
    assert_true(attempts_with(1) >= 3);
    assert_true(attempts_with(10) <= 2);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(sndbuf_size_and_rcvbuf_size_are_those_of_the_sockets),
        cmocka_unit_test(tcp_cork_gathers_small_packets),
        cmocka_unit_test(socket_check_timeout_is_the_time_before_both_sockets_are_looked_at),
        cmocka_unit_test(connect_int_is_the_pause_between_attempts),
    };
    return cmocka_run_group_tests_name("link options", tests, nullptr, nullptr);
}
