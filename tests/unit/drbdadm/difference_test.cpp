#include "agent/config/reader.hpp"
#include "agent/config/resolve.hpp"
#include "agent/drbdadm/difference.hpp"

// Last: CMocka has a macro of the name `fail`.
#include "unit/cmocka.hpp"

using namespace lockstep;
using namespace lockstep::drbdadm;

namespace {

// A resource of two hosts in the file, and what `drbdsetup show` would print for it.
struct pair_of_views {
    config::document wanted;
    std::unique_ptr<config::document> running;
    resource_difference difference;

    pair_of_views(const std::string& sections, const std::string& volumes,
                  const std::string& shown) {
        config::diagnostics found;
        const std::string text = "resource r { " + sections + " on a { " + volumes +
                                 " address 10.0.0.1:7789; } on b { " + volumes +
                                 " address 10.0.0.2:7789; } }";
        config::reader(wanted, found).read_text("x", "/x", text);
        resolve(wanted, "a", found);
        config::expand_common(wanted);
        const config::resource* now = nullptr;
        if (!shown.empty()) {
            running = config::parse_show("show", shown, found);
            resolve(*running, "", found);
            now = running->resources.front().get();
        }
        if (!found.valid()) {
            print_message("%s\n", found.text().c_str());
        }
        assert_true(found.valid());
        difference = compare(*wanted.resources.front(), now);
    }

private:
    static void resolve(config::document& doc, const std::string& node,
                        config::diagnostics& found) {
        const config::node_identity me{node, [](const config::socket_address&) { return false; }};
        config::select_hosts(doc, me, found);
        for (const auto& owner : doc.resources) {
            config::select_peer(*owner, std::nullopt, false, found);
        }
    }
};

const std::string one_volume = "device minor 0; disk /dev/s; meta-disk internal;";

std::string shown(const std::string& net, const std::string& disk,
                  const std::string& place = "disk \"/dev/s\"; meta-disk internal;",
                  const std::string& peer = "10.0.0.2:7789", const std::string& options = {}) {
    return "resource r { options { " + options + " } net { " + net +
           " } _remote_host { address ipv4 " + peer +
           "; } _this_host { address ipv4 10.0.0.1:7789; volume 0 { device minor 0; " + place +
           " disk { " + disk + " } } } }";
}

void a_resource_that_runs_as_configured_needs_nothing(void**) {
    const pair_of_views same("net { timeout 80; } disk { resync-rate 1M; }", one_volume,
                             shown("timeout 80;", "resync-rate 1024k;"));
    assert_true(same.difference.nothing());
}

void defaults_need_not_be_said(void**) {
    assert_true(pair_of_views("net { timeout 60; protocol C; }", one_volume,
                              shown("", "on-io-error detach; size 0s;"))
                    .difference.nothing());
    assert_true(pair_of_views("", one_volume, shown("timeout 60;", "")).difference.nothing());
}

void a_resource_that_does_not_run_is_made_from_nothing(void**) {
    const pair_of_views fresh("", one_volume, "");
    assert_true(fresh.difference.new_resource);
    assert_true(fresh.difference.connect);
    assert_false(fresh.difference.disconnect);
    assert_int_equal(fresh.difference.volumes.size(), 1);
    assert_true(fresh.difference.volumes[0].add_minor && fresh.difference.volumes[0].attach);
}

void a_changed_option_touches_its_section_only(void**) {
    const pair_of_views net("net { timeout 80; }", one_volume, shown("", ""));
    assert_true(net.difference.net_options);
    assert_false(net.difference.connect || net.difference.resource_options);
    assert_false(net.difference.volumes[0].disk_options);
    const pair_of_views disk("disk { c-max-rate 1M; }", one_volume, shown("", ""));
    assert_true(disk.difference.volumes[0].disk_options);
    assert_false(disk.difference.net_options || disk.difference.volumes[0].attach);
    const pair_of_views resource("options { cpu-mask f; }", one_volume, shown("", ""));
    assert_true(resource.difference.resource_options);
}

void an_option_that_was_removed_is_a_difference(void**) {
    assert_true(pair_of_views("", one_volume, shown("timeout 80;", "")).difference.net_options);
    assert_true(pair_of_views("", one_volume, shown("", "c-max-rate 1024k;"))
                    .difference.volumes[0]
                    .disk_options);
}

void of_an_option_given_twice_the_last_one_counts(void**) {
    assert_true(
        pair_of_views("net { timeout 70; timeout 80; }", one_volume, shown("timeout 80;", ""))
            .difference.nothing());
}

void another_address_needs_a_new_connection(void**) {
    const pair_of_views moved(
        "net { timeout 80; }", one_volume,
        shown("", "", "disk \"/dev/s\"; meta-disk internal;", "10.0.0.9:7789"));
    assert_true(moved.difference.connect && moved.difference.disconnect);
    assert_false(moved.difference.net_options);
}

void a_resource_without_connection_is_connected(void**) {
    const pair_of_views alone(
        "", one_volume,
        "resource r { options { } _this_host { volume 0 { device minor 0; disk "
        "\"/dev/s\"; meta-disk internal; disk { } } } }");
    assert_true(alone.difference.connect);
    assert_false(alone.difference.disconnect);
}

void another_disk_is_detached_and_attached(void**) {
    const pair_of_views other("", one_volume,
                              shown("", "", "disk \"/dev/t\"; meta-disk internal;"));
    assert_true(other.difference.volumes[0].detach && other.difference.volumes[0].attach);
    const pair_of_views none("", one_volume, shown("", "", ""));
    assert_true(none.difference.volumes[0].attach);
    assert_false(none.difference.volumes[0].detach || none.difference.volumes[0].add_minor);
    const pair_of_views metadata("", one_volume,
                                 shown("", "", "disk \"/dev/s\"; meta-disk \"/m\";"));
    assert_true(metadata.difference.volumes[0].attach);
}

void a_changed_size_is_a_resize(void**) {
    const pair_of_views bigger("disk { size 2G; }", one_volume, shown("", "size 2097152s;"));
    assert_true(bigger.difference.volumes[0].resize);
    assert_false(bigger.difference.volumes[0].attach || bigger.difference.volumes[0].disk_options);
}

void volumes_come_and_go_by_number(void**) {
    const std::string volumes = "volume 1 { device minor 1; disk /dev/s1; meta-disk internal; } "
                                "volume 2 { device minor 2; disk /dev/s2; meta-disk internal; }";
    const pair_of_views changed("", volumes,
                                "resource r { net { } _remote_host { address ipv4 10.0.0.2:7789; } "
                                "_this_host { address ipv4 "
                                "10.0.0.1:7789; volume 0 { device minor 0; disk \"/dev/s0\"; "
                                "meta-disk internal; } volume 1 "
                                "{ device minor 1; disk \"/dev/s1\"; meta-disk internal; } } }");
    const auto& rows = changed.difference.volumes;
    assert_int_equal(rows.size(), 3);
    assert_true(rows[0].detach && rows[0].remove_minor && rows[0].wanted == nullptr);
    assert_false(rows[1].attach || rows[1].add_minor || rows[1].detach);
    assert_true(rows[2].add_minor && rows[2].attach);
}

void another_minor_replaces_the_device(void**) {
    const pair_of_views moved("", "device minor 5; disk /dev/s; meta-disk internal;",
                              shown("", ""));
    const volume_difference& row = moved.difference.volumes[0];
    assert_true(row.detach && row.remove_minor && row.add_minor && row.attach);
}

void a_diskless_node_is_not_attached(void**) {
    const std::string client = "device minor 0; disk none;";
    const pair_of_views fresh("", client, "");
    assert_true(fresh.difference.volumes[0].add_minor);
    assert_false(fresh.difference.volumes[0].attach);
    assert_true(pair_of_views("", client, shown("", "", "")).difference.nothing());
}

void words_without_meaning_to_the_engine_are_no_difference(void**) {
    assert_true(
        pair_of_views("options { quorum majority; } disk { use-bmbv; }", one_volume, shown("", ""))
            .difference.nothing());
}

} // namespace

int main() {
    const CMUnitTest tests[] = {
        cmocka_unit_test(a_resource_that_runs_as_configured_needs_nothing),
        cmocka_unit_test(defaults_need_not_be_said),
        cmocka_unit_test(a_resource_that_does_not_run_is_made_from_nothing),
        cmocka_unit_test(a_changed_option_touches_its_section_only),
        cmocka_unit_test(an_option_that_was_removed_is_a_difference),
        cmocka_unit_test(of_an_option_given_twice_the_last_one_counts),
        cmocka_unit_test(another_address_needs_a_new_connection),
        cmocka_unit_test(a_resource_without_connection_is_connected),
        cmocka_unit_test(another_disk_is_detached_and_attached),
        cmocka_unit_test(a_changed_size_is_a_resize),
        cmocka_unit_test(volumes_come_and_go_by_number),
        cmocka_unit_test(another_minor_replaces_the_device),
        cmocka_unit_test(a_diskless_node_is_not_attached),
        cmocka_unit_test(words_without_meaning_to_the_engine_are_no_difference),
    };
    return cmocka_run_group_tests_name("drbdadm difference", tests, nullptr, nullptr);
}
