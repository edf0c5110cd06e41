// Our rules held against what two in-kernel DRBD 8.4.11 logged: every comparison of generations,
// every decision, every state transition, every rotation of the identifiers.
#include "kernel/state/handshake.hpp"
#include "kernel/state/transition.hpp"
#include "unit/cmocka.hpp"
#include "unit/state/kernel_log.hpp"

#include <cstdio>
#include <set>

using namespace lockstep;
using namespace lockstep::state;
using namespace lockstep::test;

namespace {

bool starts(const std::string& text, const char* with) {
    return text.rfind(with, 0) == 0;
}

bool contains(const std::string& text, const char* what) {
    return text.find(what) != std::string::npos;
}

// One handshake as it was logged, with the state in which it took place.
struct logged_handshake {
    std::string place;
    logged_record self;
    logged_record peer;
    int result = 0;
    int rule = 0;
    volume_state before;
    volume_state after; // the first transition after it
    disk peer_disk = disk::unknown;
    bool full = false;
    bool disk_states = false;
    bool initial_split_brain = false;
    bool split_brain = false;
    bool solved_by_policy = false;
    bool solved_by_hand = false;
    options::net_options net;
};

// Collects the handshakes of one node, following its state.
class handshake_reader {
public:
    explicit handshake_reader(const node_log& log) : log_(log) {}

    std::vector<logged_handshake> read() {
        for (const log_line& line : log_.lines) {
            take(line);
        }
        return std::move(found_);
    }

private:
    void take(const log_line& line) {
        const std::string& text = line.text;
        if (text == "drbd_sync_handshake:") {
            open_ = true;
            current_ = logged_handshake();
            current_.place = log_.place(line);
            current_.before = now_;
            current_.net = log_.net;
        } else if (const auto change = parse_transition(text, now_)) {
            now_ = change->after;
            close(change->after);
        } else if (starts(text, "real peer disk state = Consistent")) {
            real_disk_ = disk::consistent;
        } else if (open_) {
            take_detail(text);
        }
    }

    void take_detail(const std::string& text) {
        if (const auto record = parse_record(text, "self")) {
            current_.self = *record;
        } else if (const auto other = parse_record(text, "peer")) {
            current_.peer = *other;
        }
        if (const auto compared = parse_comparison(text)) {
            current_.result = compared->result;
            current_.rule = compared->rule;
        }
        current_.full |= starts(text, "Writing the whole bitmap, full sync required");
        current_.disk_states |= contains(text, "due to disk states");
        current_.initial_split_brain |= contains(text, "initial-split-brain");
        current_.split_brain |= contains(text, "/drbdadm split-brain");
        current_.solved_by_policy |= contains(text, "automatically solved");
        current_.solved_by_hand |= contains(text, "manually solved");
    }

    void close(const volume_state& after) {
        if (!open_) {
            return;
        }
        open_ = false;
        current_.after = after;
        current_.peer_disk = peer_disk_of(after);
        real_disk_.reset();
        found_.push_back(current_);
    }

    // The peer's disk as it was told: the log shows it after the new connection state bent it.
    disk peer_disk_of(const volume_state& after) const {
        if (real_disk_) {
            return *real_disk_;
        }
        return after.connection < connection::connected ? disk::up_to_date : after.peer_disk;
    }

