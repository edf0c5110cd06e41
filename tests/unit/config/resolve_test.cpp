#include "agent/config/local_address.hpp"

#include "unit/config/reading.hpp"

// Last: CMocka has a macro of the name `fail`.
#include "unit/cmocka.hpp"

using namespace lockstep::config;
using namespace config_tests;

namespace {

void the_host_section_is_chosen_by_node_name(void**) {
    const reading found = read_for(pair_of(""), "beta");
    assert_true(found.valid());
    assert_true(found.first().me->has_name("beta"));
    assert_true(found.first().peer->has_name("alpha"));
    assert_true(read_for(pair_of(""), "gamma").first().ignored);
}

void any_of_several_names_selects_a_section(void**) {
    const std::string text = "resource r { on a a.example { device minor 1; disk /dev/s; meta-disk "
                             "internal; address 10.0.0.1:1; } }";
    assert_false(read_for(text, "a.example").first().ignored);
}

void a_floating_section_is_chosen_by_address(void**) {
    reading found = read("resource r { device minor 1; disk /dev/s; meta-disk internal;\n"
                         "floating 10.0.0.1:7788; floating ipv6 [fd00::2]:7788 { } }");
    const node_identity me{"x",
                           [](const socket_address& address) { return address.host == "fd00::2"; }};
    select_hosts(*found.doc, me, found.found);
    assert_true(found.valid());
    assert_string_equal(found.first().me->names_text().c_str(), "ipv6 [fd00::2]:7788");
}

void the_more_specific_place_wins(void**) {
    const reading found =
        read_for("common { protocol A; net { timeout 40; ping-int 5; } disk { c-max-rate 1M; } "
                 "handlers { split-brain \"/bin/c\"; } }\n" +
                 pair_of("protocol C; net { timeout 50; }\n disk { resync-rate 2M; }\n"));
    expand_common(*found.doc);
    const resource& owner = found.first();
    assert_string_equal(value(owner.net_options, "protocol").c_str(), "C");
    assert_string_equal(value(owner.net_options, "timeout").c_str(), "50");
    assert_string_equal(value(owner.net_options, "ping-int").c_str(), "5");
    assert_string_equal(value(owner.handlers, "split-brain").c_str(), "/bin/c");
    const volume& row = owner.me->volumes[0];
    assert_string_equal(value(row.disk_options, "resync-rate").c_str(), "2M");
    assert_string_equal(value(row.disk_options, "c-max-rate").c_str(), "1M");
}

void disk_options_of_a_volume_beat_those_of_its_resource(void**) {
    const reading found = read_for(
        "resource r { disk { c-max-rate 1M; c-min-rate 1M; }\n volume 1 { device minor 1; disk "
        "/dev/s; meta-disk internal; disk { c-max-rate 2M; } }\n"
        "on alpha { address 10.0.0.1:1; volume 1 { disk { c-min-rate 3M; } } } "
        "on beta { address 10.0.0.2:1; } }");
    assert_true(found.valid());
    expand_common(*found.doc);
    const volume& mine = found.first().me->volumes[0];
    assert_string_equal(value(mine.disk_options, "c-max-rate").c_str(), "2M");
    assert_string_equal(value(mine.disk_options, "c-min-rate").c_str(), "3M");
    assert_true(mine.device == "/dev/drbd1");
}

void options_of_a_host_section_are_that_hosts_own(void**) {
    const std::string text = "resource r { options { cpu-mask f; } device minor 1; disk /dev/s; "
                             "meta-disk internal; on alpha { options { cpu-mask 3; } address "
                             "10.0.0.1:1; } on beta { address 10.0.0.2:1; } }";
    const reading on_alpha = read_for(text, "alpha");
    expand_common(*on_alpha.doc);
    assert_string_equal(value(on_alpha.first().resource_options, "cpu-mask").c_str(), "3");
    const reading on_beta = read_for(text, "beta");
    expand_common(*on_beta.doc);
    assert_string_equal(value(on_beta.first().resource_options, "cpu-mask").c_str(), "f");
}

void resource_level_values_may_stand_behind_the_hosts(void**) {
    const reading found = read("resource r { on a { address 10.0.0.1:1; }\n device minor 1; disk "
                               "/dev/s; meta-disk internal; }");
    assert_true(found.valid());
    assert_true(found.first().hosts[0]->volumes[0].disk == "/dev/s");
}

void resync_after_becomes_a_minor(void**) {
    reading found = read_for(pair_of("syncer { after r1; }") + pair_of("", "r1", "5"));
    expand_common(*found.doc);
    resource& owner = found.first();
    validate(*found.doc, owner, false, found.found);
    translate_names(*found.doc, owner, "alpha", false, found.found);
    assert_true(found.valid());
    assert_string_equal(value(owner.me->volumes[0].disk_options, "resync-after").c_str(), "5");
}

void a_resync_after_to_nowhere_is_dropped_for_scripts_and_an_error_for_people(void**) {
    reading found = read_for(pair_of("syncer { after gone; }"));
    validate(*found.doc, found.first(), true, found.found);
    assert_true(found.valid());
    assert_true(
        contains(found.text(), "resource 'gone' mentioned in 'resync-after' option is not"));
    assert_null(find_option(found.first().disk_options, "resync-after"));
    reading strict = read_for(pair_of("syncer { after gone; }"));
    validate(*strict.doc, strict.first(), false, strict.found);
    assert_false(strict.valid());
}

void discard_node_is_translated_for_each_side(void**) {
    const std::string text = pair_of("net { after-sb-0pri discard-node-alpha; }");
    for (const auto& [node, word] :
         {std::pair("alpha", "discard-local"), std::pair("beta", "discard-remote")}) {
        reading found = read_for(text, node);
        translate_names(*found.doc, found.first(), node, false, found.found);
        assert_string_equal(value(found.first().net_options, "after-sb-0pri").c_str(), word);
    }
    reading wrong = read_for(pair_of("net { after-sb-0pri discard-node-gamma; }"));
    validate(*wrong.doc, wrong.first(), false, wrong.found);
    assert_true(contains(wrong.text(), "valid nodenames are: 'alpha beta'"));

    reading floating = read("resource r { net { after-sb-0pri discard-node-gamma; }\n"
                            "device minor 1; disk /dev/s; meta-disk internal;\n"
                            "floating 10.0.0.1:1 { }\nfloating 10.0.0.2:1 { } }");
    const node_identity me{"gamma",
                           [](const socket_address& one) { return one.host == "10.0.0.1"; }};
    select_hosts(*floating.doc, me, floating.found);
    validate(*floating.doc, floating.first(), false, floating.found);
    assert_true(floating.valid());
    translate_names(*floating.doc, floating.first(), "gamma", false, floating.found);
    assert_string_equal(value(floating.first().net_options, "after-sb-0pri").c_str(),
                        "discard-local");
}

void both_primaries_need_permission(void**) {
    reading found = read_for(pair_of("startup { become-primary-on both; }"));
    validate(*found.doc, found.first(), false, found.found);
    assert_true(contains(found.text(), "allow-two-primaries is not set"));
    reading unknown = read_for(pair_of("startup { become-primary-on gamma; }"));
    validate(*unknown.doc, unknown.first(), false, unknown.found);
    assert_true(contains(unknown.text(), "become-primary-on contains 'gamma'"));
}

void targets_are_found_by_name_volume_and_minor(void**) {
    const reading found = read_for(pair_of("", "a", "3") + pair_of("", "b", "4"));
    assert_string_equal(find_target(*found.doc, "b").owner->name.c_str(), "b");
    assert_null(find_target(*found.doc, "b").row);
    assert_true(find_target(*found.doc, "b/0").row->minor == 4U);
    assert_null(find_target(*found.doc, "b/1").owner);
    assert_null(find_target(*found.doc, "b/x").owner);
    assert_null(find_target(*found.doc, "c").owner);
    assert_string_equal(find_minor(*found.doc, "minor-3").owner->name.c_str(), "a");
    assert_null(find_minor(*found.doc, "minor-9").owner);
    assert_null(find_minor(*found.doc, "minor-").owner);
}

void more_than_two_hosts_need_a_choice(void**) {
    const auto host = [](const std::string& name, const std::string& last) {
        return "on " + name + " { address 10.0.0." + last + ":1; }\n";
    };
    const std::string text = "resource r { device minor 1; disk /dev/s; meta-disk internal;\n" +
                             host("alpha", "1") + host("beta", "2") + host("gamma", "3") + "}";
    reading found = read_for(text);
    assert_null(found.first().peer);
    select_peer(found.first(), std::nullopt, true, found.found);
    assert_true(contains(found.text(), "Use the --peer option"));
    reading chosen = read_for(text);
    select_peer(chosen.first(), "gamma", true, chosen.found);
    assert_true(chosen.valid());
    assert_true(chosen.first().peer->has_name("gamma"));
}

void a_stacked_resource_uses_the_device_below(void**) {
    const reading found = read_for(
        pair_of("", "low", "1") +
        "resource up { stacked-on-top-of low { device minor 10; address 10.9.0.1:1; } on far { "
        "device minor 10; disk /dev/f; meta-disk internal; address 10.9.0.2:1; } }");
    assert_true(found.valid());
    const resource& upper = *found.doc->resources[1];
    assert_true(upper.stacked);
    assert_true(upper.me->volumes[0].disk == "/dev/drbd1");
}

void loopback_is_an_address_of_this_host(void**) {
    assert_true(have_local_address({"ipv4", "127.0.0.1", "1"}));
    assert_false(have_local_address({"ipv4", "203.0.113.77", "1"}));
    assert_false(have_local_address({"ipv6", "2001:db8::77", "1"}));
    assert_true(have_local_address({"sdp", "203.0.113.77", "1"}));
    assert_true(same_address({"ipv6", "fd00::1", "1"}, {"ipv6", "fd00:0::0001", "2"}));
    assert_false(same_address({"ipv6", "::1", "1"}, {"ipv4", "127.0.0.1", "1"}));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(the_host_section_is_chosen_by_node_name),
        cmocka_unit_test(any_of_several_names_selects_a_section),
        cmocka_unit_test(a_floating_section_is_chosen_by_address),
        cmocka_unit_test(the_more_specific_place_wins),
        cmocka_unit_test(disk_options_of_a_volume_beat_those_of_its_resource),
        cmocka_unit_test(options_of_a_host_section_are_that_hosts_own),
        cmocka_unit_test(resource_level_values_may_stand_behind_the_hosts),
        cmocka_unit_test(resync_after_becomes_a_minor),
        cmocka_unit_test(a_resync_after_to_nowhere_is_dropped_for_scripts_and_an_error_for_people),
        cmocka_unit_test(discard_node_is_translated_for_each_side),
        cmocka_unit_test(both_primaries_need_permission),
        cmocka_unit_test(targets_are_found_by_name_volume_and_minor),
        cmocka_unit_test(more_than_two_hosts_need_a_choice),
        cmocka_unit_test(a_stacked_resource_uses_the_device_below),
        cmocka_unit_test(loopback_is_an_address_of_this_host),
    };
    return cmocka_run_group_tests_name("config resolve", tests, nullptr, nullptr);
}
