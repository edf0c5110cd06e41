#include <cstring>
#include <string>

#include "daemon/engines/event_lines.hpp"
#include "unit/cmocka.hpp"

namespace {

using namespace lockstep;
using namespace lockstep::engines;

event_line good(const std::string& text) {
    const auto event = parse_event_line(text);
    if (!event) {
        print_error("%s\n", event.error().text().c_str());
    }
    assert_true(event.has_value());
    return *event;
}

void refused(const std::string& text, const std::string& place, const std::string& because) {
    const auto event = parse_event_line(text);
    assert_false(event.has_value());
    assert_non_null(std::strstr(event.error().where.c_str(), place.c_str()));
    assert_non_null(std::strstr(event.error().what.c_str(), because.c_str()));
}

void is(const event_line& event, const char* key, const char* value) {
    const std::string* const told = event.field(key);
    assert_non_null(told);
    assert_string_equal(told->c_str(), value);
}

void a_line_of_ours_is_read(void**) {
    const event_line event =
        good("2026-11-28T14:57:13.123456+01:00 change device name:r0 volume:1 minor:965710 "
             "backing_dev:/var/lib/disks/my first disk disk:UpToDate size:16344");
    assert_true(event.action == event_action::change);
    assert_true(event.object == event_object::device);
    assert_string_equal(event.timestamp.c_str(), "2026-11-28T14:57:13.123456+01:00");
    assert_string_equal(event.resource.c_str(), "r0");
    assert_int_equal(event.volume.value(), 1);
    assert_false(event.peer_node.has_value());
    is(event, "minor", "965710");
    is(event, "backing_dev", "/var/lib/disks/my first disk");
    is(event, "disk", "UpToDate");
    assert_null(event.field("quorum"));
}

void a_line_of_drbd_9_is_read(void**) {
    const event_line event = good("create path name:r0 peer-node-id:2 conn-name:beta "
                                  "local:ipv6:[fe80::1]:7789 peer:ipv6:[fe80::2]:7789 "
                                  "established:yes");
    assert_true(event.object == event_object::path);
    assert_int_equal(event.peer_node.value(), 2);
    assert_string_equal(event.connection.c_str(), "beta");
    is(event, "local", "ipv6:[fe80::1]:7789");
    is(good("rename resource name:r0 new_name:r1"), "new_name", "r1");
    is(good("response helper name:r0 helper:fence-peer status:4"), "status", "4");
}

void what_exists_ends_without_an_object(void**) {
    for (const char* text : {"exists -", "2026-11-28T14:57:13.123456+01:00 exists -"}) {
        const event_line event = good(text);
        assert_true(event.action == event_action::exists);
        assert_true(event.object == event_object::none);
    }
    refused("destroy -", "column 9", "no object");
    refused("exists - name:r0", "column 8", "no object");
}

void objects_of_later_versions_are_no_error(void**) {
    assert_true(good("create mirror of:something").object == event_object::other);
}

void a_malformed_line_names_the_place(void**) {
    refused("", "column 1", "what happened");
    refused("exist resource name:r0", "column 1", "what happened");
    refused("2026-11-28T14:57:13 moves resource name:r0", "column 21", "what happened");
    refused("exists", "column 1", "kind of its object");
    refused("exists  resource name:r0", "column 8", "kind of its object");
    refused("exists resource", "column 8", "name of its resource");
    refused("exists resource role:Primary", "column 17", "name of its resource");
    refused("exists resource name: role:Primary", "column 17", "empty name");
    refused("exists resource name:r0 name:r1", "column 25", "second");
    refused("exists resource name:r0 Primary", "column 25", "KEY:VALUE");
    refused("exists resource name:r0 :Primary", "column 25", "KEY:VALUE");
    refused("exists resource name:r0 role:Primary role:Secondary", "column 38", "role");
    refused("exists device name:r0 disk:UpToDate", "column 23", "volume");
    refused("exists device name:r0 volume:x disk:UpToDate", "column 23", "number");
    refused("exists device name:r0 volume:-1 disk:UpToDate", "column 23", "number");
    refused("exists device name:r0 volume:4294967296", "column 23", "number");
    refused("exists device name:r0 volume:1 volume:1", "column 32", "number");
    refused("exists peer-device name:r0 peer-node-id: volume:1", "column 28", "number");
    refused("exists resource name:r\t0", "column 23", "control character");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_line_of_ours_is_read),
        cmocka_unit_test(a_line_of_drbd_9_is_read),
        cmocka_unit_test(what_exists_ends_without_an_object),
        cmocka_unit_test(objects_of_later_versions_are_no_error),
        cmocka_unit_test(a_malformed_line_names_the_place),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
