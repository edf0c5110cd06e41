#include "agent/drbdadm/commands.hpp"

#include <algorithm>
#include <array>

#include "kernel/options/table.hpp"

namespace lockstep::drbdadm {

namespace {

// Many of the actions have the names of functions.
namespace rows {

using enum action;

constexpr command per_volume(std::string_view name, action what,
                             passed_options passes = passed_options::none) {
    command row{name, what};
    row.each_volume = true;
    row.passes = passes;
    return row;
}

constexpr command per_resource(std::string_view name, action what,
                               passed_options passes = passed_options::none) {
    command row{name, what};
    row.passes = passes;
    return row;
}

// Needs an address that this host has.
constexpr command networked(command row, bool needs_peer) {
    row.verifies_addresses = true;
    row.needs_peer = needs_peer;
    return row;
}

constexpr command dumping(std::string_view name, action what) {
    command row = networked(per_resource(name, what), false);
    row.allows_config_test = true;
    return row;
}

constexpr command for_scripts(command row) {
    row.listed = audience::scripts;
    return row;
}

constexpr command without_resource(std::string_view name, action what) {
    command row{name, what, audience::scripts};
    row.needs_resource = false;
    return row;
}

constexpr command for_engine(std::string_view name, bool needs_volume) {
    command row{name, handler, audience::engine};
    row.needs_volume = needs_volume;
    row.uses_registered_config = true;
    return row;
}

constexpr command for_experts(command row, bool needs_volume = false) {
    row.listed = audience::experts;
    row.needs_volume = needs_volume;
    return row;
}

constexpr command hidden_commands_row() {
    command row{"hidden-commands", hidden_commands};
    row.needs_resource = false;
    return row;
}

constexpr command wait_con_int_row() {
    command row{"wait-con-int", wait_con_int};
    row.needs_resource = false;
    row.verifies_addresses = true;
    return row;
}

constexpr command sh_nop_row() {
    command row = without_resource("sh-nop", sh_nop);
    row.allows_config_test = true;
    return row;
}

constexpr command sh_udev_row() {
    command row{"sh-udev", sh_udev, audience::scripts};
    row.needs_volume = true;
    row.uses_registered_config = true;
    return row;
}

constexpr command sh_list_adjustable_row() {
    command row{"sh-list-adjustable", sh_list_adjustable, audience::scripts};
    row.needs_peer = true;
    return row;
}

constexpr command proxy_row(std::string_view name) {
    command row{name, proxy, audience::scripts};
    row.needs_peer = true;
    return row;
}

constexpr std::array table{
    per_volume("attach", attach, passed_options::attach),
    per_resource("status", setup_short),
    per_volume("disk-options", disk_options, passed_options::disk_options),
    per_volume("detach", setup_long, passed_options::detach),
    networked(per_resource("connect", connect, passed_options::connect), true),
    networked(per_resource("net-options", net_options, passed_options::net_options), true),
    per_resource("disconnect", disconnect, passed_options::disconnect),
    networked(per_volume("up", up), true),
    per_resource("resource-options", resource_options, passed_options::resource_options),
    per_resource("down", setup_long),
    per_volume("primary", setup_long, passed_options::primary),
    per_volume("secondary", setup_long, passed_options::secondary),
    per_volume("invalidate", setup_or_meta),
    networked(per_volume("invalidate-remote", setup_long), false),
    networked(per_resource("syncer", syncer), true),
    per_volume("outdate", outdate),
    networked(per_volume("resize", resize, passed_options::resize), false),
    networked(per_volume("verify", setup_short, passed_options::verify), false),
    networked(per_volume("pause-sync", setup_short), false),
    networked(per_volume("resume-sync", setup_short), false),
    networked(per_resource("adjust", adjust, passed_options::adjust), true),
    networked(per_resource("adjust-with-progress", adjust_with_progress, passed_options::adjust),
              true),
    networked(per_volume("wait-connect", wait_connect), false),
    networked(per_volume("wait-sync", wait_sync), false),
    wait_con_int_row(),
    per_volume("role", setup_short),
    per_volume("cstate", setup_short),
    per_volume("dstate", setup_or_meta),
    dumping("dump", dump),
    dumping("dump-xml", dump_xml),
    per_volume("create-md", create_md, passed_options::create_md),
    per_volume("show-gi", setup_or_meta),
    per_volume("get-gi", setup_or_meta),
    per_volume("dump-md", meta),
    per_volume("wipe-md", meta),
    per_volume("apply-al", meta),
    hidden_commands_row(),

    sh_nop_row(),
    without_resource("sh-resources", sh_resources),
    for_scripts(per_resource("sh-resource", sh_resource)),
    without_resource("sh-mod-parms", sh_mod_parms),
    for_scripts(per_volume("sh-dev", sh_dev)),
    sh_udev_row(),
    for_scripts(per_volume("sh-minor", sh_minor)),
    for_scripts(per_volume("sh-ll-dev", sh_ll_dev)),
    for_scripts(per_volume("sh-md-dev", sh_md_dev)),
    for_scripts(per_volume("sh-md-idx", sh_md_idx)),
    for_scripts(per_volume("sh-ip", sh_ip)),
    for_scripts(per_volume("sh-lr-of", sh_lr_of)),
    for_scripts(per_volume("sh-b-pri", sh_b_pri)),
    without_resource("sh-status", sh_status),
    without_resource("sh-list-config-file", sh_list_config_file),
    sh_list_adjustable_row(),
    proxy_row("proxy-up"),
    proxy_row("proxy-down"),
    for_scripts(per_resource("new-resource", new_resource)),
    for_experts(per_volume("sh-new-minor", new_minor)),
    for_experts(per_volume("new-minor", new_minor)),
    for_experts(per_volume("del-minor", del_minor)),
    for_scripts(per_volume("peer-role", peer_role)),
    for_experts(per_resource("new-peer", with_connection)),
    for_experts(per_resource("new-path", with_connection)),
    for_experts(per_resource("del-peer", disconnect, passed_options::disconnect)),
    for_experts(per_resource("del-path", with_connection)),

    for_engine("before-resync-target", true),
    for_engine("after-resync-target", true),
    for_engine("before-resync-source", true),
    for_engine("pri-on-incon-degr", true),
    for_engine("pri-lost-after-sb", true),
    for_engine("fence-peer", false),
    for_engine("unfence-peer", false),
    for_engine("fence-disk", false),
    for_engine("local-io-error", true),
    for_engine("pri-lost", true),
    for_engine("initial-split-brain", true),
    for_engine("split-brain", true),
    for_engine("out-of-sync", true),
    for_engine("disconnected", false),
    for_engine("quorum-lost", false),

    for_experts(per_volume("suspend-io", setup_short)),
    for_experts(per_volume("resume-io", setup_short)),
    for_experts(per_volume("set-gi", meta), true),
    for_experts(per_volume("new-current-uuid", setup_short, passed_options::new_current_uuid),
                true),
    for_experts(per_volume("check-resize", check_resize)),
};

} // namespace rows

using rows::table;

bool is_one_of(std::string_view option, std::initializer_list<std::string_view> all) {
    return std::find(all.begin(), all.end(), option) != all.end();
}

bool in_table(options::section where, std::string_view option, bool at_run_time) {
    const options::option_row* row = options::find(where, option);
    return row != nullptr && (row->at_run_time || !at_run_time);
}

} // namespace

std::span<const command> all_commands() {
    return table;
}

const command* find_command(std::string_view name) {
    const auto found =
        std::find_if(table.begin(), table.end(), [&](const auto& row) { return row.name == name; });
    return found == table.end() ? nullptr : &*found;
}

std::string_view current_name(std::string_view name) {
    if (name == "state") {
        return "role";
    }
    return name == "outdate-peer" ? "fence-peer" : name;
}

bool passes_option(const command& which, std::string_view option) {
    using options::section;
    switch (which.passes) {
    case passed_options::none:
        return false;
    case passed_options::attach:
        return in_table(section::disk, option, false);
    case passed_options::disk_options:
        return in_table(section::disk, option, true);
    case passed_options::connect:
        return in_table(section::net, option, false) ||
               is_one_of(option, {"tentative", "discard-my-data", "alternate-address",
                                  "alternate-peer-address"});
    case passed_options::net_options:
        return in_table(section::net, option, true);
    case passed_options::resource_options:
        return in_table(section::resource, option, true);
    case passed_options::detach:
    case passed_options::disconnect:
    case passed_options::secondary:
        return option == "force";
    case passed_options::primary:
        return is_one_of(option, {"force", "overwrite-data-of-peer"});
    case passed_options::resize:
        return is_one_of(option, {"size", "assume-peer-has-space", "assume-clean", "al-stripes",
                                  "al-stripe-size-kB"});
    case passed_options::verify:
        return is_one_of(option, {"start", "stop"});
    case passed_options::new_current_uuid:
        return option == "clear-bitmap";
    case passed_options::create_md:
        return true;
    case passed_options::adjust:
        return is_one_of(option, {"skip-disk", "skip-net"});
    }
    return false;
}

} // namespace lockstep::drbdadm
