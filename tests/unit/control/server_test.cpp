// Sessions of clients with the server: who is answered what, and who is hung up on.
#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "kernel/control/server.hpp"
#include "unit/control/fake_target.hpp"

#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::control;

namespace {

class fake_transport final : public transport {
public:
    std::map<client_id, int> hung_up; // 1: after output, 2: at once
    std::int64_t time_us = 1000;

    void output_ready(client_id) override {}
    void hang_up(client_id client, bool at_once) override { hung_up[client] = at_once ? 2 : 1; }
    std::int64_t wall_clock_us() override { return time_us; }
};

hello greeting() {
    hello made;
    made.program = "lockstep-engine test";
    made.resource = "r0";
    made.pid = 42;
    return made;
}

// A server with one client that has greeted.
struct fixture {
    fake_target engine;
    fake_transport sockets;
    server serving{engine, sockets, greeting()};

    fixture() { greet(1); }

    void greet(client_id client) {
        serving.connected(client);
        hello mine;
        mine.protocol = protocol_version;
        serving.received(client, encode(mine));
        serving.take_output(client);
    }
    void ask(client_id client, command what, std::uint64_t id) {
        request asked;
        asked.what = what;
        asked.id = id;
        serving.received(client, encode(asked));
    }
    std::vector<server_message> heard(client_id client) {
        std::vector<server_message> messages;
        line_buffer lines(max_message_bytes);
        lines.append(serving.take_output(client));
        while (const auto line = lines.next_line()) {
            const result<server_message> message = decode_server_message(*line);
            assert_true(message.has_value());
            messages.push_back(*message);
        }
        assert_int_equal(lines.pending(), 0);
        return messages;
    }
    reply only_reply(client_id client) {
        const std::vector<server_message> all = heard(client);
        assert_int_equal(all.size(), 1);
        return std::get<reply>(all[0]);
    }
};

void a_client_is_greeted_with_the_name_of_the_resource(void**) {
    fake_target engine;
    fake_transport sockets;
    server serving(engine, sockets, greeting());
    serving.connected(1);
    const result<server_message> first = decode_server_message(serving.take_output(1));
    assert_true(first.has_value());
    assert_string_equal(std::get<hello>(*first).resource.c_str(), "r0");
    assert_int_equal(std::get<hello>(*first).protocol, protocol_version);
}

void a_client_of_another_version_is_told_and_hung_up_on(void**) {
    fake_target engine;
    fake_transport sockets;
    server serving(engine, sockets, greeting());
    serving.connected(1);
    serving.take_output(1);
    hello newer;
    newer.protocol = protocol_version + 1;
    serving.received(1, encode(newer));
    const result<server_message> last = decode_server_message(serving.take_output(1));
    assert_true(last.has_value());
    assert_false(std::get<reply>(*last).ok);
    assert_false(std::get<reply>(*last).remedy.empty());
    assert_int_equal(sockets.hung_up[1], 1);
    request ignored;
    serving.received(1, encode(ignored));
    assert_true(serving.take_output(1).empty());
}

void status_is_answered_with_a_snapshot(void**) {
    fixture at;
    at.ask(1, command::status, 5);
    const reply answer = at.only_reply(1);
    assert_int_equal(answer.id, 5);
    assert_true(answer.state == at.engine.state);
}

void a_command_is_answered_when_the_engine_is_done_with_it(void**) {
    fixture at;
    at.ask(1, command::primary, 5);
    assert_true(at.serving.busy());
    assert_true(at.heard(1).empty());
    reply end;
    end.ok = false;
    end.is_state_change = true;
    end.code = -1;
    at.engine.asked.at(0).second(end);
    const reply answer = at.only_reply(1);
    assert_int_equal(answer.id, 5);
    assert_int_equal(answer.code, -1);
    assert_false(at.serving.busy());
}

void answers_may_come_in_another_order_than_the_questions(void**) {
    fixture at;
    at.ask(1, command::primary, 1);
    at.ask(1, command::secondary, 2);
    at.engine.asked.at(1).second(reply{});
    assert_int_equal(at.only_reply(1).id, 2);
    at.ask(1, command::status, 3);
    assert_int_equal(at.only_reply(1).id, 3);
    at.engine.asked.at(0).second(reply{});
    assert_int_equal(at.only_reply(1).id, 1);
}

void an_answer_for_a_client_that_has_gone_is_dropped(void**) {
    fixture at;
    at.ask(1, command::primary, 1);
    at.serving.gone(1);
    at.engine.asked.at(0).second(reply{});
    assert_int_equal(at.serving.clients(), 0);
}

void an_answer_after_the_server_has_gone_is_dropped(void**) {
    fake_target engine;
    fake_transport sockets;
    {
        server serving(engine, sockets, greeting());
        serving.connected(1);
        hello mine;
        mine.protocol = protocol_version;
        serving.received(1, encode(mine));
        request asked;
        asked.what = command::primary;
        serving.received(1, encode(asked));
    }
    engine.asked.at(0).second(reply{});
}

void garbage_is_answered_and_the_connection_goes_on(void**) {
    fixture at;
    at.serving.received(1, "this is no JSON\n{\"command\":\"explode\"}\n\n");
    const std::vector<server_message> answers = at.heard(1);
    assert_int_equal(answers.size(), 3);
    for (const server_message& each : answers) {
        assert_false(std::get<reply>(each).ok);
        assert_false(std::get<reply>(each).text.empty());
    }
    assert_int_equal(at.sockets.hung_up.count(1), 0);
    at.ask(1, command::status, 5);
    assert_true(at.only_reply(1).ok);
}

void a_line_that_never_ends_is_hung_up_on(void**) {
    fixture at;
    const std::string block(65536, 'x');
    for (int i = 0; i < 5; ++i) {
        at.serving.received(1, block);
    }
    assert_false(at.only_reply(1).ok);
    assert_int_equal(at.sockets.hung_up[1], 1);
}

void too_many_questions_at_once_end_the_connection(void**) {
    fixture at;
    for (std::size_t i = 0; i <= max_unanswered_requests; ++i) {
        at.ask(1, command::primary, i + 1);
    }
    assert_int_equal(at.engine.asked.size(), max_unanswered_requests);
    assert_int_equal(at.sockets.hung_up[1], 1);
}

void watchers_hear_what_exists_then_what_changes(void**) {
    fixture at;
    at.ask(1, command::events, 1);
    std::vector<server_message> first = at.heard(1);
    // resource, connection, device, peer-device, "exists -", the answer
    assert_int_equal(first.size(), 6);
    assert_true(std::get<event>(first[0]).object == event_object::resource);
    assert_true(std::get<event>(first[4]).object == event_object::none);
    assert_true(std::get<reply>(first[5]).ok);
    at.serving.changed();
    assert_true(at.heard(1).empty());
    samples::set_role(at.engine.state, state::role::primary);
    at.sockets.time_us = 2000;
    at.serving.changed();
    const std::vector<server_message> next = at.heard(1);
    assert_int_equal(next.size(), 1);
    const event& change = std::get<event>(next[0]);
    assert_true(change.kind == event_kind::change);
    assert_int_equal(change.time_us, 2000);
}

void a_second_watcher_sees_the_same_and_misses_nothing(void**) {
    fixture at;
    at.greet(2);
    at.ask(1, command::events, 1);
    at.heard(1);
    samples::set_role(at.engine.state, state::role::primary);
    // The first one hears of the change even though nobody called changed() for it.
    at.ask(2, command::events, 1);
    assert_int_equal(at.heard(1).size(), 1);
    assert_int_equal(at.heard(2).size(), 6);
    samples::set_role(at.engine.state, state::role::secondary);
    at.serving.changed();
    assert_int_equal(at.heard(1).size(), 1);
    assert_int_equal(at.heard(2).size(), 1);
}

void who_does_not_watch_hears_no_events(void**) {
    fixture at;
    samples::set_role(at.engine.state, state::role::primary);
    at.serving.changed();
    at.serving.helper_called("fence-peer", std::nullopt, std::nullopt);
    assert_true(at.heard(1).empty());
}

void runs_of_handlers_are_told_with_their_exit_code(void**) {
    fixture at;
    at.ask(1, command::events, 1);
    at.heard(1);
    at.serving.helper_called("fence-peer", std::nullopt, std::nullopt);
    at.serving.helper_ended("before-resync-target", 0, 3, 7);
    const std::vector<server_message> both = at.heard(1);
    assert_int_equal(both.size(), 2);
    const event& called = std::get<event>(both[0]);
    assert_true(called.kind == event_kind::call);
    assert_string_equal(called.fields.at(0).value.c_str(), "fence-peer");
    const event& ended = std::get<event>(both[1]);
    assert_true(ended.kind == event_kind::response);
    assert_int_equal(*ended.minor, 3);
    assert_string_equal(ended.fields.at(1).value.c_str(), "7");
}

// Toggles the role until client 1 has been left something out; client 2 reads all along.
int events_until_the_queue_is_full(fixture& at) {
    std::size_t before = 0;
    int rounds = 0;
    for (; rounds < 200000; ++rounds) {
        samples::set_role(at.engine.state,
                          rounds % 2 == 0 ? state::role::primary : state::role::secondary);
        at.serving.changed();
        before += at.heard(2).size();
        if (before > 0 && rounds % 1000 == 999 && rounds * 200U > max_queued_event_bytes * 4) {
            break;
        }
    }
    return static_cast<int>(before);
}

void a_watcher_that_does_not_read_hears_what_exists_when_it_reads_again(void**) {
    fixture at;
    at.greet(2);
    at.ask(1, command::events, 1);
    at.ask(2, command::events, 1);
    at.heard(1);
    at.heard(2);
    const int all = events_until_the_queue_is_full(at);
    // Nobody is hung up on, and the queue stays within its limit.
    assert_true(at.sockets.hung_up.empty());
    std::string queued = at.serving.take_output(1);
    assert_true(queued.size() <= max_queued_event_bytes);
    assert_true(queued.size() > max_queued_event_bytes / 2);
    // What it was sent before is a whole number of events, fewer than there were.
    assert_true(queued.back() == '\n');
    assert_true(std::count(queued.begin(), queued.end(), '\n') < all);
    samples::set_role(at.engine.state, state::role::primary);
    at.engine.state.volumes[0].state.disk = state::disk::inconsistent;
    const std::vector<server_message> again = at.heard(1);
    assert_int_equal(again.size(), 5);
    assert_true(std::get<event>(again[0]).kind == event_kind::exists);
    assert_string_equal(std::get<event>(again[0]).fields.at(0).value.c_str(), "Primary");
    assert_true(std::get<event>(again[4]).object == event_object::none);
    // The other one hears of it as a change, once; and both go on together.
    assert_int_equal(at.heard(2).size(), 2);
    samples::set_role(at.engine.state, state::role::secondary);
    at.serving.changed();
    assert_int_equal(at.heard(1).size(), 1);
    assert_int_equal(at.heard(2).size(), 1);
}

void a_client_that_reads_no_answers_is_hung_up_on(void**) {
    fixture at;
    at.engine.state.volumes[0].waiting_for = std::string(4000, 'x');
    int rounds = 0;
    while (at.sockets.hung_up.count(1) == 0 && ++rounds < 20000) {
        at.ask(1, command::status, 1);
    }
    assert_int_equal(at.sockets.hung_up[1], 2);
    // Its queue is freed, and it is sent nothing more.
    assert_true(at.serving.take_output(1).empty());
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_client_is_greeted_with_the_name_of_the_resource),
        cmocka_unit_test(a_client_of_another_version_is_told_and_hung_up_on),
        cmocka_unit_test(status_is_answered_with_a_snapshot),
        cmocka_unit_test(a_command_is_answered_when_the_engine_is_done_with_it),
        cmocka_unit_test(answers_may_come_in_another_order_than_the_questions),
        cmocka_unit_test(an_answer_for_a_client_that_has_gone_is_dropped),
        cmocka_unit_test(an_answer_after_the_server_has_gone_is_dropped),
        cmocka_unit_test(garbage_is_answered_and_the_connection_goes_on),
        cmocka_unit_test(a_line_that_never_ends_is_hung_up_on),
        cmocka_unit_test(too_many_questions_at_once_end_the_connection),
        cmocka_unit_test(watchers_hear_what_exists_then_what_changes),
        cmocka_unit_test(a_second_watcher_sees_the_same_and_misses_nothing),
        cmocka_unit_test(who_does_not_watch_hears_no_events),
        cmocka_unit_test(runs_of_handlers_are_told_with_their_exit_code),
        cmocka_unit_test(a_watcher_that_does_not_read_hears_what_exists_when_it_reads_again),
        cmocka_unit_test(a_client_that_reads_no_answers_is_hung_up_on),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
