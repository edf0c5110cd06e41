#include "agent/config/parser.hpp"

#include "agent/config/option_advice.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

namespace lockstep::config {

namespace {

constexpr std::size_t longest_resource_name = 127; // the engine's control interface has room for it

bool is_control(char c) {
    return static_cast<unsigned char>(c) < ' ' || c == '\x7f';
}

} // namespace

std::string join(const std::vector<std::string>& names, std::string_view separator) {
    return fmt::format("{}", fmt::join(names, separator));
}

const token& parser::next() {
    token_ = state_.stopped ? token{} : lexer_.next();
    return token_;
}

key parser::word() const {
    if (token_.kind != token_kind::word) {
        return key::none;
    }
    const reserved_word* row = find_word(token_.text);
    return row == nullptr ? key::none : row->id;
}

bool parser::is_string() const {
    return token_.kind == token_kind::quoted ||
           (token_.kind == token_kind::word && word() == key::none);
}

void parser::stop(const position& at, const std::string& text) {
    if (!state_.stopped) {
        state_.diag.error(at, text);
        state_.stopped = true;
    }
    token_ = token{};
}

void parser::unreadable() {
    std::string_view what;
    switch (token_.kind) {
    case token_kind::word_too_long:
        what = "Token too long";
        break;
    case token_kind::quote_too_long:
        what = "Double quoted string too long";
        break;
    case token_kind::quote_open:
        what = "Unterminated double quoted string, line feeds are not allowed inside";
        break;
    default:
        return;
    }
    stop(here(), fmt::format("{} >>>{:.20}...<<<", what, token_.text));
}

void parser::expected(std::string_view what, const std::string& advice) {
    unreadable();
    const bool long_text = token_.text.size() > 20;
    const std::string got = token_.kind == token_kind::end ? "end of file" : token_.text;
    stop(here(), fmt::format("Parse error: '{}' expected,\n\tbut got '{:.20}{}'{}{}", what, got,
                             long_text ? "..." : "", advice.empty() ? "" : "\n\t", advice));
}

bool parser::unknown(std::string_view what) {
    const bool could_be_meant = token_.kind == token_kind::word;
    expected(what, could_be_meant ? advice_on(what, token_.text) : std::string{});
    return false;
}

void parser::expect(char punctuation) {
    if (!next().is(punctuation)) {
        expected(std::string_view(&punctuation, 1));
    }
}

std::string parser::expect_string() {
    next();
    if (!is_string()) {
        expected("a name or string");
        return {};
    }
    return token_.text;
}

std::string parser::expect_number() {
    next();
    if (token_.kind != token_kind::number) {
        expected("a number");
        return {};
    }
    return token_.text;
}

std::string parser::expect_value() {
    next();
    if (token_.kind != token_kind::number && !is_string() && word() != key::on) {
        expected("a string or number");
        return {};
    }
    return token_.text;
}

std::vector<std::string> parser::host_names(char delimiter) {
    std::vector<std::string> names;
    for (next(); is_string(); next()) {
        names.push_back(token_.text);
    }
    if (!token_.is(delimiter) || names.empty()) {
        expected(names.empty() ? std::string("a host name")
                               : fmt::format("a host name | {}", delimiter));
    }
    return names;
}

unsigned parser::bounded(const std::string& text, std::string_view name, unsigned min,
                         unsigned max) {
    unsigned value = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = failed == std::errc{} && end == text.data() + text.size();
    if (!state_.stopped && (!whole || value < min || value > max)) {
        state_.diag.error(
            here(), fmt::format("{} {} => {} out of range [{}..{}].", name, text, text, min, max));
        return min;
    }
    return value;
}

void parser::claim(unique_register& where, const std::string& what, const std::string& name) {
    if (state_.stopped || state_.from_show) {
        return;
    }
    if (const auto first = where.claim(what, name, statement_)) {
        stop(statement_, fmt::format("conflicting use of {} '{}' ...\n{}: {} '{}' first used here.",
                                     what, name, first->text(), what, name));
    }
}

void parser::claim_once(const std::string& what, const std::string& name) {
    claim(state_.in_resource, what, name);
}

void parser::parse_top_level() {
    while (!state_.stopped) {
        next();
        statement_ = here();
        if (token_.kind == token_kind::end) {
            return;
        }
        switch (word()) {
        case key::global:
            parse_global();
            break;
        case key::common:
            expect('{');
            state_.doc.common = parse_resource("common", true);
            break;
        case key::resource:
            parse_new_resource();
            break;
        case key::skip:
            parse_skip();
            break;
        case key::include:
            parse_include();
            break;
        default:
            if (!parse_required_version()) {
                expected("global | common | resource | skip | include");
            }
        }
    }
}

void parser::parse_new_resource() {
    std::string name = expect_string();
    if (state_.stopped) {
        return;
    }
    if (name.empty()) {
        return stop(here(), "Resource name is empty.");
    }
    if (std::any_of(name.begin(), name.end(), is_control)) {
        return stop(here(), "Resource name is invalid - please don't use control characters.");
    }
    if (name.find('/') != std::string::npos) {
        // The command line says RESOURCE/VOLUME, and the engine makes files of that name.
        return stop(here(),
                    fmt::format("Resource name '{}' is invalid - please don't use '/'.", name));
    }
    if (name == "all" || name.size() > longest_resource_name) {
        return stop(here(), fmt::format("Resource name '{:.20}' is invalid - {}.", name,
                                        name == "all" ? "'all' means all resources"
                                                      : "at most 127 bytes are possible"));
    }
    expect('{');
    state_.doc.resources.push_back(parse_resource(std::move(name), false));
}

void parser::parse_global() {
    claim(state_.everywhere, "global section", "global");
    if (!state_.doc.resources.empty()) {
        state_.diag.warn(here(), "You should put the global {} section\n\tin front of any "
                                 "resource {} section");
    }
    expect('{');
    while (!state_.stopped) {
        next();
        statement_ = here();
        if (token_.is('}')) {
            return;
        }
        if (!parse_global_statement()) {
            return;
        }
        expect(';');
    }
}

bool parser::parse_global_statement() {
    global_options& global = state_.doc.global;
    switch (word()) {
    case key::udev_always_use_vnr:
        global.udev_always_use_vnr = true;
        return true;
    case key::disable_ip_verification:
        global.disable_ip_verification = true;
        return true;
    case key::minor_count:
        global.minor_count = bounded(expect_number(), "minor-count", 1, 255);
        return true;
    case key::dialog_refresh:
        global.dialog_refresh_s = bounded(expect_number(), "dialog-refresh", 0, 600);
        return true;
    case key::cmd_timeout_short:
        global.cmd_timeout_short_s = bounded(expect_number(), "cmd-timeout-short", 0, 900);
        return true;
    case key::cmd_timeout_medium:
        global.cmd_timeout_medium_s = bounded(expect_number(), "cmd-timeout-medium", 0, 900);
        return true;
    case key::cmd_timeout_long:
        global.cmd_timeout_long_s = bounded(expect_number(), "cmd-timeout-long", 0, 900);
        return true;
    case key::usage_count:
        parse_usage_count();
        return true;
    default:
        return unknown("dialog-refresh | minor-count | disable-ip-verification | usage-count | "
                       "udev-always-use-vnr | cmd-timeout-short | cmd-timeout-medium | "
                       "cmd-timeout-long");
    }
}

void parser::parse_usage_count() {
    next();
    switch (word()) {
    case key::yes:
        state_.doc.global.usage_count = usage_count::yes;
        // Every installation has it: said to who looks at the file, not with each command.
        state_.diag.hint(statement_, "usage-count yes has no effect here: nothing is ever reported "
                                     "to anybody");
        return;
    case key::no:
        state_.doc.global.usage_count = usage_count::no;
        return;
    case key::ask:
        state_.doc.global.usage_count = usage_count::ask;
        return;
    default:
        expected("yes | no | ask");
    }
}

// Whatever stands before the brace, and everything up to the matching one, is skipped: `skip` can
// be put in front of any section.
void parser::parse_skip() {
    do {
        next();
    } while (token_.kind != token_kind::end && !token_.is('{') && !token_.is('}') &&
             !token_.is(';'));
    if (!token_.is('{')) {
        return expected("[ some_text ] {");
    }
    for (int level = 1; level > 0;) {
        next();
        if (token_.kind == token_kind::end) {
            return stop(statement_, "reached eof while parsing this skip block.");
        }
        level += token_.is('{') ? 1 : 0;
        level -= token_.is('}') ? 1 : 0;
    }
}

} // namespace lockstep::config
