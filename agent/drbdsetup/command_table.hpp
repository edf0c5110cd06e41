// The commands of drbdsetup: what each operates on, its arguments and its options. Parsing, help
// and xml-help all read this one table. Source: drbdsetup of drbd-utils 8.4, `drbdsetup xml-help`.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "kernel/control/protocol/request.hpp"
#include "kernel/options/table.hpp"

namespace lockstep::drbdsetup {

// What the first arguments name.
enum context : std::uint8_t {
    on_nothing = 0,
    on_minor = 1,
    on_resource = 2,
    on_all = 4,
    on_connection = 8, // two addresses, after the resource if that is named as well
};

enum class option_kind : std::uint8_t {
    flag,    // --now
    boolean, // --force, --force=yes, --force=no
    number,
    text, // shown as --color=...
    address,
};

struct own_option {
    std::string_view name;
    option_kind kind = option_kind::flag;
    // Numbers only: as in kernel/options.
    std::int64_t min = 0;
    std::int64_t max = 0;
    std::int64_t default_value = 0;
    char scale = '1';
    std::string_view unit = {};
    bool argument_may_lack = false; // text: --color and --color=always
    char short_name = 0;            // -v
    std::string_view alias = {};    // an older name
    bool ours = false;              // not in drbd-utils 8.4
    // Known, but not offered: why, and what to do instead.
    std::string_view refused = {};
};

// Which rows of an option section a command takes.
struct section_use {
    options::section section = options::section::disk;
    bool only_at_run_time = false;
};

struct command_row {
    std::string_view name;
    std::uint8_t contexts = on_nothing;
    std::span<const std::string_view> arguments; // "lower_dev", after what the context names
    std::span<const own_option> options;
    std::optional<section_use> section;
    bool set_defaults = false;
    // The request that it is; none for those that only look or do more than one thing.
    std::optional<control::command> request;
    std::string_view summary; // one sentence
    bool ours = false;
    bool all_is_ours = false; // takes "all", which drbd-utils 8.4 does not
};

std::span<const command_row> commands();
const command_row* find_command(std::string_view name);
const own_option* find_option(const command_row& row, std::string_view name);
// The rows of the option table that the command takes.
bool takes(const command_row& row, const options::option_row& option);

// "{minor}", "{resource|minor|all}": what the first argument can be; empty if there is none.
std::string first_argument(const command_row& row);

} // namespace lockstep::drbdsetup
