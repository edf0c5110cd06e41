#include "agent/config/dump.hpp"
#include "agent/config/escape.hpp"

#include "unit/config/reading.hpp"

// Last: CMocka has a macro of the name `fail`.
#include "unit/cmocka.hpp"

using namespace lockstep::config;
using namespace config_tests;

namespace {

// The configuration of the walk-through on Debian 7 with DRBD 8.3.11, at its end.
constexpr std::string_view walkthrough =
    "common {\n\tprotocol C;\n}\n"
    "resource drbd0 {\n"
    "\tprotocol C;\n\tmeta-disk internal;\n"
    "\tdisk { on-io-error pass_on; }\n"
    "\tsyncer {\n\t\trate 50M;\n\t}\n"
    "\ton xen-debian2 {\n\t\tdevice /dev/drbd0;\n"
    "\t\tdisk /dev/sdb1;\n\t\taddress 192.168.152.92:7789;\n\t}\n"
    "\ton xen-debian1 {\n\t\tdevice /dev/drbd0;\n"
    "\t\tdisk /dev/sdb1;\n\t\taddress 192.168.152.91:7789;\n }\n}\n";

// What `drbdadm dump` printed there.
constexpr std::string_view walkthrough_dump =
    "# /etc/x.conf\n"
    "common {\n"
    "    protocol               C;\n"
    "}\n"
    "\n"
    "# resource drbd0 on xen-debian1: not ignored, not stacked\n"
    "resource drbd0 {\n"
    "    protocol               C;\n"
    "    on xen-debian2 {\n"
    "        device           /dev/drbd0 minor 0;\n"
    "        disk             /dev/sdb1;\n"
    "        address          ipv4 192.168.152.92:7789;\n"
    "        meta-disk        internal;\n"
    "    }\n"
    "    on xen-debian1 {\n"
    "        device           /dev/drbd0 minor 0;\n"
    "        disk             /dev/sdb1;\n"
    "        address          ipv4 192.168.152.91:7789;\n"
    "        meta-disk        internal;\n"
    "    }\n"
    "    disk {\n"
    "        on-io-error      pass_on;\n"
    "    }\n"
    "    syncer {\n"
    "        rate             50M;\n"
    "    }\n"
    "}\n"
    "\n";

void the_walkthroughs_dump_is_reproduced_in_the_layout_of_8_3(void**) {
    const reading found = read_for(walkthrough, "xen-debian1");
    assert_true(found.valid());
    const std::string text =
        dump_header_83(*found.doc) + dump_resource_83(found.first(), "xen-debian1");
    assert_string_equal(text.c_str(), std::string(walkthrough_dump).c_str());
}

void the_walkthroughs_dump_in_the_layout_of_8_4(void**) {
    const reading found = read_for(walkthrough, "xen-debian1");
    const std::string text =
        dump_header(*found.doc, false) + dump_resource(found.first(), "xen-debian1");
    assert_string_equal(text.c_str(), "# /etc/x.conf\n"
                                      "common {\n"
                                      "    net {\n"
                                      "        protocol           C;\n"
                                      "    }\n"
                                      "}\n"
                                      "\n"
                                      "# resource drbd0 on xen-debian1: not ignored, not stacked\n"
                                      "# defined at /etc/x.conf:4\n"
                                      "resource drbd0 {\n"
                                      "    on xen-debian2 {\n"
                                      "        device           /dev/drbd0 minor 0;\n"
                                      "        disk             /dev/sdb1;\n"
                                      "        meta-disk        internal;\n"
                                      "        address          ipv4 192.168.152.92:7789;\n"
                                      "    }\n"
                                      "    on xen-debian1 {\n"
                                      "        device           /dev/drbd0 minor 0;\n"
                                      "        disk             /dev/sdb1;\n"
                                      "        meta-disk        internal;\n"
                                      "        address          ipv4 192.168.152.91:7789;\n"
                                      "    }\n"
                                      "    net {\n"
                                      "        protocol           C;\n"
                                      "    }\n"
                                      "    disk {\n"
                                      "        on-io-error      pass_on;\n"
                                      "        resync-rate      50M;\n"
                                      "    }\n"
                                      "}\n"
                                      "\n");
}

void global_is_printed_only_if_it_holds_something(void**) {
    assert_string_equal(dump_header(*read("global { usage-count ask; }").doc, false).c_str(),
                        "# /etc/x.conf\n");
    assert_string_equal(
        dump_header(*read("global { minor-count 5; usage-count no; cmd-timeout-long 9; }").doc,
                    false)
            .c_str(),
        "# /etc/x.conf\nglobal {\n    minor-count 5;\n    usage-count no;\n"
        "    cmd-timeout-long 9;\n}\n\n");
    assert_string_equal(dump_header(*read("").doc, true).c_str(), "# /etc/x.conf\nglobal {\n}\n\n");
}

// What is dumped can be read, and dumping that again changes nothing.
void round_trip(const std::string& text) {
    const reading first = read_for(text);
    assert_true(first.valid());
    const std::string dumped =
        dump_header(*first.doc, false) + dump_resource(first.first(), "alpha");
    const reading second = read_for(dumped);
    if (!second.valid()) {
        print_message("%s\n%s\n", dumped.c_str(), second.text().c_str());
    }
    assert_true(second.valid());
    std::string again = dump_header(*second.doc, false) + dump_resource(second.first(), "alpha");
    // Only the line number of the definition may move.
    const auto strip = [](std::string from) {
        const std::size_t at = from.find("# defined at");
        return from.erase(at, from.find('\n', at) - at);
    };
    assert_string_equal(strip(again).c_str(), strip(dumped).c_str());
}

void every_section_survives_dump_and_reading(void**) {
    round_trip(
        "global { disable-ip-verification; udev-always-use-vnr; dialog-refresh 5; }\n"
        "common { handlers { fence-peer \"/bin/x \\\"a b\\\" \\\\ c\"; } }\n" +
        pair_of("options { cpu-mask \"\"; quorum majority; }\n"
                "net { shared-secret \"a;b{\"; protocol A; }\n"
                "disk { no-disk-flushes; }\n"
                "startup { wfc-timeout 5; become-primary-on alpha beta; stacked-timeouts; }\n"
                "proxy { memlimit 5M; plugin { zlib level 9; } }\n"
                "handlers { split-brain " +
                std::string(100, 'x') + "; }"));
}

void volumes_external_metadata_and_node_ids_survive(void**) {
    round_trip(
        "resource \"r 0\" {\n on alpha { node-id 0; address ipv6 [fd00::1]:7789; options { "
        "cpu-mask 3; }\n volume 0 { device minor 1; disk \"/dev/a b\"; meta-disk /dev/m [0]; "
        "disk { size 10G; } }\n volume 7 { device /dev/drbd_x minor 2; disk /dev/c; "
        "flexible-meta-disk /dev/f; } }\n"
        " on beta { node-id 1; address ipv6 [fd00::2]:7789;\n volume 0 { device minor 1; "
        "disk /dev/b; meta-disk internal; }\n volume 7 { device minor 2; disk none; } } }");
}

void xml_escapes_what_xml_reserves(void**) {
    const reading found = read_for(pair_of("net { shared-secret \"<a & 'b'>\\\"\"; }", "\"r<0>\""));
    const std::string text =
        dump_xml_header(*found.doc) + dump_xml_resource(found.first()) + dump_xml_footer();
    assert_true(contains(text, "<resource name=\"r&lt;0&gt;\" conf-file-line=\"/etc/x.conf:1\">"));
    assert_true(contains(text, "value=\"&lt;a &amp; &apos;b&apos;&gt;&quot;\"/>"));
    assert_true(contains(text, "<address family=\"ipv4\" port=\"7789\">10.0.0.1</address>"));
}

void words_are_quoted_only_where_needed(void**) {
    assert_string_equal(config_word("/dev/sda-1_x.y").c_str(), "/dev/sda-1_x.y");
    assert_string_equal(config_word("").c_str(), "\"\"");
    assert_string_equal(config_word("a\"b\\").c_str(), "\"a\\\"b\\\\\"");
    assert_string_equal(config_word(std::string(81, 'x')).c_str(),
                        ("\"" + std::string(81, 'x') + "\"").c_str());
    assert_string_equal(shell_word("a b$c'd\"").c_str(), "a\\ b\\$c\\'d\\\"");
    assert_string_equal(shell_word("--x=/y:z@1%+_").c_str(), "--x=/y:z@1%+_");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(the_walkthroughs_dump_is_reproduced_in_the_layout_of_8_3),
        cmocka_unit_test(the_walkthroughs_dump_in_the_layout_of_8_4),
        cmocka_unit_test(global_is_printed_only_if_it_holds_something),
        cmocka_unit_test(every_section_survives_dump_and_reading),
        cmocka_unit_test(volumes_external_metadata_and_node_ids_survive),
        cmocka_unit_test(xml_escapes_what_xml_reserves),
        cmocka_unit_test(words_are_quoted_only_where_needed),
    };
    return cmocka_run_group_tests_name("config dump", tests, nullptr, nullptr);
}
