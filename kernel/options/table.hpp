// The one table of the options of disk {}, net {} and options {}: names, kinds, defaults, ranges,
// units, words and what they do here. drbdadm, drbdsetup and the engine's control all use it, so
// that an option has one range and one spelling everywhere.
//
// Names, ranges and units are those of DRBD 8.4 (`drbdsetup xml-help attach|connect|new-resource`
// of drbd-utils, linux/drbd_limits.h); a test compares them with the installed original.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/base/error.hpp"
#include "kernel/options/options.hpp"

namespace lockstep::options {

enum class section : std::uint8_t { disk, net, resource };
enum class kind : std::uint8_t { number, boolean, word, text };

// What setting an option to something else than its default means to this engine.
enum class effect : std::uint8_t {
    acts,                   // it does what DRBD's documentation says
    refused_unless_default, // it would change semantics that are not offered: an error
    meaningless_here,       // accepted, kept and shown, but nothing here could differ; see `reason`
};

struct word_value {
    std::string_view word;
    int value; // of the enumeration in options.hpp
};

struct option_row {
    std::string_view name; // 8.4 spelling
    options::section section;
    options::kind kind;
    // As `drbdsetup show` prints it, without quotes: "250k", "yes", "detach", "".
    std::string_view default_text;
    std::int64_t min; // numbers only, in units of `scale`
    std::int64_t max; // numbers; for text the longest accepted length in bytes
    // What a bare number counts: '1' single things, 's' sectors of 512 bytes, 'k' KiB.
    char scale;
    std::string_view unit; // word for a person and for xml-help; may be empty
    std::span<const word_value> words;
    bool at_run_time; // can be changed while attached or connected
    options::effect effect;
    std::string_view reason; // why it is refused or meaningless; empty for acts
    std::string_view help;   // one sentence
    // A number outside of the range becomes the nearest one inside, as DRBD does it: files of 8.3
    // have values that were in range then.
    bool clamped = false;
};

// Every row of a section, in the order of `drbdsetup show`.
std::span<const option_row> rows(section where);

// Null if there is no such option in the section. Knows 8.4 names only; see legacy.hpp for 8.3's.
const option_row* find(section where, std::string_view name);

std::string_view section_name(section where); // as in drbd.conf: "disk", "net", "options"

// A number with an optional suffix K, M, G (either case) or s, in units of `scale`; a value that
// does not divide is rounded up, as DRBD does. A minus sign is accepted if `negative` is set.
result<std::int64_t> parse_number(std::string_view text, char scale, bool negative = false);

// Checks `text` against the row and returns the normalised text: "50M" becomes "51200k", a bare
// flag (empty text of a boolean) "yes", a protocol letter upper case. Errors name the option, the
// value and what is allowed; `refused_unless_default` is an error here too.
result<std::string> normalise(const option_row& row, std::string_view text);

// True if both mean the same: "1M" and "1024k". Text that is not valid equals only itself.
bool same_value(const option_row& row, std::string_view a, std::string_view b);

result<> set(disk_options& into, std::string_view name, std::string_view text);
result<> set(net_options& into, std::string_view name, std::string_view text);
result<> set(resource_options& into, std::string_view name, std::string_view text);

// The normalised text of one option, without quotes. The name must be one of the table.
std::string get(const disk_options& from, std::string_view name);
std::string get(const net_options& from, std::string_view name);
std::string get(const resource_options& from, std::string_view name);

struct setting {
    const option_row* row; // static storage
    std::string text;      // normalised, without quotes
    bool is_default;
};

// All options, in the order of `drbdsetup show`; those that differ from their default only.
std::vector<setting> settings(const disk_options& from);
std::vector<setting> settings(const net_options& from);
std::vector<setting> settings(const resource_options& from);
std::vector<setting> changed(const disk_options& from);
std::vector<setting> changed(const net_options& from);
std::vector<setting> changed(const resource_options& from);

// A line of `drbdsetup show` without indentation or line end:
// "resync-rate     \t51200k; # bytes/second".
std::string show_line(const setting& entry);

// `text` in double quotes, with backslashes before quotes and backslashes.
std::string quoted(std::string_view text);

// The number of a normalised text; 0 for anything that is not a number.
std::int64_t number_of(const option_row& row, std::string_view text);

} // namespace lockstep::options