    const node_log& log_;
    volume_state now_;
    std::vector<logged_handshake> found_;
    logged_handshake current_;
    std::optional<disk> real_disk_;
    bool open_ = false;
};

replica_record record_of(const logged_record& from, disk its_disk, role its_role) {
    replica_record record;
    record.uuids = from.uuids;
    record.bits = from.bits;
    record.discard_my_data = (from.flags & 1U) != 0;
    record.crashed_primary = (from.flags & 2U) != 0;
    record.disk = its_disk;
    record.role = its_role;
    return record;
}

handshake_input input_of(const logged_handshake& from) {
    handshake_input input;
    // An attached disk that was negotiated in these logs had been UpToDate.
    const disk own = from.before.disk == disk::negotiating ? disk::up_to_date : from.before.disk;
    input.self = record_of(from.self, own, from.before.role);
    input.peer = record_of(from.peer, from.peer_disk, from.after.peer_role);
    input.disk_in_state = from.before.disk;
    input.after_sb_0pri = from.net.after_sb_0pri;
    input.after_sb_1pri = from.net.after_sb_1pri;
    input.after_sb_2pri = from.net.after_sb_2pri;
    input.always_asbp = from.net.always_asbp;
    input.rr_conflict = from.net.rr_conflict;
    return input;
}

// A node does not log its own flags: the peer of the same handshake does. The k-th handshake of one
// node is the k-th of the other.
void take_own_flags(std::vector<logged_handshake>& mine,
                    const std::vector<logged_handshake>& theirs) {
    if (mine.empty() || theirs.empty()) {
        return; // the kernel log of one node was not kept
    }
    assert_int_equal(mine.size(), theirs.size());
    for (std::size_t at = 0; at < mine.size(); ++at) {
        assert_true(mine[at].self.uuids == theirs[at].peer.uuids);
        mine[at].self.flags = theirs[at].peer.flags;
    }
}

std::vector<logged_handshake> all_handshakes() {
    std::vector<logged_handshake> all;
    const std::vector<node_log> logs = read_kernel_logs();
    for (std::size_t at = 0; at + 1 < logs.size(); at += 2) {
        assert_string_equal(logs[at].file.c_str(), logs[at + 1].file.c_str());
        std::vector<logged_handshake> a = handshake_reader(logs[at]).read();
        std::vector<logged_handshake> b = handshake_reader(logs[at + 1]).read();
        take_own_flags(a, b);
        take_own_flags(b, a);
        all.insert(all.end(), a.begin(), a.end());
        all.insert(all.end(), b.begin(), b.end());
    }
    return all;
}

void every_logged_comparison_has_the_same_result_and_rule(void**) {
    std::set<int> rules;
    for (const logged_handshake& one : all_handshakes()) {
        const comparison found = compare(input_of(one));
        if (found.result != one.result || found.rule != one.rule) {
            print_error("%s: logged %d by rule %d, ours %d by rule %d\n", one.place.c_str(),
                        one.result, one.rule, found.result, found.rule);
            fail();
        }
        rules.insert(found.rule);
    }
    // What the captures are known to hold: fewer would mean that the parser overlooks blocks.
    assert_true((rules == std::set<int>{10, 20, 30, 40, 50, 70, 90, 100}));
    assert_true(all_handshakes().size() >= 80);
}

void expect_alike(const logged_handshake& one, bool alike, const char* what) {
    if (!alike) {
        print_error("%s: %s differs\n", one.place.c_str(), what);
        fail();
    }
}

void check_outcome(const logged_handshake& one) {
    const handshake_decision decision = decide(input_of(one));
    // A refusal shows as Disconnecting, or as a network error where the peer was faster.
    const bool refused = one.after.connection < connection::connected;
    expect_alike(one, decision.refused() == refused, "refusal");
    expect_alike(one, refused || decision.next_connection() == one.after.connection,
                 "connection state");
    expect_alike(one, (decision.full && !refused) == one.full, "full sync");
    expect_alike(one, decision.by_disk_states == one.disk_states, "decision by disk states");
    expect_alike(one, decision.handlers.initial_split_brain == one.initial_split_brain,
                 "initial-split-brain");
    expect_alike(one, decision.handlers.split_brain == one.split_brain, "split-brain");
    expect_alike(one, decision.solved_by_policy == one.solved_by_policy, "policy");
    expect_alike(one, decision.solved_by_hand == one.solved_by_hand, "--discard-my-data");
    const bool connected = decision.sync == sync_role::none && !refused;
    expect_alike(one, !connected || decision.kept_bits == one.self.bits, "kept bits");
}

void every_logged_handshake_is_decided_alike(void**) {
    for (const logged_handshake& one : all_handshakes()) {
        check_outcome(one);
    }
}

transition_context context_of(const node_log& log) {
    transition_context context;
    context.fencing = log.disk.fencing;
    context.net_configured = true;
    context.allow_two_primaries = log.net.allow_two_primaries;
    context.verify_algorithm_set = !log.net.verify_alg.empty();
    return context;
}

template <class Check>
unsigned for_each_transition(const Check& check) {
    unsigned count = 0;
    for (const node_log& log : read_kernel_logs()) {
        volume_state now;
        for (const log_line& line : log.lines) {
            if (const auto found = parse_transition(line.text, now)) {
                check(log, line, now, *found);
                now = found->after;
                ++count;
            }
        }
    }
    return count;
}

// The parser must not overlook a line: each begins where the last one ended.
void every_logged_state_follows_from_the_one_before(void**) {
    const unsigned count =
        for_each_transition([](const node_log& log, const log_line& line, const volume_state& now,
                               const logged_transition& found) {
            if (!(found.before == now)) {
                print_error("%s: not what was tracked\n", log.place(line).c_str());
                fail();
            }
        });
    assert_true(count > 800);
}

void every_logged_transition_is_possible_and_complete(void**) {
    for_each_transition([](const node_log& log, const log_line& line, const volume_state& now,
                           const logged_transition& found) {
        const change_result made =
            change(now, whole(found.after), change_kind::hard, context_of(log));
        if (!made.accepted() || !(made.state == found.after)) {
            print_error("%s: verdict %d, sanitized %08x, logged %08x\n", log.place(line).c_str(),
                        static_cast<int>(made.code), pack(made.state), pack(found.after));
            fail();
        }
    });
}

bool is_fact(const volume_state& before, const volume_state& after) {
    const bool ends_attach = before.disk == disk::attaching && after.disk > disk::attaching;
    return ends_attach || after.disk == disk::failed || after.peer_disk == disk::failed ||
           (before.connection != after.connection && after.connection >= connection::timeout &&
            after.connection <= connection::tear_down);
}

void every_logged_request_is_allowed(void**) {
    for_each_transition([](const node_log& log, const log_line& line, const volume_state& now,
                           const logged_transition& found) {
        if (is_fact(now, found.after)) {
            return;
        }
        const change_result made =
            change(now, whole(found.after), change_kind::soft, context_of(log));
        if (!made.accepted()) {
            print_error("%s: refused %d\n", log.place(line).c_str(), static_cast<int>(made.code));
            fail();
        }
    });
}

// The end of a connection is one word; everything else on the line follows from it. Disks that
// were outdated on purpose are part of the wish.
void the_consequences_of_a_lost_connection_are_those_logged(void**) {
    unsigned count = 0;
    for_each_transition([&count](const node_log& log, const log_line& line, const volume_state& now,
                                 const logged_transition& found) {
        if (now.connection < connection::connected ||
            found.after.connection >= connection::connected) {
            return;
        }
        state_change wish = state_change().with(found.after.connection);
        if (found.after.peer_disk == disk::outdated) {
            wish = wish.with_peer(disk::outdated);
        }
        if (found.after.disk != now.disk) {
            wish = wish.with(found.after.disk);
        }
        const change_result made = change(now, wish, change_kind::hard, context_of(log));
        if (!(made.state == found.after)) {
            print_error("%s: sanitized %08x, logged %08x\n", log.place(line).c_str(),
                        pack(made.state), pack(found.after));
            fail();
        }
        ++count;
    });
    assert_true(count > 30);
}

// Follows the identifiers of one node through all lines that name them. The lowest bit follows a
// change of role only after the new generation, if any, that comes with it.
class generation_follower {
public:
    explicit generation_follower(const node_log& log) : log_(log) {}

