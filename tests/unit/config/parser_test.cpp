#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <unistd.h>

#include "unit/config/reading.hpp"

// Last: CMocka has a macro of the name `fail`.
#include "unit/cmocka.hpp"

using namespace lockstep::config;
using namespace config_tests;

namespace {

void assert_error(const reading& found, std::string_view text) {
    if (found.valid() || !contains(found.text(), text)) {
        print_message("wanted: %s\ngot: %s\n", std::string(text).c_str(), found.text().c_str());
    }
    assert_false(found.valid());
    assert_true(contains(found.text(), text));
}

// A directory of its own for each test, gone afterwards.
class directory {
public:
    directory() {
        std::string pattern = std::filesystem::temp_directory_path() / "config-test-XXXXXX";
        assert_non_null(::mkdtemp(pattern.data()));
        path_ = std::filesystem::canonical(pattern);
    }
    ~directory() { std::filesystem::remove_all(path_); }
    directory(const directory&) = delete;
    directory& operator=(const directory&) = delete;

    std::string write(const std::string& name, const std::string& text) const {
        std::filesystem::create_directories((path_ / name).parent_path());
        std::ofstream(path_ / name) << text;
        return path_ / name;
    }

private:
    std::filesystem::path path_;
};

reading read_file(const std::string& name) {
    reading out;
    assert_true(reader(*out.doc, out.found).read_file(name).has_value());
    return out;
}

void the_walkthroughs_resource_file_is_read(void**) {
    const reading found = read("resource drbd0 {\n"
                               "\tprotocol C;\n\tmeta-disk internal;\n\n"
                               "\ton xen-debian2 {\n\t\tdevice /dev/drbd0;\n\t\tdisk /dev/sdb1;\n"
                               "\t\taddress 192.168.152.92:7789;\n\t}\n"
                               "\ton xen-debian1 {\n\t\tdevice /dev/drbd0;\n\t\tdisk /dev/sdb1;\n"
                               "\t\taddress 192.168.152.91:7789;\n }\n}\n");
    assert_true(found.valid());
    const resource& owner = found.first();
    assert_string_equal(owner.name.c_str(), "drbd0");
    assert_string_equal(owner.start.path_text().c_str(), "/etc/x.conf:1");
    assert_string_equal(value(owner.net_options, "protocol").c_str(), "C");
    assert_int_equal(owner.hosts.size(), 2);
    const host_section& host = *owner.hosts[1];
    assert_true(host.has_name("xen-debian1"));
    assert_string_equal(host.address->setup_text().c_str(), "ipv4:192.168.152.91:7789");
    assert_int_equal(host.volumes.size(), 1);
    assert_true(host.volumes[0].implicit);
    assert_true(host.volumes[0].minor == 0U);
    assert_true(host.volumes[0].internal_metadata());
}

void syncer_options_go_where_8_4_keeps_them(void**) {
    const reading found = read(pair_of("syncer { rate 50M; after x; verify-alg sha1; use-rle; "
                                       "cpu-mask f; al-extents 127; c-plan-ahead 5; }"));
    assert_true(found.valid());
    const resource& owner = found.first();
    assert_string_equal(value(owner.disk_options, "resync-rate").c_str(), "50M");
    assert_string_equal(value(owner.disk_options, "resync-after").c_str(), "x");
    assert_string_equal(value(owner.disk_options, "al-extents").c_str(), "127");
    assert_string_equal(value(owner.disk_options, "c-plan-ahead").c_str(), "5");
    assert_string_equal(value(owner.net_options, "verify-alg").c_str(), "sha1");
    assert_string_equal(value(owner.net_options, "use-rle").c_str(), "yes");
    assert_string_equal(value(owner.resource_options, "cpu-mask").c_str(), "f");
    assert_error(read(pair_of("syncer { timeout 5; }")), "'a syncer option keyword' expected");
}

void flags_of_8_3_become_values(void**) {
    const reading found =
        read(pair_of("disk { no-disk-flushes; no-md-flushes; disk-drain no; }\n"
                     "net { no-tcp-cork; allow-two-primaries; always-asbp yes; }"));
    assert_true(found.valid());
    const resource& owner = found.first();
    assert_string_equal(value(owner.disk_options, "disk-flushes").c_str(), "no");
    assert_string_equal(value(owner.disk_options, "md-flushes").c_str(), "no");
    assert_string_equal(value(owner.disk_options, "disk-drain").c_str(), "no");
    assert_string_equal(value(owner.net_options, "tcp-cork").c_str(), "no");
    assert_string_equal(value(owner.net_options, "allow-two-primaries").c_str(), "yes");
    assert_string_equal(value(owner.net_options, "always-asbp").c_str(), "yes");
}

void the_old_name_of_the_fence_handler_is_taken(void**) {
    const reading found = read(pair_of("handlers { outdate-peer \"/bin/x -y\"; }"));
    assert_string_equal(value(found.first().handlers, "fence-peer").c_str(), "/bin/x -y");
}

void dead_options_of_8_3_are_accepted_with_a_warning(void**) {
    const reading found = read(pair_of("syncer { delay-probe-volume 5; hold-off-threshold 9; }"));
    assert_true(found.valid());
    assert_true(contains(found.text(), "delay-probe-volume has had no effect"));
}

void devices_may_be_given_by_name_minor_or_both(void**) {
    const auto with = [](const std::string& device) {
        return read("resource r { on a { " + device +
                    " disk /dev/s; meta-disk internal; address 10.0.0.1:1; } }");
    };
    assert_true(with("device /dev/drbd7;").first().hosts[0]->volumes[0].minor == 7U);
    assert_true(with("device drbd7;").first().hosts[0]->volumes[0].device == "/dev/drbd7");
    const reading only_minor = with("device minor 9;");
    assert_true(only_minor.first().hosts[0]->volumes[0].minor == 9U);
    assert_false(only_minor.first().hosts[0]->volumes[0].device.has_value());
    assert_true(with("device /dev/drbd_home minor 3;").valid());
    assert_error(with("device /dev/drbd7 minor 8;"), "explicit minor number must match");
    assert_error(with("device /dev/drbdx minor 8;"), "arbitrary device name must start");
    assert_error(with("device /dev/drbd_home;"), "no minor given");
    assert_error(with("device /dev/sda minor 1;"), "must start with /dev/drbd");
    assert_error(with("device minor 1048576;"), "out of range [0..1048575]");
}

void metadata_may_be_internal_external_or_indexed(void**) {
    const auto index = [](const std::string& statement) {
        const reading found = read("resource r { on a { device minor 1; disk /dev/s; " + statement +
                                   " address 10.0.0.1:1; } }");
        return found.first().hosts[0]->volumes[0].meta_index.value_or("(none)");
    };
    assert_string_equal(index("meta-disk internal;").c_str(), "internal");
    assert_string_equal(index("meta-disk /dev/m;").c_str(), "flexible");
    assert_string_equal(index("meta-disk /dev/m [3];").c_str(), "3");
    assert_string_equal(index("flexible-meta-disk /dev/m;").c_str(), "flexible");
    assert_string_equal(index("flexible-meta-disk internal;").c_str(), "internal");
}

void addresses_of_both_families_are_read(void**) {
    const auto with = [](const std::string& address) {
        return read(
            "resource r { on a { device minor 1; disk /dev/s; meta-disk internal; address " +
            address + "; } }");
    };
    assert_string_equal(with("ipv6 [fd00::1]:7788").first().hosts[0]->address->setup_text().c_str(),
                        "ipv6:[fd00::1]:7788");
    assert_string_equal(with("sci 10.0.0.1:7788").first().hosts[0]->address->family.c_str(),
                        "ssocks");
    assert_error(with("10.0.0.1:0"), "port 0 => 0 out of range [1..65535]");
    assert_error(with("10.0.0.1:65536"), "out of range [1..65535]");
    assert_error(with("10.0.0.1:70K"), "out of range [1..65535]");
    assert_error(with("fd00::1:7788"), "ipv4 address");
    assert_error(with("ipv6 fd00::1:7788"), "'[' expected");
}

void range_errors_carry_file_and_line(void**) {
    assert_error(read(pair_of("disk {\n resync-rate 9G; }\n")),
                 "x.conf:3: resync-rate 9G => 9437184k out of range [1..4194304]k.");
    assert_error(read(pair_of("startup { wfc-timeout 300001; }")),
                 "wfc-timeout 300001 => 300001 out of range [0..300000].");
    assert_error(read("global { dialog-refresh 601; }"),
                 "x.conf:1: dialog-refresh 601 => 601 out of range [0..600].");
}

void word_errors_list_what_is_possible(void**) {
    assert_error(read(pair_of("disk { on-io-error panic; }")),
                 "on-io-error panic: not one of pass_on | call-local-io-error | detach");
    assert_error(read(pair_of("protocol D;")), "protocol D: not one of A | B | C");
}

void unknown_words_say_what_was_expected(void**) {
    assert_error(read("resource r { bogus; }"), "x.conf:1: Parse error: 'protocol | on | disk");
    assert_error(read("resource r { bogus; }"), "but got 'bogus'");
    assert_error(read("bogus"), "'global | common | resource | skip | include' expected");
    assert_error(read(pair_of("net { resync-rate 5; }")), "'an option keyword' expected");
    assert_error(read("resource r {"), "but got 'end of file'");
    assert_error(read("resource r { net {"), "but got 'end of file'");
}

void a_word_in_the_wrong_place_says_where_it_belongs(void**) {
    assert_error(read(pair_of("net { on-io-error detach; }")),
                 "but got 'on-io-error'\n\t'on-io-error' belongs into disk { }");
    assert_error(read("resource r { fence-peer x; }"), "'fence-peer' belongs into handlers { }");
    assert_error(read(pair_of("disk { quorum off; }")), "'quorum' belongs into options { }");
}

void a_mistyped_word_is_recognised(void**) {
    assert_error(read(pair_of("net { protocl C; }")), "did you mean 'protocol'?");
    assert_error(read(pair_of("net { pnig-int 3; }")), "did you mean 'ping-int'?");
    assert_error(read(pair_of("handlers { fence-pear x; }")), "did you mean 'fence-peer'?");
    assert_error(read("resource r { handlres { } }"), "did you mean 'handlers'?");
    assert_true(read(pair_of("net { frobnicate 3; }")).text().find("did you mean") ==
                std::string::npos);
}

void duplicates_name_both_places(void**) {
    assert_error(read(pair_of("") + pair_of("")),
                 "x.conf:6: conflicting use of resource section 'r0' ...\n"
                 "x.conf:1: resource section 'r0' first used here.");
    assert_error(read(pair_of("", "a") + "resource b { on alpha { device minor 0; } }"),
                 "conflicting use of device-minor 'device-minor:alpha:0'");
    assert_error(read(pair_of("", "a") + "resource b { on alpha { address 10.0.0.1:7789; } }"),
                 "conflicting use of IP '10.0.0.1:7789'");
    assert_error(read(pair_of("disk {}\n disk {}")), "conflicting use of disk section");
    assert_error(read("global {}\nglobal {}"), "conflicting use of global section");
    assert_error(read("resource r { on a { volume 1 { device minor 1; }\n volume 1 { device minor "
                      "2; } } }"),
                 "conflicting use of volume 'a:1'");
}

void one_loopback_address_may_serve_every_host(void**) {
    const auto host = [](const std::string& name, const std::string& port) {
        return "on " + name +
               " { device minor 1; disk /dev/s; meta-disk internal; address 127.0.0.1:" + port +
               "; }";
    };
    assert_true(read("resource r { " + host("a", "1") + host("b", "1") + "}").valid());
}

void volumes_are_explicit_or_implicit_but_not_both(void**) {
    const auto host = [](const std::string& name, const std::string& last,
                         const std::string& volumes) {
        return "on " + name + " { meta-disk internal; address 10.0.0." + last + ":1; " + volumes +
               " }";
    };
    const std::string one = "volume 0 { device minor 1; disk /dev/s; meta-disk internal; }";
    assert_error(read("resource r { " + host("a", "1", one) + "}"),
                 "must not mix implicit and explicit volumes");
    assert_error(
        read("resource r { on a { address 10.0.0.1:1; " + one +
             "}\n on b { address "
             "10.0.0.2:1; volume 1 { device minor 1; disk /dev/s; meta-disk internal; } } }"),
        "volume 0 not defined on b");
    assert_error(read("resource r { on a { volume 65535 { } } }"), "out of range [0..65534]");
}

void what_a_host_lacks_is_named(void**) {
    const reading found = read("resource r {\n on a { device minor 1; } }");
    assert_error(found, "x.conf:2: in resource r, on a { ... }: 'disk' keyword missing.");
    assert_error(found, "'meta-disk' keyword missing.");
    assert_error(found, "'address' keyword missing.");
}

void skipped_sections_may_hold_anything(void**) {
    const reading found =
        read("skip resource x { net { bogus 1 2 { } ; } }\nskip { a }\n" + pair_of(""));
    assert_true(found.valid());
    assert_int_equal(found.doc->resources.size(), 1);
    assert_error(read("skip a; resource r { }"), "'[ some_text ] {' expected");
    assert_error(read("skip { {"), "reached eof while parsing this skip block");
}

void resource_names_are_checked(void**) {
    assert_error(read("resource \"\" { }"), "Resource name is empty");
    assert_error(read("resource \"a/b\" { }"), "don't use '/'");
    assert_error(read("resource all { }"), "'all' means all resources");
    assert_error(read("resource \"" + std::string(128, 'x') + "\" { }"), "at most 127 bytes");
    assert_error(read("resource \"a\tb\" { }"), "don't use control characters");
    assert_true(read(pair_of("", "\"with space\"")).valid());
}

void includes_are_relative_to_their_file(void**) {
    const directory files;
    files.write("d/b.res", pair_of("", "b", "2"));
    files.write("d/a.res", pair_of("", "a", "1"));
    files.write("d/ignored.txt", "bogus");
    const reading found =
        read_file(files.write("drbd.conf", "include \"d/*.res\";\ninclude \"none/*.res\";\n"));
    assert_true(found.valid());
    assert_int_equal(found.doc->resources.size(), 2);
    assert_string_equal(found.first().name.c_str(), "a");
    assert_string_equal(found.first().start.text().c_str(), "d/a.res:1");
    assert_true(contains(found.first().start.path_text(), "/d/a.res:1"));
}

void a_missing_include_is_an_error_and_a_repeated_one_is_read_once(void**) {
    const directory files;
    files.write("a.res", pair_of(""));
    assert_error(read_file(files.write("x.conf", "include \"none.res\";")),
                 "x.conf:1: Failed to open include file 'none.res'.");
    assert_true(
        read_file(files.write("y.conf", "include \"a.res\"; include \"./a.res\";")).valid());
    assert_true(read_file(files.write("self.conf", "include \"self.conf\";")).valid());
    assert_error(read("resource r { include \"x\"; }"), "but got 'include'");
}

void a_file_that_cannot_be_read_is_refused_with_code_20(void**) {
    document doc;
    diagnostics found;
    const auto read = reader(doc, found).read_file("/nonexistent/drbd.conf");
    assert_false(read.has_value());
    assert_int_equal(read.error().code, 20);
    assert_true(contains(read.error().what, "/nonexistent/drbd.conf"));
}

void connections_of_9_are_brought_to_the_form_of_8_4(void**) {
    const reading found =
        read("resource r { device minor 1; disk /dev/s; meta-disk internal;\n"
             "on a { node-id 0; } on b { node-id 1; }\n"
             "connection { host a address 10.0.0.1:7788; host b address 10.0.0.2:7789;\n"
             " net { protocol A; fencing resource-only; } disk { c-max-rate 1M; }\n"
             " volume 0 { disk { c-min-rate 2M; } } } }");
    assert_true(found.valid());
    const resource& owner = found.first();
    assert_string_equal(owner.hosts[1]->address->setup_text().c_str(), "ipv4:10.0.0.2:7789");
    assert_true(owner.hosts[1]->node_id == "1");
    assert_string_equal(value(owner.net_options, "protocol").c_str(), "A");
    assert_string_equal(value(owner.disk_options, "fencing").c_str(), "resource-only");
    assert_string_equal(value(owner.disk_options, "c-max-rate").c_str(), "1M");
    assert_string_equal(value(owner.hosts[0]->volumes[0].disk_options, "c-min-rate").c_str(), "2M");
    assert_true(read(pair_of("connection { host alpha port 9; host beta; }")).valid());
    assert_error(read(pair_of("connection { host alpha; host gamma; }")),
                 "names host gamma, for which there is no section");
}

void what_a_connection_says_beats_its_resource(void**) {
    for (const char* text : {"net { timeout 5; fencing dont-care; } connection { host alpha; host "
                             "beta; net { timeout 6; fencing resource-only; } }",
                             "connection { host alpha; host beta; net { timeout 6; fencing "
                             "resource-only; } } net { timeout 5; fencing dont-care; }"}) {
        const reading found = read(pair_of(text));
        assert_true(found.valid());
        const resource& owner = found.first();
        assert_int_equal(owner.net_options.size(), 1);
        assert_string_equal(value(owner.net_options, "timeout").c_str(), "6");
        assert_int_equal(owner.disk_options.size(), 1);
        assert_string_equal(value(owner.disk_options, "fencing").c_str(), "resource-only");
    }
}

void a_required_driver_version_is_compared(void**) {
    assert_true(
        read("require-drbd-module-version-ge 8.4.0;\nrequire-drbd-module-version-lt 9.0;").valid());
    assert_error(read("require-drbd-module-version-ge 9.0.16;"),
                 "requires a driver version ge 9.0.16, and this one is 8.4.11");
    assert_error(read("require-drbd-module-version-xx 8.4;"), "requires a driver version");
    for (const char* version : {"x", "8", "8.", "8.4.11.1", "8.4x", ""}) {
        assert_error(read(std::string("require-drbd-module-version-eq ") + version + ";"),
                     "a version like");
    }
    assert_true(read("require-drbd-module-version-eq 8.4.11;").valid());
}

void options_for_a_volume_that_is_not_there_are_an_error(void**) {
    assert_error(
        read("resource r { device minor 1; disk /dev/s; meta-disk internal; on a { address "
             "10.0.0.1:1; } on b { address 10.0.0.2:1; } connection { host a; host b; "
             "volume 3 { disk { } } } }"),
        "options for volume 3, which does not exist");
}

void a_connection_mesh_of_two_is_a_connection(void**) {
    const reading found =
        read(pair_of("connection-mesh { hosts alpha beta; net { protocol B; } }"));
    assert_true(found.valid());
    assert_string_equal(value(found.first().net_options, "protocol").c_str(), "B");
    assert_error(read(pair_of("connection-mesh { hosts a b c; }")), "two are supported");
}

void a_path_of_9_gives_the_addresses(void**) {
    const reading found = read("resource r { device minor 1; disk /dev/s; meta-disk internal;\n"
                               "on a { node-id 0; } on b { node-id 1; }\n"
                               "connection { path { host a address 10.0.0.1:1; host b address "
                               "10.0.0.2:1; } } }");
    assert_true(found.valid());
    assert_string_equal(found.first().hosts[0]->address->setup_text().c_str(), "ipv4:10.0.0.1:1");
}

void options_of_9_are_kept_and_their_absence_of_effect_is_said(void**) {
    const reading found = read(pair_of("options { quorum majority; auto-promote no; }"));
    assert_true(found.valid());
    assert_string_equal(value(found.first().resource_options, "quorum").c_str(), "majority");
    assert_true(contains(found.text(), "quorum is not passed to the engine: the cluster daemon"));
    assert_error(read(pair_of("net { tls yes; }")), "tls yes is not possible here");
    assert_error(read(pair_of("net { transport rdma; }")), "TCP is the only transport");
}

void the_answer_of_drbdsetup_show_is_read(void**) {
    diagnostics found;
    const auto doc =
        parse_show("drbdsetup show r0",
                   "resource r0 {\n    options {\n    }\n    net {\n"
                   "        timeout         \t80; # 1/10 seconds\n"
                   "        shared-secret   \t\"a b\";\n"
                   "        discard-my-data yes;\n    }\n"
                   "    _remote_host {\n        address\t\t\tipv4 10.0.0.2:7789;\n    }\n"
                   "    _this_host {\n        address\t\t\tipv4 10.0.0.1:7789;\n"
                   "        volume 0 {\n            device\t\t\tminor 0;\n"
                   "            disk\t\t\t\"/dev/sda\";\n"
                   "            meta-disk\t\t\tinternal;\n"
                   "            disk {\n                size            \t16s; # bytes\n"
                   "                resync-after    \t-1; # default\n            }\n"
                   "        }\n    }\n}\n\nresource r1 {\n}\n",
                   found);
    assert_true(found.valid());
    assert_int_equal(doc->resources.size(), 2);
    const resource& owner = *doc->resources[0];
    assert_string_equal(value(owner.net_options, "timeout").c_str(), "80");
    assert_int_equal(owner.hosts.size(), 2);
    assert_true(owner.hosts[1]->this_host);
    assert_string_equal(value(owner.hosts[1]->volumes[0].disk_options, "size").c_str(), "16s");
}

void the_answer_of_9s_drbdsetup_show_is_read(void**) {
    diagnostics found;
    const auto doc = parse_show(
        "show",
        "resource r0 { _this_host { node-id 0; volume 0 { device minor 0; disk \"/dev/sda\"; "
        "meta-disk internal; disk { size 16s; } } } connection { _peer_node_id 1; path { "
        "_this_host ipv4 10.0.0.1:7789; _remote_host ipv4 10.0.0.2:7789; } net { timeout 80; } "
        "volume 0 { disk { resync-rate 500k; } } } }",
        found);
    assert_true(found.valid());
    const resource& owner = *doc->resources[0];
    assert_int_equal(owner.hosts.size(), 2);
    assert_string_equal(owner.hosts[0]->address->setup_text().c_str(), "ipv4:10.0.0.1:7789");
    assert_string_equal(owner.hosts[1]->address->setup_text().c_str(), "ipv4:10.0.0.2:7789");
    assert_string_equal(value(owner.net_options, "timeout").c_str(), "80");
    assert_string_equal(value(owner.hosts[0]->volumes[0].disk_options, "resync-rate").c_str(),
                        "500k");
}

void words_of_show_are_no_words_of_a_configuration(void**) {
    assert_error(read("resource r { _this_host { } }"), "but got '_this_host'");
}

void broken_strings_are_named(void**) {
    assert_error(read("resource \"open\n { }"), "Unterminated double quoted string");
    assert_error(read("resource " + std::string(129, 'x') + " { }"), "Token too long");
    assert_error(read("resource \"" + std::string(256, 'x') + "\" { }"),
                 "Double quoted string too long");
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(the_walkthroughs_resource_file_is_read),
        cmocka_unit_test(syncer_options_go_where_8_4_keeps_them),
        cmocka_unit_test(flags_of_8_3_become_values),
        cmocka_unit_test(the_old_name_of_the_fence_handler_is_taken),
        cmocka_unit_test(dead_options_of_8_3_are_accepted_with_a_warning),
        cmocka_unit_test(devices_may_be_given_by_name_minor_or_both),
        cmocka_unit_test(metadata_may_be_internal_external_or_indexed),
        cmocka_unit_test(addresses_of_both_families_are_read),
        cmocka_unit_test(range_errors_carry_file_and_line),
        cmocka_unit_test(word_errors_list_what_is_possible),
        cmocka_unit_test(unknown_words_say_what_was_expected),
        cmocka_unit_test(a_word_in_the_wrong_place_says_where_it_belongs),
        cmocka_unit_test(a_mistyped_word_is_recognised),
        cmocka_unit_test(duplicates_name_both_places),
        cmocka_unit_test(one_loopback_address_may_serve_every_host),
        cmocka_unit_test(volumes_are_explicit_or_implicit_but_not_both),
        cmocka_unit_test(what_a_host_lacks_is_named),
        cmocka_unit_test(skipped_sections_may_hold_anything),
        cmocka_unit_test(resource_names_are_checked),
        cmocka_unit_test(includes_are_relative_to_their_file),
        cmocka_unit_test(a_missing_include_is_an_error_and_a_repeated_one_is_read_once),
        cmocka_unit_test(a_file_that_cannot_be_read_is_refused_with_code_20),
        cmocka_unit_test(connections_of_9_are_brought_to_the_form_of_8_4),
        cmocka_unit_test(what_a_connection_says_beats_its_resource),
        cmocka_unit_test(a_required_driver_version_is_compared),
        cmocka_unit_test(options_for_a_volume_that_is_not_there_are_an_error),
        cmocka_unit_test(a_connection_mesh_of_two_is_a_connection),
        cmocka_unit_test(a_path_of_9_gives_the_addresses),
        cmocka_unit_test(options_of_9_are_kept_and_their_absence_of_effect_is_said),
        cmocka_unit_test(the_answer_of_drbdsetup_show_is_read),
        cmocka_unit_test(the_answer_of_9s_drbdsetup_show_is_read),
        cmocka_unit_test(words_of_show_are_no_words_of_a_configuration),
        cmocka_unit_test(broken_strings_are_named),
    };
    return cmocka_run_group_tests_name("config parser", tests, nullptr, nullptr);
}
