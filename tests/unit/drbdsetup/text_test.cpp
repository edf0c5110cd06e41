// What drbdsetup prints, beside what drbdsetup 8.4 printed of the in-kernel DRBD 8.4.11 in the same
// states (a resource r0 of one volume of 16344 KiB), and what is known of older versions.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>

#include <nlohmann/json.hpp>

#include "agent/drbdmeta/generation_text.hpp"
#include "agent/drbdsetup/event_text.hpp"
#include "agent/drbdsetup/json_text.hpp"
#include "agent/drbdsetup/proc_text.hpp"
#include "agent/drbdsetup/sh_status_text.hpp"
#include "agent/drbdsetup/show_text.hpp"
#include "agent/drbdsetup/status_text.hpp"
#include "kernel/control/event_stream.hpp"
#include "unit/control/samples.hpp"

#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::drbdsetup;
using control::snapshot;
using control::volume_snapshot;
namespace samples = control::samples;

namespace {

// After `primary --force` of a pair that had just been made.
snapshot lab_primary() {
    snapshot made = samples::resource_in_sync();
    made.local_address = "ipv4:10.78.0.11:7789";
    made.peer_address = "ipv4:10.78.0.12:7789";
    samples::set_role(made, state::role::primary);
    made.net.verify_alg = "sha1";
    volume_snapshot& volume = made.volumes[0];
    volume.backing_device = volume.meta_device = "/dev/vda";
    volume.size_sectors = 32688;
    volume.read_kib = 16344;
    volume.al_writes = 8;
    volume.out_of_sync_kib = 16344;
    volume.current_uuid = 5;
    volume.history_uuid[0] = 0;
    volume.metadata_flags = 0x17; // consistent, primary, connected, up to date
    volume.open_is_known = false; // as with a device node
    return made;
}

snapshot lab_verifying() {
    snapshot made = lab_primary();
    samples::set_connection(made, state::connection::verify_s);
    control::progress_snapshot& progress = made.volumes[0].progress;
    progress.running = true;
    progress.total_bits = 16344 / 4;
    progress.left_bits = 12740 / 4;
    progress.seconds_left = 12;
    progress.speed_kib = progress.average_kib = 900;
    progress.want_kib = 1680;
    return made;
}

snapshot lab_attached() {
    snapshot made = lab_primary();
    made.has_net = false;
    samples::set_role(made, state::role::secondary);
    samples::set_peer_role(made, state::role::unknown);
    samples::set_connection(made, state::connection::standalone);
    volume_snapshot& volume = made.volumes[0];
    volume.state.disk = state::disk::inconsistent;
    volume.state.peer_disk = state::disk::unknown;
    volume.disk.on_io_error = options::on_io_error::pass_on;
    volume.read_kib = 0;
    volume.al_suspended = true;
    volume.open_is_known = true;
    return made;
}

snapshot lab_connecting() {
    snapshot made = lab_attached();
    made.has_net = true;
    made.net.ping_timeout_ds = 30;
    samples::set_connection(made, state::connection::wf_connection);
    return made;
}

std::string status_of(const snapshot& from, bool verbose, bool statistics) {
    status_style style;
    style.verbose = verbose;
    style.statistics = statistics;
    style.columns = 80;
    return status_text(from, style);
}

void status_of_a_pair_in_sync(void**) {
    assert_string_equal(status_of(lab_primary(), false, false).c_str(),
                        "r0 role:Primary\n"
                        "  disk:UpToDate\n"
                        "  peer role:Secondary\n"
                        "    replication:Established peer-disk:UpToDate\n"
                        "\n");
    assert_string_equal(status_of(lab_primary(), false, true).c_str(),
                        "r0 role:Primary\n"
                        "  disk:UpToDate\n"
                        "      read:16344 written:0\n"
                        "  peer role:Secondary\n"
                        "    replication:Established peer-disk:UpToDate\n"
                        "        received:0 sent:0 out-of-sync:16344\n"
                        "\n");
}

void status_with_all_details_breaks_its_lines_at_80_columns(void**) {
    assert_string_equal(
        status_of(lab_primary(), true, false).c_str(),
        "r0 role:Primary suspended:no\n"
        "  volume:0 minor:0 disk:UpToDate blocked:no\n"
        "  peer connection:Connected role:Secondary congested:no\n"
        "    volume:0 replication:Established peer-disk:UpToDate resync-suspended:no\n"
        "\n");
    snapshot verifying = lab_verifying();
    verifying.volumes[0].read_kib = 5528;
    verifying.volumes[0].pending = 27;
    // The kernel's 8.4 cannot tell how far a verify is; this one can.
    assert_string_equal(
        status_of(verifying, true, true).c_str(),
        "r0 role:Primary suspended:no\n"
        "    write-ordering:flush\n"
        "  volume:0 minor:0 disk:UpToDate\n"
        "      size:16344 read:5528 written:0 al-writes:8 bm-writes:0 upper-pending:0\n"
        "      lower-pending:0 al-suspended:no blocked:no\n"
        "  peer connection:Connected role:Secondary congested:no\n"
        "    volume:0 replication:VerifyS peer-disk:UpToDate done:22.05\n"
        "        resync-suspended:no\n"
        "        received:0 sent:0 out-of-sync:16344 pending:27 unacked:0\n"
        "\n");
}

void status_while_connecting(void**) {
    assert_string_equal(status_of(lab_connecting(), false, false).c_str(),
                        "r0 role:Secondary\n"
                        "  disk:Inconsistent\n"
                        "  peer connection:Connecting\n"
                        "\n");
    assert_string_equal(status_of(lab_connecting(), false, true).c_str(),
                        "r0 role:Secondary\n"
                        "  disk:Inconsistent\n"
                        "      read:0 written:0\n"
                        "  peer connection:Connecting\n"
                        "    peer-disk:DUnknown\n"
                        "        received:0 sent:0 out-of-sync:16344\n"
                        "\n");
    assert_string_equal(
        status_of(lab_connecting(), true, true).c_str(),
        "r0 role:Secondary suspended:no\n"
        "    write-ordering:flush\n"
        "  volume:0 minor:0 disk:Inconsistent\n"
        "      size:16344 read:0 written:0 al-writes:8 bm-writes:0 upper-pending:0\n"
        "      lower-pending:0 al-suspended:yes blocked:no\n"
        "  peer connection:Connecting role:Unknown congested:no\n"
        "    volume:0 replication:Off peer-disk:DUnknown resync-suspended:no\n"
        "        received:0 sent:0 out-of-sync:16344 pending:0 unacked:0\n"
        "\n");
}

void status_without_a_connection_or_a_disk_or_a_volume(void**) {
    snapshot state = lab_attached();
    assert_string_equal(status_of(state, false, false).c_str(),
                        "r0 role:Secondary\n  disk:Inconsistent\n\n");
    state.volumes[0].state.disk = state::disk::diskless;
    assert_string_equal(status_of(state, true, false).c_str(),
                        "r0 role:Secondary suspended:no\n"
                        "  volume:0 minor:0 disk:Diskless blocked:no\n\n");
    state.volumes.clear();
    assert_string_equal(status_of(state, false, false).c_str(), "r0 role:Secondary\n\n");
    assert_string_equal(status_of(state, true, true).c_str(),
                        "r0 role:Secondary suspended:no\n    write-ordering:flush\n\n");
}

void status_tells_that_io_is_frozen(void**) {
    snapshot state = lab_primary();
    state.suspended_user = true;
    assert_string_equal(status_of(state, false, false).c_str(),
                        "r0 role:Primary suspended:user\n"
                        "  disk:UpToDate blocked:upper\n"
                        "  peer role:Secondary\n"
                        "    replication:Established peer-disk:UpToDate\n"
                        "\n");
    assert_string_equal(status_of(state, false, true).c_str(),
                        "r0 role:Primary suspended:user\n"
                        "  disk:UpToDate\n"
                        "      read:16344 written:0 blocked:upper\n"
                        "  peer role:Secondary\n"
                        "    replication:Established peer-disk:UpToDate\n"
                        "        received:0 sent:0 out-of-sync:16344\n"
                        "\n");
}

void status_says_what_is_waited_for(void**) {
    snapshot state = lab_primary();
    state.volumes[0].waiting_for = "waiting for the fence-peer handler";
    assert_non_null(
        std::strstr(status_of(state, true, false).c_str(), "# waiting for the fence-peer handler"));
    assert_null(std::strstr(status_of(state, false, false).c_str(), "waiting"));
}

void status_names_volumes_when_there_are_several(void**) {
    snapshot state = lab_primary();
    state.volumes.push_back(state.volumes[0]);
    state.volumes[1].volume = state.volumes[1].minor = 1;
    assert_string_equal(status_of(state, false, false).c_str(),
                        "r0 role:Primary\n"
                        "  volume:0 disk:UpToDate\n"
                        "  volume:1 disk:UpToDate\n"
                        "  peer role:Secondary\n"
                        "    volume:0 replication:Established peer-disk:UpToDate\n"
                        "    volume:1 replication:Established peer-disk:UpToDate\n"
                        "\n");
}

void colours_mark_words_and_count_for_nothing_in_the_width(void**) {
    status_style style;
    style.colour = true;
    style.columns = 80;
    const std::string text = status_text(lab_primary(), style);
    assert_non_null(std::strstr(text.c_str(), "role:\033[1;36mPrimary\033[0m"));
    assert_non_null(std::strstr(text.c_str(), "disk:\033[1;32mUpToDate\033[0m"));
}

// proc

std::string proc_paragraph(const snapshot& state) {
    const std::string all = proc_text({state});
    return all.substr(version_lines().size());
}

void proc_without_resources_is_two_version_lines(void**) {
    const std::string text = proc_text({});
    assert_int_equal(text.find("version: 8.4.11 (api:1/proto:86-101)\nsrcversion: "), 0);
    assert_int_equal(std::count(text.begin(), text.end(), '\n'), 2);
}

void proc_of_the_states_of_a_volume(void**) {
    assert_string_equal(
        proc_paragraph(lab_attached()).c_str(),
        " 0: cs:StandAlone ro:Secondary/Unknown ds:Inconsistent/DUnknown   r----s\n"
        "    ns:0 nr:0 dw:0 dr:0 al:8 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:16344\n");
    assert_string_equal(
        proc_paragraph(lab_connecting()).c_str(),
        " 0: cs:WFConnection ro:Secondary/Unknown ds:Inconsistent/DUnknown C r----s\n"
        "    ns:0 nr:0 dw:0 dr:0 al:8 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:16344\n");
    assert_string_equal(
        proc_paragraph(lab_primary()).c_str(),
        " 0: cs:Connected ro:Primary/Secondary ds:UpToDate/UpToDate C r-----\n"
        "    ns:0 nr:0 dw:0 dr:16344 al:8 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:16344\n");
    snapshot nothing = lab_attached();
    nothing.volumes[0].state.disk = state::disk::diskless;
    assert_string_equal(proc_paragraph(nothing).c_str(), " 0: cs:Unconfigured\n");
}

void proc_flags_tell_what_is_paused_and_frozen(void**) {
    snapshot state = lab_primary();
    state::volume_state& flags = state.volumes[0].state;
    flags.suspended_user = true;
    assert_non_null(std::strstr(proc_paragraph(state).c_str(), " C s-----\n"));
    flags.sync_paused_after = flags.sync_paused_peer = flags.sync_paused_user = true;
    assert_non_null(std::strstr(proc_paragraph(state).c_str(), " C sapu--\n"));
}

void proc_of_a_verify(void**) {
    snapshot state = lab_verifying();
    state.volumes[0].read_kib = 3604;
    state.volumes[0].pending = 42;
    assert_string_equal(
        proc_paragraph(state).c_str(),
        " 0: cs:VerifyS ro:Primary/Secondary ds:UpToDate/UpToDate C r-----\n"
        "    ns:0 nr:0 dw:0 dr:3604 al:8 bm:0 lo:0 pe:42 ua:0 ap:0 ep:1 wo:f oos:16344\n"
        "\t[====>...............] verified: 25.0% (12740/16344)K\n"
        "\tfinish: 0:00:12 speed: 900 (900) want: 1,680 K/sec\n");
}

void proc_of_a_large_sync_counts_in_megabytes(void**) {
    snapshot state = lab_primary();
    samples::set_connection(state, state::connection::sync_source);
    state.volumes[0].progress = samples::sync_begun();
    assert_non_null(std::strstr(proc_paragraph(state).c_str(),
                                "\t[>....................] sync'ed:  0.2% (20444/20476)M\n"
                                "\tfinish: 4:20:23 speed: 1,328 (1,324) K/sec\n"));
}

void proc_tells_a_stalled_sync_and_the_wish_of_a_target(void**) {
    snapshot state = lab_primary();
    samples::set_connection(state, state::connection::sync_target);
    control::progress_snapshot& progress = state.volumes[0].progress;
    progress = samples::sync_begun();
    progress.seconds_left = ~std::uint64_t{0};
    progress.speed_kib = 0;
    progress.want_kib = 250;
    progress.stalled = true;
    assert_non_null(std::strstr(proc_paragraph(state).c_str(),
                                "\tfinish: -:--:-- speed: 0 (1,324) want: 250 K/sec (stalled)\n"));
}

void proc_leaves_a_blank_line_for_gaps_between_minors(void**) {
    snapshot state = lab_primary();
    state.volumes[0].minor = 2;
    assert_int_equal(proc_paragraph(state).find("\n 2: cs:"), 0);
}

// show

constexpr const char* shown_connecting = "resource r0 {\n"
                                         "    options {\n"
                                         "    }\n"
                                         "    net {\n"
                                         "        ping-timeout    \t30; # 1/10 seconds\n"
                                         "        verify-alg      \t\"sha1\";\n"
                                         "    }\n"
                                         "    _remote_host {\n"
                                         "        address\t\t\tipv4 10.78.0.12:7789;\n"
                                         "    }\n"
                                         "    _this_host {\n"
                                         "        address\t\t\tipv4 10.78.0.11:7789;\n"
                                         "        volume 0 {\n"
                                         "            device\t\t\tminor 0;\n"
                                         "            disk\t\t\t\"/dev/vda\";\n"
                                         "            meta-disk\t\t\tinternal;\n"
                                         "            disk {\n"
                                         "                on-io-error     \tpass_on;\n"
                                         "            }\n"
                                         "        }\n"
                                         "    }\n"
                                         "}\n";

void show_prints_what_differs_from_the_defaults(void**) {
    assert_string_equal(show_text({lab_connecting()}, false).c_str(), shown_connecting);
}

void show_with_defaults_prints_every_option(void**) {
    const std::string text = show_text({lab_connecting()}, true);
    for (const char* line : {"        on-no-data-accessible\tio-error; # default\n",
                             "        timeout         \t60; # 1/10 seconds, default\n",
                             "        ping-timeout    \t30; # 1/10 seconds\n",
                             "                resync-rate     \t250k; # bytes/second, default\n",
                             "                c-fill-target   \t100s; # bytes, default\n"}) {
        assert_non_null(std::strstr(text.c_str(), line));
    }
}

void show_of_external_metadata_names_device_and_index(void**) {
    snapshot state = lab_attached();
    state.volumes[0].meta_device = "/dev/vdb";
    state.volumes[0].meta_index = "3";
    assert_non_null(
        std::strstr(show_text({state}, false).c_str(), "meta-disk\t\t\t\"/dev/vdb\" [ 3 ];\n"));
    state.volumes[0].meta_index = "flexible";
    assert_non_null(
        std::strstr(show_text({state}, false).c_str(), "meta-disk\t\t\t\"/dev/vdb\";\n"));
}

// sh-status

void sh_status_is_for_shells(void**) {
    const snapshot state = lab_verifying();
    assert_string_equal(sh_status_text(state, state.volumes[0]).c_str(),
                        "_minor=0\n_res_name=r0\n_volume=0\n_known=Configured\n\n"
                        "_cstate=VerifyS\n_role=Primary\n_peer=Secondary\n_disk=UpToDate\n"
                        "_pdsk=UpToDate\n\n_flags_susp=\n_flags_aftr_isp=\n_flags_peer_isp=\n"
                        "_flags_user_isp=\n\n_resynced_percent=25.0\n\n_sh_status_process\n\n\n");
    assert_string_equal(
        sh_status_unknown(0).c_str(),
        "_minor=0\n_res_name=\n_volume=-1\n_known=NA # not available or not yet created\n\n"
        "_cstate=Unconfigured\n_role=\n_peer=\n_disk=\n_pdsk=\n_flags_susp=\n_flags_aftr_isp=\n"
        "_flags_peer_isp=\n_flags_user_isp=\n_resynced_percent=\n\n_sh_status_process\n\n\n");
}

void sh_status_quotes_names_that_a_shell_would_take_apart(void**) {
    snapshot state = lab_primary();
    state.resource = "r0;reboot 'now'";
    assert_non_null(std::strstr(sh_status_text(state, state.volumes[0]).c_str(),
                                "_res_name='r0;reboot '\\''now'\\'''\n"));
}

// events2

std::string events_of(const snapshot& state, bool statistics) {
    event_style style;
    style.statistics = statistics;
    event_text text(style);
    std::string all;
    for (const control::event& each : control::describe(state, 0)) {
        all += text.line(each);
    }
    return all;
}

void events2_describes_a_resource(void**) {
    assert_string_equal(
        events_of(lab_connecting(), true).c_str(),
        "exists resource name:r0 role:Secondary suspended:no may_promote:no promotion_score:0 "
        "write-ordering:flush\n"
        "exists connection name:r0 peer-node-id:0 conn-name:peer connection:Connecting "
        "role:Unknown congested:no\n"
        "exists device name:r0 volume:0 minor:0 backing_dev:/dev/vda disk:Inconsistent client:no "
        "quorum:yes open:no size:16344 read:0 written:0 al-writes:8 bm-writes:0 upper-pending:0 "
        "lower-pending:0 al-suspended:yes blocked:no\n"
        "exists peer-device name:r0 peer-node-id:0 conn-name:peer volume:0 replication:Off "
        "peer-disk:DUnknown peer-client:no resync-suspended:no received:0 sent:0 "
        "out-of-sync:16344 pending:0 unacked:0\n");
    assert_string_equal(
        events_of(lab_attached(), false).c_str(),
        "exists resource name:r0 role:Secondary suspended:no may_promote:no promotion_score:0\n"
        "exists connection name:r0 peer-node-id:0 connection:StandAlone role:Unknown\n"
        "exists device name:r0 volume:0 minor:0 backing_dev:/dev/vda disk:Inconsistent client:no "
        "quorum:yes open:no\n"
        "exists peer-device name:r0 peer-node-id:0 volume:0 replication:Off peer-disk:DUnknown "
        "peer-client:no resync-suspended:no\n");
}

// Lines of a change from one state to the other.
std::string events_between(const snapshot& before, const snapshot& after, event_style style) {
    control::event_stream stream;
    event_text text(style);
    for (const control::event& each : control::describe(before, 0)) {
        text.line(each);
    }
    stream.start(before);
    std::string all;
    for (const control::event& each : stream.step(after, 0)) {
        all += text.line(each);
    }
    return all;
}

void events2_changes_carry_only_what_changed(void**) {
    snapshot after = lab_primary();
    after.volumes[0].state.sync_paused_user = true;
    assert_string_equal(events_between(lab_primary(), after, {}).c_str(),
                        "change peer-device name:r0 peer-node-id:0 conn-name:peer volume:0 "
                        "resync-suspended:user\n");
    event_style statistics;
    statistics.statistics = true;
    assert_string_equal(events_between(lab_primary(), after, statistics).c_str(),
                        "change peer-device name:r0 peer-node-id:0 conn-name:peer volume:0 "
                        "resync-suspended:user received:0 sent:0 out-of-sync:16344 pending:0 "
                        "unacked:0\n");
    event_style diff;
    diff.diff = true;
    assert_string_equal(events_between(lab_primary(), after, diff).c_str(),
                        "change peer-device name:r0 peer-node-id:0 conn-name:peer volume:0 "
                        "resync-suspended:no->user\n");
    event_style full;
    full.full = true;
    assert_string_equal(
        events_between(lab_primary(), after, full).c_str(),
        "change peer-device name:r0 peer-node-id:0 conn-name:peer volume:0 "
        "replication:Established peer-disk:UpToDate peer-client:no resync-suspended:user\n");
}

void events2_connections_come_and_go_with_their_addresses(void**) {
    assert_string_equal(
        events_between(lab_attached(), lab_connecting(), {}).c_str(),
        "create connection name:r0 peer-node-id:0 conn-name:peer connection:Connecting "
        "role:Unknown\n"
        "create peer-device name:r0 peer-node-id:0 conn-name:peer volume:0 replication:Off "
        "peer-disk:DUnknown peer-client:no resync-suspended:no\n");
    assert_string_equal(events_between(lab_connecting(), lab_attached(), {}).c_str(),
                        "destroy peer-device name:r0 peer-node-id:0 conn-name:peer volume:0\n"
                        "destroy connection name:r0 peer-node-id:0 conn-name:peer\n");
}

void events2_tells_runs_of_handlers(void**) {
    control::event called;
    called.kind = control::event_kind::call;
    called.object = control::event_object::helper;
    called.resource = "r0";
    called.has_connection = true;
    called.volume = called.minor = 0;
    called.fields = {{"helper", "out-of-sync"}};
    event_text text({});
    assert_string_equal(text.line(called).c_str(),
                        "call helper name:r0 peer-node-id:0 conn-name:peer volume:0 minor:0 "
                        "helper:out-of-sync\n");
    called.kind = control::event_kind::response;
    called.fields.push_back({"status", "0"});
    assert_string_equal(text.line(called).c_str(),
                        "response helper name:r0 peer-node-id:0 conn-name:peer volume:0 minor:0 "
                        "helper:out-of-sync status:0\n");
}

void events2_timestamps_have_microseconds_and_zone(void**) {
    ::setenv("TZ", "UTC0", 1);
    ::tzset();
    assert_string_equal(timestamp(1763805881000042).c_str(), "2025-11-22T10:04:41.000042+00:00");
    ::setenv("TZ", "EST5", 1);
    ::tzset();
    assert_string_equal(timestamp(1763805881000042).c_str(), "2025-11-22T05:04:41.000042-05:00");
}

// JSON

void status_json_has_the_keys_of_drbd_9_and_no_numbers_that_are_none(void**) {
    snapshot state = lab_primary();
    samples::set_connection(state, state::connection::sync_source);
    state.volumes[0].progress = samples::sync_begun();
    state.volumes[0].progress.seconds_left = ~std::uint64_t{0};
    const auto all = nlohmann::json::parse(status_json({state}));
    const auto& resource = all.at(0);
    assert_true(resource.at("name") == "r0" && resource.at("role") == "Primary");
    assert_true(resource.at("suspended") == false);
    const auto& device = resource.at("devices").at(0);
    assert_true(device.at("disk-state") == "UpToDate" && device.at("minor") == 0);
    assert_true(device.at("size") == 16344);
    const auto& connection = resource.at("connections").at(0);
    assert_true(connection.at("connection-state") == "Connected");
    assert_true(connection.at("paths").at(0).at("this_host").at("port") == 7789);
    assert_true(connection.at("paths").at(0).at("established") == true);
    const auto& peer = connection.at("peer_devices").at(0);
    assert_true(peer.at("replication-state") == "SyncSource");
    assert_true(peer.at("has-sync-details") == true);
    assert_true(peer.at("percent-resync-done").is_number());
    assert_false(peer.contains("estimated-seconds-to-finish"));
    const auto shown = nlohmann::json::parse(show_json({lab_connecting()}));
    assert_true(shown.at(0).at("connections").at(0).at("net").at("verify-alg") == "sha1");
    assert_true(shown.at(0).at("options").at("on-no-data-accessible") == "io-error");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(status_of_a_pair_in_sync),
        cmocka_unit_test(status_with_all_details_breaks_its_lines_at_80_columns),
        cmocka_unit_test(status_while_connecting),
        cmocka_unit_test(status_without_a_connection_or_a_disk_or_a_volume),
        cmocka_unit_test(status_tells_that_io_is_frozen),
        cmocka_unit_test(status_says_what_is_waited_for),
        cmocka_unit_test(status_names_volumes_when_there_are_several),
        cmocka_unit_test(colours_mark_words_and_count_for_nothing_in_the_width),
        cmocka_unit_test(proc_without_resources_is_two_version_lines),
        cmocka_unit_test(proc_of_the_states_of_a_volume),
        cmocka_unit_test(proc_flags_tell_what_is_paused_and_frozen),
        cmocka_unit_test(proc_of_a_verify),
        cmocka_unit_test(proc_of_a_large_sync_counts_in_megabytes),
        cmocka_unit_test(proc_tells_a_stalled_sync_and_the_wish_of_a_target),
        cmocka_unit_test(proc_leaves_a_blank_line_for_gaps_between_minors),
        cmocka_unit_test(show_prints_what_differs_from_the_defaults),
        cmocka_unit_test(show_with_defaults_prints_every_option),
        cmocka_unit_test(show_of_external_metadata_names_device_and_index),
        cmocka_unit_test(sh_status_is_for_shells),
        cmocka_unit_test(sh_status_quotes_names_that_a_shell_would_take_apart),
        cmocka_unit_test(events2_describes_a_resource),
        cmocka_unit_test(events2_changes_carry_only_what_changed),
        cmocka_unit_test(events2_connections_come_and_go_with_their_addresses),
        cmocka_unit_test(events2_tells_runs_of_handlers),
        cmocka_unit_test(events2_timestamps_have_microseconds_and_zone),
        cmocka_unit_test(status_json_has_the_keys_of_drbd_9_and_no_numbers_that_are_none),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
