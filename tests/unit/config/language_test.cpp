// What the language of three generations allows and what it refuses, statement by statement: each
// with a good and a bad use, and the place named in what is said about the bad one.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "agent/config/dump.hpp"
#include "kernel/options/table.hpp"
#include "unit/config/reading.hpp"

// Last: CMocka has a macro of the name `fail`.
#include "unit/cmocka.hpp"

using namespace lockstep::config;
using namespace config_tests;
namespace options = lockstep::options;

namespace {

void assert_says(const reading& found, std::string_view text) {
    if (!contains(found.text(), text)) {
        print_message("wanted: %s\ngot: %s\n", std::string(text).c_str(), found.text().c_str());
    }
    assert_true(contains(found.text(), text));
}

void assert_error(const reading& found, std::string_view text) {
    assert_says(found, text);
    assert_false(found.valid());
}

void assert_good(const reading& found) {
    if (!found.valid()) {
        print_message("got: %s\n", found.text().c_str());
    }
    assert_true(found.valid());
}

std::string dump_of(const reading& found) {
    std::string out = dump_header(*found.doc, false);
    for (const auto& owner : found.doc->resources) {
        out += dump_resource(*owner, "alpha");
    }
    return out;
}

// Values are aligned in columns.
std::string one_blank(const std::string& text) {
    std::string out;
    for (const char c : text) {
        if (c != ' ' || out.empty() || out.back() != ' ') {
            out += c;
        }
    }
    return out;
}

// Comments name line numbers, which move.
std::string without_comments(const std::string& text) {
    std::string out;
    std::size_t at = 0;
    while (at < text.size()) {
        const std::size_t end = text.find('\n', at) + 1;
        if (text[at] != '#') {
            out += text.substr(at, end - at);
        }
        at = end;
    }
    return out;
}

void assert_round_trip(const std::string& text) {
    const reading first = read_for(text);
    assert_good(first);
    const std::string dumped = dump_of(first);
    const reading second = read_for(dumped);
    assert_good(second);
    assert_string_equal(without_comments(dump_of(second)).c_str(),
                        without_comments(dumped).c_str());
}

// A host with one volume and its address.
std::string host(const std::string& name, const std::string& last, const std::string& more = {}) {
    return "on " + name + " { address 10.0.0." + last + ":7789; " + more + " }\n";
}

std::string pair_with(const std::string& alpha, const std::string& beta,
                      const std::string& more = {}) {
    return "resource r {\ndevice minor 0; disk /dev/s; meta-disk internal; " + more + "\n" +
           host("alpha", "1", alpha) + host("beta", "2", beta) + "}\n";
}

void sections_of_every_generation_survive_a_dump(void**) {
    // 8.3 and 8.4
    assert_round_trip("global { minor-count 5; usage-count no; }\n"
                      "common { protocol A; syncer { rate 5M; } startup { wfc-timeout 1; } "
                      "handlers { pri-lost /bin/x; } disk { no-md-flushes; } net { ko-count 3; } "
                      "options { cpu-mask 3; } }\n" +
                      pair_with("", "", "net { protocol C; } disk { size 1G; }"));
    assert_round_trip("resource r { device minor 1; disk /dev/s; meta-disk internal;\n"
                      "floating 10.0.0.1:7789 { }\nfloating ipv6 [fd00::2]:7789 { } }");
    assert_round_trip("resource r { volume 0 { device minor 1; disk /dev/s; meta-disk internal; "
                      "disk { al-extents 67; } }\nvolume 3 { device minor 2; disk /dev/t; "
                      "meta-disk /dev/m [4]; }\n" +
                      host("alpha", "1") + host("beta", "2") + "}");
    assert_round_trip(pair_of("", "low", "1") +
                      "resource up { stacked-on-top-of low { device minor 10; "
                      "address 10.9.0.1:1; } on far { device minor 10; disk /dev/f; "
                      "meta-disk internal; address 10.9.0.2:1; } }");
    // 9
    for (const char* shape :
         {"connection { host alpha address 10.1.0.1:1; host beta address 10.1.0.2:1; net { "
          "timeout 5; } volume 0 { disk { c-max-rate 5M; } } }",
          "connection-mesh { hosts alpha beta; net { protocol B; } }",
          "connection { path { host alpha address 10.1.0.1:1; host beta address 10.1.0.2:1; } }"}) {
        assert_round_trip(pair_with("node-id 0;", "node-id 1;", shape));
    }
}

void proxy_sections_are_read_and_printed(void**) {
    const auto with = [](const std::string& host_proxy, const std::string& more) {
        return pair_with("proxy on pa { inside 127.0.0.1:7790; outside 10.2.0.1:7791; }",
                         host_proxy, more);
    };
    const std::string good = "proxy on pb { inside 127.0.0.1:7790; outside 10.2.0.2:7791; "
                             "options { memlimit 10M; } }";
    assert_round_trip(with(good, "proxy { memlimit 5M; bwlimit 1; plugin { zlib level 9; } }"));
    const std::string dump = dump_of(read_for(with(good, "")));
    assert_true(contains(dump, "proxy on pb {"));
    assert_true(contains(one_blank(dump), " memlimit 10M;\n"));
    assert_error(
        read(with("proxy on pb { inside 127.0.0.1:7790; }", "")),
        "x.conf:4: in section: on beta { proxy on pb { ... } }: 'outside' keyword missing");
    assert_error(read(with("proxy { }", "")), "x.conf:4: Parse error: 'on' expected");
}

void global_is_possible_once_and_belongs_in_front(void**) {
    const reading late = read(pair_of("") + "global { usage-count no; }");
    assert_good(late);
    assert_says(late, "x.conf:6: You should put the global {} section");
    assert_error(read("global { }\n\nglobal { }\n"),
                 "x.conf:3: conflicting use of global section 'global' ...\n"
                 "x.conf:1: global section 'global' first used here.");
}

void a_diskless_node_needs_and_inherits_no_disk(void**) {
    const reading found = read("resource r {\n disk /dev/s; device minor 1; meta-disk internal;\n" +
                               host("alpha", "1", "disk none;") + host("beta", "2") + "}");
    assert_good(found);
    const volume& client = found.first().hosts[0]->volumes[0];
    assert_true(client.diskless());
    assert_true(found.first().hosts[1]->volumes[0].disk == "/dev/s");
    assert_good(read("resource r {\n" + host("alpha", "1", "device minor 1; disk none;") +
                     host("beta", "2", "device minor 1; disk /dev/s; meta-disk internal;") + "}"));
    assert_error(read("resource r {\n" + host("alpha", "1", "device minor 1; disk /dev/s;") + "}"),
                 "x.conf:2: in resource r, on alpha { ... }: 'meta-disk' keyword missing.");
}

void node_ids_are_0_to_31_and_complete_or_absent(void**) {
    const reading found = read(pair_with("node-id 0;", "node-id 31;"));
    assert_good(found);
    assert_true(found.first().hosts[1]->node_id == "31");
    assert_good(read(pair_with("", "")));
    assert_error(read(pair_with("node-id 0;", "node-id 32;")),
                 "x.conf:4: node-id 32 => 32 out of range [0..31].");
    assert_error(read(pair_with("node-id 0;", "")),
                 "x.conf:4: in resource r, on beta { ... }: 'node-id' keyword missing.");
    assert_error(read(pair_with("node-id 0;", "node-id 0;")),
                 "x.conf:4: conflicting use of node-id 'r:0' ...\n"
                 "x.conf:3: node-id 'r:0' first used here.");
    assert_error(read(pair_with("node-id first;", "node-id 1;")), "'a number' expected");
}

void a_connection_has_two_hosts_and_one_path(void**) {
    const auto with = [](const std::string& body) {
        return read(pair_with("node-id 0;", "node-id 1;", "connection " + body));
    };
    const std::string a = "host alpha address 10.1.0.1:1; ";
    const std::string b = "host beta address 10.1.0.2:1; ";
    assert_good(with("{ " + a + b + "}"));
    assert_error(with("{ " + a + "}"), "x.conf:2: in resource r: a connection has two hosts, but 1 "
                                       "are given");
    assert_error(with("{ path { " + a + b + "} path { host alpha; host beta; } }"),
                 "2 paths in one connection; one is supported");
    const reading named = with("old_name { " + a + b + "}");
    assert_good(named);
    assert_says(named, "x.conf:2: in resource r: the name of a connection is deprecated");
    assert_error(with("{ host alpha via x; host beta; }"), "'address | port | ;' expected");
}

void numbers_take_units_and_the_scale_of_their_option(void**) {
    const auto kept = [](const std::string& text, options::section where, const char* name) {
        const reading found = read(pair_of(text));
        assert_good(found);
        const resource& owner = found.first();
        const options::option_row* row = options::find(where, name);
        assert_non_null(row);
        return options::number_of(
            *row,
            value(where == options::section::disk ? owner.disk_options : owner.net_options, name));
    };
    constexpr options::section disk = options::section::disk;
    constexpr options::section net = options::section::net;
    assert_int_equal(kept("syncer { rate 50M; }", disk, "resync-rate"), 51200); // KiB a second
    assert_int_equal(kept("disk { resync-rate 250; }", disk, "resync-rate"), 250);
    assert_int_equal(kept("disk { c-max-rate 1G; }", disk, "c-max-rate"), 1 << 20);
    assert_int_equal(kept("disk { size 8192; }", disk, "size"), 8192); // sectors
    assert_int_equal(kept("disk { size 10G; }", disk, "size"), 20971520);
    assert_int_equal(kept("disk { size 16s; }", disk, "size"), 16);
    assert_int_equal(kept("net { sndbuf-size 512K; }", net, "sndbuf-size"), 524288); // bytes
    assert_int_equal(kept("net { timeout 60; }", net, "timeout"), 60);
    assert_error(read(pair_of("disk { resync-rate 5Q; }")), "x.conf:2: ");
    assert_error(read(pair_of("disk {\n\n resync-rate 5000G; }")),
                 "x.conf:4: resync-rate 5000G =>");
}

void a_flag_alone_means_yes(void**) {
    for (const char* text : {"allow-two-primaries;", "allow-two-primaries yes;"}) {
        const reading found = read_for(pair_of(std::string("net { ") + text + " }"));
        assert_good(found);
        assert_true(contains(one_blank(dump_of(found)), " allow-two-primaries yes;\n"));
    }
    assert_true(contains(one_blank(dump_of(read_for(pair_of("net { allow-two-primaries no; }")))),
                         " allow-two-primaries no;\n"));
    assert_error(read(pair_of("net { allow-two-primaries perhaps; }")),
                 "x.conf:2: Parse error: 'yes | no | ;' expected,\n\tbut got 'perhaps'");
}

void comments_of_the_sample_are_words_of_the_language(void**) {
    const reading found = read(
        pair_of("disk { on-io-error detach; fencing resource-only; use-bmbv; no-disk-barrier; "
                "no-disk-flushes; no-disk-drain; no-md-flushes; max-bio-bvecs 1; }\n"
                "syncer { rate 1M; after other; al-extents 127; use-rle; cpu-mask f; verify-alg "
                "sha1; csums-alg md5; }"));
    assert_good(found);
    const resource& owner = found.first();
    for (const char* name : {"disk-barrier", "disk-flushes", "disk-drain", "md-flushes"}) {
        assert_string_equal(value(owner.disk_options, name).c_str(), "no");
    }
    for (const char* name :
         {"on-io-error", "fencing", "resync-rate", "resync-after", "al-extents", "max-bio-bvecs"}) {
        assert_non_null(find_option(owner.disk_options, name));
    }
    for (const char* name : {"use-rle", "verify-alg", "csums-alg"}) {
        assert_non_null(find_option(owner.net_options, name));
    }
    assert_error(read(pair_of("disk { use-rle; }")),
                 "x.conf:2: Parse error: 'an option keyword' expected");
    assert_error(read(pair_of("syncer { on-io-error detach; }")),
                 "x.conf:2: Parse error: 'a syncer option keyword' expected");
}

void protocol_may_stand_at_every_level_and_the_resource_wins(void**) {
    reading found = read_for("common { protocol A; }\n" + pair_of("protocol C;") +
                             pair_of("net { protocol B; }", "r1", "1") + pair_of("", "r2", "2"));
    assert_good(found);
    expand_common(*found.doc);
    const char* const wanted[] = {"C", "B", "A"};
    for (std::size_t i = 0; i < 3; ++i) {
        const resource& owner = *found.doc->resources[i];
        assert_string_equal(value(owner.net_options, "protocol").c_str(), wanted[i]);
        assert_int_equal(owner.net_options.size(), 1);
    }
    assert_error(read("common { protocol D; }"), "x.conf:1: protocol D: not one of A | B | C");
}

void what_8_3_wrote_is_taken_with_a_hint(void**) {
    const reading found = read(pair_of("protocol C; syncer { rate 50M;\n after x; use-rle; }\n"
                                       "disk { no-disk-flushes; }\n"
                                       "handlers { outdate-peer /bin/x; }"));
    assert_good(found);
    const std::vector<std::string> wanted{
        "x.conf:2: 'protocol C;' is written 'net { protocol C; }' since DRBD 8.4",
        "x.conf:2: 'syncer { rate ... }' is written 'disk { resync-rate 50M; }' since DRBD 8.4",
        "x.conf:3: 'syncer { after ... }' is written 'disk { resync-after x; }' since DRBD 8.4",
        "x.conf:3: 'syncer { use-rle ... }' is written 'net { use-rle yes; }' since DRBD 8.4",
        "x.conf:4: 'no-disk-flushes' is written 'disk-flushes no' since DRBD 8.4",
        "x.conf:5: 'outdate-peer' is called 'fence-peer' today"};
    assert_true(found.found.hints() == wanted);
    assert_string_equal(found.text().c_str(), "");
    assert_true(read(pair_of("net { protocol C; } disk { resync-rate 5M; disk-flushes no; }"))
                    .found.hints()
                    .empty());
}

void a_required_version_is_that_of_the_driver_in_charge(void**) {
    const auto read_with = [](version_numbers driver, const std::string& text) {
        reading out;
        out.doc->driver_version = driver;
        reader(*out.doc, out.found).read_text("x.conf", "/etc/x.conf", text);
        return out;
    };
    for (const char* good :
         {"eq 8.4.11", "ne 8.4.10", "gt 8.4.10", "ge 8.4.11", "lt 9.0.0", "le 8.4.11"}) {
        assert_good(read(std::string("require-drbd-module-version-") + good + ";"));
    }
    for (const char* bad :
         {"eq 8.4.10", "ne 8.4.11", "gt 8.4.11", "ge 8.4.12", "lt 8.4.11", "le 8.4.10"}) {
        assert_error(read(std::string("\nrequire-drbd-module-version-") + bad + ";"),
                     "x.conf:2: this configuration requires a driver version");
    }
    assert_good(read_with({9, 1, 0}, "require-drbd-module-version-ge 9.0.16;"));
    assert_error(read_with({9, 0, 1}, "require-drbd-module-version-ge 9.0.16;"),
                 "requires a driver version ge 9.0.16, and this one is 9.0.1");
}

class template_files {
public:
    template_files() {
        std::string pattern = std::filesystem::temp_directory_path() / "config-test-XXXXXX";
        assert_non_null(::mkdtemp(pattern.data()));
        path_ = std::filesystem::canonical(pattern);
    }
    ~template_files() { std::filesystem::remove_all(path_); }
    template_files(const template_files&) = delete;
    template_files& operator=(const template_files&) = delete;

