// The table of link_setup.hpp, walked.
#include "kernel/host/link_setup.hpp"

#include <cerrno>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "unit/cmocka.hpp"

namespace {

using namespace lockstep::host;
using lockstep::replica::channel;
using lockstep::replica::log_level;
using phase = link_setup::phase;

// Records the effects; everything is alive unless in `dead`.
struct recorder final : link_setup::outside {
    void start_attempt() override { did.push_back("attempt"); }
    void cancel_attempt() override { did.push_back("cancel"); }
    void read_first(socket_id socket, instant) override {
        did.push_back("read " + std::to_string(socket));
    }
    void send_first(socket_id socket, channel which) override {
        did.push_back((which == channel::data ? "data " : "meta ") + std::to_string(socket));
    }
    void close(socket_id socket) override { did.push_back("close " + std::to_string(socket)); }
    bool alive(socket_id socket) override { return dead.count(socket) == 0; }
    void set_timer(instant delay) override { timer = delay; }
    std::uint64_t random_number() override { return random; }
    instant now() override { return time; }
    void log(log_level, std::string_view text) override { lines.emplace_back(text); }
    void established(socket_id data, socket_id meta, bool resolve) override {
        did.push_back("up " + std::to_string(data) + " " + std::to_string(meta) +
                      (resolve ? " resolve" : ""));
    }

    std::vector<std::string> take() { return std::move(did); }

    std::vector<std::string> did;
    std::vector<std::string> lines;
    std::set<socket_id> dead;
    instant timer = never;
    instant time = 100 * second;
    std::uint64_t random = 0;
};

struct stage {
    stage() { setup.begin(timing); }
    explicit stage(bool keeps_own) {
        timing.keeps_own = keeps_own;
        setup.begin(timing);
    }
    void expect(phase now, const std::vector<std::string>& effects) {
        assert_int_equal(static_cast<int>(setup.current()), static_cast<int>(now));
        const auto did = world.take();
        if (did != effects) {
            std::string text;
            for (const std::string& one : did) {
                text += "[" + one + "]";
            }
            fail_msg("effects: %s", text.c_str());
        }
    }
    // From the beginning to the given phase, with the effects forgotten. waiting: no slot filled;
    // checking: own data 1, peer's meta 2.
    void reach(phase wanted) {
        if (wanted == phase::waiting) {
            setup.attempt_failed(ECONNREFUSED);
        } else if (wanted == phase::checking) {
            setup.attempt_succeeded(1);
            setup.accepted(2);
            setup.first_packet_came(2, first_packet::meta);
        } else if (wanted == phase::idle) {
            setup.end();
        }
        world.take();
        world.lines.clear();
        assert_int_equal(static_cast<int>(setup.current()), static_cast<int>(wanted));
    }

