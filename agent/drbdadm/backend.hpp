// The command lines of drbdsetup 8.4 and drbdmeta for what a configuration says. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "agent/config/tree.hpp"
#include "agent/drbdadm/command_line.hpp"
#include "agent/drbdadm/runner.hpp"
#include "kernel/options/table.hpp"

namespace lockstep::drbdadm {

struct programs {
    std::string drbdsetup = "drbdsetup";
    std::string drbdmeta = "drbdmeta";
    std::string drbd_proxy_ctl = "drbd-proxy-ctl";
};

// Whether a command is for a new object, changes the given options only, or puts all options that
// are not in the configuration back to their defaults.
enum class scope : unsigned char { create, change, reset };

// True if an option of drbd.conf goes to the engine; false for words that mean nothing to it
// (DRBD 9's, use-bmbv).
bool goes_to_engine(options::section where, const config::option& row);

class backend {
public:
    // With `legacy` the calls that 8.3 has are in its order: drbdsetup MINOR COMMAND.
    backend(programs names, std::vector<setup_option> passed, bool legacy)
        : names_(std::move(names)), passed_(std::move(passed)), legacy_(legacy) {}

    command_words new_resource(const config::resource& owner, scope how) const;
    command_words new_minor(const config::resource& owner, const config::volume& row) const;
    command_words attach(const config::volume& row) const;
    command_words disk_options(const config::volume& row, scope how) const;
    // Null peers are "N/A", as a dry run prints them.
    command_words connect(const config::resource& owner) const;
    command_words net_options(const config::resource& owner, scope how) const;
    command_words disconnect(const config::resource& owner) const;
    command_words resize(const config::resource& owner, const config::volume& row) const;
    command_words wait_connect(const config::resource& owner, const config::volume& row,
                               bool stacked_mode) const;
    command_words show(const config::resource& owner) const;
    // COMMAND MINOR or COMMAND RESOURCE.
    command_words setup(std::string_view command, const config::volume& row) const;
    command_words setup(std::string_view command, const config::resource& owner) const;
    command_words check_resize(const config::volume& row) const; // without passed options
    command_words meta(std::string_view command, const config::volume& row) const;
    command_words apply_al(const config::volume& row) const; // without passed options
    // read-dev-uuid, or write-dev-uuid if a number is given.
    command_words device_uuid(const config::volume& row, std::optional<std::uint64_t> number) const;

    // What drbd-proxy is told of the connection; the settings are empty where there are none. Both
    // hosts have a proxy section.
    command_words proxy_connection(const config::resource& owner) const;
    command_words proxy_settings(const config::resource& owner) const;
    command_words proxy_removal(const config::resource& owner) const;

    // 8.3's own calls: a device at a time, everything not given back to its default.
    // Source: drbd-utils 8.3, drbdadm -d up.
    command_words disk_83(const config::resource& owner, const config::volume& row) const;
    command_words syncer_83(const config::resource& owner, const config::volume& row) const;
    command_words net_83(const config::resource& owner, const config::volume& row) const;

private:
    command_words start(std::string_view command) const;
    command_words start(std::string_view command, const config::volume& row) const;
    void add_passed(command_words& words) const;

    programs names_;
    std::vector<setup_option> passed_;
    bool legacy_;
};

} // namespace lockstep::drbdadm
