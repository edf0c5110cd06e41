// Streams that were printed by a drbdsetup, and what is to be known after each part of them. A line
// "# MARK" in a stream ends a part.
#include <fstream>
#include <string>

#include "daemon/engines/resource_view.hpp"
#include "unit/cmocka.hpp"

namespace {

using namespace lockstep;
using namespace lockstep::engines;

// The clock moves by one with each line.
class player {
public:
    void line(const std::string& text) {
        const auto event = parse_event_line(text);
        if (!event) {
            print_error("%s\n", event.error().text().c_str());
        }
        assert_true(event.has_value());
        view.take(*event, ++now);
        for (const facts_change& each : view.changes()) {
            known[each.resource] = each.facts;
            ++told;
        }
    }
    void lines(std::initializer_list<const char*> all) {
        for (const char* each : all) {
            line(each);
        }
    }
    void open(const std::string& fixture) {
        stream = std::ifstream(EVENT_FIXTURES + fixture);
        assert_true(stream.is_open());
    }
    // Up to this mark.
    const engine_facts& play(const std::string& mark, const std::string& resource = "r0") {
        std::string text;
        while (std::getline(stream, text) && text != "# " + mark) {
            assert_int_not_equal(text[0], '#');
            line(text);
        }
        return known[resource];
    }
    void rest() { play("the end"); }