    unsigned follow() {
        for (const log_line& line : log_.lines) {
            take(line);
        }
        return checked_;
    }

private:
    void take(const log_line& line) {
        const std::string& text = line.text;
        if (const auto change = parse_transition(text, now_)) {
            own_ = with_role(own_, now_.role);
            now_ = change->after;
        } else if (const auto record = parse_record(text, "peer")) {
            peer_ = record->uuids;
        } else if (const auto attached = parse_generation(text, "attached to UUIDs")) {
            own_ = *attached;
        } else if (const auto fresh = parse_generation(text, "new current UUID")) {
            expect(line, new_current(own_, fresh->current, now_.role), *fresh);
        } else if (const auto cleared = parse_generation(text, "cleared bitmap UUID")) {
            generation wanted = own_;
            wanted.bitmap = 0;
            expect(line, wanted, *cleared);
        } else if (const auto told = parse_generation(text, "receiver updated UUIDs to")) {
            // The peer said so before it dropped the base of its new generation.
            peer_ = new_current(own_, told->current, now_.peer_role);
            expect(line, accept_skipped_sync(own_, told->current, now_.role), *told);
        } else {
            take_sync(line);
        }
    }

    void take_sync(const log_line& line) {
        const std::string& text = line.text;
        if (const auto source = parse_generation(text, "updated sync UUID")) {
            // Where there was no base the identifier was drawn at random.
            expect(line, start_sync_source(own_, source->bitmap).own, *source);
        } else if (const auto target = parse_generation(text, "updated sync uuid")) {
            expect(line, adopt_sync_uuid(own_, target->current, now_.role), *target);
        } else if (const auto ended = parse_generation(text, "updated UUIDs")) {
            const bool source_here = now_.connection == connection::sync_source;
            expect(line,
                   source_here ? finish_sync_source(own_)
                               : finish_sync_target(own_, peer_, now_.role),
                   *ended);
            peer_ = own_;
        }
    }

    void expect(const log_line& line, const generation& ours, const generation& logged) {
        if (!(ours == logged)) {
            const generation_text shown = text(ours);
            print_error("%s: ours %.*s\n", log_.place(line).c_str(),
                        static_cast<int>(shown.view().size()), shown.view().data());
            fail();
        }
        own_ = logged;
        ++checked_;
    }

    const node_log& log_;
    volume_state now_;
    generation own_;
    generation peer_;
    unsigned checked_ = 0;
};

void every_logged_rotation_of_identifiers_is_ours(void**) {
    unsigned checked = 0;
    for (const node_log& log : read_kernel_logs()) {
        checked += generation_follower(log).follow();
    }
    assert_true(checked > 140);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(every_logged_comparison_has_the_same_result_and_rule),
        cmocka_unit_test(every_logged_handshake_is_decided_alike),
        cmocka_unit_test(every_logged_state_follows_from_the_one_before),
        cmocka_unit_test(every_logged_transition_is_possible_and_complete),
        cmocka_unit_test(every_logged_request_is_allowed),
        cmocka_unit_test(the_consequences_of_a_lost_connection_are_those_logged),
        cmocka_unit_test(every_logged_rotation_of_identifiers_is_ours),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
