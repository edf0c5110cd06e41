// Runs drbdsetup, drbdmeta and handlers: prints the line if asked to, bounds the time, reports
// how it ended.
#pragma once

#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "kernel/base/error.hpp"

namespace lockstep::drbdadm {

using command_words = std::vector<std::string>;

enum class patience : unsigned char { brief, medium, extended, forever }; // cmd-timeout-…

struct run_settings {
    int dry_run = 0;
    int verbose = 0;
    std::optional<std::string> shell_variable; // -n: VARIABLE=RESOURCE before each line
    unsigned brief_s = 5;                      // 0: no limit, for all three
    unsigned medium_s = 121;
    unsigned extended_s = 600;
    bool hide_errors = false; // of the programs run: adjust-with-progress
};

enum class output : unsigned char { pass, hide, capture };

struct run_request {
    command_words words;
    drbdadm::patience patience = patience::brief;
    std::string resource; // for -n and DRBD_RESOURCE
    output standard_output = output::pass;
    output standard_error = output::pass;
    bool reports_failure = true; // "Command '…' terminated with exit code N", from 10 on
    bool is_query = false;       // run even in a dry run, and not printed
    // Ended together with what it started. Not for programs that ask on the terminal: only the
    // foreground group may read from it.
    bool own_group = false;
    // "NAME=VALUE", added to this process's environment; a later one wins.
    std::vector<std::string> environment;
};

struct run_outcome {
    int code = 0; // exit code; 20 if it could not be run, was killed or took too long
    std::string captured_output;
    std::string captured_error;
    bool timed_out = false;
};

// One line, each word escaped for the shell.
std::string shell_line(const command_words& words);

class runner {
public:
    explicit runner(run_settings settings) : settings_(std::move(settings)) {}

    // Children get LC_ALL=C: what they print is parsed by scripts. A child that outlives its time
    // is killed together with what it started, and said so on stderr.
    run_outcome run(const run_request& what) const;

    // Starts a child that runs beside this process and is not bounded; its process id, or -1 with a
    // message. In a dry run 0.
    pid_t start(const run_request& what) const;

    const run_settings& settings() const { return settings_; }

private:
    void announce(const run_request& what) const;
    unsigned limit_s(patience what) const;

    run_settings settings_;
};

} // namespace lockstep::drbdadm
