// What drbdadm was asked to do.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/drbdadm/commands.hpp"
#include "kernel/base/error.hpp"

namespace lockstep::drbdadm {

// An option for drbdsetup or drbdmeta, as it will be passed: "--force", "--size=10G".
struct setup_option {
    std::string text;
    bool is_explicit; // given behind `--` or by -W: passed whatever it is
};

enum class request_kind : unsigned char { run, help, version };

struct request {
    request_kind kind = request_kind::run;
    std::string program;            // last component of argv[0], for messages
    std::string program_directory;  // of argv[0], with a slash; empty if it came from PATH
    const command* what = nullptr;  // null only for help without a command, and version
    std::string typed_name;         // the command as it was typed
    std::vector<std::string> names; // resources, volumes, minors
    std::vector<setup_option> passed;
    int dry_run = 0;
    int verbose = 0;
    bool stacked = false;
    std::optional<std::string> config_file;    // -c
    std::vector<std::string> config_tests;     // -t
    std::vector<std::string> config_excludes;  // -E
    std::optional<std::string> drbdsetup;      // -s
    std::optional<std::string> drbdmeta;       // -m
    std::optional<std::string> drbd_proxy_ctl; // -p
    std::optional<std::string> shell_variable; // -n
    std::optional<std::string> peer;           // -P
    std::vector<std::string> notices;          // for stderr: deprecated names, ignored arguments

    bool all() const { return !names.empty() && names.front() == "all"; }
};

// Never prints; an error's code is the exit code. getopt_long's own messages go to stderr.
result<request> parse_command_line(int argc, char** argv);

// The text of `drbdadm help [COMMAND]` and of `hidden-commands`.
std::string usage_text(const std::string& program, const command* what);
std::string hidden_commands_text();

} // namespace lockstep::drbdadm
