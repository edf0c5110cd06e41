// The table of connection states and events in kernel/state/transition.hpp is read from its comment
// and compared, cell by cell, with what the code does.
#include "kernel/state/transition.hpp"

#include <array>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

// Last: its macro `fail` hides names of the standard library.
#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::state;

namespace {

constexpr std::array<const char*, 24> short_names = {
    "SA", "DG", "UC", "TO", "BP", "NF", "PE", "TD", "WC", "WR", "CO", "XS",
    "XT", "BS", "BT", "WU", "SS", "ST", "VS", "VT", "PS", "PT", "AH", "BH"};

struct event {
    const char* name;
    state_change wish;
    change_kind kind;
};

const std::vector<event>& events() {
    using c = connection;
    static const std::vector<event> all = {
        {"conn", state_change().with(c::unconnected), change_kind::soft},
        {"wait", state_change().with(c::wf_connection), change_kind::soft},
        {"met", state_change().with(c::wf_report_params), change_kind::soft},
        {"agree",
         state_change().with(c::connected).with_peer(role::secondary).with_peer(disk::up_to_date),
         change_kind::soft},
        {"disc", state_change().with(c::disconnecting), change_kind::soft},
        {"lost", state_change().with(c::network_failure), change_kind::hard},
        {"left", state_change().with(c::tear_down), change_kind::hard},
        {"inval", state_change().with(c::starting_sync_t), change_kind::soft},
        {"src", state_change().with(c::sync_source), change_kind::soft},
        {"verif", state_change().with(c::verify_s), change_kind::soft},
        {"pause", state_change().with_paused_user(true), change_kind::soft},
        {"derr", state_change().with(disk::failed), change_kind::hard},
        {"end", state_change().with(c::standalone), change_kind::hard},
    };
    return all;
}

transition_context usual_context() {
    transition_context context;
    context.net_configured = true;
    context.verify_algorithm_set = true;
    return context;
}

// A Secondary in that connection state, with the best disks that it allows.
volume_state usual_state(connection at) {
    volume_state state;
    state.connection = at;
    state.disk = disk::up_to_date;
    state.peer_role = at >= connection::connected ? role::secondary : role::unknown;
    state.peer_disk = at >= connection::connected ? disk::up_to_date : disk::unknown;
    state.sync_paused_user = at == connection::paused_sync_s || at == connection::paused_sync_t;
    return sanitize(state, state, usual_context()).state;
}

std::string cell(connection from, const event& what) {
    const volume_state before = usual_state(from);
    const change_result result = change(before, what.wish, what.kind, usual_context());
    if (!result.accepted()) {
        return std::to_string(static_cast<int>(result.code));
    }
    if (result.state.connection == from) {
        return result.code == verdict::nothing_to_do ? "." : "=";
    }
    return short_names[static_cast<std::size_t>(result.state.connection)];
}

// The table as the code has it, in the form of the comment.
std::vector<std::vector<std::string>> computed_table() {
    std::vector<std::vector<std::string>> rows;
    for (std::size_t at = 0; at < short_names.size(); ++at) {
        const auto from = static_cast<connection>(at);
        std::vector<std::string> row = {short_names[at], std::string(name(from))};
        for (const event& what : events()) {
            row.push_back(cell(from, what));
        }
        rows.push_back(row);
    }
    return rows;
}

std::vector<std::string> words_of(const std::string& line) {
    std::istringstream in(line);
    std::vector<std::string> words;
    for (std::string word; in >> word;) {
        words.push_back(word);
    }
    return words;
}

// Rows of the comment: "//  SA StandAlone ...".
std::vector<std::vector<std::string>> documented_table() {
    std::ifstream in(LOCKSTEP_TRANSITION_TABLE);
    std::vector<std::vector<std::string>> rows;
    for (std::string line; std::getline(in, line);) {
        std::vector<std::string> words = words_of(line);
        const std::size_t expected = 3 + events().size();
        if (words.size() != expected || words[0] != "//" || words[1].size() != 2) {
            continue;
        }
        rows.emplace_back(words.begin() + 1, words.end());
    }
    return rows;
}

void print_table(const std::vector<std::vector<std::string>>& rows) {
    for (const auto& row : rows) {
        print_error("// %-3s%-15s", row[0].c_str(), row[1].c_str());
        for (std::size_t at = 2; at < row.size(); ++at) {
            print_error("%*s", static_cast<int>(std::string(events()[at - 2].name).size() + 1),
                        row[at].c_str());
        }
        print_error("\n");
    }
}

void the_documented_table_of_states_and_events_is_what_happens(void**) {
    const auto documented = documented_table();
    const auto computed = computed_table();
    if (documented != computed) {
        print_error("The code does this:\n");
        print_table(computed);
        fail();
    }
}

void every_state_of_the_table_is_complete_in_itself(void**) {
    for (std::size_t at = 0; at < short_names.size(); ++at) {
        const volume_state state = usual_state(static_cast<connection>(at));
        assert_int_equal(state.connection, at);
        assert_true(sanitize(state, state, usual_context()).state == state);
    }
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(the_documented_table_of_states_and_events_is_what_happens),
        cmocka_unit_test(every_state_of_the_table_is_complete_in_itself),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
