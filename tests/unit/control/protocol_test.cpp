// Messages survive their way over the wire, and what is no message is refused in words.
#include <string>

#include "kernel/control/protocol/reply.hpp"
#include "kernel/control/protocol/request.hpp"
#include "kernel/control/protocol/state_words.hpp"
#include "unit/control/samples.hpp"

#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::control;

namespace {

request filled(command what) {
    request made;
    made.id = 7;
    made.what = what;
    made.minor = 3;
    made.volume = 1;
    made.backing_device = "/dev/sd b\"1\\";
    made.meta_device = "/dev/sdc";
    made.meta_index = "12";
    made.local_address = "ipv4:10.0.0.1:7789";
    made.peer_address = "ipv6:[fe80::1]:7789";
    made.settings = {{"resync-rate", "51200k"}, {"on-io-error", "detach"}};
    made.set_defaults = true;
    made.force = true;
    made.discard_my_data = true;
    made.tentative = true;
    made.clear_bitmap = true;
    made.assume_clean = true;
    made.assume_peer_has_space = true;
    made.size_sectors = 4096;
    made.start_sector = 8;
    made.stop_sector = 16;
    return made;
}

void every_command_comes_back_with_its_own_fields_and_no_others(void**) {
    for (int at = 0; at <= static_cast<int>(command::new_current_uuid); ++at) {
        const auto what = static_cast<command>(at);
        const std::string line = encode(filled(what));
        const result<request> once = decode_request(line);
        assert_true(once.has_value());
        assert_true(once->what == what);
        assert_int_equal(once->id, 7);
        assert_int_equal(once->minor, needs_minor(what) ? 3 : 0);
        // What the decoder kept is all that the encoder said.
        assert_string_equal(encode(*once).c_str(), line.c_str());
        assert_true(command_named(name(what)) == what);
    }
    assert_false(command_named("explode").has_value());
}

void an_attach_keeps_its_paths_and_settings(void**) {
    const result<request> taken = decode_request(encode(filled(command::attach)));
    assert_true(taken.has_value());
    assert_string_equal(taken->backing_device.c_str(), "/dev/sd b\"1\\");
    assert_string_equal(taken->meta_index.c_str(), "12");
    assert_int_equal(taken->settings.size(), 2);
    assert_string_equal(taken->settings[0].value.c_str(), "51200k");
}

void check_refused(const char* line, const char* word) {
    const result<request> taken = decode_request(line);
    assert_false(taken.has_value());
    if (taken.error().text().find(word) == std::string::npos) {
        print_error("\"%s\" is refused without \"%s\": %s\n", line, word,
                    taken.error().text().c_str());
        fail();
    }
}

void what_is_no_request_is_refused_with_the_field_that_is_wrong(void**) {
    check_refused("", "request");
    check_refused("nonsense", "request");
    check_refused("[]", "request");
    check_refused("{}", "is no command");
    check_refused("{\"command\":7}", "command");
    check_refused("{\"command\":\"explode\"}", "explode");
    check_refused("{\"command\":\"primary\"}", "minor");
    check_refused("{\"command\":\"primary\",\"minor\":-1}", "minor");
    check_refused("{\"command\":\"primary\",\"minor\":1048576}", "minor");
    check_refused("{\"command\":\"primary\",\"minor\":0.5}", "minor");
    check_refused("{\"command\":\"primary\",\"minor\":0,\"force\":\"yes\"}", "force");
    check_refused("{\"command\":\"status\",\"minor\":0}", "minor");
    check_refused("{\"command\":\"new-minor\",\"minor\":0,\"volume\":65535}", "volume");
    check_refused("{\"command\":\"attach\",\"minor\":0,\"backing-device\":\"sdb\","
                  "\"meta-device\":\"/dev/sdb\",\"meta-index\":\"internal\"}",
                  "backing-device");
    check_refused("{\"command\":\"attach\",\"minor\":0,\"backing-device\":\"/dev/sdb\","
                  "\"meta-device\":\"/dev/sdb\",\"meta-index\":\"-1\"}",
                  "meta-index");
    check_refused("{\"command\":\"connect\",\"local-address\":\"ipv4:1.2.3.4:5\"}", "peer-address");
    check_refused("{\"command\":\"net-options\",\"settings\":[[\"a\"]]}", "settings");
    check_refused("{\"command\":\"status\"} trailing", "request");
}

void deep_nesting_is_refused_and_does_not_overflow(void**) {
    std::string deep = "{\"command\":";
    deep.append(100000, '[');
    assert_false(decode_request(deep).has_value());
}

void too_many_settings_are_refused(void**) {
    request many;
    many.what = command::net_options;
    many.settings.assign(max_settings + 1, {"timeout", "60"});
    assert_false(decode_request(encode(many)).has_value());
}

void a_snapshot_comes_back_whole(void**) {
    reply sent;
    sent.id = 9;
    sent.state = samples::resource_in_sync();
    snapshot& state = *sent.state;
    state.suspended_fencing = true;
    state.net.timeout_ds = 70;
    state.volumes[0].progress = samples::sync_begun();
    state.volumes[0].was_degraded = true;
    state.volumes[0].waiting_for = "waiting for the fence-peer handler";
    state.volumes.push_back(samples::volume_in_sync());
    state.volumes[1].volume = 5;
    state.volumes[1].minor = 105;
    state.volumes[1].state.sync_paused_peer = true;
    const result<server_message> got = decode_server_message(encode(sent));
    assert_true(got.has_value());
    const auto* taken = std::get_if<reply>(&*got);
    assert_non_null(taken);
    assert_true(*taken == sent);
}

void a_refusal_comes_back_with_code_texts_and_lines(void**) {
    reply sent;
    sent.ok = false;
    sent.is_state_change = true;
    sent.code = -2;
    sent.text = "Need access to UpToDate data";
    sent.remedy = "Do \xc3\xa4 thing";
    sent.info = {"one", "two"};
    const result<server_message> got = decode_server_message(encode(sent));
    assert_true(got.has_value());
    assert_true(std::get<reply>(*got) == sent);
}

void bytes_that_are_no_utf8_do_not_break_a_reply(void**) {
    reply sent;
    sent.ok = false;
    sent.text = "disk \xff\xfe failed";
    const std::string line = encode(sent);
    assert_true(decode_server_message(line).has_value());
    assert_int_equal(line.find('\n'), line.size() - 1);
}

void an_event_comes_back_with_the_marks_of_its_fields(void**) {
    event sent;
    sent.kind = event_kind::change;
    sent.object = event_object::peer_device;
    sent.resource = "r0";
    sent.has_connection = true;
    sent.volume = 4;
    sent.time_us = 1234567;
    sent.fields = {{"done", "12.34", true, false, false}, {"sent", "7", false, true, true}};
    const result<server_message> got = decode_server_message(encode(sent));
    assert_true(got.has_value());
    assert_true(std::get<event>(*got) == sent);
}

void a_newer_engine_may_say_more_than_is_understood(void**) {
    const result<server_message> got =
        decode_server_message("{\"reply\":1,\"ok\":true,\"mood\":\"good\"}");
    assert_true(got.has_value());
    assert_true(std::get<reply>(*got).ok);
}

void states_have_the_words_of_status_and_events2(void**) {
    using state::connection;
    assert_true(connection_word(connection::wf_connection) == "Connecting");
    assert_true(connection_word(connection::standalone) == "StandAlone");
    assert_true(connection_word(connection::sync_source) == "Connected");
    assert_true(replication_word(connection::wf_report_params) == "Off");
    assert_true(replication_word(connection::connected) == "Established");
    assert_true(replication_word(connection::paused_sync_t) == "PausedSyncT");
    snapshot state = samples::resource_in_sync();
    assert_true(suspended_words(state) == "no");
    state.suspended_user = state.suspended_fencing = true;
    assert_true(suspended_words(state) == "user,fencing");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(every_command_comes_back_with_its_own_fields_and_no_others),
        cmocka_unit_test(an_attach_keeps_its_paths_and_settings),
        cmocka_unit_test(what_is_no_request_is_refused_with_the_field_that_is_wrong),
        cmocka_unit_test(deep_nesting_is_refused_and_does_not_overflow),
        cmocka_unit_test(too_many_settings_are_refused),
        cmocka_unit_test(a_snapshot_comes_back_whole),
        cmocka_unit_test(a_refusal_comes_back_with_code_texts_and_lines),
        cmocka_unit_test(bytes_that_are_no_utf8_do_not_break_a_reply),
        cmocka_unit_test(an_event_comes_back_with_the_marks_of_its_fields),
        cmocka_unit_test(a_newer_engine_may_say_more_than_is_understood),
        cmocka_unit_test(states_have_the_words_of_status_and_events2),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