    link_timing timing;
    recorder world;
    link_setup setup{world};
};

constexpr phase all_phases[] = {phase::idle, phase::attempting, phase::waiting, phase::checking};

void the_first_packet_is_the_one_of_drbd(void**) {
    const auto data = make_first_packet(channel::data);
    const unsigned char bytes[] = {0x83, 0x74, 0x02, 0x67, 0xff, 0xf2, 0, 0};
    assert_memory_equal(data.data(), bytes, sizeof bytes);
    assert_true(read_first_packet(data) == first_packet::data);
    assert_true(read_first_packet(make_first_packet(channel::meta)) == first_packet::meta);
}

void any_changed_byte_makes_the_first_packet_garbage_or_the_other_one(void**) {
    const auto good = make_first_packet(channel::data);
    int others = 0;
    for (std::size_t at = 0; at < good.size(); ++at) {
        for (int bit = 0; bit < 8; ++bit) {
            auto bad = good;
            bad[at] ^= static_cast<std::byte>(1 << bit);
            others += read_first_packet(bad) == first_packet::meta ? 1 : 0;
            assert_true(read_first_packet(bad) != first_packet::data);
        }
    }
    assert_int_equal(others, 0); // they differ in two bits
}

void begin_attempts_at_once_in_every_phase(void**) {
    for (const phase from : all_phases) {
        stage on;
        on.reach(from);
        on.setup.begin(on.timing);
        assert_true(on.setup.current() == phase::attempting);
        assert_string_equal(on.world.did.back().c_str(), "attempt");
        assert_true(on.world.timer == on.timing.connect_interval);
    }
}

void end_closes_everything_in_every_phase(void**) {
    const std::map<phase, std::vector<std::string>> effects = {
        {phase::idle, {}},
        {phase::attempting, {"cancel", "close 9"}},
        {phase::waiting, {"close 9"}},
        {phase::checking, {"close 1", "close 2", "close 9"}},
    };
    for (const auto& [from, wanted] : effects) {
        stage on;
        on.reach(from);
        if (from != phase::idle) {
            on.setup.accepted(9);
            on.world.take();
        }
        on.setup.end();
        on.expect(phase::idle, wanted);
        assert_true(on.world.timer == never);
    }
}

void an_own_connection_is_data_first(void**) {
    stage on;
    on.expect(phase::attempting, {"attempt"});
    on.setup.attempt_succeeded(1);
    on.expect(phase::waiting, {"data 1"});
}

void an_own_connection_in_any_other_phase_is_closed(void**) {
    for (const phase from : {phase::idle, phase::waiting, phase::checking}) {
        stage on;
        on.reach(from);
        on.setup.attempt_succeeded(7);
        on.expect(from, {"close 7"});
    }
}

void a_failed_attempt_waits_for_connect_int_and_a_seventh(void**) {
    stage on;
    on.world.random = 1;
    on.setup.attempt_failed(ECONNREFUSED);
    on.expect(phase::waiting, {"attempt"});
    assert_true(on.world.timer == 10 * second + 10 * second / 7);
    on.setup.expired();
    on.expect(phase::attempting, {"attempt"});
    on.world.random = 0;
    on.setup.attempt_failed(ECONNREFUSED);
    assert_true(on.world.timer == 10 * second - 10 * second / 7);
    assert_int_equal(on.world.lines.size(), 1); // the same reason is told once
    on.setup.expired();
    on.setup.attempt_failed(EHOSTUNREACH);
    assert_int_equal(on.world.lines.size(), 2);
}

void a_failure_that_comes_late_changes_nothing(void**) {
    for (const phase from : {phase::idle, phase::waiting, phase::checking}) {
        stage on;
        on.reach(from);
        on.setup.attempt_failed(ECONNREFUSED);
        on.expect(from, {});
    }
}

void an_attempt_that_takes_connect_int_is_given_up(void**) {
    stage on;
    on.world.take();
    on.setup.expired();
    on.expect(phase::waiting, {"cancel"});
}

void an_accepted_connection_is_asked_what_it_is(void**) {
    for (const phase from : {phase::attempting, phase::waiting, phase::checking}) {
        stage on;
        on.reach(from);
        on.setup.accepted(5);
        on.expect(from, {"read 5"});
    }
    stage on;
    on.reach(phase::idle);
    on.setup.accepted(5);
    on.expect(phase::idle, {"close 5"});
}

void data_from_the_peer_while_waiting_leads_to_an_own_meta_connection_at_once(void**) {
    stage on;
    on.reach(phase::waiting);
    on.setup.accepted(5);
    on.setup.first_packet_came(5, first_packet::data);
    on.expect(phase::attempting, {"read 5", "attempt"});
    on.setup.attempt_succeeded(6);
    on.expect(phase::checking, {"meta 6"});
    on.setup.expired();
    on.expect(phase::idle, {"up 5 6"});
}

void whoever_accepted_meta_resolves_conflicts(void**) {
    stage on;
    on.world.take();
    on.setup.attempt_succeeded(1);
    on.setup.accepted(2);
    on.setup.first_packet_came(2, first_packet::meta);
    on.expect(phase::checking, {"data 1", "read 2"});
    assert_true(on.world.timer == on.timing.check_delay);
    on.setup.expired();
    on.expect(phase::idle, {"up 1 2 resolve"});
}

void a_passive_node_takes_both_from_the_peer(void**) {
    stage on;
    on.world.take();
    for (const first_packet what : {first_packet::data, first_packet::meta}) {
        const socket_id socket = what == first_packet::data ? 1 : 2;
        on.setup.accepted(socket);
        on.setup.first_packet_came(socket, what);
    }
    on.expect(phase::checking, {"read 1", "read 2", "cancel"});
    on.setup.expired();
    on.expect(phase::idle, {"up 1 2 resolve"});
}

void a_passive_peer_gets_both_in_two_rounds(void**) {
    stage on;
    on.world.take();
    on.setup.attempt_succeeded(1);
    on.setup.expired();
    on.setup.attempt_succeeded(2);
    on.expect(phase::checking, {"data 1", "attempt", "meta 2"});
    on.setup.expired();
    on.expect(phase::idle, {"up 1 2"});
}

void the_peers_connection_replaces_a_crossed_own_one(void**) {
    for (const first_packet what : {first_packet::data, first_packet::meta}) {
        stage on;
        if (what == first_packet::meta) { // so that the own one becomes meta
            on.setup.accepted(3);
            on.setup.first_packet_came(3, first_packet::data);
            on.world.dead.insert(3);
        }
        on.setup.attempt_succeeded(1);
        on.world.take();
        on.setup.accepted(2);
        on.setup.first_packet_came(2, what);
        assert_string_equal(on.world.did.at(1).c_str(), "close 1");
        assert_string_equal(on.world.lines.back().c_str(), what == first_packet::data
                                                               ? "initial packet S crossed"
                                                               : "initial packet M crossed");
    }
}

void after_a_crossing_the_node_that_gave_in_attempts_at_once(void**) {
    for (const std::uint64_t random : {0, 1}) {
        stage on(false);
        on.setup.attempt_succeeded(1);
        on.world.take();
        on.world.random = random;
        on.setup.accepted(2);
        on.setup.first_packet_came(2, first_packet::data);
        on.expect(phase::attempting, {"read 2", "close 1", "attempt"});
    }
}

void of_two_crossed_connections_one_node_keeps_its_own(void**) {
    for (const std::uint64_t random : {0, 1}) {
        stage on(true);
        on.setup.attempt_succeeded(1);
        on.world.take();
        on.world.random = random;
        on.setup.accepted(2);
        on.setup.first_packet_came(2, first_packet::data);
        if (random == 1) {
            on.expect(phase::waiting, {"read 2", "close 2"});
        } else {
            on.expect(phase::attempting, {"read 2", "close 2", "attempt"});
        }
    }
}

void an_own_connection_that_is_not_fresh_yields_to_the_peers(void**) {
    stage on(true);
    on.setup.attempt_succeeded(1);
    on.world.take();
    on.world.time += 2 * on.timing.check_delay;
    on.setup.accepted(2);
    on.setup.first_packet_came(2, first_packet::data);
    assert_string_equal(on.world.did.at(1).c_str(), "close 1");
}

void a_crossing_while_checking_checks_anew(void**) {
    stage on;
    on.reach(phase::checking);
    on.setup.accepted(3);
    on.world.timer = never;
    on.setup.first_packet_came(3, first_packet::data);
    on.expect(phase::checking, {"read 3", "close 1"});
    assert_true(on.world.timer == on.timing.check_delay);
    on.setup.expired();
    on.expect(phase::idle, {"up 3 2 resolve"});
}

void a_dead_connection_in_the_slot_is_replaced_without_a_word(void**) {
    stage on(true);
    on.setup.attempt_succeeded(1);
    on.world.take();
    on.world.dead.insert(1);
    on.setup.accepted(2);
    on.setup.first_packet_came(2, first_packet::data);
    on.expect(phase::attempting, {"read 2", "close 1", "attempt"});
    assert_int_equal(on.world.lines.size(), 0);
}

void a_connection_that_died_before_the_check_costs_another_round(void**) {
    stage on;
    on.reach(phase::checking);
    on.world.dead.insert(1);
    on.setup.expired();
    on.expect(phase::attempting, {"close 1", "attempt"});
    on.setup.attempt_succeeded(4); // data again, meta is still there
    on.expect(phase::checking, {"data 4"});
    on.setup.expired();
    on.expect(phase::idle, {"up 4 2 resolve"});
}

void garbage_is_closed_told_and_changes_nothing(void**) {
    for (const phase from : {phase::attempting, phase::waiting, phase::checking}) {
        stage on;
        on.reach(from);
        const instant timer = on.world.timer;
        on.setup.accepted(5);
        on.setup.first_packet_came(5, first_packet::garbage);
        on.expect(from, {"read 5", "close 5"});
        assert_true(on.world.timer == timer);
        assert_int_equal(on.world.lines.size(), 1);
        assert_non_null(std::strstr(on.world.lines[0].c_str(), "does not speak DRBD's protocol"));
    }
}

void a_half_open_connection_is_closed_and_told(void**) {
    for (const int error : {ETIMEDOUT, ECONNRESET, 0}) {
        stage on;
        on.reach(phase::waiting);
        on.setup.accepted(5);
        on.setup.first_packet_failed(5, error);
        on.expect(phase::waiting, {"read 5", "close 5"});
        assert_int_equal(on.world.lines.size(), 1);
    }
}

void a_packet_of_a_connection_that_is_gone_is_ignored(void**) {
    stage on;
    on.reach(phase::waiting);
    on.setup.accepted(5);
    on.setup.first_packet_failed(5, 0);
    on.world.take();
    on.setup.first_packet_came(5, first_packet::data);
    on.setup.first_packet_failed(5, 0);
    on.expect(phase::waiting, {});
}

void a_flood_of_garbage_fills_neither_log_nor_memory_and_does_not_keep_the_peer_out(void**) {
    stage on;
    on.reach(phase::waiting);
    for (socket_id socket = 100; socket < 1100; ++socket) {
        on.setup.accepted(socket);
        on.setup.first_packet_came(socket, first_packet::garbage);
    }
    for (socket_id socket = 2000; socket < 2100; ++socket) {
        on.setup.accepted(socket); // these say nothing
    }
    assert_int_equal(on.world.lines.size(), 6);
    on.world.take();
    on.setup.accepted(5);
    on.setup.first_packet_came(5, first_packet::data);
    assert_string_equal(on.world.take().back().c_str(), "attempt");
    on.world.time += 60 * second;
    on.setup.accepted(6);
    on.setup.first_packet_came(6, first_packet::garbage);
    assert_int_equal(on.world.lines.size(), 7);
    assert_non_null(std::strstr(on.world.lines.back().c_str(), "1087 such lines"));
}

void a_timer_while_idle_does_nothing(void**) {
    stage on;
    on.reach(phase::idle);
    on.setup.expired();
    on.expect(phase::idle, {});
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(the_first_packet_is_the_one_of_drbd),
        cmocka_unit_test(any_changed_byte_makes_the_first_packet_garbage_or_the_other_one),
        cmocka_unit_test(begin_attempts_at_once_in_every_phase),
        cmocka_unit_test(end_closes_everything_in_every_phase),
        cmocka_unit_test(an_own_connection_is_data_first),
        cmocka_unit_test(an_own_connection_in_any_other_phase_is_closed),
        cmocka_unit_test(a_failed_attempt_waits_for_connect_int_and_a_seventh),
        cmocka_unit_test(a_failure_that_comes_late_changes_nothing),
        cmocka_unit_test(an_attempt_that_takes_connect_int_is_given_up),
        cmocka_unit_test(an_accepted_connection_is_asked_what_it_is),
        cmocka_unit_test(data_from_the_peer_while_waiting_leads_to_an_own_meta_connection_at_once),
        cmocka_unit_test(whoever_accepted_meta_resolves_conflicts),
        cmocka_unit_test(a_passive_node_takes_both_from_the_peer),
        cmocka_unit_test(a_passive_peer_gets_both_in_two_rounds),
        cmocka_unit_test(the_peers_connection_replaces_a_crossed_own_one),
        cmocka_unit_test(after_a_crossing_the_node_that_gave_in_attempts_at_once),
        cmocka_unit_test(of_two_crossed_connections_one_node_keeps_its_own),
        cmocka_unit_test(an_own_connection_that_is_not_fresh_yields_to_the_peers),
        cmocka_unit_test(a_crossing_while_checking_checks_anew),
        cmocka_unit_test(a_dead_connection_in_the_slot_is_replaced_without_a_word),
        cmocka_unit_test(a_connection_that_died_before_the_check_costs_another_round),
        cmocka_unit_test(garbage_is_closed_told_and_changes_nothing),
        cmocka_unit_test(a_half_open_connection_is_closed_and_told),
        cmocka_unit_test(a_packet_of_a_connection_that_is_gone_is_ignored),
        cmocka_unit_test(
            a_flood_of_garbage_fills_neither_log_nor_memory_and_does_not_keep_the_peer_out),
        cmocka_unit_test(a_timer_while_idle_does_nothing),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
