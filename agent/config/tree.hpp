// What a drbd.conf says: the parser fills it in, resolve.hpp completes it, dump.hpp prints it.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/config/diagnostics.hpp"

namespace lockstep::config {

struct option {
    std::string name; // 8.4 spelling
    // As written, without quotes; flags are "yes" or "no". Absent for a bare word (plugin lines,
    // stacked-timeouts).
    std::optional<std::string> value;
    position at;
    bool verbatim = false;  // printed without quotes (a list of host names)
    bool inherited = false; // came from a less specific place
};

using option_list = std::vector<option>;

// Null if the list has no option of that name. Of several the first is found, which is the one
// that counts for handlers.
const option* find_option(const option_list& list, std::string_view name);
// The last one: the one that counts for drbdsetup, which is given them all.
const option* find_last_option(const option_list& list, std::string_view name);

struct socket_address {
    std::string family; // ipv4, ipv6, ssocks or sdp
    std::string host;   // without brackets
    std::string port;

    std::string setup_text() const; // "ipv4:10.0.0.1:7788", "ipv6:[::1]:7788"
};

struct proxy_section {
    std::vector<std::string> on_hosts;
    std::optional<socket_address> inside;
    std::optional<socket_address> outside;
    option_list options;
    option_list plugins;
};

struct volume {
    unsigned number = 0;
    bool implicit = false; // written without `volume 0 { }`
    std::optional<std::string> device;
    std::optional<unsigned> minor;
    std::optional<std::string> disk; // a path; "none" for an intentionally diskless node
    std::optional<std::string> meta_disk;
    std::optional<std::string> meta_index; // "internal", "flexible" or a number
    option_list disk_options;
    position at;

    bool diskless() const { return disk == "none"; }
    bool internal_metadata() const { return meta_disk == "internal"; }
    // The device that holds the metadata.
    const std::string& metadata_device() const { return internal_metadata() ? *disk : *meta_disk; }
};

struct resource;

struct host_section {
    std::vector<std::string> names; // for floating: the address; never empty after resolve
    bool by_address = false;        // floating
    bool this_host = false;         // _this_host of `drbdsetup show`
    bool remote_host = false;       // _remote_host
    std::optional<socket_address> address;
    std::optional<socket_address> alternate_address;
    std::vector<volume> volumes; // sorted by number
    std::optional<proxy_section> proxy;
    option_list resource_options;       // this host only
    std::optional<std::string> node_id; // DRBD 9
    std::string stacked_on;             // name of the lower resource; empty if not stacked
    const resource* lower = nullptr;    // set by resolve
    position at;

    bool has_name(std::string_view name) const;
    std::string names_text(char separator = ' ') const;
    const volume* find_volume(unsigned number) const;
};

// resource {} and common {} alike.
struct resource {
    std::string name;
    position start;
    std::vector<volume> volumes; // given at resource level, inherited by every host
    std::vector<std::unique_ptr<host_section>> hosts;
    option_list net_options;
    option_list disk_options;
    option_list resource_options;
    option_list startup_options;
    option_list handlers;
    option_list proxy_options;
    option_list proxy_plugins;
    std::vector<std::string> become_primary_on;
    bool stacked_timeouts = false;
    bool stacked_on_one = false; // has a stacked-on-top-of section
    std::string template_path;   // template-file, absolute; empty if there is none
    // Its common {}, which stands in for the document's.
    std::unique_ptr<resource> template_common;

    // Set by resolve for the node that asks.
    host_section* me = nullptr;
    host_section* peer = nullptr;
    bool ignored = false; // this node is not mentioned
    bool stacked = false; // stacked on this node
};

enum class usage_count : unsigned char { yes, no, ask };

// In seconds.
struct global_options {
    unsigned minor_count = 0; // 0: not given
    unsigned dialog_refresh_s = 1;
    bool disable_ip_verification = false;
    bool udev_always_use_vnr = false;
    config::usage_count usage_count = usage_count::ask;
    unsigned cmd_timeout_short_s = 5;
    unsigned cmd_timeout_medium_s = 121;
    unsigned cmd_timeout_long_s = 600;
};

inline constexpr global_options default_globals{};

using version_numbers = std::array<unsigned, 3>;

// What this suite is compatible with.
inline constexpr version_numbers compatible_version{8, 4, 11};

struct document {
    // Of the driver that is in charge; require-drbd-module-version-... compares with it.
    version_numbers driver_version = compatible_version;
    std::vector<std::unique_ptr<source_file>> files; // all that were read, the first is the root
    global_options global;
    std::unique_ptr<resource> common; // null if there is none
    std::vector<std::unique_ptr<resource>> resources;

    resource* find_resource(std::string_view name) const;
};

} // namespace lockstep::config