    resource_view view;
    instant now = 1000;
    std::map<std::string, engine_facts> known;
    int told = 0;

private:
    std::ifstream stream;
};

void same(const engine_facts& is, const engine_facts& expected) {
    assert_int_equal(is.running, expected.running);
    assert_int_equal(is.primary, expected.primary);
    assert_int_equal(is.up_to_date, expected.up_to_date);
    assert_int_equal(is.connected, expected.connected);
    assert_int_equal(is.stands_alone, expected.stands_alone);
    assert_int_equal(is.peer_up_to_date, expected.peer_up_to_date);
    assert_int_equal(is.peer_primary, expected.peer_primary);
    assert_int_equal(is.connection, expected.connection);
    assert_int_equal(is.started, expected.started);
    assert_int_equal(is.separated, expected.separated);
}

void the_life_of_an_engine_of_ours(void**) {
    player at;
    at.open("lockstep_life");
    engine_facts is;
    is.running = true;
    is.stands_alone = true;
    is.started = is.separated = 1002;
    same(at.play("attached"), is);
    is.stands_alone = false;
    is.connected = true;
    same(at.play("connected"), is);
    is.primary = is.up_to_date = is.peer_up_to_date = true;
    same(at.play("primary, synced"), is);
    is.connected = is.peer_up_to_date = false;
    is.connection = 1;
    is.separated = 1038;
    same(at.play("peer killed"), is);
    is.connected = is.peer_up_to_date = true;
    same(at.play("back"), is);
    is.connected = is.peer_up_to_date = false;
    is.stands_alone = true;
    is.connection = 2;
    is.separated = 1057;
    same(at.play("disconnected"), is);
    engine_facts gone;
    gone.connection = 2;
    gone.separated = 1057;
    same(at.play("own killed"), gone);
    is = {};
    is.running = is.stands_alone = true;
    is.connection = 2;
    is.started = is.separated = at.now + 1;
    same(at.play("new"), is);
}

void what_exists_is_told_at_its_end(void**) {
    player at;
    at.open("lockstep_snapshot");
    at.rest();
    assert_int_equal(at.told, 1);
    engine_facts is;
    is.running = is.primary = is.up_to_date = is.stands_alone = true;
    is.started = is.separated = 1007;
    same(at.known["r0"], is);
}

void a_pair_of_drbd_8_4(void**) {
    player at;
    at.open("drbd84_pair");
    engine_facts is;
    is.running = is.up_to_date = is.connected = is.peer_up_to_date = is.peer_primary = true;
    is.started = is.separated = 1007;
    same(at.play("in sync", "data"), is);
    is.up_to_date = is.connected = is.peer_up_to_date = is.peer_primary = false;
    is.connection = 1;
    is.separated = 1011;
    same(at.play("alone", "data"), is);
    is.stands_alone = true;
    same(at.play("disconnected", "data"), is);
    is.primary = true;
    same(at.play("promoted", "data"), is);
    at.rest();
    engine_facts gone;
    gone.connection = 1;
    gone.separated = 1011;
    same(at.known["data"], gone);
}

const char* const connected[] = {
    "exists resource name:r0 role:Secondary",
    "exists connection name:r0 conn-name:peer connection:Connected role:Secondary",
    "exists device name:r0 volume:0 disk:UpToDate",
    "exists peer-device name:r0 conn-name:peer volume:0 replication:Established peer-disk:UpToDate",
};

void play_connected(player& at) {
    for (const char* each : connected) {
        at.line(each);
    }
}

void all_volumes_count(void**) {
    player at;
    play_connected(at);
    at.line("exists -");
    assert_true(at.known["r0"].connected && at.known["r0"].up_to_date);
    at.line("create device name:r0 volume:1 disk:Diskless");
    assert_false(at.known["r0"].connected);
    assert_false(at.known["r0"].up_to_date);
    at.lines({"create peer-device name:r0 conn-name:peer volume:1 replication:Off "
              "peer-disk:Diskless",
              "change device name:r0 volume:1 disk:UpToDate"});
    assert_true(at.known["r0"].up_to_date);
    assert_false(at.known["r0"].connected);
    assert_false(at.known["r0"].peer_up_to_date);
    at.line("change peer-device name:r0 conn-name:peer volume:1 replication:SyncSource "
            "peer-disk:Inconsistent");
    assert_true(at.known["r0"].connected);
    assert_false(at.known["r0"].peer_up_to_date);
    // It was no loss of the link, as far as time goes.
    assert_int_equal(at.known["r0"].connection, 1);
    assert_int_equal(at.known["r0"].separated, 1005);
    at.lines(
        {"destroy peer-device name:r0 conn-name:peer volume:1", "destroy device name:r0 volume:1"});
    assert_true(at.known["r0"].connected && at.known["r0"].peer_up_to_date);
}

void without_volumes_nothing_is_up_to_date_or_connected(void**) {
    player at;
    at.lines({"exists resource name:r0 role:Secondary",
              "exists connection name:r0 conn-name:peer connection:Connected role:Primary",
              "exists -"});
    assert_true(at.known["r0"].running);
    assert_true(at.known["r0"].peer_primary);
    assert_false(at.known["r0"].connected);
    assert_false(at.known["r0"].up_to_date);
    assert_false(at.known["r0"].peer_up_to_date);
}

// The link was there until it ended, whether anything was replicated over it.
void a_link_that_never_replicated_separates_when_it_ends(void**) {
    player at;
    at.lines({"exists -", "create resource name:r0 role:Secondary",
              "create device name:r0 volume:0 disk:UpToDate",
              "create connection name:r0 conn-name:peer connection:Connecting role:Unknown"});
    assert_int_equal(at.known["r0"].separated, 1002);
    at.line("change connection name:r0 conn-name:peer connection:Connected");
    at.line("change connection name:r0 conn-name:peer connection:BrokenPipe");
    assert_int_equal(at.known["r0"].separated, 1006);
    assert_int_equal(at.known["r0"].connection, 0);
}

void another_stream_replaces_what_the_one_before_said(void**) {
    player at;
    play_connected(at);
    at.lines({"exists resource name:r1 role:Primary", "exists -"});
    assert_true(at.known["r1"].primary);
    const instant before = at.now;
    at.view.begin();
    at.line("exists resource name:r0 role:Secondary");
    assert_true(at.known["r1"].primary && at.known["r0"].connected);
    // Broken off, and once more.
    at.view.begin();
    play_connected(at);
    at.line("exists -");
    assert_false(at.known["r1"].running);
    const engine_facts now = at.known["r0"];
    assert_true(now.connected);
    assert_int_equal(now.connection, 1);
    assert_true(now.started > before && now.separated > before);
    at.view.begin();
    at.line("exists -");
    assert_false(at.known["r0"].running);
    assert_int_equal(at.known["r0"].connection, 2);
    const int told = at.told;
    at.line("exists -");
    assert_int_equal(at.told, told);
}

void nothing_revives_what_was_destroyed(void**) {
    player at;
    at.lines({"exists -", "create resource name:r0 role:Primary", "destroy resource name:r0"});
    const int told = at.told;
    at.lines({"change resource name:r0 role:Primary", "create device name:r0 volume:0",
              "response helper name:r0 helper:fence-peer status:4",
              "destroy peer-device name:r0 volume:0"});
    assert_int_equal(at.told, told);
    assert_false(at.known["r0"].running);
}

void a_renamed_resource_is_another(void**) {
    player at;
    play_connected(at);
    at.lines({"exists -", "rename resource name:r0 new_name:r1"});
    assert_false(at.known["r0"].running);
    assert_true(at.known["r1"].connected);
}

void what_does_not_matter_is_not_told(void**) {
    player at;
    play_connected(at);
    at.line("exists -");
    const int told = at.told;
    at.lines({"change peer-device name:r0 conn-name:peer volume:0 done:50.00",
              "change resource name:r0 may_promote:no",
              "call helper name:r0 helper:before-resync-source"});
    assert_int_equal(at.told, told);
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(the_life_of_an_engine_of_ours),
        cmocka_unit_test(what_exists_is_told_at_its_end),
        cmocka_unit_test(a_pair_of_drbd_8_4),
        cmocka_unit_test(all_volumes_count),
        cmocka_unit_test(without_volumes_nothing_is_up_to_date_or_connected),
        cmocka_unit_test(a_link_that_never_replicated_separates_when_it_ends),
        cmocka_unit_test(another_stream_replaces_what_the_one_before_said),
        cmocka_unit_test(nothing_revives_what_was_destroyed),
        cmocka_unit_test(a_renamed_resource_is_another),
        cmocka_unit_test(what_does_not_matter_is_not_told),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
