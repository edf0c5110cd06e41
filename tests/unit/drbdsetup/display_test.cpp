// What drbdsetup shows beyond the states that the in-kernel DRBD was seen in (text_test): flags,
// keys and notes that tell of trouble, and the formats of other versions.
#include <cmath>
#include <cstring>
#include <string>

#include <nlohmann/json.hpp>

#include "agent/drbdsetup/json_text.hpp"
#include "agent/drbdsetup/proc_text.hpp"
#include "agent/drbdsetup/show_text.hpp"
#include "agent/drbdsetup/state_lines.hpp"
#include "agent/drbdsetup/status_text.hpp"
#include "kernel/control/event_stream.hpp"
#include "unit/control/samples.hpp"

#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::drbdsetup;
using control::snapshot;
using control::volume_snapshot;
using nlohmann::json;
namespace samples = control::samples;

namespace {

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

snapshot syncing() {
    snapshot made = samples::resource_in_sync();
    samples::set_connection(made, state::connection::sync_target);
    volume_snapshot& volume = made.volumes[0];
    volume.state.disk = state::disk::inconsistent;
    volume.progress = samples::sync_begun();
    volume.progress.want_kib = 250;
    return made;
}

// proc

void proc_columns_name_what_holds_the_application_up(void**) {
    snapshot state = samples::resource_in_sync();
    volume_snapshot& volume = state.volumes[0];
    assert_true(contains(proc_text({state}), " C r-----\n"));
    volume.congested = true;
    assert_true(contains(proc_text({state}), " C r---n-\n"));
    volume.lower_pending = 128;
    assert_true(contains(proc_text({state}), " C r---a-\n"));
    volume.congested = false;
    assert_true(contains(proc_text({state}), " C r---b-\n"));
    volume.state.suspended_fencing = true;
    volume.upper_pending = 1;
    assert_true(contains(proc_text({state}), " C s---d-\n"));
    volume.al_suspended = true;
    volume.state.sync_paused_after = true;
    volume.state.sync_paused_peer = true;
    volume.state.sync_paused_user = true;
    assert_true(contains(proc_text({state}), " C sapuds\n"));
}

void proc_has_a_letter_for_each_protocol_and_none_without_a_connection(void**) {
    snapshot state = samples::resource_in_sync();
    for (const auto& [protocol, letter] :
         {std::pair(options::protocol::a, 'A'), std::pair(options::protocol::b, 'B'),
          std::pair(options::protocol::c, 'C')}) {
        state.net.protocol = protocol;
        assert_true(contains(proc_text({state}),
                             std::string("ds:UpToDate/UpToDate ") + letter + " r-----\n"));
    }
    state.has_net = false;
    samples::set_connection(state, state::connection::standalone);
    state.volumes[0].state.peer_disk = state::disk::unknown;
    assert_true(contains(proc_text({state}), "ds:UpToDate/DUnknown   r-----\n"));
}

void proc_lists_minors_in_order_with_a_blank_line_for_a_gap(void**) {
    snapshot second = samples::resource_in_sync();
    second.resource = "r1";
    second.volumes[0].minor = 1;
    snapshot first = samples::resource_in_sync();
    snapshot third = samples::resource_in_sync();
    third.resource = "r2";
    third.volumes[0].minor = 7;
    const std::string text = proc_text({third, second, first});
    const std::string body = text.substr(version_lines().size());
    assert_int_equal(body.find(" 0: cs:"), 0);
    assert_true(contains(body, "oos:0\n 1: cs:"));
    assert_true(contains(body, "oos:0\n\n 7: cs:"));
}

void proc_prints_every_counter_in_its_place(void**) {
    snapshot state = samples::resource_in_sync();
    volume_snapshot& volume = state.volumes[0];
    volume.sent_kib = 1;
    volume.received_kib = 2;
    volume.written_kib = 3;
    volume.read_kib = 4;
    volume.al_writes = 5;
    volume.bm_writes = 6;
    volume.lower_pending = 7;
    volume.pending = 8;
    volume.unacked = 9;
    volume.upper_pending = 10;
    volume.epochs = 11;
    volume.out_of_sync_kib = 12;
    for (const char ordering : {'b', 'f', 'd', 'n'}) {
        volume.write_ordering = ordering;
        assert_true(contains(proc_text({state}), std::string("    ns:1 nr:2 dw:3 dr:4 al:5 bm:6 "
                                                             "lo:7 pe:8 ua:9 ap:10 ep:11 wo:") +
                                                     ordering + " oos:12\n"));
    }
}

// status

std::string status_of(const snapshot& from, bool verbose = false) {
    status_style style;
    style.verbose = verbose;
    return status_text(from, style);
}

void status_hides_what_is_normal_and_shows_what_is_notable(void**) {
    snapshot state = samples::resource_in_sync();
    const std::string normal = status_of(state);
    for (const char* word : {"connection:", "suspended:", "quorum:", "client:", "open:",
                             "congested:", "volume:", "resync-suspended:", "blocked:", "done:"}) {
        assert_false(contains(normal, word));
    }
    state.volumes[0].state.disk = state::disk::diskless;
    state.volumes[0].client = true;
    state.volumes[0].congested = true;
    state.volumes[0].state.sync_paused_user = true;
    state.suspended_fencing = true;
    const std::string notable = status_of(state);
    for (const char* word : {"disk:Diskless client:yes", "congested:yes", "resync-suspended:user",
                             "suspended:fencing", "blocked:upper"}) {
        assert_true(contains(notable, word));
    }
}

void status_tells_that_nobody_uses_a_primary(void**) {
    snapshot state = samples::resource_in_sync();
    samples::set_role(state, state::role::primary);
    assert_true(contains(status_of(state), "disk:UpToDate open:no\n"));
    state.volumes[0].open = true;
    assert_false(contains(status_of(state), "open:"));
    state.volumes[0].open_is_known = false;
    assert_false(contains(status_of(state), "open:"));
}

void status_names_the_progress_of_a_sync(void**) {
    assert_true(contains(status_of(syncing()),
                         "    replication:SyncTarget peer-disk:UpToDate done:0.16\n"));
}

void status_breaks_lines_at_the_width_that_it_is_given(void**) {
    status_style style;
    style.verbose = style.statistics = true;
    for (const std::size_t columns : {std::size_t{40}, std::size_t{80}, std::size_t{200}}) {
        style.columns = columns;
        const std::string text = status_text(syncing(), style);
        std::size_t longest = 0;
        for (std::size_t at = 0; at < text.size();) {
            const std::size_t end = text.find('\n', at);
            longest = std::max(longest, end - at);
            at = end + 1;
        }
        assert_true(longest <= columns);
        assert_true(longest > columns / 3);
    }
}

// JSON

void check_keys(const json& object, std::initializer_list<const char*> keys) {
    for (const char* key : keys) {
        if (!object.contains(key)) {
            print_error("missing: %s\n", key);
        }
        assert_true(object.contains(key));
    }
}

void check_numbers(const json& value) {
    if (value.is_number_float()) {
        assert_true(std::isfinite(value.get<double>()));
    }
    for (const json& each : value.is_structured() ? value : json::array()) {
        check_numbers(each);
    }
}

void check_status(const json& resource) {
    check_keys(resource, {"name", "node-id", "role", "suspended", "suspended-user",
                          "suspended-no-data", "suspended-fencing", "suspended-quorum",
                          "force-io-failures", "write-ordering", "devices", "connections"});
    check_keys(resource.at("devices").at(0),
               {"volume", "minor", "disk-state", "client", "quorum", "open", "size", "read",
                "written", "al-writes", "bm-writes", "upper-pending", "lower-pending"});
    const json& connection = resource.at("connections").at(0);
    check_keys(connection, {"peer-node-id", "name", "connection-state", "congested", "peer-role",
                            "tls", "ap-in-flight", "rs-in-flight", "paths", "peer_devices"});
    check_keys(connection.at("paths").at(0), {"this_host", "remote_host", "established"});
    check_keys(connection.at("peer_devices").at(0),
               {"volume", "replication-state", "peer-disk-state", "peer-client", "resync-suspended",
                "received", "sent", "out-of-sync", "pending", "unacked", "has-sync-details",
                "has-online-verify-details", "percent-in-sync"});
    check_numbers(resource);
}

void status_json_has_every_key_of_drbd_9(void**) {
    snapshot state = samples::resource_in_sync();
    const json quiet = json::parse(status_json({state})).at(0);
    check_status(quiet);
    const json& peer = quiet.at("connections").at(0).at("peer_devices").at(0);
    assert_true(peer.at("has-sync-details") == false);
    assert_true(peer.at("percent-in-sync") == 100.0);
}

void status_json_of_a_sync_has_rates_and_no_numbers_that_are_none(void**) {
    const json all = json::parse(status_json({syncing()})).at(0);
    check_status(all);
    const json& peer = all.at("connections").at(0).at("peer_devices").at(0);
    check_keys(peer, {"rs-total", "want", "db1/dt1 [MiB/s]", "estimated-seconds-to-finish",
                      "db/dt [MiB/s]", "percent-resync-done"});
    assert_true(peer.at("has-sync-details") == true);
    assert_true(peer.at("has-online-verify-details") == false);
    assert_true(peer.at("estimated-seconds-to-finish") == 15623);
    assert_true(peer.at("db1/dt1 [MiB/s]") == 1.3);
    // Nothing to do at all, and a device without a size.
    snapshot empty = syncing();
    empty.volumes[0].progress = {};
    empty.volumes[0].progress.running = true;
    empty.volumes[0].size_sectors = 0;
    check_status(json::parse(status_json({empty})).at(0));
}

void status_json_tells_a_verify_from_a_sync(void**) {
    snapshot state = syncing();
    samples::set_connection(state, state::connection::verify_s);
    const json all = json::parse(status_json({state})).at(0);
    check_status(all);
    const json& peer = all.at("connections").at(0).at("peer_devices").at(0);
    assert_true(peer.at("has-online-verify-details") == true);
    assert_true(peer.at("replication-state") == "VerifyS");
}

void show_json_has_booleans_texts_with_units_and_both_hosts(void**) {
    snapshot state = samples::resource_in_sync();
    state.volumes[0].disk.resync_rate_kib = 102400;
    state.net.allow_two_primaries = true;
    const json shown = json::parse(show_json({state})).at(0);
    assert_true(shown.at("resource") == "r0");
    assert_true(shown.at("_this_host").at("volumes").at(0).at("disk").at("resync-rate") ==
                "102400k");
    const json& connection = shown.at("connections").at(0);
    assert_true(connection.at("net").at("allow-two-primaries") == true);
    assert_true(connection.at("_cstate") == "Connected");
    assert_true(connection.at("paths").at(0).at("_remote_host").at("address") == "10.0.0.2");
}

// The old `events`.

std::string told_by(state_lines& lines, const snapshot& state) {
    std::map<std::string, control::event> objects;
    std::string text;
    for (const control::event& each : control::describe(state, 0)) {
        objects[std::to_string(objects.size())] = each;
    }
    for (const auto& [id, each] : objects) {
        text += lines.lines(each, objects);
    }
    return text;
}

void events_prints_a_line_for_each_state_as_8_3_did(void**) {
    state_lines lines(true);
    snapshot state = samples::resource_in_sync();
    assert_string_equal(
        told_by(lines, state).c_str(),
        "1 ST 0 { cs:Connected ro:Secondary/Secondary ds:UpToDate/UpToDate r--- }\n");
    assert_string_equal(told_by(lines, state).c_str(), "");
    samples::set_role(state, state::role::primary);
    state.suspended_user = true;
    state.volumes[0].state.sync_paused_peer = true;
    assert_string_equal(told_by(lines, state).c_str(),
                        "2 ST 0 { cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate s-p- }\n");
    samples::set_connection(state, state::connection::wf_connection);
    samples::set_peer_role(state, state::role::unknown);
    state.volumes[0].state.peer_disk = state::disk::unknown;
    assert_string_equal(
        told_by(lines, state).c_str(),
        "3 ST 0 { cs:WFConnection ro:Primary/Unknown ds:UpToDate/DUnknown s-p- }\n");
}

void events_names_resource_and_volume_as_8_4_does_and_tells_of_handlers(void**) {
    state_lines lines(false);
    const snapshot state = samples::resource_in_sync();
    assert_string_equal(
        told_by(lines, state).c_str(),
        "1 ST 0,r0[0] { cs:Connected ro:Secondary/Secondary ds:UpToDate/UpToDate r--- }\n");
    control::event call;
    call.kind = control::event_kind::call;
    call.object = control::event_object::helper;
    call.resource = "r0";
    call.fields = {{"helper", "fence-peer"}};
    assert_string_equal(lines.lines(call, {}).c_str(), "2 UH 0,r0[0] fence-peer\n");
    call.kind = control::event_kind::response;
    call.fields.push_back({"status", "4"});
    assert_string_equal(lines.lines(call, {}).c_str(), "3 UH-post 0,r0[0] fence-peer 0x0400\n");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(proc_columns_name_what_holds_the_application_up),
        cmocka_unit_test(proc_has_a_letter_for_each_protocol_and_none_without_a_connection),
        cmocka_unit_test(proc_lists_minors_in_order_with_a_blank_line_for_a_gap),
        cmocka_unit_test(proc_prints_every_counter_in_its_place),
        cmocka_unit_test(status_hides_what_is_normal_and_shows_what_is_notable),
        cmocka_unit_test(status_tells_that_nobody_uses_a_primary),
        cmocka_unit_test(status_names_the_progress_of_a_sync),
        cmocka_unit_test(status_breaks_lines_at_the_width_that_it_is_given),
        cmocka_unit_test(status_json_has_every_key_of_drbd_9),
        cmocka_unit_test(status_json_of_a_sync_has_rates_and_no_numbers_that_are_none),
        cmocka_unit_test(status_json_tells_a_verify_from_a_sync),
        cmocka_unit_test(show_json_has_booleans_texts_with_units_and_both_hosts),
        cmocka_unit_test(events_prints_a_line_for_each_state_as_8_3_did),
        cmocka_unit_test(events_names_resource_and_volume_as_8_4_does_and_tells_of_handlers),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
