// What the engine program is told on its command line, and in $LOCKSTEP_ENGINE_OPTIONS.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernel/base/error.hpp"
#include "kernel/host/cpu_latency.hpp"
#include "kernel/host/fault_injection.hpp"
#include "kernel/options/options.hpp"

namespace lockstep::engine {

struct settings {
    std::string resource;
    options::resource_options options;

    std::string helper;                 // path of drbdadm, or "disabled"
    std::uint32_t helper_limit_s = 300; // 0: none
    std::string log = "syslog";         // or the path of a file
    std::string log_level = "info";     // error, warning, notice, info or debug
    std::string device_directory = "/dev";
    std::string nbd_listen; // ADDRESS:PORT; empty: the unix socket only
    bool device_nodes = true;
    bool files_as_disks = false;
    bool restart = false; // after a crash
    host::fault_settings faults;
    std::uint32_t peer_buffers_mib = 6;
    std::uint32_t client_buffers_mib = 6;
    std::uint32_t busy_wait_us = 0;
    host::cpu_latency_choice cpu_latency;
};

// `words` are the arguments without the program's name; those of the environment come first, so
// that the command line wins. Options that are none of the engine's are the resource's (those of
// drbdsetup resource-options). Errors have code 162.
result<settings> parse_settings(const std::vector<std::string>& words);

// The list of options, for --help.
std::string usage();

} // namespace lockstep::engine
