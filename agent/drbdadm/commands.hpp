// The table of drbdadm's commands: what each needs to be called, and where help lists it.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace lockstep::drbdadm {

// What carries a command out; commands.cpp has the table, actions.hpp the doing.
enum class action : unsigned char {
    attach,
    disk_options,
    connect,
    net_options,
    disconnect,
    up,
    resource_options,
    setup_short,   // drbdsetup COMMAND {minor|resource}, bounded by cmd-timeout-short
    setup_long,    // the same, cmd-timeout-medium
    setup_or_meta, // drbdsetup, and drbdmeta if the device is down
    meta,          // drbdmeta COMMAND
    syncer,
    outdate,
    resize,
    check_resize,
    adjust,
    adjust_with_progress,
    wait_connect,
    wait_sync,
    wait_con_int,
    dump,
    dump_xml,
    create_md,
    hidden_commands,
    sh_nop,
    sh_resources,
    sh_resource,
    sh_mod_parms,
    sh_dev,
    sh_udev,
    sh_minor,
    sh_ll_dev,
    sh_md_dev,
    sh_md_idx,
    sh_ip,
    sh_lr_of,
    sh_b_pri,
    sh_status,
    sh_list_config_file,
    sh_list_adjustable,
    proxy,
    new_resource,
    new_minor,
    del_minor,
    peer_role,
    with_connection, // of DRBD 9: here a part of connect
    handler,
};

// Which list of the help a command is in.
enum class audience : unsigned char { administrators, scripts, engine, experts };

// Which options of drbdsetup a command passes on when they are given without `--` before them.
enum class passed_options : unsigned char {
    none,
    attach,
    disk_options,
    connect,
    net_options,
    resource_options,
    detach,
    disconnect,
    primary,
    secondary,
    resize,
    verify,
    new_current_uuid,
    create_md, // anything: they are drbdmeta's
    adjust,    // drbdadm's own --skip-disk and --skip-net
};

struct command {
    std::string_view name;
    drbdadm::action action;
    audience listed = audience::administrators;
    bool needs_resource = true;
    bool needs_volume = false;
    bool each_volume = false;
    bool verifies_addresses = false;
    bool needs_peer = false;
    bool uses_registered_config = false; // called by the engine: the file that configured it
    bool allows_config_test = false;     // -t
    passed_options passes = passed_options::none;

    bool dumps() const {
        return action == drbdadm::action::dump || action == drbdadm::action::dump_xml;
    }
};

std::span<const command> all_commands();

// Null if there is none.
const command* find_command(std::string_view name);

// `state` is `role` and `outdate-peer` is `fence-peer` today; other names are returned as they are.
std::string_view current_name(std::string_view name);

// True if the command takes an option of that name (without dashes).
bool passes_option(const command& which, std::string_view option);

} // namespace lockstep::drbdadm