    reading read_with(const std::string& content, const std::string& name = "t") {
        std::ofstream(path_ / "t") << content;
        reading out;
        reader(*out.doc, out.found)
            .read_text("x.conf", path_ / "x.conf",
                       "common { net { ping-int 7; timeout 44; } }\n" +
                           pair_of("template-file \"" + name + "\";\nnet { connect-int 9; }") +
                           pair_of("", "other", "5"));
        select_hosts(*out.doc, {"alpha", [](const socket_address&) { return false; }}, out.found);
        return out;
    }

private:
    std::filesystem::path path_;
};

void a_template_stands_in_for_common(void**) {
    template_files files;
    reading found =
        files.read_with("# a template\ncommon { net { timeout 55; connect-int 1; } }\n");
    assert_good(found);
    assert_true(contains(dump_of(found), "    template-file "));
    expand_common(*found.doc);
    const option_list& net = found.first().net_options;
    assert_string_equal(value(net, "timeout").c_str(), "55");
    assert_string_equal(value(net, "connect-int").c_str(), "9");
    assert_string_equal(value(net, "ping-int").c_str(), "(none)");
    assert_string_equal(value(found.doc->resources[1]->net_options, "ping-int").c_str(), "7");

    assert_error(files.read_with("resource x { }"), "t:1: Parse error: 'common' expected");
    assert_error(files.read_with("common {\n net { bogus; } }"), "t:2: Parse error: 'an option");
    assert_error(files.read_with("common { } global { }"), "'end of file' expected");
    assert_error(files.read_with("", "missing"),
                 "x.conf:3: Failed to open template file 'missing'");
}

void a_tiebreaker_is_a_word_of_the_peer_device(void**) {
    const reading found =
        read(pair_of("connection { host alpha; host beta; disk { tiebreaker no; } }"));
    assert_good(found);
    assert_says(found, "x.conf:2: tiebreaker is not passed to the engine: it matters with three or "
                       "more nodes only");
    assert_error(read(pair_of("net { tiebreaker no; }")), "'an option keyword' expected");
}

void a_stacked_resource_needs_the_one_below(void**) {
    const reading found = read_for("resource up {\n stacked-on-top-of nothing { device minor 10; "
                                   "address 10.9.0.1:1; } }");
    assert_error(found, "x.conf:1: in resource up, referenced resource 'nothing' not defined.");
}

void bytes_that_are_no_text_are_refused_at_their_place(void**) {
    assert_good(read(""));
    assert_good(read("\n\n# nothing\n"));
    assert_error(read(std::string("\n\0\1\2\xff\xfe resource", 15)), "x.conf:2: Parse error:");
    assert_error(read("resource r {\n" + std::string(100000, '{')), "x.conf:2: Parse error:");
    assert_error(read("\x7f"
                      "ELF\2\1\1"),
                 "x.conf:1: Parse error:");
    const std::string many(1 << 20, ' ');
    assert_good(read(many + pair_of("")));
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(sections_of_every_generation_survive_a_dump),
        cmocka_unit_test(proxy_sections_are_read_and_printed),
        cmocka_unit_test(global_is_possible_once_and_belongs_in_front),
        cmocka_unit_test(a_diskless_node_needs_and_inherits_no_disk),
        cmocka_unit_test(node_ids_are_0_to_31_and_complete_or_absent),
        cmocka_unit_test(a_connection_has_two_hosts_and_one_path),
        cmocka_unit_test(numbers_take_units_and_the_scale_of_their_option),
        cmocka_unit_test(a_flag_alone_means_yes),
        cmocka_unit_test(comments_of_the_sample_are_words_of_the_language),
        cmocka_unit_test(protocol_may_stand_at_every_level_and_the_resource_wins),
        cmocka_unit_test(what_8_3_wrote_is_taken_with_a_hint),
        cmocka_unit_test(a_required_version_is_that_of_the_driver_in_charge),
        cmocka_unit_test(a_template_stands_in_for_common),
        cmocka_unit_test(a_tiebreaker_is_a_word_of_the_peer_device),
        cmocka_unit_test(a_stacked_resource_needs_the_one_below),
        cmocka_unit_test(bytes_that_are_no_text_are_refused_at_their_place),
    };
    return cmocka_run_group_tests_name("config language", tests, nullptr, nullptr);
}
