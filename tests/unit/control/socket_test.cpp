// The control socket on a real event loop: who may connect, what reading and not reading does, and
// how it ends.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>

#include "kernel/control/socket_server.hpp"
#include "unit/control/fake_target.hpp"

#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::control;

namespace {

struct fixture {
    char directory[32] = "/tmp/lockstep-control-XXXXXX";
    std::string path;
    std::unique_ptr<host::event_loop> loop;
    fake_target engine;
    std::unique_ptr<socket_server> serving;

    fixture() {
        assert_non_null(::mkdtemp(directory));
        path = std::string(directory) + "/control";
        loop = std::move(*host::event_loop::create());
        result<std::unique_ptr<socket_server>> made =
            socket_server::create(*loop, engine, path, greeting());
        assert_true(made.has_value());
        serving = std::move(*made);
    }
    ~fixture() {
        serving->close(0);
        for (int at = 0; at < 1000 && !serving->closed(); ++at) {
            loop->run_once(10 * host::millisecond);
        }
        assert_true(serving->closed());
        serving.reset();
        std::filesystem::remove_all(directory);
    }
    fixture(const fixture&) = delete;
    fixture& operator=(const fixture&) = delete;

    static hello greeting() {
        hello made;
        made.program = "test";
        made.resource = "r0";
        return made;
    }
    void run(int passes = 20) {
        for (int at = 0; at < passes; ++at) {
            loop->run_once(host::millisecond);
        }
    }
};

class client {
public:
    explicit client(fixture& of) : of_(of), socket_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
        sockaddr_un address = {};
        address.sun_family = AF_UNIX;
        std::strcpy(address.sun_path, of.path.c_str());
        assert_int_equal(
            ::connect(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    }
    ~client() { ::close(socket_); }
    client(const client&) = delete;
    client& operator=(const client&) = delete;

    void send(const std::string& text) {
        assert_int_equal(::send(socket_, text.data(), text.size(), MSG_NOSIGNAL), text.size());
    }
    void greet() {
        hello mine;
        mine.protocol = protocol_version;
        send(encode(mine));
    }
    // Everything until `lines` lines are there or the server hangs up.
    std::string read_lines(int lines) {
        std::string text;
        for (int at = 0; at < 5000 && count(text) < lines && !ended_; ++at) {
            of_.loop->run_once(host::millisecond);
            char buffer[65536];
            const ssize_t got = ::recv(socket_, buffer, sizeof buffer, MSG_DONTWAIT);
            if (got > 0) {
                text.append(buffer, static_cast<std::size_t>(got));
            }
            ended_ = got == 0 || (got < 0 && errno == ECONNRESET);
        }
        return text;
    }
    bool ended() const { return ended_; }

private:
    static int count(const std::string& text) {
        return static_cast<int>(std::count(text.begin(), text.end(), '\n'));
    }

    fixture& of_;
    int socket_;
    bool ended_ = false;
};

void only_the_owner_may_use_the_socket(void**) {
    const fixture at;
    struct stat seen = {};
    assert_int_equal(::stat(at.path.c_str(), &seen), 0);
    assert_int_equal(seen.st_mode & 0777U, 0600);
}

void a_question_over_the_socket_is_answered(void**) {
    fixture at;
    client one(at);
    one.greet();
    request asked;
    asked.id = 3;
    one.send(encode(asked));
    const std::string text = one.read_lines(2);
    const std::size_t second = text.find('\n') + 1;
    const result<server_message> answer =
        decode_server_message(text.substr(second, text.size() - second - 1));
    assert_true(answer.has_value());
    assert_int_equal(std::get<reply>(*answer).id, 3);
    assert_true(std::get<reply>(*answer).state == at.engine.state);
}

void clients_come_and_go_without_a_trace(void**) {
    fixture at;
    for (int round = 0; round < 50; ++round) {
        client one(at);
        one.greet();
        request asked;
        asked.what = command::primary;
        one.send(encode(asked));
        at.run(3);
    }
    at.run(50);
    assert_int_equal(at.serving->clients().clients(), 0);
    for (auto& [what, done] : at.engine.asked) {
        done(reply{});
    }
}

void a_client_that_never_reads_does_not_hinder_the_others(void**) {
    fixture at;
    client deaf(at);
    client hearing(at);
    deaf.greet();
    request events;
    events.what = command::events;
    deaf.send(encode(events));
    hearing.greet();
    hearing.read_lines(1);
    at.run();
    for (int round = 0; round < 20000; ++round) {
        samples::set_role(at.engine.state,
                          round % 2 == 0 ? state::role::primary : state::role::secondary);
        at.serving->clients().changed();
        if (round % 100 == 0) {
            at.run(1);
        }
    }
    at.run();
    // It is not hung up on; of what it does not read only so much is kept.
    assert_int_equal(at.serving->clients().clients(), 2);
    request asked;
    asked.id = 8;
    hearing.send(encode(asked));
    assert_true(hearing.read_lines(1).find("\"reply\":8") != std::string::npos);
}

void a_second_engine_for_the_same_resource_is_refused(void**) {
    fixture at;
    fake_target other;
    const result<std::unique_ptr<socket_server>> second =
        socket_server::create(*at.loop, other, at.path, fixture::greeting());
    assert_false(second.has_value());
    assert_int_equal(second.error().code, 161);
}

void a_socket_that_a_dead_engine_left_is_replaced(void**) {
    fixture at;
    const std::string path = std::string(at.directory) + "/left";
    const int dead = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, path.c_str());
    assert_int_equal(::bind(dead, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ::close(dead);
    fake_target other;
    result<std::unique_ptr<socket_server>> taken =
        socket_server::create(*at.loop, other, path, fixture::greeting());
    assert_true(taken.has_value());
    (*taken)->close(0);
    for (int round = 0; round < 1000 && !(*taken)->closed(); ++round) {
        at.loop->run_once(host::millisecond);
    }
}

void what_was_answered_is_still_sent_when_the_engine_leaves(void**) {
    fixture at;
    client one(at);
    one.greet();
    request down;
    down.id = 4;
    down.what = command::down;
    one.send(encode(down));
    one.read_lines(1);
    at.run();
    at.engine.asked.at(0).second(reply{});
    at.serving->close(1000);
    assert_true(one.read_lines(1).find("\"reply\":4") != std::string::npos);
    one.read_lines(1);
    assert_true(one.ended());
    assert_int_equal(::access(at.path.c_str(), F_OK), -1);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(only_the_owner_may_use_the_socket),
        cmocka_unit_test(a_question_over_the_socket_is_answered),
        cmocka_unit_test(clients_come_and_go_without_a_trace),
        cmocka_unit_test(a_client_that_never_reads_does_not_hinder_the_others),
        cmocka_unit_test(a_second_engine_for_the_same_resource_is_refused),
        cmocka_unit_test(a_socket_that_a_dead_engine_left_is_replaced),
        cmocka_unit_test(what_was_answered_is_still_sent_when_the_engine_leaves),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
