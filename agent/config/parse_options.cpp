#include <array>

#include <fmt/format.h>

#include "agent/config/option_advice.hpp"
#include "agent/config/parser.hpp"
#include "kernel/options/table.hpp"

namespace lockstep::config {

namespace {

constexpr std::array disk_values{key::disk_option};
constexpr std::array net_values{key::net_option};
constexpr std::array resource_values{key::resource_option};
constexpr std::array startup_values{key::startup_option};
constexpr std::array handler_values{key::handler_option};
constexpr std::array proxy_values{key::proxy_option};

constexpr std::int64_t longest_wait_s = 300000;

struct rename {
    key kind;
    std::string_view old_name;
    std::string_view name;
};

// Names that only changed; 8.3's no-… flags are handled by their kind.
constexpr std::array renames{
    rename{key::handler_option, "outdate-peer", "fence-peer"},
    rename{key::disk_option, "rate", "resync-rate"},
    rename{key::disk_option, "after", "resync-after"},
};

std::string current_name(key kind, const std::string& name) {
    for (const rename& row : renames) {
        if (row.kind == kind && row.old_name == name) {
            return std::string(row.name);
        }
    }
    return name;
}

bool contains(std::span<const key> all, key wanted) {
    for (const key one : all) {
        if (one == wanted) {
            return true;
        }
    }
    return false;
}

std::optional<options::section> table_section(key kind) {
    switch (kind) {
    case key::disk_option:
    case key::disk_flag:
    case key::disk_no_flag:
        return options::section::disk;
    case key::net_option:
    case key::net_flag:
    case key::net_no_flag:
        return options::section::net;
    case key::resource_option:
        return options::section::resource;
    default:
        return std::nullopt; // none of the engine's
    }
}

bool is_syncer_value(key kind) {
    return kind == key::disk_option || kind == key::net_option || kind == key::resource_option;
}

} // namespace

const option_section disk_section{"disk",       disk_values,    key::disk_flag, key::disk_no_flag,
                                  std::nullopt, section_9::disk};
const option_section net_section{
    "net", net_values, key::net_flag, key::net_no_flag, key::net_delegate, section_9::net};
const option_section resource_options_section{"options",    resource_values,
                                              std::nullopt, std::nullopt,
                                              std::nullopt, section_9::resource_options};
const option_section startup_section{"startup",    startup_values,        key::startup_flag,
                                     std::nullopt, key::startup_delegate, std::nullopt};
const option_section handlers_section{"handlers",   handler_values, std::nullopt,
                                      std::nullopt, std::nullopt,   section_9::handlers};
const option_section proxy_options_section{
    "proxy", proxy_values, std::nullopt, std::nullopt, key::proxy_delegate, std::nullopt, true};

// The opening brace has been read.
option_list parser::parse_option_block(const option_section& section, resource& owner) {
    option_list list;
    while (!state_.stopped) {
        next();
        statement_ = here();
        if (token_.is('}') || !parse_option(section, owner, list)) {
            break;
        }
    }
    return list;
}

bool parser::parse_option(const option_section& section, resource& owner, option_list& into) {
    const reserved_word* row = token_.kind == token_kind::word ? find_word(token_.text) : nullptr;
    if (row == nullptr) {
        return parse_word_of_9(section, into) || unknown_option(section);
    }
    if (row->id == section.flag || row->id == section.no_flag) {
        const bool negated = row->id == section.no_flag;
        into.push_back({std::string(negated ? row->text.substr(3) : row->text),
                        negated ? "no" : "yes", statement_});
        if (negated) {
            expect(';');
            state_.diag.hint(statement_, fmt::format("'{}' is written '{} no' since DRBD 8.4",
                                                     row->text, into.back().name));
        } else {
            parse_flag(into.back());
        }
        warn_if_meaningless(into.back(), row->id);
        return true;
    }
    if (row->id == section.delegate) {
        return parse_delegate(owner);
    }
    if (contains(section.values, row->id) || (section.proxy_words && row->in_proxy)) {
        into.push_back(parse_valued(*row));
        expect(';');
        return true;
    }
    if (row->id == key::deprecated_option) {
        state_.diag.warn(statement_,
                         fmt::format("{} has had no effect since DRBD 8.3.9, ignored", row->text));
        expect_value();
        expect(';');
        return true;
    }
    if (section.nine == section_9::net && row->text == "fencing") {
        // DRBD 9 moved it from disk {} to net {}; an 8.4 engine has it with the disk.
        owner.disk_options.push_back(parse_valued(*row));
        expect(';');
        return true;
    }
    return unknown_option(section);
}

bool parser::unknown_option(const option_section& section) {
    const bool could_be_meant = token_.kind == token_kind::word;
    expected("an option keyword", could_be_meant ? advice_on(section, token_.text) : std::string{});
    return false;
}

// "yes;", "no;" or just ";".
void parser::parse_flag(option& row) {
    next();
    switch (word()) {
    case key::yes:
        return expect(';');
    case key::no:
        row.value = "no";
        return expect(';');
    default:
        break;
    }
    if (!token_.is(';')) {
        expected("yes | no | ;");
    }
}

option parser::parse_valued(const reserved_word& row) {
    option out{current_name(row.id, std::string(row.text)), {}, statement_};
    out.value = expect_value();
    if (!state_.stopped) {
        check_value(out, row.id);
        if (row.id == key::handler_option && out.name != row.text) {
            state_.diag.hint(statement_,
                             fmt::format("'{}' is called '{}' today", row.text, out.name));
        }
    }
    return out;
}

void parser::check_value(option& row, key kind) {
    if (state_.from_show) {
        return; // it is what the engine says
    }
    if (kind == key::startup_option) {
        const auto seconds = options::parse_number(*row.value, '1');
        if (!seconds || *seconds > longest_wait_s) {
            state_.diag.error(
                row.at, seconds
                            ? fmt::format("{} {} => {} out of range [0..{}].", row.name, *row.value,
                                          *seconds, longest_wait_s)
                            : fmt::format("{} {}: {}", row.name, *row.value, seconds.error().what));
        }
    } else if (kind == key::disk_option || kind == key::net_option ||
               kind == key::resource_option) {
        check_table_value(row, kind);
    }
}

void parser::check_table_value(option& row, key kind) {
    constexpr std::string_view by_node = "discard-node-";
    // Named by resource and by host name in the file; resolve.cpp translates both.
    if (row.name == "resync-after" ||
        (row.name == "after-sb-0pri" && row.value->substr(0, by_node.size()) == by_node)) {
        return;
    }
    const options::option_row* known = options::find(*table_section(kind), row.name);
    if (known == nullptr) {
        return;
    }
    const auto normal = options::normalise(*known, *row.value);
    warn_if_meaningless(row, kind);
    if (!normal) {
        state_.diag.error(row.at, normal.error().what);
    } else if (row.name == "protocol") {
        row.value = *normal;
    } else if (known->clamped) {
        warn_if_clamped(row, *known);
    }
}

// Accepted because files of DRBD have it; whoever set it on purpose has to know that it does
// nothing.
void parser::warn_if_meaningless(const option& row, key kind) {
    if (state_.from_show || state_.stopped) {
        return;
    }
    const auto warn = [&](std::string_view why) {
        state_.diag.warn(row.at, fmt::format("{} has no effect here: {}", row.name, why));
    };
    if (row.name == "use-bmbv") {
        warn("there is no merge function of a backing device to ask");
        return;
    }
    const options::option_row* known = options::find(*table_section(kind), row.name);
    if (known != nullptr && known->effect == options::effect::meaningless_here &&
        !options::same_value(*known, row.value.value_or("yes"), known->default_text)) {
        warn(known->reason);
    }
}

void parser::warn_if_clamped(const option& row, const options::option_row& known) {
    const auto given = options::parse_number(*row.value, known.scale);
    if (given && (*given < known.min || *given > known.max)) {
        state_.diag.warn(row.at, fmt::format("{} {} is out of range [{}..{}], the nearest value in "
                                             "it is used",
                                             row.name, *row.value, known.min, known.max));
    }
}

// "name;", "name yes;" or "name VALUE;"
bool parser::parse_word_of_9(const option_section& section, option_list& into) {
    const word_of_9* known = section.nine && token_.kind == token_kind::word
                                 ? find_word_of_9(*section.nine, token_.text)
                                 : nullptr;
    if (known == nullptr) {
        return false;
    }
    option row{token_.text, "yes", statement_};
    next();
    const bool value =
        token_.kind == token_kind::number || is_string() || word() == key::yes || word() == key::no;
    if (value) {
        row.value = token_.text;
        next();
    }
    if (!token_.is(';')) {
        expected(value ? ";" : "a value | ;");
        return true;
    }
    if (!known->only_value.empty() && *row.value != known->only_value) {
        state_.diag.error(row.at, fmt::format("{} {} is not possible here: {}", row.name,
                                              *row.value, known->reason));
    } else if (!state_.from_show) {
        state_.diag.warn(
            row.at, fmt::format("{} is not passed to the engine: {}", row.name, known->reason));
    }
    into.push_back(std::move(row));
    return true;
}

bool parser::parse_delegate(resource& owner) {
    if (token_.text == "become-primary-on") {
        owner.become_primary_on = host_names(';');
        return true;
    }
    if (token_.text == "stacked-timeouts") {
        owner.stacked_timeouts = true;
        expect(';');
        return true;
    }
    if (token_.text == "plugin") {
        parse_plugins(owner.proxy_plugins);
        return true;
    }
    if (!state_.from_show) {
        return unknown_option(net_section); // discard-my-data is an argument of connect
    }
    option dropped;
    parse_flag(dropped);
    return true;
}

// plugin { word word …; … }: each line is kept as one text.
void parser::parse_plugins(option_list& into) {
    into.clear();
    expect('{');
    while (!state_.stopped) {
        std::vector<std::string> words;
        for (next(); !token_.is(';') && !token_.is('}'); next()) {
            if (token_.kind == token_kind::end) {
                return expected(";");
            }
            words.push_back(token_.text);
        }
        if (token_.is('}')) {
            return words.empty() ? void() : expected(";");
        }
        option line;
        line.name = join(words, " ");
        line.at = here();
        into.push_back(std::move(line));
    }
}

// 8.3: its options went to disk {}, net {} and options {} in 8.4.
void parser::parse_syncer(resource& owner) {
    expect('{');
    while (!state_.stopped) {
        next();
        statement_ = here();
        if (token_.is('}')) {
            return;
        }
        const reserved_word* row =
            token_.kind == token_kind::word ? find_word(token_.text) : nullptr;
        if (row == nullptr) {
            return expected("a syncer option keyword");
        }
        if (row->id == key::deprecated_option) {
            state_.diag.warn(
                statement_,
                fmt::format("{} has had no effect since DRBD 8.3.9, ignored", row->text));
            expect_value();
            expect(';');
        } else if (row->in_syncer) {
            parse_syncer_option(owner, *row);
        } else {
            return expected("a syncer option keyword");
        }
    }
}

void parser::parse_syncer_option(resource& owner, const reserved_word& row) {
    const auto hint = [&](std::string_view section, const option& taken) {
        if (!state_.stopped) {
            state_.diag.hint(taken.at,
                             fmt::format("'syncer {{ {} ... }}' is written '{} {{ {} {}; }}' since "
                                         "DRBD 8.4",
                                         row.text, section, taken.name, *taken.value));
        }
    };
    if (row.id == key::net_flag) {
        owner.net_options.push_back({std::string(row.text), "yes", statement_});
        parse_flag(owner.net_options.back());
        return hint("net", owner.net_options.back());
    }
    if (!is_syncer_value(row.id)) {
        return expected("a syncer option keyword");
    }
    option_list& into = row.id == key::disk_option  ? owner.disk_options
                        : row.id == key::net_option ? owner.net_options
                                                    : owner.resource_options;
    into.push_back(parse_valued(row));
    expect(';');
    hint(row.id == key::disk_option  ? "disk"
         : row.id == key::net_option ? "net"
                                     : "options",
         into.back());
}

} // namespace lockstep::config
